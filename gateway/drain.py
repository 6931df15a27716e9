"""From the spool to the broker, in order, once the broker is back; runs in one process per spool.

A row is removed only after its confirm. A row whose earlier publish may have arrived is sent with a raised
`dedup.redelivery`, so that a consumer can tell a possible second copy from a first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

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
FAIL_SECS = 1.0
READY_SECS = 5.0
GAUGE_SECS = 0.5


class Drain:
    """See the module."""

    def __init__(
        self, spool: Spool, broker: Broker, journal: Journal, *, hold_secs: float, clock: Callable[[], float]
    ) -> None:
        """Move rows of `spool` to `broker`; if this process dies, others get its rows after `hold_secs`."""
        self._spool, self._broker, self._journal = spool, broker, journal
        self._hold, self._clock = hold_secs, clock
        self._draining = self._began = False

    async def run(self) -> None:
        """Work until cancelled."""
        if not self._began and telemetry.first_life():  # else the ledger has these rows already
            await self._carry_over()
            self._began = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="spool-watch")
            await self._drain()

    async def _drain(self) -> None:
        while True:
            self._gauge()
            if not await self._broker.wait_ready(READY_SECS):
                continue
            rows = await self._spool.take(BATCH, lease_secs=self._hold)
            if not rows:
                self._tell(draining=False)
                await asyncio.sleep(IDLE_SECS)
                continue
            self._tell(draining=True)
            if not await self._move(rows):
                await asyncio.sleep(FAIL_SECS)

    async def _move(self, rows: Sequence[Row]) -> bool:
        """Publish rows; True when all were confirmed."""
        by = await self._publish(rows)
        confirmed = [row for row in rows if by[row.id] is Outcome.CONFIRMED]
        await self._spool.remove([row.id for row in confirmed])
        for row in confirmed:
            self._count(row)
        self._journal.append([_entry(row, self._clock()) for row in confirmed])
        await self._spool.unhold([row.id for row in rows if by[row.id] is Outcome.LOST])
        await self._spool.retry_later([row.id for row in rows if by[row.id] is Outcome.REFUSED])
        return len(confirmed) == len(rows)

    async def _publish(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        """Publish and wait for final outcomes, however long the broker takes (an alarm): the rows stay ours."""
        batch = {_marked(row): row.id for row in rows}
        outcomes: dict[int, Outcome] = {}
        done = asyncio.Event()

        def settle(items: Sequence[Publication], outcome: Outcome) -> None:
            if outcome is not Outcome.UNKNOWN:
                outcomes.update((batch[item], outcome) for item in items)
                if len(outcomes) == len(batch):
                    done.set()

        self._broker.submit(list(batch), settle)
        while True:
            try:
                async with asyncio.timeout(self._hold / 3):
                    await done.wait()
                    return outcomes
            except TimeoutError:
                await self._spool.hold(batch.values(), self._hold)

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
