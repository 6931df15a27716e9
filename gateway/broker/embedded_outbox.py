"""Publishing into the embedded broker: batches of one moment share a transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence

import structlog

from gateway.broker.api import BrokerUnavailable, Listener, Outcome, Publication
from gateway.broker.embedded_consumer import Station
from gateway.broker.waiting import refuse

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 2_000
"""Messages in one transaction: bounds how long other processes wait for the file."""


class _Batch:
    __slots__ = ("items", "listener", "timer")

    def __init__(self, items: Sequence[Publication], listener: Listener, timer: asyncio.TimerHandle) -> None:
        self.items, self.listener, self.timer = items, listener, timer

    def settle(self, outcome: Outcome, refused: frozenset[int] = frozenset()) -> None:
        """Report the batch; those at the positions `refused` with REFUSED instead of `outcome`."""
        self.timer.cancel()
        if not refused:
            self.listener(self.items, outcome)
            return
        for position, item in enumerate(self.items):
            self.listener([item], Outcome.REFUSED if position in refused else outcome)


class Outbox:
    """Keeps what was submitted, in order, until `run` has written it.

    Attributes:
        problem: why the last write failed, or None.
        backlog: messages that were submitted and are not written yet.
    """

    def __init__(self, *, publish_timeout: float, most: int) -> None:
        """Report UNKNOWN after `publish_timeout` seconds; take at most `most` messages."""
        self._timeout, self._most = publish_timeout, most
        self._waiting: deque[_Batch] = deque()
        self._writing: list[_Batch] = []
        self._wake = asyncio.Event()
        self.problem: str | None = None
        self.backlog = 0

    @property
    def full(self) -> bool:
        """Whether the backlog is at its limit."""
        return self.backlog >= self._most

    def submit(self, items: Sequence[Publication], listener: Listener) -> None:
        """See `Broker.submit`."""
        if not items:
            return
        if self.full:
            refuse(items, listener)
            return
        timer = asyncio.get_running_loop().call_later(self._timeout, listener, items, Outcome.UNKNOWN)
        self._waiting.append(_Batch(items, listener, timer))
        self.backlog += len(items)
        self._wake.set()

    async def run(self, station: Station) -> None:
        """Write what is submitted, until cancelled; then report what is left as REFUSED, or LOST if under way."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    batches = self._next()
                    self._writing = list(batches)
                    await self._write(station, batches)
        finally:
            self._abandon()

    def _next(self) -> list[_Batch]:
        batches, count = [self._waiting.popleft()], 0
        while self._waiting and (count := count + len(batches[-1].items)) < MOST_AT_ONCE:
            batches.append(self._waiting.popleft())
        return batches

    async def _write(self, station: Station, batches: list[_Batch]) -> None:
        items = [item for batch in batches for item in batch.items]
        store = station.store
        try:
            done = await station.write(lambda db: store.publish(db, items))
        except (BrokerUnavailable, TypeError, ValueError, OverflowError) as exc:
            await self._one_by_one(station, batches, exc)
            return
        self.problem = None
        start = 0
        for batch in batches:
            end = start + len(batch.items)
            refused = frozenset(at - start for at in done.unroutable if start <= at < end)
            self._settle(batch, Outcome.CONFIRMED, refused)
            start = end
        station.notify(done.queues)

    async def _one_by_one(self, station: Station, batches: list[_Batch], exc: Exception) -> None:
        if len(batches) > 1:  # one of them may be at fault
            for batch in batches:
                await self._write(station, [batch])
            return
        if isinstance(exc.__cause__, sqlite3.OperationalError):
            self._fail(str(exc))
        else:
            log.error("publish_impossible", method=batches[0].items[0].method, error=str(exc))
        self._settle(batches[0], Outcome.REFUSED)

    def _settle(self, batch: _Batch, outcome: Outcome, refused: frozenset[int] = frozenset()) -> None:
        self.backlog -= len(batch.items)
        self._writing = [other for other in self._writing if other is not batch]
        batch.settle(outcome, refused)

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("broker_unavailable", problem=problem)
        self.problem = problem

    def _abandon(self) -> None:
        for batch in list(self._writing):
            self._settle(batch, Outcome.LOST)
        while self._waiting:
            self._settle(self._waiting.popleft(), Outcome.REFUSED)
