"""Quarantine rows on their way back into the pipeline, after a codec or a configuration was mended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from connectors.errors import Busy
from gateway.channels import Channels
from gateway.quarantine import Quarantine, Quarantined
from normalizer.raw import RawEvent

log = structlog.get_logger(__name__)

POLL_SECS = 0.5
MOST = 10_000  # rows of one request


class Redrive:
    """Does what was asked for with `Quarantine.request_redrive`, by whichever process."""

    def __init__(self, quarantine: Quarantine, channels: Channels) -> None:
        """Bring rows of `quarantine` back into the running `channels`."""
        self._quarantine, self._channels = quarantine, channels
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Look for requests until cancelled."""
        while True:
            await self._pending()
            await asyncio.sleep(POLL_SECS)

    async def now(self, rows: Sequence[Quarantined]) -> list[Quarantined]:
        """Re-drive these rows and return them as they stand afterwards."""
        ids = [row.id for row in rows]
        await self._quarantine.request_redrive(ids)
        while await self._pending():
            pass
        found = [await self._quarantine.get(number) for number in ids]
        return [entry[0] for entry in found if entry is not None]

    async def _pending(self) -> int:
        async with self._one_at_a_time:
            rows = self._quarantine.pending()
            for row, raw in rows:
                await self._take(row, raw)
            return len(rows)

    async def _take(self, row: Quarantined, raw: RawEvent) -> None:
        problem: str | None = f"channel {row.channel!r} does not run"
        if row.channel in self._channels:
            intake = self._channels[row.channel].intake
            try:
                problem = await intake.redrive(replace(raw, channel=intake.ref))
            except Busy:
                problem = "the gateway was busy; try again"
            except Exception as exc:  # one row must not block the others
                log.exception("quarantine_redrive_broke", quarantine_id=row.id)
                problem = f"{type(exc).__name__}; see the log"
        await self._quarantine.finish(row.id, ok=problem is None, note=problem or "")
        log.info("quarantine_redriven" if problem is None else "quarantine_redrive_failed", quarantine_id=row.id)
