"""`channel.status` events: told on edges, under an id of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from normalizer import ids
from normalizer.model import SCHEMA_VERSION, ChannelRef, ChannelStatusParams
from normalizer.raw import Event


def status_event(
    channel: ChannelRef,
    status: Literal["ok", "degraded", "down"],
    *,
    at: float,
    component: str,
    reasons: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> Event:
    """Build the event; `at` is seconds since the epoch."""
    key = ids.dedup_key(channel.id, "channel", component, status, f"{at:.6f}")
    params = ChannelStatusParams(
        event_id=ids.event_id(key),
        channel=channel,
        schema=SCHEMA_VERSION,
        status=status,
        at=datetime.fromtimestamp(at, UTC),
        component=component,
        reasons=tuple(reasons),
        expires_at=expires_at,
    )
    return Event(method="channel.status", params=params, key=key)
