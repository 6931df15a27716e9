"""From what went wrong to what is answered: one table for every request."""

from __future__ import annotations

from connectors.errors import (
    Busy,
    Deferred,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.staging import MediaUnavailable
from dedup.api import DedupUnavailable
from gateway.broker.api import BrokerUnavailable
from normalizer import rpc
from normalizer.errors import OmniError, Unsendable
from normalizer.rpc import RpcError


class SendFault(SendError):
    """The connector raised what it must not raise: a fault of ours, tried again like an unreachable provider."""

    code, retryable = "internal_error", True


class Expired(OmniError):
    """`not_after` came first."""

    code = "expired"


def rpc_error(exc: Exception) -> RpcError:
    """Translate an error into what JSON-RPC answers; never a stack trace, never customer text."""
    match exc:
        case RpcError():
            return exc
        case Unsendable(need=need, have=have):
            return RpcError(rpc.CAPABILITY_MISSING, str(exc), need=need, have=list(have))
        case SendError():
            return _send_error(exc)
        case Expired():
            return RpcError(rpc.EXPIRED, "not sent before `not_after`")
        case Busy(retry_after=seconds):
            return RpcError(rpc.BUSY, str(exc), retry_after=seconds)
        case DedupUnavailable():
            return RpcError(rpc.BUSY, "the store of conversations and answers does not answer; try again")
        case BrokerUnavailable():
            return RpcError(rpc.BUSY, "the broker does not answer; try again")
        case _:
            return RpcError(rpc.INTERNAL_ERROR, f"internal error ({type(exc).__name__}); the log has the details")


def _send_error(exc: SendError) -> RpcError:
    details = {
        key: value
        for key, value in (("provider_code", exc.provider_code), ("provider_text", exc.provider_text))
        if value
    }
    match exc:
        case MediaUnavailable():
            return RpcError(rpc.MEDIA_UNAVAILABLE, str(exc), **details)
        case Unreachable() | Deferred():
            return RpcError(rpc.CONNECTION_FAILED, str(exc), **details)
        case Throttled(retry_after=seconds):
            wait = {} if seconds is None else {"retry_after": seconds}
            return RpcError(rpc.THROTTLED, str(exc), **wait, **details)
        case RecipientGone():
            return RpcError(rpc.CONTACT_STOPPED, str(exc), **details)
        case WindowClosed():
            return RpcError(rpc.WINDOW_CLOSED, str(exc), template_required=True, **details)
        case Misconfigured():
            return RpcError(rpc.CHANNEL_CONFIG, str(exc), **details)
        case SendFault():
            return RpcError(rpc.INTERNAL_ERROR, str(exc))
        case Refused() | _:
            return RpcError(rpc.REJECTED, str(exc), **details)
