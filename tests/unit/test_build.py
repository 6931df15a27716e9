"""What codecs build events from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from normalizer import build
from normalizer.model import ChannelRef, Conversation, MessageParams, Security
from normalizer.parts import Text
from normalizer.raw import RawEvent

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RAW = RawEvent(
    channel=ChannelRef(id="shop", type="webhook"),
    kind="webhook",
    body=b"{}",
    received_at=NOW,
    security=Security(verified="hmac"),
)


@pytest.mark.parametrize("method", ["message.received", "message.updated"])
def test_a_message_is_wrapped_as_any_other_event_is(method: str) -> None:
    updated = method == "message.updated"
    message = build.message(
        RAW, native_id="7", scope="a", sender=build.party("shop", "ada"), parts=[Text(body="hello")]
    )
    conversation: Conversation = build.conversation(RAW, "a")
    metadata = {"webhook": {"tag": "x"}}

    assert build.received(
        RAW,
        message,
        conversation,
        scope="a",
        revision="2",
        updated=updated,
        normalizer="webhook/1",
        metadata=metadata,
    ) == build.event(
        RAW,
        method,
        MessageParams,
        native_id="7",
        scope="a",
        revision="2",
        normalizer="webhook/1",
        after=build.original(RAW, "7", "a") if updated else "",
        message=message,
        conversation=conversation,
        metadata=metadata,
    )
