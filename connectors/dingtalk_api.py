"""What DingTalk's API answers, and what its errors mean.

https://open.dingtalk.com/document/orgapp/server-api-error-codes-1

The API proper answers ``{"code": "…", "message": "…"}`` with a status of its own; session webhooks and the older API,
which takes files, answer ``{"errcode": …, "errmsg": "…"}`` with 200. One table for each says what a code is to us; what
is in neither is a refusal of this one message.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import (
    Deferred,
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

FLOW_SECS = 60.0
"""How long somebody is left alone whom DingTalk says we write to too often."""

THROTTLED = ("qpslimit", "throttling", "send.too.fast", "too.many.", "toofast", "requestoverlimit")
"""Parts of codes, in lower case (https://open.dingtalk.com/document/orgapp/invocation-frequency-limit)."""
TOKEN = frozenset({"InvalidAuthentication", "invalidAuthentication", "40001", "40014", "42001", "88"})
OURS = (
    "accesstokenpermissiondenied", "ipnotinwhitelist", "invalidclient", "invalidparameter.robotcode", "robotcode",
    "bot.stopped", "resource.not.found", "invalidappkey", "invalid.appkey", "appkey", "template.",
)  # fmt: skip
"""Parts of codes that tell of our application, its rights, or its robot."""
GONE = ("staffid.notexisted", "invalidstaffid", "openconversationid", "user.not.found", "staff.not.found")
"""Parts of codes that tell of the recipient."""
BUSY = ("serviceunavailable", "system.error", "systemerror", "unknownerror", "internalerror")

OLD_THROTTLED = frozenset({90001, 90002, 90003, 90004, 90005, 90006, 90007, 90008, 90018, 130101, 410100})
OLD_BUSY = frozenset({-1})
NO_SESSION = 300001


class Told(Struct, frozen=True, rename="camel"):
    """The part of every answer that says whether it is one, and who was left out."""

    code: str | int | None = None
    message: str | None = None
    errcode: int | None = None
    errmsg: str | None = None
    invalid_staff_id_list: tuple[str, ...] | None = None
    flow_controlled_staff_id_list: tuple[str, ...] | None = None
    filtered_staff_id_list: tuple[str, ...] | None = None


class AccessToken(Struct, frozen=True, rename="camel"):
    """https://open.dingtalk.com/document/orgapp/obtain-the-access_token-of-an-internal-app."""

    access_token: str
    expire_in: float


class Sent(Struct, frozen=True, rename="camel"):
    """Of an answer to a message."""

    process_query_key: str | None = None


class Uploaded(Struct, frozen=True):
    """https://open.dingtalk.com/document/orgapp/upload-media-files."""

    media_id: str


class Download(Struct, frozen=True, rename="camel"):
    """https://open.dingtalk.com/document/orgapp/download-the-file-content-of-the-robot-receiving-message."""

    download_url: str


class Recalled(Struct, frozen=True, rename="camel"):
    """https://open.dingtalk.com/document/orgapp/batch-message-recall-chat."""

    failed_result: dict[str, str] | None = None


class TokenRefused(Misconfigured):
    """DingTalk does not take the access token; another one may do."""


class SessionOver(WindowClosed):
    """The session webhook works no more."""


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    try:
        told = msgspec.json.decode(answer.body, type=Told)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return http.refusal(answer, hide=hide) or Unreachable("what answered is not DingTalk's API; check api_base")
    if told.errcode is not None and told.errcode != 0:
        return _old(told.errcode, http.shorten(told.errmsg or "", hide))
    if told.code not in {None, 0, "0"}:
        return _new(str(told.code), answer, http.shorten(told.message or "", hide))
    return http.refusal(answer, hide=hide) or _left_out(told)


def _left_out(told: Told) -> SendError | None:
    """Notice that the one person we wrote to is among those who got nothing."""
    if told.invalid_staff_id_list:
        return RecipientGone("DingTalk knows no such user id in this organisation", provider_code="invalidStaffIdList")
    if told.flow_controlled_staff_id_list:
        code = "flowControlledStaffIdList"
        return Deferred("this person was written to too often", retry_after=FLOW_SECS, provider_code=code)
    if told.filtered_staff_id_list:
        return Refused("DingTalk filtered this message", provider_code="filteredStaffIdList")
    return None


def _new(code: str, answer: Answer, text: str) -> SendError:
    code = code[:80]
    message, low = f"DingTalk answered {code}", code.lower()
    if answer.status == 429 or any(part in low for part in THROTTLED):
        error = Throttled(message, retry_after=http.retry_after(answer.headers) or 1.0, provider_text=text)
        error.provider_code = code
        return error
    if code in TOKEN:
        return TokenRefused(message, provider_code=code, provider_text=text)
    kinds: tuple[tuple[tuple[str, ...], type[SendError]], ...] = (
        (GONE, RecipientGone),
        (OURS, Misconfigured),
        (BUSY, Unreachable),
    )
    for parts, kind in kinds:
        if any(part in low for part in parts):
            return kind(message, provider_code=code, provider_text=text)
    if answer.status >= 500:
        return Unreachable(message, provider_code=code, provider_text=text)
    kind = Misconfigured if answer.status in {401, 403} else Refused
    return kind(message, provider_code=code, provider_text=text)


def _old(number: int, text: str) -> SendError:
    message, code = f"DingTalk answered {number}", str(number)
    if number in OLD_THROTTLED:
        error = Throttled(message, provider_text=text)
        error.provider_code = code
        return error
    if number == NO_SESSION:
        return SessionOver("the session webhook of this conversation has ended", provider_code=code, provider_text=text)
    if code in TOKEN:
        return TokenRefused(message, provider_code=code, provider_text=text)
    kind = Unreachable if number in OLD_BUSY else Refused
    return kind(message, provider_code=code, provider_text=text)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("DingTalk answered with something else than it documents; check api_base") from None
