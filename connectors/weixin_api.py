"""What WeChat's and WeCom's APIs have in common: errors are ``{"errcode": …, "errmsg": …}`` with HTTP 200.

https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
https://developer.work.weixin.qq.com/document/path/90313
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from connectors import http
from connectors.codes import Codes
from connectors.errors import SendError, Unreachable
from connectors.http import Answer


class Told(Struct, frozen=True):
    """The part of every answer that tells of an error."""

    errcode: int = 0
    errmsg: str = ""


_told = msgspec.json.Decoder(Told)


def refusal(answer: Answer, hide: tuple[str, ...], codes: Codes) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
        codes: the table of the platform.
    """
    error = http.refusal(answer, hide=hide)
    if error is not None:
        return error
    try:
        told = _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Unreachable(f"what answered is not {codes.provider}'s API; check api_base")
    return codes.error(told.errcode, http.shorten(told.errmsg, hide)) if told.errcode else None


class Token(Struct, frozen=True):
    """https://developer.work.weixin.qq.com/document/path/91039, and the same in WeChat."""

    access_token: str
    expires_in: float


class Uploaded(Struct, frozen=True):
    """https://developer.work.weixin.qq.com/document/path/90253; there the time comes as text, in WeChat as a number."""

    media_id: str = ""
    created_at: int | str = 0


def in_json(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object of an answer of `media/get`, which else is a file; errors and URLs of videos come so."""
    mime = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if mime not in {"application/json", "text/plain", "text/json"}:
        return None
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
