"""From a claimed event to the message on the broker."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.broker.api import Publication
from normalizer import rpc
from normalizer.methods import routing_key
from normalizer.model import SCHEMA_VERSION, DedupInfo
from normalizer.raw import Event

FLEETING_MS = 5000
_ROUTING_KEYS: dict[tuple[str, str, str], str] = {}  # routing keys: few, used for every message


def publication(event: Event, *, seq: int, redelivery: int, unchecked: bool, timestamp: int) -> Publication:
    """Render an event.

    Args:
        event: as the codec made it.
        seq: its number in the conversation; 0 for none.
        redelivery: earlier attempts of unknown outcome.
        unchecked: the dedup store was away.
        timestamp: now, in seconds since the epoch.
    """
    params = event.params
    dedup = DedupInfo(key=event.key, state="unchecked" if unchecked else "first", redelivery=redelivery)
    channel = params.channel
    headers: dict[str, str | int] = {
        "channel_id": channel.id,
        "channel_type": channel.type,
        "dedup_key": event.key,
        "schema": SCHEMA_VERSION,
    }
    conversation = params.conversation
    if conversation is None:
        params = replace(params, dedup=dedup)
    else:
        params = replace(params, dedup=dedup, conversation=replace(conversation, seq=seq))
        headers["conversation_id"], headers["seq"] = conversation.id, seq
    if redelivery:
        headers["redelivery"] = redelivery
    if params.trace is not None:
        headers["traceparent"] = params.trace.traceparent
    return Publication(
        routing_key=_routing_key(channel.type, channel.id, event.method),
        body=rpc.notification(event.method, params),
        message_id=params.event_id,
        method=event.method,
        timestamp=timestamp,
        headers=headers,
    )


def fleeting(event: Event, *, timestamp: int) -> Publication:
    """Render an event that may be lost and is stale after `FLEETING_MS`; nobody has claimed it."""
    made = publication(event, seq=0, redelivery=0, unchecked=True, timestamp=timestamp)
    made.persistent, made.expiration_ms = False, FLEETING_MS
    return made


def _routing_key(kind: str, channel: str, method: str) -> str:
    found = _ROUTING_KEYS.get((kind, channel, method))
    if found is None:
        found = _ROUTING_KEYS[kind, channel, method] = routing_key(kind, channel, method)
    return found
