"""Deleting what has had its time: finished quarantine rows and media jobs, recordings, blobs where there is an age."""

from __future__ import annotations

import asyncio

import structlog

from gateway.core import Core

log = structlog.get_logger(__name__)

DAY_SECS = 86_400.0
EVERY_SECS = 3_600.0


async def housekeeping(core: Core) -> None:
    """Sweep once an hour until cancelled."""
    section = core.settings.gateway
    while True:
        rows = await core.quarantine.sweep(section.quarantine_days * DAY_SECS)
        recordings = await core.retention.sweep(core.clock())
        spare = core.retention.kept()
        blobs = await core.blobs.sweep(section.blob_days * DAY_SECS, spare=spare) if section.blob_days else 0
        media = await core.media.sweep(core.settings.dedup.window_secs)
        speech = await core.speech_jobs.sweep(core.settings.dedup.window_secs)
        if rows or blobs or media or recordings or speech:
            found = {"quarantine_rows": rows, "blobs": blobs, "media_jobs": media}
            log.info("swept", **found, recordings=recordings, speech_jobs=speech)
        orphans = await core.media.abandon(DAY_SECS) + await core.speech_jobs.abandon(DAY_SECS)
        if orphans:
            log.warning("jobs_abandoned", jobs=orphans, reason="their channel has not run since they expired")
        await asyncio.sleep(EVERY_SECS)
