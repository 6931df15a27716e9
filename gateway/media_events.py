"""`media.stored` and `media.failed`: how the fetching of a media item ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.api import LinkMaker
from gateway.media_jobs import Job
from gateway.media_store import linked
from normalizer import ids
from normalizer.model import SCHEMA_VERSION, MediaParams
from normalizer.raw import Event


def stored(job: Job, link: LinkMaker, at: float) -> Event:
    """Tell that `job.media` is stored; `at` is seconds since the epoch."""
    return _event("media.stored", job, at, media=linked(job.media, link))


def failed(job: Job, at: float) -> Event:
    """Tell that `job.media` was given up; `metadata.error` says why."""
    return _event("media.failed", job, at, media=job.media, metadata={"error": job.error})


def _event(method: str, job: Job, at: float, **fields: Any) -> Event:
    """Build the event; its id follows from message and media, so that it is published once."""
    key = ids.dedup_key(job.channel.id, "media", job.message.id or "", job.media.id, method)
    params = MediaParams(
        event_id=ids.event_id(key),
        channel=job.channel,
        schema=SCHEMA_VERSION,
        conversation=job.conversation,
        message=job.message,
        at=datetime.fromtimestamp(at, UTC),
        **fields,
    )
    return Event(method=method, params=params, key=key)
