"""Keeping services alive without letting one take the others down.

A service is a coroutine that ends only by cancellation. One that raises, or *returns*, is restarted with back-off; the
others go on. Services can be added and stopped while the rest runs (a reload).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from gateway import telemetry
from normalizer.errors import OmniError

log = structlog.get_logger(__name__)

Service = Callable[[], Awaitable[None]]
Report = Callable[[str | None], None]
"""Told the reason when a service failed, and None when it runs (again)."""


class Supervisor:
    """Runs services; needs the TaskGroup of whoever owns it."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        *,
        first: float = 0.2,
        limit: float = 30.0,
        stable: float = 30.0,
        settle: float = 1.0,
    ) -> None:
        """Restart after `first` seconds, doubling up to `limit`; after `stable` seconds of life start anew.

        A service that failed is reported as running again once it has lived for `settle` seconds.
        """
        self._group, self._first, self._limit, self._stable = group, first, limit, stable
        self._settle = settle
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, service: Service, *, stage: str = "service", report: Report | None = None) -> None:
        """Begin to keep `service` alive; raises `ValueError` when the name is taken."""
        if name in self._tasks:
            raise ValueError(f"service {name!r} runs already")
        self._tasks[name] = self._group.create_task(self._keep_alive(name, service, stage, report), name=name)

    async def stop(self, name: str) -> None:
        """Cancel a service and wait until it has ended; unknown names are ignored."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def stop_all(self) -> None:
        """Stop what runs, the last started first."""
        for name in reversed(list(self._tasks)):
            await self.stop(name)

    async def _keep_alive(self, name: str, service: Service, stage: str, report: Report | None) -> None:
        loop, task, delay = asyncio.get_running_loop(), asyncio.current_task(), self._first
        tell = report or _nobody
        tell(None)
        again: asyncio.TimerHandle | None = None
        while True:
            started = loop.time()
            try:
                reason = await _life(name, service, delay)
            finally:
                if again is not None:
                    again.cancel()
            if self._tasks.get(name) is not task:
                return  # it was told to stop, and ended in its own way
            tell(reason)
            telemetry.RESTARTS.labels(stage).inc()
            if loop.time() - started > self._stable:
                delay = self._first
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 2, self._limit)
            again = loop.call_later(self._settle, tell, None)


def _nobody(_: str | None) -> None:
    pass


async def _life(name: str, service: Service, delay: float) -> str:
    """Run a service until it ends; returns why it ended."""
    try:
        await service()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        reason = "something it waited for was cancelled"  # not we: that must not end it for good
        log.exception("service_failed", service=name, restart_in=round(delay, 2))
    except (OmniError, OSError) as exc:  # a fault of the world, not of the program
        reason = f"{type(exc).__name__}: {exc}"
        log.error("service_failed", service=name, reason=reason, restart_in=round(delay, 2))  # noqa: TRY400
    except Exception as exc:
        reason = f"{type(exc).__name__}: {exc}"
        log.exception("service_failed", service=name, restart_in=round(delay, 2))
    else:
        reason = "it returned, which a service never does"
        log.error("service_returned", service=name)
    return reason
