"""JSON-RPC 2.0 as it stands on the broker (https://www.jsonrpc.org/specification).

What the gateway tells is a notification (no `id`); what it is asked is a request (with `id`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from normalizer.errors import OmniError
from normalizer.model import EventParams

T = TypeVar("T")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CHANNEL_UNKNOWN = -32001
CHANNEL_CONFIG = -32002
CAPABILITY_MISSING = -32003
WINDOW_CLOSED = -32004
THROTTLED = -32005
CONNECTION_FAILED = -32006
REJECTED = -32007
CONTACT_STOPPED = -32008
MEDIA_UNAVAILABLE = -32009
DUPLICATE_REQUEST = -32010
EXPIRED = -32011
BUSY = -32012

ERROR_NAMES: dict[int, str] = {
    PARSE_ERROR: "parse_error",
    INVALID_REQUEST: "invalid_request",
    METHOD_NOT_FOUND: "method_not_found",
    INVALID_PARAMS: "invalid_params",
    INTERNAL_ERROR: "internal_error",
    CHANNEL_UNKNOWN: "channel_unknown",
    CHANNEL_CONFIG: "channel_config",
    CAPABILITY_MISSING: "capability_missing",
    WINDOW_CLOSED: "window_closed",
    THROTTLED: "throttled",
    CONNECTION_FAILED: "connection_failed",
    REJECTED: "rejected",
    CONTACT_STOPPED: "contact_stopped",
    MEDIA_UNAVAILABLE: "media_unavailable",
    DUPLICATE_REQUEST: "duplicate_request",
    EXPIRED: "expired",
    BUSY: "busy",
}
RETRYABLE = frozenset({INTERNAL_ERROR, THROTTLED, CONNECTION_FAILED, BUSY})


class Notification(Struct, frozen=True, kw_only=True):
    """An event on its way out of the gateway."""

    jsonrpc: Literal["2.0"]
    method: str
    params: EventParams


class Request(Struct, frozen=True, kw_only=True):
    """A command on its way in; `params` is decoded by the method's own struct."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | None = None
    params: Raw = Raw(b"{}")


class RpcError(OmniError):
    """An error to be answered to whoever asked.

    Attributes:
        number: the JSON-RPC error code.
        data: structured details; `retryable` is always present on the wire.
    """

    code = "rpc_error"

    def __init__(self, number: int, message: str, **data: Any) -> None:
        """Take a code of this module, a sentence for humans and details for programs."""
        super().__init__(message)
        self.number = number
        self.code = ERROR_NAMES.get(number, "rpc_error")
        self.retryable = bool(data.pop("retryable", number in RETRYABLE))
        self.data = {"retryable": self.retryable, **data}


class ErrorObject(Struct, frozen=True, kw_only=True):
    """The `error` member."""

    code: int
    message: str
    data: dict[str, Any] = {}


class Response(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer: either `result` or `error`."""

    jsonrpc: Literal["2.0"] | UnsetType = UNSET
    id: str | int | UnsetType | None = UNSET
    result: Raw | UnsetType = UNSET
    error: ErrorObject | UnsetType = UNSET


_encoder = msgspec.json.Encoder()
_request = msgspec.json.Decoder(Request)
_response = msgspec.json.Decoder(Response)


def notification(method: str, params: EventParams) -> bytes:
    """Serialize an event."""
    return _encoder.encode(Notification(jsonrpc="2.0", method=method, params=params))


def request(method: str, params: Any, id_: str | int) -> bytes:
    """Serialize a command."""
    return _encoder.encode({"jsonrpc": "2.0", "method": method, "params": params, "id": id_})


def parse_request(body: bytes) -> Request:
    """Read a command; raises `RpcError` (parse error or invalid request)."""
    try:
        return _request.decode(body)
    except msgspec.ValidationError as exc:
        raise RpcError(INVALID_REQUEST, str(exc)) from exc
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise RpcError(PARSE_ERROR, "not JSON") from exc


def parse_params(params: Raw, shape: type[T]) -> T:
    """Read the params of a command; raises `RpcError` (invalid params) with the path of the offender."""
    try:
        return msgspec.json.decode(params, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise RpcError(INVALID_PARAMS, str(exc)) from exc


def result(id_: str | int | None, value: Any) -> bytes:
    """Serialize a successful answer."""
    return _encoder.encode({"jsonrpc": "2.0", "id": id_, "result": value})


def error(id_: str | int | None, exc: RpcError) -> bytes:
    """Serialize a failure."""
    body = {"code": exc.number, "message": str(exc), "data": exc.data}
    return _encoder.encode({"jsonrpc": "2.0", "id": id_, "error": body})


def parse_response(body: bytes) -> Response:
    """Read an answer; raises `RpcError` (parse error) when it is none."""
    try:
        return _response.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise RpcError(PARSE_ERROR, "the answer is not JSON-RPC") from exc
