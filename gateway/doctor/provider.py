"""What the provider says about us: credentials, terms, the URL it delivers to, and its clock beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import structlog
from msgspec import Struct

from connectors.api import Connector, Prober
from connectors.errors import Misconfigured, SendError, Throttled
from connectors.http import Answer, onlooker
from gateway.doctor.terms import DAY_SECS, moment, term
from normalizer.checks import Check

log = structlog.get_logger(__name__)

PROBE_SECS = 20.0
SKEW_SECS = 30.0
"""A clock that is wrong by more needs mending: signed times are refused at 300 s, and links and tokens end early."""

FAILING_SECS = 3600.0
"""A delivery that failed longer ago is history."""

RENEW = "renew it at the provider, and put the new one into the channel's options"


class Examined(Struct, frozen=True, kw_only=True):
    """What came of asking.

    Attributes:
        checks: what it means.
        told: what the provider said.
        sure: asking again soon would give the same; false where the provider did not answer.
    """

    checks: tuple[Check, ...]
    told: dict[str, Any] = {}
    sure: bool = True


class Asking(Struct, frozen=True, kw_only=True):
    """How a channel is asked about.

    Attributes:
        url: where the channel is reached from outside, as configured; None if that is not known.
        days: how long before its end a token or certificate needs attention.
        clock: Unix time.
    """

    url: str | None = None
    days: float = 14.0
    clock: Callable[[], float]


async def examine(connector: Connector, asking: Asking) -> Examined:
    """Ask the provider who we are, and judge its answer; raises nothing."""
    if not isinstance(connector, Prober):
        detail = "the provider cannot be asked without sending a message"
        return Examined(checks=(Check(name="credentials", ok=None, detail=detail),))
    skews: list[float] = []
    token = onlooker.set(lambda answer: skews.extend(_skew(answer, asking.clock())))
    try:
        async with asyncio.timeout(PROBE_SECS):
            told = await connector.probe()
    except TimeoutError:
        return _failed(f"no answer within {PROBE_SECS:g} s", skews)
    except SendError as exc:
        return _refused(exc, skews)
    except Exception as exc:
        log.exception("probe_failed", error=type(exc).__name__)
        return _failed(f"asking failed ({type(exc).__name__}); the log has the details", skews)
    finally:
        onlooker.reset(token)
    said = {key: value for key, value in told.items() if key != "checks"}
    accepted = Check(name="credentials", ok=True, detail="the provider accepts them")
    checks = (accepted, *told.get("checks", ()), *derived(said, asking), *_clock_check(skews))
    return Examined(checks=checks, told=said)


def _refused(exc: SendError, skews: list[float]) -> Examined:
    if not isinstance(exc, Misconfigured):
        again = None if isinstance(exc, Throttled) else "nothing can be said about the credentials; try again"
        return _failed(str(exc), skews, again)
    code = f" ({exc.provider_code})" if exc.provider_code else ""
    detail = f"the provider refuses them: {exc}{code}"
    check = Check(
        name="credentials", ok=False, detail=detail, hint="check the secrets and ids of the channel's options"
    )
    return Examined(checks=(check, *_clock_check(skews)))


def _failed(detail: str, skews: list[float], hint: str | None = None) -> Examined:
    check = Check(name="credentials", ok=False, detail=detail, hint=hint)
    return Examined(checks=(check, *_clock_check(skews)), sure=False)


def _skew(answer: Answer, now: float) -> Iterator[float]:
    """Compare the clocks; an answer out of a cache says nothing."""
    if "Age" in answer.headers:
        return
    try:
        yield now - parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return


def _clock_check(skews: list[float]) -> Iterator[Check]:
    """Judge by the best of several answers: a slow one only looks like a clock that is fast."""
    if not skews:
        return
    skew = min(skews, key=abs)
    if abs(skew) <= SKEW_SECS:
        yield Check(name="clock", ok=True, detail=f"agrees with the provider's within {SKEW_SECS:g} s")
        return
    detail = f"ours is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the provider's"
    yield Check(name="clock", ok=False, detail=detail, hint="set this machine's clock by NTP; signed times are refused")


def derived(told: dict[str, Any], asking: Asking) -> Iterator[Check]:
    """Read what probes say in the same words, whatever the kind.

    * ``…expires_at``, ``certificate_days_left``, ``token_expires_in_secs``, at any depth: a term that a person must
      renew (what the gateway renews by itself is called otherwise, such as ``expires_in_secs``);
    * ``webhook`` with ``url`` or ``endpoint``: where the provider delivers;
    * ``webhook`` with ``last_error_date`` and ``last_error_message``: how that fared.
    """
    yield from _terms(told, (), asking)
    webhook = told.get("webhook")
    if isinstance(webhook, dict):
        yield from _registered(webhook, asking)


def _terms(told: dict[str, Any], path: tuple[str, ...], asking: Asking) -> Iterator[Check]:
    now = asking.clock()
    for key, value in told.items():
        if isinstance(value, dict):
            yield from _terms(value, (*path, key), asking)
            continue
        if key.endswith("expires_at"):
            ends = moment(value)
        elif key.endswith("certificate_days_left") and isinstance(value, int):
            ends = datetime.fromtimestamp(now, UTC) + timedelta(seconds=value * DAY_SECS)
        elif key.endswith("token_expires_in_secs") and isinstance(value, int | float):
            ends = datetime.fromtimestamp(int(now + value), UTC)
        else:
            continue
        if ends is not None:
            word = "certificate" if "certificate" in key else key.partition("_expires")[0].removesuffix("expires_at")
            name = ".".join([*path, word]).strip(".") or "token"
            yield term(name, f"the {word or 'token'}", ends, now=now, days=asking.days, hint=RENEW)


def _registered(webhook: dict[str, Any], asking: Asking) -> Iterator[Check]:
    there = webhook.get("url", webhook.get("endpoint"))
    if isinstance(there, str):
        yield _delivers_to(there, asking.url)
    failed, words = moment(webhook.get("last_error_date")), webhook.get("last_error_message")
    if failed is not None and isinstance(words, str) and asking.clock() - failed.timestamp() < FAILING_SECS:
        hint = "mend it soon: providers give up after a while"
        yield Check(name="deliveries", ok=False, detail=f"the provider could not deliver: {words[:200]}", hint=hint)


def _delivers_to(there: str, ours: str | None) -> Check:
    if not there:
        hint = f"enter {ours} at the provider" if ours else "enter the channel's URL at the provider"
        return Check(name="registered", ok=False, detail="the provider has no URL to deliver to", hint=hint)
    where = f"the provider delivers to {there.partition('?')[0]}"
    if ours is None:
        return Check(
            name="registered", ok=None, detail=f"{where}; whether that is here cannot be told without public_url"
        )
    same = there.rstrip("/") == ours.rstrip("/")
    advice = f"enter {ours} at the provider, unless a proxy passes it on"
    return Check(name="registered", ok=same, detail=where, hint=None if same else advice)
