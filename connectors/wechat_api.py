"""What WeChat's API answers, and what its error codes mean.

https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html

Errors come as ``{"errcode": …, "errmsg": …}`` with HTTP 200. One table says what each code is to us; what is not in it
is a refusal of this one message.
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

TOKEN = frozenset({40001, 40014, 41001, 42001, 42007})
"""The access token is none (any more); another is fetched and the call repeated once."""

BUSY = frozenset({-1, 50005, 87009})
WINDOW = frozenset({45015, 45080})
"""Nobody wrote to us within 48 hours (45080: within 30 s, which typing asks for)."""

GONE = frozenset({40003, 40132, 43004, 43005, 43019, 46004, 48002})
"""Not one of our followers (any more), unknown to our app, blacklisted, or takes no messages."""

MINUTE, DAY = 45011, frozenset({45009, 45047})
"""45011: calls per minute. 45009: calls per day. 45047: messages to this person until it writes again."""

OURS = frozenset({
    40002, 40013, 40125, 40164, 40243, 41002, 41004, 43002, 48001, 48004, 48006, 50001, 50002, 50004, 61004, 61007,
    89503,
})  # fmt: skip
"""Our credentials, our rights, or the address we call from (40164, 61004: not in the IP list) are not right."""

HINTS = {
    40013: "check `app_id`",
    40125: "check `app_secret`",
    40164: "add this gateway's address to the IP list of the account",
    61004: "add this gateway's address to the IP list of the account",
    48001: "this account has no right to this interface; it may have to be verified",
    45015: "this person has not written within 48 hours; a template message may still pass",
    45047: "no more messages to this person before it writes again",
}
MINUTE_SECS = 60.0


class TokenRefused(Misconfigured):
    """The access token was not accepted."""


class Told(Struct, frozen=True):
    """The part of every answer that tells of an error."""

    errcode: int = 0
    errmsg: str = ""


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
        return Unreachable("what answered is not WeChat's API; check api_base")
    return None if told.errcode == 0 else _error(told.errcode, http.shorten(told.errmsg, hide))


def _error(code: int, text: str) -> SendError:
    hint = HINTS.get(code)
    message = f"WeChat answered {code}" + (f": {hint}" if hint else "")
    if code == MINUTE or code in DAY:
        # A day's quota is not worth a pause of the channel: passive replies, and other people's messages, go on.
        error = Throttled(message, retry_after=MINUTE_SECS if code == MINUTE else 0.0, provider_text=text)
        error.provider_code, error.retryable = str(code), code == MINUTE
        return error
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
        raise Unreachable("WeChat answered with something else than it documents; check api_base") from None


class Token(Struct, frozen=True):
    """https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html."""

    access_token: str
    expires_in: float


class Uploaded(Struct, frozen=True):
    """https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html."""

    created_at: int = 0
    media_id: str = ""
    thumb_media_id: str = ""


class SentTemplate(Struct, frozen=True):
    """The answer to `message/template/send`; other sends name no message."""

    msgid: int | None = None


class VideoUrl(Struct, frozen=True):
    """What `media/get` answers for a video."""

    video_url: str = ""


def in_json(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object of an answer of `media/get`, which else is a file; errors and videos come so."""
    mime = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if mime not in {"application/json", "text/plain", "text/json"}:
        return None
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
