"""What Twilio's API answers (https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions)."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable, WindowClosed
from connectors.http import Answer
from normalizer.codecs.twilio_errors import CODES, Meaning, meaning

T = TypeVar("T")

HINTS = {
    20003: "check `account_sid` and `auth_token` (or `api_key` and `api_secret`)",
    21212: "check `sender`",
    21606: "check `sender`",
    21603: "set `sender` or `messaging_service_sid`",
    21608: "a trial account sends to verified numbers only",
    21610: "this person has sent STOP; only its START ends that",
    30034: "register the number for US A2P 10DLC",
    63007: "check `whatsapp_sender`",
    63016: "this person has not written within 24 hours; a template may still pass",
}
KINDS: dict[Meaning, type[SendError]] = {
    "gone": RecipientGone,
    "window": WindowClosed,
    "unreachable": Unreachable,
    "misconfigured": Misconfigured,
    "refused": Refused,
}


class Told(Struct, frozen=True):
    """The body of an error."""

    code: int | None = None
    message: str = ""


class Message(Struct, frozen=True):
    """https://www.twilio.com/docs/messaging/api/message-resource."""

    sid: str
    status: str = ""
    error_code: int | None = None
    error_message: str | None = None


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
    known = told.code is not None and (told.code in CODES or answer.status < 500)
    if told.code is None or not known or isinstance(error, Throttled):
        return error
    return failure(told.code, http.shorten(told.message, hide), retry_after=http.retry_after(answer.headers))


def failure(code: int, text: str, *, retry_after: float | None = None) -> SendError:
    """Make the error of a code; `text` is Twilio's, without secrets."""
    hint = HINTS.get(code)
    message, found = f"Twilio answered {code}" + (f": {hint}" if hint else ""), meaning(code)
    if found == "throttled":
        error = Throttled(message, retry_after=retry_after, provider_text=text)
        error.provider_code = str(code)
        return error
    return KINDS[found](message, provider_code=str(code), provider_text=text)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("Twilio answered with something else than it documents; check api_base") from None
