"""What Discord's API answers, and what its errors mean.

https://docs.discord.com/developers/topics/opcodes-and-status-codes#json,
https://docs.discord.com/developers/topics/rate-limits
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable, WindowClosed
from connectors.http import Answer, TooLarge

T = TypeVar("T")

GONE = frozenset({
    10003, 10004, 10013, 50001, 50007, 50008, 50013, 50024, 50278, 160002, 160005, 40066, 50083,
})  # fmt: skip
"""The channel, the server or the person is no more, or is closed to the bot (50001, 50007, 50013)."""

WINDOW = frozenset({10015, 10062, 50027, 40094})
"""The interaction's token is not known (any more), or has had all its follow-ups (40094)."""

THROTTLED = frozenset({20016, 20022, 20028, 20029, 31002, 40062})
OURS = frozenset({10002, 40001, 40002, 50014, 20001, 50025, 50026})
BUSY = frozenset({130000, 40333})
TOO_LARGE = frozenset({40005, 50045})
DONE = frozenset({"10008", "10014"})
"""What a deletion or a reaction is told that was done before: unknown message, unknown emoji."""

HINTS = {
    50001: "the bot is not in this channel",
    50007: "this person takes no messages from the bot",
    50013: "the bot lacks a permission in this channel",
    10015: "the interaction is over 15 minutes old",
    10062: "the interaction is over 15 minutes old",
    50027: "the interaction is over 15 minutes old",
    40094: "an app that people install for themselves has five follow-ups",
    50014: "check `bot_token`",
}


class Told(Struct, frozen=True):
    """The body of an error."""

    code: int = 0
    message: str = ""
    retry_after: float | None = None


class Posted(Struct, frozen=True):
    """Of a message, its id."""

    id: str


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    error = http.refusal(answer, hide=hide)
    if error is None:
        return None
    try:
        told = msgspec.json.decode(answer.body, type=Told)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return error
    if answer.status == 429 or told.code in THROTTLED:
        wait = http.retry_after(answer.headers) if told.retry_after is None else told.retry_after
        return Throttled(
            f"Discord answered {told.code or answer.status}",
            retry_after=wait,
            provider_text=http.shorten(told.message, hide),
        )
    return _error(told.code, http.shorten(told.message, hide)) or error


def _error(code: int, text: str) -> SendError | None:
    kinds: tuple[tuple[frozenset[int], type[SendError]], ...] = (
        (GONE, RecipientGone),
        (WINDOW, WindowClosed),
        (OURS, Misconfigured),
        (BUSY, Unreachable),
        (TOO_LARGE, TooLarge),
    )
    kind = next((kind for codes, kind in kinds if code in codes), Refused if code else None)
    if kind is None:  # only the HTTP status says something
        return None
    hint = HINTS.get(code)
    message = f"Discord answered {code}" + (f": {hint}" if hint else "")
    return kind(message, provider_code=str(code), provider_text=text)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("Discord answered with something else than it documents; check api_base") from None


def posted(answer: Answer) -> str | None:
    """Read the id of a message; None of an answer without content."""
    return None if answer.status == 204 or not answer.body else result(answer, Posted).id


def application(answer: Answer) -> dict[str, Any]:
    """Read who we are (https://docs.discord.com/developers/resources/application#get-current-application)."""
    return result(answer, dict[str, Any])
