"""What the provider says about us: credentials, terms, the URL it delivers to, and its clock beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import structlog
from msgspec import Struct

from connectors.api import Connector, Prober
from connectors.errors import Misconfigured, SendError, Throttled
from connectors.http import Answer, onlooker
from gateway.doctor.derived import derived
from normalizer.checks import Check

log = structlog.get_logger(__name__)

PROBE_SECS = 20.0
SKEW_SECS = 30.0
"""A clock that is wrong by more needs mending: signed times are refused at 300 s, and links and tokens end early."""


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
    said = {key: value for key, value in told.items() if key not in {"checks", "sure"}}
    own = told.get("checks") or (Check(name="credentials", ok=True, detail="the provider accepts them"),)
    named = {check.name for check in own}
    read = [check for check in derived(said, asking.url, asking.days, asking.clock()) if check.name not in named]
    checks = (*own, *read, *_clock_check(skews))
    return Examined(checks=checks, told=said, sure=told.get("sure", True))


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
