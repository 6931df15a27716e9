"""One operation at the provider, tried until it succeeds, is refused, expires, or has had its tries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from connectors.errors import Deferred, Misconfigured, SendError, Throttled, Unreachable
from gateway.limits import Backoff, Gate, Overdue, Timing
from gateway.outbound_errors import Expired, SendFault
from gateway.telemetry import Meters
from normalizer.errors import OmniError

T = TypeVar("T")


class Progress:
    """What a shutdown has to know about a request.

    Attributes:
        busy: something was begun that should be finished: a call at the provider, and then the reports about it.
        tries: calls so far.
    """

    __slots__ = ("busy", "tries")

    def __init__(self) -> None:
        """Nothing was begun."""
        self.busy, self.tries = False, 0


class Sender:
    """Calls one provider, at most `max_sends` at a time, as `Gate` permits."""

    def __init__(
        self,
        gate: Gate,
        *,
        max_sends: int,
        attempts: int,
        backoff: Backoff,
        timing: Timing,
        meters: Meters,
        log: FilteringBoundLogger,
    ) -> None:
        """Try every operation `attempts` times."""
        self.gate = gate
        self.last_error: str | None = None
        self._slots = asyncio.Semaphore(max_sends)
        self._attempts, self._backoff, self._timing = attempts, backoff, timing
        self._meters, self._log = meters, log

    async def perform(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        timeout: float,  # noqa: ASYNC109 -- of one try, not of the call
        deadline: float | None,
        progress: Progress,
        attempts: int | None = None,
    ) -> T:
        """Do it.

        Args:
            operation: called once per try.
            timeout: of one try, seconds.
            deadline: seconds since the epoch after which no try begins.
            progress: kept up to date.
            attempts: fewer or more tries than the channel's.

        Raises:
            Expired: `deadline` came first.
            OmniError: what `operation` raised, when it is not retryable or has had its tries; a `SendError` mostly.
        """
        while True:
            try:
                async with self._slots:
                    await self.gate.enter(deadline)
                    progress.busy = True
                    progress.tries += 1
                    return await self._once(operation, timeout, progress.tries)
            except Overdue:
                raise Expired from None
            except OmniError as exc:
                if not exc.retryable or progress.tries >= (attempts or self._attempts):
                    raise
                failure = exc
            progress.busy = False
            self._meters.retried(failure.code)
            self._log.debug("send_retried", code=failure.code, tries=progress.tries)
            await self._rest(progress.tries, failure, deadline)

    async def _rest(self, tries: int, failure: OmniError, deadline: float | None) -> None:
        wait = (failure.retry_after or 0.0) if isinstance(failure, Deferred) else 0.0
        try:
            await self.gate.rest(wait + self._backoff.delay(tries), deadline)
        except Overdue:
            raise Expired from None

    async def _once(self, operation: Callable[[], Awaitable[T]], timeout: float, tries: int) -> T:  # noqa: ASYNC109
        began = self._timing.steady()
        alive: bool | None = None  # as long as nothing else is known, a cancellation among it
        try:
            async with asyncio.timeout(timeout):
                value = await operation()
            alive = True
        except TimeoutError:
            alive, self.last_error = False, Unreachable.code
            raise Unreachable(f"no answer within {timeout:g} s") from None
        except SendError as exc:
            alive, self.last_error = not isinstance(exc, Unreachable | Misconfigured), exc.code
            if isinstance(exc, Throttled):
                self._throttled(exc, tries)
            raise
        except OmniError:  # not sendable, a store away …: nothing about the provider
            raise
        except Exception as exc:
            self.last_error = SendFault.code
            self._log.exception("connector_raised", error=type(exc).__name__)
            raise SendFault(f"the connector failed ({type(exc).__name__})") from exc
        finally:
            self.gate.leave(alive=alive)
            self._meters.tried(self._timing.steady() - began)
        return value

    def _throttled(self, exc: Throttled, tries: int) -> None:
        seconds = self._backoff.delay(tries) if exc.retry_after is None else exc.retry_after
        self.gate.pause(seconds)
        self._log.warning("channel_throttled", retry_after=round(seconds, 3))
