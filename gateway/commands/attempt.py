"""`omnigate check --try`: decode a payload with a channel's codec and show the outcome."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import structlog

from connectors import registry
from connectors.api import Context
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.commands.console import emit, warn
from gateway.commands.target import named
from gateway.settings.model import Channel, Settings
from gateway.state import ChannelState
from gateway.web.media import media_link
from normalizer import rpc
from normalizer.codecs.api import Codec
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef
from normalizer.raw import Decoded, Event, Ignored, RawEvent

CONTENT_TYPES = {".eml": "message/rfc822", ".xml": "application/xml", ".form": "application/x-www-form-urlencoded"}


async def attempt(settings: Settings, channel_id: str, body: bytes, name: str) -> int:
    """Show what a payload would become; `name` tells its content type. Returns 0 when all of it is understood."""
    channel = named(settings, channel_id)
    ref = ChannelRef(id=channel.id, type=channel.kind, account=channel.options.account, labels=channel.options.labels)
    raw = RawEvent(
        channel=ref,
        kind=channel.kind,
        body=body,
        received_at=datetime.now(UTC),
        content_type=CONTENT_TYPES.get(Path(name).suffix.lower(), "application/json"),
    )
    warn("decoded only: no signature was checked, nothing was sent or kept", "dim")
    codec = await _codec(channel, ref)
    try:
        found = list(codec.decode(raw))
    except MalformedPayload as exc:
        emit({"malformed": str(exc)})
        return 1
    return max([_show(item) for item in found], default=0)


async def _codec(channel: Channel, ref: ChannelRef) -> Codec:
    """Build the channel as the gateway would, with a store that is thrown away; its codec needs neither."""
    with tempfile.TemporaryDirectory() as folder:
        async with aiohttp.ClientSession() as session:
            blobs = BlobStore(Path(folder))
            context = Context(
                channel=ref,
                log=structlog.get_logger(),
                http=session,
                blobs=blobs,
                data_dir=Path(folder),
                hub={},
                state=ChannelState(EmbeddedDeduplicator(Path(folder) / "dedup.db"), ref.id),
                link=media_link(blobs, "http://localhost", time.time),  # noqa: TID251 -- no link is made,
            )
            return registry.load()[channel.kind].build(channel.options, context).codec


def _show(item: Decoded) -> int:
    if isinstance(item, Event):
        emit(rpc.notification(item.method, item.params))
        return 0
    if isinstance(item, Ignored):
        emit({"ignored": item.reason})
        return 0
    emit({"quarantined": item.reason, "bytes": len(item.body)})
    return 1
