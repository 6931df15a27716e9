"""A broker in one SQLite file: the same contract without a server.

Several processes of one machine (the gateway's workers, `omnigate tail`, `omnigate call`) open the same file. What one
writes, the others notice by asking SQLite for `data_version` up to fifty times a second; inside a process nobody
polls. When a process dies the others get its unacknowledged messages within half a second (`embedded_lives`), and
those of one that hangs when its lease has ended.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path

import structlog
from msgspec.structs import replace

from dedup.groupcommit import Database
from gateway.broker import embedded_consumer as consumer
from gateway.broker.api import BrokerUnavailable, Consumer, Delivery, Listener, Outcome, Publication, QueueSpec
from gateway.broker.embedded_consumer import ANY, Station
from gateway.broker.embedded_lives import Lives
from gateway.broker.embedded_outbox import Outbox
from gateway.broker.embedded_schema import SCHEMA, ignored, limits
from gateway.broker.embedded_store import Store
from gateway.broker.topology import Queue, command_queue, configured, queues
from gateway.broker.waiting import POLL_SECS, ask, first_outcome, ready_within, refuse, retry_delay
from gateway.settings.model import BrokerSection

log = structlog.get_logger(__name__)

FILE = "broker.db"
LIVES = "broker.lives"
LEASE_SECS = 15.0
LAZY_POLL_SECS = 0.05
RETRY_SECS = 0.5
EXPIRE_SECS = 0.5
SWEEP_SECS = 60.0
SWEEP_CHUNK = 5_000


class EmbeddedBroker:
    """See `gateway.broker.api.Broker`."""

    def __init__(
        self,
        settings: BrokerSection,
        *,
        data_dir: Path,
        node: str,
        lease: float = LEASE_SECS,
        sweep: float = SWEEP_SECS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge: shared between processes
    ) -> None:
        """Prepare; `run` opens `data_dir`/broker.db. `lease` (seconds) is for processes that hang, `sweep`
        the time between two tidyings.
        """
        self._settings, self._path, self._clock = settings, data_dir / FILE, clock
        self._lease, self._sweep = lease, sweep
        name = secrets.token_hex(8)
        self._owner = f"{node}:{os.getpid()}:{name}"
        self._lives = Lives(data_dir / LIVES, name)
        self._queues, self._faults = _checked(settings.queues)
        self._outbox = Outbox(publish_timeout=settings.publish_timeout_secs, most=settings.max_unconfirmed)
        self._station: Station | None = None
        self._problem: str | None = "not opened yet"
        self._closing = False

    @property
    def ready(self) -> bool:
        """See `Broker.ready`."""
        return self.problem is None

    @property
    def problem(self) -> str | None:
        """See `Broker.problem`."""
        if self._station is None or self._closing:
            return self._problem or "the embedded broker is closed"
        full = f"{self._outbox.backlog} messages wait to be written" if self._outbox.full else None
        return self._outbox.problem or self._problem or full

    @property
    def faults(self) -> tuple[str, ...]:
        """See `Broker.faults`."""
        return self._faults

    async def run(self) -> None:
        """Keep the file open and tended until cancelled; a file that cannot be opened is tried again."""
        attempt = 0
        while not self._closing:
            database = Database(self._path, SCHEMA)
            try:
                await asyncio.to_thread(database.open)
                with self._lives.held():
                    await self._serve(database)
            except (sqlite3.Error, OSError, BrokerUnavailable) as exc:
                self._down(f"{self._path}: {exc}")
            finally:
                await asyncio.to_thread(database.close)
            await asyncio.sleep(retry_delay(attempt))
            attempt += 1
        await asyncio.Event().wait()  # closed: nothing to do until cancelled

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 -- part of the contract
        """See `Broker.wait_ready`."""
        return await ready_within(self, timeout)

    def submit(self, batch: Sequence[Publication], listener: Listener) -> None:
        """See `Broker.submit`."""
        if self._station is None or self._closing:
            refuse(batch, listener)
        else:
            self._outbox.submit(batch, listener)

    async def publish(self, publication: Publication) -> Outcome:
        """See `Broker.publish`."""
        return await first_outcome(self.submit, publication)

    def consume(self, queue: str, *, prefetch: int) -> AbstractAsyncContextManager[Consumer]:
        """See `Broker.consume`."""
        return consumer.subscribe(self._opened(), queue, prefetch=prefetch)

    async def declare_channel(self, channel_id: str) -> str:
        """See `Broker.declare_channel`."""
        queue = command_queue(channel_id)
        self._queues[queue.name] = queue
        station = self._opened()
        await station.write(lambda db: station.store.declare(db, [queue]))
        return queue.name

    def watch(self, pattern: str, *, from_start: bool = False) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """See `Broker.watch`; the history is `broker.retain_hours` long."""
        return consumer.watch(self._opened(), pattern, from_start=from_start)

    async def call(self, routing_key: str, body: bytes, *, method: str, timeout: float) -> bytes:  # noqa: ASYNC109
        """See `Broker.call`."""
        return await ask(consumer.replies(self._opened()), self, routing_key, body, method=method, timeout=timeout)

    async def close(self) -> None:
        """See `Broker.close`."""
        self._closing, self._problem = True, "closed"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.publish_timeout_secs
        while self._outbox.backlog and self._station and loop.time() < deadline:  # noqa: ASYNC110 -- runs once
            await asyncio.sleep(POLL_SECS)
        if self._station is not None:
            self._station.shut()

    async def _serve(self, database: Database) -> None:
        store = Store(self._owner, lease=self._lease, clock=self._clock)
        station = Station(database, store)
        await station.write(partial(self._move_in, store))
        await self._bury(station)
        for fault in self._faults:
            log.error("broker_layout", fault=fault)
        self._station, self._problem = station, None
        try:
            async with asyncio.TaskGroup() as group:
                chores = [self._outbox.run(station), self._listen(station), self._expire(station), self._tend(station)]
                tasks = [group.create_task(chore) for chore in chores]
                await station.closed.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self._station = None
            station.shut()
            with suppress(BrokerUnavailable):  # then the lease ends by itself
                await station.write(store.leave)

    def _move_in(self, store: Store, db: sqlite3.Connection) -> None:
        store.beat(db)
        store.declare(db, self._queues.values())

    async def _listen(self, station: Station) -> None:
        last, pause = None, POLL_SECS
        while True:
            await asyncio.sleep(pause)
            with suppress(BrokerUnavailable):  # `_tend` meets the same error and says so
                version = station.version()
                pause = POLL_SECS if version != last else min(LAZY_POLL_SECS, pause * 1.2)
                if version != last:
                    station.notify((ANY,))
                last = version

    async def _expire(self, station: Station) -> None:
        while True:
            await asyncio.sleep(EXPIRE_SECS)
            with suppress(BrokerUnavailable):  # `_tend` meets the same error and says so
                await self._bury(station)
                if station.read("SELECT 1 FROM entries WHERE expires <= ? LIMIT 1", self._clock()):
                    station.notify(await station.write(station.store.expire))

    async def _bury(self, station: Station) -> None:
        """Let others have what processes held that are dead."""
        with self._lives.fallen() as names:
            if names:
                await station.write(partial(station.store.forget, names=names))
                station.notify((ANY,))

    async def _tend(self, station: Station) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await asyncio.sleep(min(self._lease / 3, RETRY_SECS if self.problem else self._lease))
            try:
                await station.write(station.store.beat)
                if loop.time() - swept >= self._sweep:
                    await self._tidy(station)
                    swept = loop.time()
            except BrokerUnavailable as exc:
                self._down(str(exc))
            else:
                self._problem = self._outbox.problem = None
            station.notify((ANY,))  # what a dead process held may have become free

    async def _tidy(self, station: Station) -> None:
        store, before = station.store, self._clock() - self._settings.retain_hours * 3600
        await station.write(store.sweep_queues)
        after: int | None = 0
        while after is not None:
            after = await station.write(partial(store.sweep_events, after=after, before=before, chunk=SWEEP_CHUNK))

    def _down(self, problem: str) -> None:
        if not self._closing and problem != self._problem:
            log.warning("broker_unavailable", problem=problem)
            self._problem = problem

    def _opened(self) -> Station:
        if self._station is None:
            raise BrokerUnavailable(self._problem or "the embedded broker is closed")
        return self._station


def _checked(specs: Sequence[QueueSpec]) -> tuple[dict[str, Queue], tuple[str, ...]]:
    """Describe the queues of the layout, without arguments that make no sense here, and name those."""
    found, faults = {queue.name: queue for queue in queues(())}, []
    for queue in configured(specs):
        arguments = queue.arguments
        try:
            limits(queue)
        except ValueError as exc:
            faults.append(f"{exc}; its arguments are left out")
            arguments = {}
        faults += [f"queue {queue.name}: the embedded broker does not know {name}" for name in ignored(queue)]
        found[queue.name] = replace(queue, arguments=arguments)
    return found, tuple(faults)
