"""What Feishu's API answers, and what its error codes mean.

https://open.feishu.cn/document/server-docs/im-v1/message/create
https://open.feishu.cn/document/uAjLw4CM/ugTN1YjL4UTN24CO1UjN/trouble-shooting/how-to-resolve-error-230001
https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control

Errors are ``{"code": …, "msg": …}``, mostly with HTTP 400. One table says what each code is to us; what is not in it
is as its HTTP status says.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.codes import Codes
from connectors.errors import Misconfigured, Refused, SendError, Throttled, Unreachable
from connectors.http import Answer

T = TypeVar("T")

CODES = Codes(
    provider="Feishu",
    token=frozenset({99991661, 99991663, 99991664, 99991665, 99991668, 99991671, 99991677}),
    slow={99991400: None, 230020: 1.0, 11232: 5.0, 11233: 5.0},  # 230020: too many for one person or group
    busy=frozenset({230049, 1_000_004, 1_000_005, 2200}),  # 230049: a message with this `uuid` is on its way
    gone=frozenset({230002, 230013, 230029, 230034, 230038, 230053, 232009}),
    ours=frozenset({
        10003, 10012, 10013, 10014, 10015, 99991401, 99991662, 99991672, 99991673, 99991679, 230006, 230027, 234007,
    }),
    hints={
        10003: "check `app_id` and `app_secret`",
        10014: "check `app_id` and `app_secret`",
        10015: "check `app_id` and `app_secret`",
        99991401: "add this gateway's address to the app's IP list",
        99991662: "the app is disabled; enable it in the admin console",
        99991672: "add the scope to the app, and publish a version",
        99991673: "the app is not available; enable it in the admin console",
        99991679: "add the scope to the app, and publish a version",
        230001: "see how-to-resolve-error-230001 in Feishu's documentation",
        230002: "invite the bot to the chat",
        230006: "switch the bot on in the developer console, and publish a version",
        230013: "add the person to the app's availability, and publish a version",
        230018: "the group's settings do not let the bot speak",
        230027: "add the scope to the app, and publish a version",
        230029: "the person has resigned",
        230034: "no such person or chat",
        230035: "the bot may not speak in this chat",
        230038: "the person is of another tenant",
        230053: "the person has switched the bot's messages off",
        230055: "the file was uploaded as another type",
        232009: "the group has been dissolved",
        234007: "switch the bot on in the developer console, and publish a version",
    },
)  # fmt: skip
"""https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code, and the pages of each call."""

DONE = frozenset({"230011", "230110"})
"""What a deletion is told of a message that is gone, such as by a try whose answer got lost."""
NOT_THERE = frozenset({"231003", "231007"})
"""What is told of a reaction that is gone, or not ours."""


class Told(Struct, frozen=True):
    """The part of every answer that tells of an error."""

    code: int
    msg: str = ""


_told = msgspec.json.Decoder(Told)


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    try:
        told = _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        error = http.refusal(answer, hide=hide)
        return error or Unreachable("what answered is not Feishu's API; check api_base")
    return _error(told, answer, hide) if told.code else http.refusal(answer, hide=hide)


def _error(told: Told, answer: Answer, hide: tuple[str, ...]) -> SendError:
    known = CODES.error(told.code, http.shorten(told.msg, hide))
    general = http.refusal(answer, hide=hide)
    if type(known) is Refused and isinstance(general, Unreachable | Misconfigured):  # in no table
        return type(general)(str(known), provider_code=known.provider_code, provider_text=known.provider_text)
    if type(known) is Refused and isinstance(general, Throttled):
        known = Throttled(str(known), provider_text=known.provider_text)
        known.provider_code = str(told.code)
    if isinstance(known, Throttled) and known.retry_after is None:
        known.retry_after = _reset(answer)
    return known


def _reset(answer: Answer) -> float | None:
    """Read how many seconds to wait."""
    told = answer.headers.get("x-ogw-ratelimit-reset", "").strip()
    return float(told) if told.isascii() and told.isdecimal() and len(told) < 6 else http.retry_after(answer.headers)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("Feishu answered with something else than it documents; check api_base") from None


class Grant(Struct, frozen=True):
    """https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal."""

    tenant_access_token: str
    expire: float


class Made(Struct, frozen=True):
    """What was made: a message, a reaction, an upload."""

    message_id: str | None = None
    reaction_id: str | None = None
    image_key: str | None = None
    file_key: str | None = None


class Making(Struct, frozen=True):
    """The answer to what makes something."""

    data: Made = Made()


class Operator(Struct, frozen=True):
    """Who reacted."""

    operator_id: str = ""
    operator_type: str = ""


class Reacted(Struct, frozen=True):
    """One reaction."""

    reaction_id: str
    operator: Operator = Operator()


class Page(Struct, frozen=True):
    """https://open.feishu.cn/document/server-docs/im-v1/message-reaction/list."""

    items: tuple[Reacted, ...] | None = None
    has_more: bool = False
    page_token: str | None = None


class Listed(Struct, frozen=True):
    """A page in an answer."""

    data: Page = Page()


class Bot(Struct, frozen=True):
    """https://open.feishu.cn/document/client-docs/bot-v3/obtain-bot-info; it stands beside `code`, not in `data`."""

    bot: dict[str, Any] = {}
