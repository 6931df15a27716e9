"""What Meta's Graph API answers when it refuses (https://developers.facebook.com/docs/graph-api/guides/error-handling)."""

from __future__ import annotations

from typing import Any, TypeVar

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
from connectors.staging import MediaUnavailable
from normalizer.codecs.meta import maybe
from normalizer.codecs.meta_errors import Meaning, meaning

T = TypeVar("T")

PAIR_SECS = 6.0
"""One message to the same person in 6 s (131056), where WhatsApp does not say how long to wait:
https://developers.facebook.com/documentation/business-messaging/whatsapp/throughput."""

USAGE = "X-Business-Use-Case-Usage"
"""Says in how many minutes a rate limit ends (https://developers.facebook.com/docs/graph-api/overview/rate-limiting)."""

HINTS = {
    10: "the app has no permission for this; check its permissions and the access level",
    190: "the access token is not valid (any more); make a new one and check `access_token`",
    131031: "the account is locked; see Business Manager",
    131042: "there is a problem with the payment method of the account",
    131045: "the phone number is not registered",
    131047: "this person has not written within 24 hours; a template may still pass",
    133010: "the phone number is not registered",
}
_KINDS: dict[Meaning, type[SendError]] = {
    "window": WindowClosed,
    "gone": RecipientGone,
    "refused": Refused,
    "misconfigured": Misconfigured,
    "unreachable": Unreachable,
    "media": MediaUnavailable,
}


class _Data(Struct, frozen=True):
    details: str = ""


class _Error(Struct, frozen=True):
    code: int
    message: str = ""
    error_subcode: int | None = None
    error_data: _Data | str | None = None
    is_transient: bool = False


class _Envelope(Struct, frozen=True):
    error: _Error


class _Usage(Struct, frozen=True):
    estimated_time_to_regain_access: float = 0.0


_envelope = msgspec.json.Decoder(_Envelope)
_usage = msgspec.json.Decoder(dict[str, list[_Usage]])


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    if answer.ok:
        return None
    told = maybe(answer.body, _envelope)
    return http.refusal(answer, hide=hide) if told is None else _error(told.error, answer, hide)


def _error(told: _Error, answer: Answer, hide: tuple[str, ...]) -> SendError:
    what = meaning(told.code, told.error_subcode)
    if answer.status == 429 and what != "later":
        what = "throttled"
    elif what == "refused" and (told.is_transient or answer.status >= 500):
        what = "unreachable"
    subcode = f"/{told.error_subcode}" if told.error_subcode else ""
    hint = HINTS.get(told.code) if what in {"misconfigured", "window"} else None
    message = f"Meta answered {told.code}{subcode}" + (f": {hint}" if hint else "")
    details = told.error_data.details if isinstance(told.error_data, _Data) else ""
    text = http.shorten(details or told.message, hide)
    code = str(told.code)
    if what == "throttled":
        error = Throttled(message, retry_after=_wait(answer), provider_text=text)
        error.provider_code = code
        return error
    if what == "later":
        wait = http.retry_after(answer.headers)
        return Deferred(
            message, retry_after=PAIR_SECS if wait is None else wait, provider_code=code, provider_text=text
        )
    return _KINDS[what](message, provider_code=code, provider_text=text)


def _wait(answer: Answer) -> float | None:
    told = http.retry_after(answer.headers)
    if told is not None:
        return told
    usage = maybe(answer.headers.get(USAGE, "").encode("utf-8", "replace"), _usage) or {}
    minutes = max((one.estimated_time_to_regain_access for found in usage.values() for one in found), default=0.0)
    return minutes * 60 if minutes > 0 else None


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    return http.decoded(answer, shape, "Meta")


def in_json(answer: Answer) -> dict[str, Any]:
    """Read a success as an object; raises `Unreachable` if it is none."""
    return result(answer, dict[str, Any])
