"""From the spool to the broker, in order, once the broker is back; runs in one process per spool.

A row is removed only after its confirm. A row whose earlier publish may have arrived is sent with a raised
`dedup.redelivery`, so that a consumer can tell a possible second copy from a first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum

import msgspec
import structlog

from gateway import telemetry
from gateway.broker.api import Broker, Outcome, Publication
from gateway.journal import Entry, Journal
from gateway.spool import Row, Spool
from gateway.spooling import OWN

log = structlog.get_logger(__name__)

BATCH = 256
IDLE_SECS = 0.05  # other processes write to the spool too; a look at an empty spool costs microseconds
READY_SECS = 5.0
GAUGE_SECS = 0.5
STOP_SECS = 5.0  # longer than a confirm takes on a healthy broker


class _Fate(Enum):
    """What became of a row that was sent."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"  # not sent
    REJECTED = "rejected"  # a queue said no, others may have it
    CUT = "cut"  # the connection died under it


class Drain:
    """See the module."""

    def __init__(
        self, spool: Spool, broker: Broker, journal: Journal, *, hold_secs: float, clock: Callable[[], float]
    ) -> None:
        """Move rows of `spool` to `broker`; if this process dies, others get its rows after `hold_secs`."""
        self._spool, self._broker, self._journal = spool, broker, journal
        self._hold, self._clock = hold_secs, clock
        self._draining = self._began = self._stopping = self._moving = self._others_pass = False
        self._settled = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; then take no more rows, and wait a few seconds for what the broker has not answered."""
        if not self._began:
            if telemetry.first_life():  # else the ledger has these rows already
                await self._carry_over()
                telemetry.begin()
            self._began = True
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="spool-watch")
            draining = group.create_task(self._drain(), name="spool-drain")
            try:
                await asyncio.wait([draining])
            finally:
                self._stopping = True
                if self._moving:
                    await self._land(draining)

    async def _land(self, draining: asyncio.Task[None]) -> None:
        """Let the batch under way end; what has no outcome by then is left to the end of its hold."""
        await asyncio.wait([draining], timeout=STOP_SECS)
        self._settled.set()
        await asyncio.wait([draining], timeout=STOP_SECS)

    async def _drain(self) -> None:
        while not self._stopping:
            self._gauge()
            if not await self._broker.wait_ready(READY_SECS):
                continue
            self._moving = True
            try:
                pause = await self._step()
            finally:
                self._moving = False
            if pause:
                await asyncio.sleep(IDLE_SECS)

    async def _step(self) -> bool:
        """Move the next rows; True when there were none, or not all could be published."""
        rows = await self._spool.take(BATCH, lease_secs=self._hold)
        if not rows:
            self._tell(draining=False)
            return True
        if self._stopping:  # cancelled meanwhile: they were not sent
            await self._spool.unhold([row.id for row in rows], possibly_sent=False)
            return True
        self._tell(draining=True)
        return not await self._move(rows)

    async def _move(self, rows: Sequence[Row]) -> bool:
        """Publish rows; True when all were confirmed."""
        by = await self._publish(rows)
        confirmed = [row for row in rows if by.get(row.id) is _Fate.CONFIRMED]
        removed = await self._spool.remove([row.id for row in confirmed])
        gone = [row for row in confirmed if row.id in removed]  # a late confirm may have been there first
        for row in gone:
            self._count(row)
        self._journal.append([_entry(row, self._clock()) for row in gone])
        self._others_pass = self._others_pass or bool(confirmed)
        ended = {fate: [number for number, found in by.items() if found is fate] for fate in _Fate}
        await self._spool.retry_later(ended[_Fate.REFUSED])
        await self._spool.retry_later(ended[_Fate.REJECTED], possibly_sent=True)
        if ended[_Fate.CUT]:
            await self._spool.lost(ended[_Fate.CUT], others_pass=self._others_pass)
            self._others_pass = False
        return len(confirmed) == len(rows)

    async def _publish(self, rows: Sequence[Row]) -> dict[int, _Fate]:
        """Publish and wait for final outcomes, however long the broker takes (an alarm): the rows stay ours."""
        batch = {_marked(row): row.id for row in rows}
        fates: dict[int, _Fate] = {}
        self._settled = done = asyncio.Event()

        def settle(items: Sequence[Publication], outcome: Outcome) -> None:
            if outcome is not Outcome.UNKNOWN:
                fate = self._fate(outcome)
                fates.update((batch[item], fate) for item in items)
                if len(fates) == len(batch):
                    done.set()

        self._broker.submit(list(batch), settle)
        while True:
            try:
                async with asyncio.timeout(self._hold / 3):
                    await done.wait()
                    return dict(fates)
            except TimeoutError:
                await self._spool.hold(batch.values(), self._hold)

    def _fate(self, outcome: Outcome) -> _Fate:
        """Tell a loss with the connection, of which the row may be the reason, from a basic.nack on a living one."""
        if outcome is Outcome.CONFIRMED:
            return _Fate.CONFIRMED
        if outcome is Outcome.REFUSED:
            return _Fate.REFUSED
        return _Fate.REJECTED if self._broker.ready else _Fate.CUT

    async def _carry_over(self) -> None:
        """Receive again what a former process left behind, so that the ledger balances in this one."""
        for (channel, kind), rows in (await self._spool.take_stock()).items():
            if channel == OWN:
                continue
            telemetry.RECEIVED.labels(channel, kind).inc(rows)
            telemetry.SPOOLED.labels(channel, kind).inc(rows)

    def _count(self, row: Row) -> None:
        if row.channel == OWN:
            return
        labels = (row.channel, str(row.publication.headers.get("channel_type", "")))
        telemetry.PUBLISHED.labels(*labels).inc()
        telemetry.SPOOLED.labels(*labels).dec()

    async def _watch(self) -> None:
        """Keep gauges and ledger right, also while the broker is away or keeps us waiting."""
        while True:
            self._gauge()
            for (channel, kind), rows in (await self._spool.take_dropped()).items():
                if channel == OWN:
                    continue
                telemetry.IGNORED.labels(channel, kind, "dropped").inc(rows)
                telemetry.SPOOLED.labels(channel, kind).dec(rows)
            await asyncio.sleep(GAUGE_SECS)

    def _gauge(self) -> None:
        stats = self._spool.stats()
        telemetry.SPOOL_ROWS.set(stats.rows)
        telemetry.SPOOL_AGE.set(stats.oldest_age_secs)
        telemetry.BROKER_UP.set(self._broker.ready)

    def _tell(self, *, draining: bool) -> None:
        if draining != self._draining:
            self._draining = draining
            log.info("spool_draining" if draining else "spool_empty")


def _marked(row: Row) -> Publication:
    """Return what to send: the row's publication, marked when a copy of it may be out already."""
    item = row.publication
    if not row.possibly_sent:
        return item
    body = msgspec.json.decode(item.body)
    dedup = body["params"].setdefault("dedup", {})
    dedup["redelivery"] = int(dedup.get("redelivery", 0)) + 1
    headers = {**item.headers, "redelivery": dedup["redelivery"]}
    return msgspec.structs.replace(item, body=msgspec.json.encode(body), headers=headers)


def _entry(row: Row, now: float) -> Entry:
    item = row.publication
    return Entry(
        ts=now,
        channel=row.channel,
        event_id=item.message_id,
        message_id="",
        provider_id="",
        method=item.method,
        verdict="drained",
        detail=f"spool row {row.id}",
    )
