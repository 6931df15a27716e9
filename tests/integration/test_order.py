"""What arrives in the wrong order leaves in the right one: edits after their message, statuses never back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.embedded import EmbeddedDeduplicator
from gateway.order import Statuses, says_more
from gateway.state import ChannelState
from normalizer import build
from normalizer.model import ChannelRef, MessageRef, StatusParams
from normalizer.raw import Event, Ignored, RawEvent
from tests.rig import empty_queue, rig
from tests.servers.gateway import telegram_update

STATUSES = ("queued", "sent", "delivered", "read", "failed", "expired")


def edit(number: int, text: str) -> bytes:
    """Build the update that edits message `number`."""
    update = telegram_update(number, text, chat=1)
    message = {**update.pop("message"), "edit_date": 1_790_000_100}
    return msgspec.json.encode({"update_id": 950_000_000 + number, "edited_message": message})


def methods(found: list[dict]) -> list[str]:
    return ["updated" if params["message"]["revision"] else "received" for params in found]


async def test_an_edit_that_overtook_its_message_waits_for_it(tmp_path, rabbit_url):
    async with rig(tmp_path, broker_url=rabbit_url) as it, asyncio.TaskGroup() as group:
        overtaking = group.create_task(it.give(1, body=edit(1, "new")))
        await asyncio.sleep(0.2)
        assert not overtaking.done()
        await it.give(1)
        await overtaking
        assert methods(await empty_queue(rabbit_url)) == ["received", "updated"]


async def test_an_edit_waits_for_a_message_that_another_worker_has(tmp_path, rabbit_url, redis_url):
    async with (
        rig(tmp_path / "a", broker_url=rabbit_url, redis_url=redis_url, channel="order") as one,
        rig(tmp_path / "b", broker_url=rabbit_url, redis_url=redis_url, channel="order") as two,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(one.give(2, body=edit(2, "new")))
        await asyncio.sleep(0.1)
        await two.give(2)
    assert methods(await empty_queue(rabbit_url)) == ["received", "updated"]


async def test_an_edit_of_a_message_nobody_knows_goes_out_when_patience_is_over(tmp_path, rabbit_url):
    async with rig(tmp_path, broker_url=rabbit_url, patience=0.1) as it:
        await it.give(3, body=edit(3, "new"))
        assert methods(await empty_queue(rabbit_url)) == ["updated"]


async def test_an_edit_does_not_wait_for_a_store_that_is_away(tmp_path, rabbit_url, make_redis):
    redis = make_redis()
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis.url, patience=60) as it:
        redis.stop()
        await it.give(4, body=edit(4, "new"))
        assert methods(await empty_queue(rabbit_url)) == ["updated"]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedDeduplicator]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    yield store
    await store.close()


def status(name: str, provider_id: str = "wamid.1") -> Event:
    """Build a provider's status of the message `provider_id`."""
    raw = RawEvent(
        channel=ChannelRef(id="wa", type="whatsapp"), kind="whatsapp", body=b"", received_at=datetime.now(UTC)
    )
    return build.event(
        raw,
        "message.status",
        StatusParams,
        native_id=provider_id,
        revision=name,
        normalizer="whatsapp/1",
        message=MessageRef(provider_id=provider_id),
        status=name,
        at=raw.received_at,
    )


async def told(statuses: Statuses, *names: str) -> list[str]:
    """Offer statuses one after another and return those that pass."""
    found = [await statuses.checked(status(name)) for name in names]
    return [event.params.status for event in found if isinstance(event, Event)]


async def test_what_says_less_than_is_known_is_ignored(store: EmbeddedDeduplicator) -> None:
    statuses = Statuses(ChannelState(store, "wa"), keep_secs=60)
    assert await told(statuses, "read", "delivered", "sent", "read") == ["read", "read"]
    assert await statuses.checked(status("sent")) == Ignored(reason="status_went_back")
    assert await told(Statuses(ChannelState(store, "other"), keep_secs=60), "sent") == ["sent"]


async def test_a_failure_ends_the_story_unless_the_message_was_delivered(store: EmbeddedDeduplicator) -> None:
    one, two = (Statuses(ChannelState(store, name), keep_secs=60) for name in ("one", "two"))
    assert await told(one, "sent", "failed", "delivered", "expired", "failed") == ["sent", "failed", "failed"]
    assert await told(two, "delivered", "failed", "read") == ["delivered", "read"]


async def test_a_status_of_our_message_carries_our_ids(store: EmbeddedDeduplicator) -> None:
    statuses = Statuses(ChannelState(store, "wa"), keep_secs=60)
    assert await statuses.sent(["wamid.1", "wamid.2"], "msg_1", "order-17")
    for provider_id in ("wamid.1", "wamid.2"):
        event = await statuses.checked(status("delivered", provider_id))
        assert isinstance(event, Event)
        assert isinstance(event.params, StatusParams)
        assert event.params.message == MessageRef(id="msg_1", provider_id=provider_id)
        assert event.params.idempotency_key == "order-17"


async def test_our_own_word_is_no_news_when_the_provider_was_faster(store: EmbeddedDeduplicator) -> None:
    statuses = Statuses(ChannelState(store, "wa"), keep_secs=60)
    assert await told(statuses, "delivered") == ["delivered"]
    assert not await statuses.sent(["wamid.1"], "msg_1", None)
    event = await statuses.checked(status("read"))
    assert isinstance(event, Event)
    assert event.params.message.id == "msg_1"  # type: ignore[attr-defined]


async def test_without_the_store_every_status_passes(tmp_path: Path) -> None:
    statuses = Statuses(ChannelState(EmbeddedDeduplicator(tmp_path / "never-opened.db"), "wa"), keep_secs=60)
    assert await told(statuses, "read", "sent") == ["read", "sent"]
    assert await statuses.sent(["wamid.1"], "msg_1", None)


async def test_statuses_at_the_same_instant_never_go_back(store: EmbeddedDeduplicator) -> None:
    statuses = Statuses(ChannelState(store, "wa"), keep_secs=60)
    passed: list[str] = []

    async def offer(name: str) -> None:
        passed.extend(await told(statuses, name))

    async with asyncio.TaskGroup() as group:
        for name in ("sent", "read", "delivered") * 5:
            group.create_task(offer(name))
    assert passed[-1] == "read"
    assert await told(statuses, "delivered") == []


@given(st.lists(st.sampled_from(STATUSES), max_size=12))
def test_no_order_of_statuses_tells_a_delivered_message_back(names: list[str]) -> None:
    known: list[str] = []
    for name in names:
        if not known or says_more(name, known[-1]):
            known.append(name)
    distinct = [name for n, name in enumerate(known) if not n or known[n - 1] != name]
    assert len(set(distinct)) == len(distinct)
    order = ["queued", "sent", "delivered", "read"]
    ranks = [order.index(name) for name in distinct if name in order]
    assert ranks == sorted(ranks)
    ends = [name for name in distinct if name not in order]
    assert len(ends) <= 1
    assert not ends or (distinct[-1] == ends[0] and not {"delivered", "read"} & set(distinct))
