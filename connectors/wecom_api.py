"""What WeCom's API answers, and what its error codes mean.

https://developer.work.weixin.qq.com/document/path/90313

Errors come as ``{"errcode": …, "errmsg": …}`` with HTTP 200. One table says what each code is to us, for apps and for
customer service; what is not in it is a refusal of this one message.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import (
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.http import Answer

T = TypeVar("T")

TOKEN = frozenset({40014, 41001, 42001})
"""The access token is none (any more); another is fetched and the call repeated once."""

BUSY = frozenset({-1, 6000})
WINDOW = frozenset({95001, 95002, 95013})
"""Customer service: five messages sent, 48 hours over, session ended. Only the customer can open it again."""

GONE = frozenset({40003, 40096, 43004, 46004, 60011, 60111, 81013})
"""Unknown, left, outside of what the app may see (60011), or not a customer of ours (40096)."""

SLOW = {45009: 60.0, 45033: 1.0}
"""Code → seconds. 45009: too many calls, counted by the minute and by the hour. 45033: too many at the same time."""

OURS = frozenset({
    40001, 40013, 40056, 40091, 41002, 41004, 41011, 42013, 48002, 48007, 50002, 50003, 60020, 84014, 95000, 95004,
    95011, 95012, 95017, 301002,
})  # fmt: skip
"""Our credentials, our rights, or the address we call from (60020: not in the IP list) are not right."""

HINTS = {
    40001: "check the secret",
    40013: "check `corp_id`",
    40056: "check `agent_id`",
    48002: "this app has no right to this interface; give it under customer service > apps that may call",
    48007: "this customer-service account is not given to this app",
    60011: "this user is outside of what the app may see",
    60020: "add this gateway's address to the app's trusted IPs",
    81013: "no such user, or outside of what the app may see",
    95000: "check the customer-service account (`open_kfid`)",
    95001: "five messages were sent; the customer has to write again",
    95002: "the customer has not written within 48 hours",
    95011: "this account is managed in WeCom; use the secret of an app there",
    95012: "this account is not managed in WeCom; give it to the app",
    95013: "the session has ended; the customer has to write again",
    95018: "a servicer has taken over, or the customer waits for one; the API may not write now",
    301002: "this app may not use this `agent_id`",
}
RIGHTS = frozenset({"48002", "48007", "84014", "301002"})
"""Codes by which WeCom says that the app may not ask this; the credentials are right all the same."""
MSGTOKEN = "95007"
"""The token of a callback has ended (after ten minutes); the same call works without it."""


def unasked(error: SendError) -> dict[str, Any]:
    """Describe a question of the doctor's that may not be asked; raises `error` where the credentials are wrong."""
    if isinstance(error, Misconfigured) and error.provider_code not in RIGHTS:
        raise error
    return {"error": error.code, "provider_code": error.provider_code, "message": str(error)}


class TokenRefused(Misconfigured):
    """The access token was not accepted."""


class Told(Struct, frozen=True):
    """The part of every answer that tells of an error.

    Attributes:
        invaliduser: recipients that were left out of a message, which is no error to WeCom.
        unlicenseduser: recipients for whom the corp has no licence (any more).
    """

    errcode: int = 0
    errmsg: str = ""
    invaliduser: str | None = None
    unlicenseduser: str | None = None


_told = msgspec.json.Decoder(Told)


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
        told = _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Unreachable("what answered is not WeCom's API; check api_base")
    if told.errcode:
        return _error(told.errcode, http.shorten(told.errmsg, hide))
    if told.invaliduser:
        return RecipientGone("WeCom left the recipient out: unknown, or outside of what the app may see")
    return RecipientGone("WeCom left the recipient out: no licence for it") if told.unlicenseduser else None


def _error(code: int, text: str) -> SendError:
    hint = HINTS.get(code)
    message = f"WeCom answered {code}" + (f": {hint}" if hint else "")
    if code in SLOW:
        slow = Throttled(message, retry_after=SLOW[code], provider_text=text)
        slow.provider_code = str(code)
        return slow
    kinds: tuple[tuple[frozenset[int], type[SendError]], ...] = (
        (TOKEN, TokenRefused),
        (BUSY, Unreachable),
        (WINDOW, WindowClosed),
        (GONE, RecipientGone),
        (OURS, Misconfigured),
    )
    kind = next((kind for codes, kind in kinds if code in codes), Refused)
    return kind(message, provider_code=str(code), provider_text=text)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("WeCom answered with something else than it documents; check api_base") from None


class Token(Struct, frozen=True):
    """https://developer.work.weixin.qq.com/document/path/91039."""

    access_token: str
    expires_in: float


class Uploaded(Struct, frozen=True):
    """https://developer.work.weixin.qq.com/document/path/90253; the time comes as text."""

    media_id: str = ""
    created_at: int | str = 0


class SentMessage(Struct, frozen=True):
    """The answer to a message."""

    msgid: str | None = None


def in_json(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object of an answer of `media/get`, which else is a file; errors come so."""
    mime = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if mime not in {"application/json", "text/plain", "text/json"} or "Content-disposition" in answer.headers:
        return None
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
