"""What a connector is given, made of the gateway's own parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import structlog

from connectors.api import Context
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.state import ChannelState
from gateway.web.media import media_link
from normalizer.model import ChannelRef

PUBLIC_URL = "https://gw.example"


def make_context(
    channel: ChannelRef, folder: Path, http: aiohttp.ClientSession, *, store: Deduplicator | None = None, **changes: Any
) -> Context:
    """Make the context of `channel`, with its files in `folder`.

    Without an open `store` its state is unavailable, as when Redis is away.
    """
    blobs = changes.pop("blobs", None) or BlobStore(folder)
    fields: dict[str, Any] = {
        "log": structlog.get_logger().bind(channel=channel.id),
        "hub": {},
        "state": ChannelState(store or EmbeddedDeduplicator(folder / "dedup.db"), channel.id),
        "url": f"{PUBLIC_URL}/c/{channel.id}",
        "link": media_link(BlobStore(folder), PUBLIC_URL, lambda: 1_800_000_000.0),
        **changes,
    }
    return Context(channel=channel, http=http, blobs=blobs, data_dir=folder, **fields)
