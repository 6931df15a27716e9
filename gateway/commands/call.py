"""`omnigate call` and `omnigate send`: requests to the running gateway, through the broker."""

from __future__ import annotations

import secrets
import sys
from difflib import get_close_matches
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from gateway.broker.api import Broker, NoSuchQueue
from gateway.broker.topology import command_key
from gateway.commands.console import Failure
from normalizer import rpc
from normalizer.methods import REQUESTS, Params, SendParams
from normalizer.model import MessageRef
from normalizer.parts import AnyPart
from normalizer.rpc import Response, RpcError

OWN_NOUNS = frozenset({"channel", "quarantine", "gateway"})
"""Requests about these are for the gateway itself: a channel that is paused could not take its own `channel.resume`."""


async def call(broker: Broker, method: str, params_json: str, timeout: float, *, out: TextIO | None = None) -> int:  # noqa: ASYNC109 -- handed to the broker
    """Ask for `method` and write the result, or the error object, to `out` as one line of JSON.

    Args:
        broker: a running broker.
        method: a request of `normalizer.methods`.
        params_json: a JSON object, or empty for no params.
        timeout: seconds to wait for the answer; then the request expires.
        out: where to write; stdout if not given.

    Returns:
        The exit status: 0 for a result, 1 for an error, and for a `channel.verify` that found something wrong.

    Raises:
        Failure: the method or the params are wrong, or nobody takes the request; nothing was sent.
        TimeoutError: no answer in time.
        BrokerUnavailable: the broker is away.
    """
    answer = await ask(broker, method, params_json, timeout)
    failed = _show(answer, out or sys.stdout)
    return failed or int(method == "channel.verify" and _unwell(answer))


async def ask(broker: Broker, method: str, params_json: str, timeout: float) -> Response:  # noqa: ASYNC109 -- as above
    """Ask for `method` and return the answer; see `call` for the arguments and what it raises."""
    channel = _channel(method, check(method, params_json))
    body = rpc.request(method, msgspec.Raw(_text(params_json).encode()), "cli-" + secrets.token_hex(8))
    try:
        return rpc.parse_response(await broker.call(command_key(method, channel), body, method=method, timeout=timeout))
    except NoSuchQueue as exc:
        where = f"there is no channel {channel!r}, or its" if channel else "the"
        raise Failure(f"{where} gateway has never run on this broker") from exc
    except RpcError as exc:
        raise Failure(str(exc)) from exc


async def send(
    broker: Broker,
    *,
    channel: str,
    text: str | None,
    parts: tuple[AnyPart, ...] = (),
    timeout: float,  # noqa: ASYNC109 -- handed to the broker
    out: TextIO | None = None,
    to: str | None = None,
    conversation: str | None = None,
    reply_to: str | None = None,
    idempotency_key: str | None = None,
) -> int:
    """Send a plain text, or `parts`: short for ``call message.send``; see `call` and `SendParams`.

    Args:
        broker: see `call`.
        channel: id of the channel.
        text: what to say; None with `parts`.
        parts: what to send instead of a text.
        timeout: see `call`.
        out: see `call`.
        to: address of the recipient; or
        conversation: id of an earlier conversation.
        reply_to: the provider's id of the message that is answered.
        idempotency_key: the same key is the same message.
    """
    params = SendParams(
        channel=channel,
        to=to,
        conversation=conversation,
        text=text,
        parts=parts,
        reply_to=None if reply_to is None else MessageRef(provider_id=reply_to),
        idempotency_key=idempotency_key,
    )
    return await call(broker, "message.send", msgspec.json.encode(params).decode(), timeout, out=out)


def check(method: str, params_json: str) -> Params:
    """Check a request as the gateway would; raises `Failure` that names the offender."""
    shape = REQUESTS.get(method)
    if shape is None:
        near = get_close_matches(method, REQUESTS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(REQUESTS))}"
        raise Failure(f"there is no method {method!r}; {hint}")
    try:
        return msgspec.json.decode(_text(params_json), type=shape)
    except msgspec.ValidationError as exc:
        raise Failure(f"{method}: {exc}") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Failure(f'the params are not JSON: {exc}; quote them for the shell: \'{{"channel": "…"}}\'') from exc


def _text(params_json: str) -> str:
    return params_json.strip() or "{}"


def _channel(method: str, params: Params) -> str | None:
    if method.partition(".")[0] in OWN_NOUNS:
        return None
    return getattr(params, "channel", None)


def _show(answer: Response, out: TextIO) -> int:
    document: Any = answer.result
    failed = not isinstance(answer.error, msgspec.UnsetType)
    if failed:
        document = answer.error
    elif isinstance(document, msgspec.UnsetType):
        raise Failure("the answer has neither result nor error")
    out.write(msgspec.json.encode(document).decode() + "\n")
    out.flush()
    return int(failed)


class _Verdict(Struct):
    ok: bool


def _unwell(answer: Response) -> bool:
    """Tell whether a `channel.verify` found something wrong, for scripts."""
    result = answer.result
    return not isinstance(result, msgspec.UnsetType) and not msgspec.json.decode(result, type=_Verdict).ok
