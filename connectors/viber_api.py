"""What the bot API answers, and what its status codes mean.

https://developers.viber.com/docs/api/rest-bot-api/#error-codes

Errors come as ``{"status": …, "status_message": …}`` with HTTP 200. One table says what each code is to us; what is not
in it is a refusal of this one message.
"""

from __future__ import annotations

from msgspec import Struct

from connectors import http
from connectors.codes import Codes
from connectors.errors import SendError, Unreachable
from connectors.http import Answer

CODES = Codes(
    provider="Viber",
    busy=frozenset({-1}),
    # Too many calls.
    slow={12: None},
    # The month's free messages.
    spent=frozenset({23}),
    # Not on Viber, not a subscriber (any more), on a device that knows no bots.
    gone=frozenset({5, 6, 11}),
    # Our token, our account (blocked, suspended, without webhook or rights), our money.
    ours=frozenset({2, 7, 8, 9, 10, 15, 20, 21, 22, 24}),
    hints={
        2: "it does not know the token; check `token`",
        6: "this person has not subscribed, or unsubscribed",
        7: "the bot is blocked",
        9: "the bot is suspended",
        10: "the bot has no webhook; call set_webhook",
        23: "the month's free messages are used up",
        24: "the account has no balance",
    },
)


class Told(Struct, frozen=True):
    """The part of every answer that is read; a send answers with the token of the message."""

    status: int
    status_message: str = ""
    message_token: int | str | None = None


def read(answer: Answer) -> Told:
    """Read an answer; raises `Unreachable` if it is none of the bot API's."""
    return http.decoded(answer, Told, CODES.provider)


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
    return None if told.status == 0 else CODES.error(told.status, http.shorten(told.status_message, hide))
