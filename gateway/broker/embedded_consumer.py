"""Taking messages out of the embedded broker: subscriptions, onlookers, answers."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Self, TypeVar

from dedup.groupcommit import Database
from gateway.broker.api import EVENTS, BrokerUnavailable, Delivery
from gateway.broker.embedded_schema import MESSAGE, delivery
from gateway.broker.embedded_store import Store
from gateway.broker.embedded_turns import FIRST
from gateway.broker.topics import matches

T = TypeVar("T")

ANY = "*"
"""Instead of a queue: woken by every change."""
WATCH_CHUNK = 100


class Station:
    """The open file, and who waits for news in it.

    Attributes:
        store: what jobs of this process do to the file.
        closed: set by `shut`.
    """

    def __init__(self, database: Database, store: Store) -> None:
        """Take an open database."""
        self._database, self.store = database, store
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self.closed = asyncio.Event()

    def check(self) -> None:
        """Raise `BrokerUnavailable` once it is shut."""
        if self.closed.is_set():
            raise BrokerUnavailable("the embedded broker is closed")

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in a transaction; raises `BrokerUnavailable`."""
        try:
            return await self._database.write(job)
        except sqlite3.Error as exc:
            raise BrokerUnavailable(f"embedded broker: {exc}") from exc

    def read(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Look something up; raises `BrokerUnavailable`."""
        self.check()
        try:
            return self._database.reader.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            raise BrokerUnavailable(f"embedded broker: {exc}") from exc

    def version(self) -> object:
        """Return a number that changes when another connection has written; raises `BrokerUnavailable`."""
        return self.read("PRAGMA data_version")[0][0]

    def notify(self, queues: Iterable[str]) -> None:
        """Wake those who wait for one of `queues`; `ANY` wakes everybody."""
        names = set(queues)
        for name, events in self._waiting.items():
            if name == ANY or name in names or ANY in names:
                for event in events:
                    event.set()

    @asynccontextmanager
    async def waiting(self, queue: str) -> AsyncIterator[asyncio.Event]:
        """Lend an event that is set when there may be something new in `queue` (`ANY`: anywhere)."""
        event = asyncio.Event()
        events = self._waiting.setdefault(queue, [])
        events.append(event)
        try:
            yield event
        finally:
            events.remove(event)
            if not events:
                self._waiting.pop(queue, None)

    def shut(self) -> None:
        """Fail everybody who waits, and whoever comes later."""
        self.closed.set()
        self.notify((ANY,))


class EmbeddedConsumer:
    """See `gateway.broker.api.Consumer`."""

    def __init__(
        self, station: Station, queue: str, prefetch: int, event: asyncio.Event, *, turn: str | None = None
    ) -> None:
        """Use `subscribe`. `turn` is its name where one consumer at a time takes."""
        self._station, self._queue, self._prefetch, self._event = station, queue, prefetch, event
        self._turn = turn
        self._arrived: deque[Delivery] = deque()  # filled by the writer thread, also when nobody waits any more
        self._inbox: deque[Delivery] = deque()
        self._held: set[int] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        self._station.check()
        while not self._inbox:
            self._event.clear()
            if not await self._fill():
                await self._event.wait()
                self._station.check()
        return self._inbox.popleft()

    async def ack(self, delivery: Delivery) -> None:
        """Remove it from the queue; raises `BrokerUnavailable`."""
        self._station.check()
        store, entry = self._station.store, delivery.token
        self._done(entry, ours=await self._station.write(lambda db: store.ack(db, entry)))

    async def nack(self, delivery: Delivery, *, requeue: bool) -> None:
        """Give it back, or hand it to the dead-letter exchange; raises `BrokerUnavailable`."""
        self._station.check()
        store, entry, queue = self._station.store, delivery.token, self._queue

        def give_up(db: sqlite3.Connection) -> set[str] | None:
            return store.give_back(db, [entry], seen=True) if requeue else store.reject(db, entry, queue)

        changed = await self._station.write(give_up)
        self._station.notify(changed or ())
        self._done(entry, ours=changed is not None)

    async def line_up(self) -> None:
        """Wait for the turn, if there are turns; raises `BrokerUnavailable`."""
        if (turn := self._turn) is not None:
            await self._station.write(lambda db: self._station.store.turns.line_up(db, self._queue, turn))

    async def stop(self) -> None:
        """Give back what was not acknowledged, and the turn."""
        store, turn = self._station.store, self._turn
        if turn is not None:
            store.turns.left.add(turn)

        def give_back(db: sqlite3.Connection) -> set[str]:  # runs after any `take` that was cancelled half-way
            unseen = {item.token for item in (*self._inbox, *self._arrived)}
            changed = store.give_back(db, self._held - unseen, seen=True) or set()
            store.turns.leave(db)
            return changed | (store.give_back(db, unseen, seen=False) or set()) | {self._queue}

        with suppress(BrokerUnavailable):  # then others get it when this process ends
            self._station.notify(await self._station.write(give_back))
            store.turns.left.discard(turn or "")

    async def _fill(self) -> bool:
        station, store, queue = self._station, self._station.store, self._queue
        sql = "SELECT 1 FROM entries WHERE queue = ? AND owner IS NOT ? LIMIT 1"
        room = self._prefetch - len(self._held)
        if room > 0 and not self._arrived and station.read(sql, queue, store.owner) and not self._another_first():

            def take(db: sqlite3.Connection) -> set[str]:
                taken = store.take(db, queue, self._prefetch - len(self._held) - len(self._arrived), self._turn)
                self._arrived.extend(taken.deliveries)
                return taken.queues

            station.notify(await station.write(take))
        while self._arrived:
            item = self._arrived.popleft()
            if item.token not in self._held:  # twice when the transaction had to be repeated
                self._held.add(item.token)
                self._inbox.append(item)
        return bool(self._inbox)

    def _another_first(self) -> bool:
        if self._turn is None:
            return False
        first = self._station.read(FIRST, self._queue, self._station.store.turns.dead())
        return bool(first) and first[0][0] != self._turn

    def _done(self, entry: int, *, ours: bool) -> None:
        self._held.discard(entry)
        self._event.set()
        if not ours:
            raise BrokerUnavailable("this process was silent for too long; the message went to another consumer")


@asynccontextmanager
async def subscribe(station: Station, queue: str, *, prefetch: int) -> AsyncIterator[EmbeddedConsumer]:
    """Consume a queue; unacknowledged messages go back to it on leaving. Raises `BrokerUnavailable`."""
    found = station.read("SELECT single FROM queues WHERE name = ?", queue)
    if not found:
        raise BrokerUnavailable(f"there is no queue {queue}")
    turn = secrets.token_hex(12) if found[0][0] else None
    async with station.waiting(queue) as event:
        consumer = EmbeddedConsumer(station, queue, prefetch, event, turn=turn)
        try:
            await consumer.line_up()
            yield consumer
        finally:
            await consumer.stop()


class EmbeddedWatch:
    """Iterator over events behind a cursor; takes nothing."""

    def __init__(self, station: Station, pattern: str, after: int, event: asyncio.Event) -> None:
        """Use `watch`."""
        self._station, self._pattern, self._after, self._event = station, pattern, after, event
        self._inbox: deque[Delivery] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while not self._inbox:
            self._event.clear()
            if not self._fill():
                await self._event.wait()
        return self._inbox.popleft()

    def _fill(self) -> bool:
        sql = f"SELECT m.id, {MESSAGE} FROM messages m WHERE m.id > ? AND m.exchange = ? ORDER BY m.id LIMIT ?"  # noqa: S608 -- constants
        rows = self._station.read(sql, self._after, EVENTS, WATCH_CHUNK)
        for number, *columns in rows:
            self._after = int(str(number))
            item = delivery(tuple(columns), queue="", token=None, deliveries=0)
            if matches(self._pattern, item.routing_key):
                self._inbox.append(item)
        return bool(rows)


@asynccontextmanager
async def watch(station: Station, pattern: str, *, from_start: bool) -> AsyncIterator[EmbeddedWatch]:
    """Follow the events that match `pattern`; raises `BrokerUnavailable`."""
    newest = station.read("SELECT coalesce(max(id), 0) FROM messages")[0][0]
    async with station.waiting(ANY) as event:
        yield EmbeddedWatch(station, pattern, 0 if from_start else int(str(newest)), event)


@asynccontextmanager
async def replies(station: Station) -> AsyncIterator[tuple[str, EmbeddedConsumer]]:
    """Open a queue of our own for answers; yields its name too. Raises `BrokerUnavailable`."""
    name, store = "gw.reply." + secrets.token_hex(12), station.store
    await station.write(lambda db: store.declare_replies(db, name))
    try:
        async with subscribe(station, name, prefetch=1) as consumer:
            yield name, consumer
    finally:
        with suppress(BrokerUnavailable):  # then it goes with this process
            await station.write(lambda db: store.drop(db, name))
