"""What the bot API answers, and what its status codes mean.

https://developers.viber.com/docs/api/rest-bot-api/#error-codes

Errors come as ``{"status": …, "status_message": …}`` with HTTP 200. One table says what each code is to us; what is not
in it is a refusal of this one message.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.http import Answer

GENERAL, TOO_MANY = -1, 12
GONE = frozenset({5, 6, 11})
"""Not on Viber, not a subscriber (any more), on a device that knows no bots."""

OURS = frozenset({2, 7, 8, 9, 10, 15, 20, 21, 22, 24})
"""Our token, our account (blocked, suspended, without webhook or rights), our money."""

FREE_USED_UP = 23
HINTS = {
    2: "it does not know the token; check `token`",
    6: "this person has not subscribed, or unsubscribed",
    7: "the bot is blocked",
    9: "the bot is suspended",
    10: "the bot has no webhook; call set_webhook",
    FREE_USED_UP: "the month's free messages are used up",
    24: "the account has no balance",
}


class Told(Struct, frozen=True):
    """The part of every answer that is read; a send answers with the token of the message."""

    status: int
    status_message: str = ""
    message_token: int | str | None = None


_told = msgspec.json.Decoder(Told)


def read(answer: Answer) -> Told:
    """Read an answer; raises `Unreachable` if it is none of the bot API's."""
    try:
        return _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("what answered is not Viber's API; check api_base") from None


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    error = http.refusal(answer, hide=hide)
    if error is not None:
        return error
    try:
        told = read(answer)
    except Unreachable as exc:
        return exc
    return None if told.status == 0 else _error(told.status, http.shorten(told.status_message, hide))


def _error(code: int, text: str) -> SendError:
    hint = HINTS.get(code)
    message = f"Viber answered {code}" + (f": {hint}" if hint else "")
    if code in {TOO_MANY, FREE_USED_UP}:
        error = Throttled(message, retry_after=None if code == TOO_MANY else 0.0, provider_text=text)
        error.provider_code, error.retryable = str(code), code == TOO_MANY
        return error
    details: dict[str, Any] = {"provider_code": str(code), "provider_text": text}
    if code == GENERAL:
        return Unreachable(message, **details)
    if code in GONE:
        return RecipientGone(message, **details)
    return (Misconfigured if code in OURS else Refused)(message, **details)
