"""What the Messaging API answers, and what its errors mean.

https://developers.line.biz/en/reference/messaging-api/#status-codes
https://developers.line.biz/en/reference/messaging-api/#error-responses
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled
from connectors.http import Answer

T = TypeVar("T")

ACCEPTED_BEFORE = 409
"""The call was performed before, under the same retry key."""

GONE = ("failed to send messages", "the property, 'to', in the request body is invalid")
"""No such person, or not a friend of ours. (A message to somebody who blocked us is accepted, and not delivered.)"""

QUOTA = "monthly limit"
QUOTA_HINT = "the month's quota is used up; replies within a minute still pass, see the plan of the account"


class InvalidReplyToken(Refused):
    """The reply token was used, or is too old."""


class Sent(Struct, frozen=True):
    """One message object that was accepted."""

    id: str


class Told(Struct, frozen=True, rename="camel"):
    """The part of answers that is read; `details` name the property that is wrong."""

    message: str = ""
    details: tuple[dict[str, Any], ...] = ()
    sent_messages: tuple[Sent, ...] = ()


_told = msgspec.json.Decoder(Told)


def read(answer: Answer) -> Told:
    """Read an answer; one that is no JSON says nothing."""
    try:
        return _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Told()


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success, such as that the call was accepted before.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    if answer.status == ACCEPTED_BEFORE:
        return None
    error = http.refusal(answer, hide=hide)
    if error is None:
        return None
    told = read(answer)
    text = http.shorten(" ".join([told.message, *(_detail(one) for one in told.details)]), hide)
    error.provider_text = text or error.provider_text
    return _known(answer.status, text, error)


def _detail(detail: dict[str, Any]) -> str:
    return f"({detail.get('property', '')}: {detail.get('message', '')})"


def _known(status: int, text: str, error: SendError) -> SendError:
    words, details = text.lower(), {"provider_code": str(status), "provider_text": error.provider_text}
    message = f"LINE answered {status}"
    if status == 400 and "invalid reply token" in words:
        return InvalidReplyToken(message, **details)
    if status == 400 and any(one in words for one in GONE):
        return RecipientGone(message, **details)
    if status == 401:
        return Misconfigured(f"{message}: it does not take the token; check `channel_access_token`", **details)
    if status == 403:
        return Misconfigured(f"{message}: the account or its plan has no right to this", **details)
    if status == 429 and QUOTA in words:
        # not worth a pause of the channel: replies, which cost nothing, go on
        spent = Throttled(f"{message}: {QUOTA_HINT}", retry_after=0.0, provider_text=error.provider_text)
        spent.retryable = False
        return spent
    return error


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    return http.decoded(answer, shape, "LINE")
