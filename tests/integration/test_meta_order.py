"""Meta keeps no order: statuses that come backwards, edits and deletions that overtake their message."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from connectors.api import Receipt
from normalizer.codecs.messaging import MessagingCodec
from normalizer.codecs.messaging_scope import MESSENGER
from normalizer.codecs.whatsapp import WhatsappCodec
from normalizer.raw import RawEvent
from tests.meta_bench import PERSON, change, text, whatsapp
from tests.rig import Rig, empty_queue, rig

OURS = "wamid.ours"


async def give(it: Rig, body: Any, kind: str = "whatsapp") -> Receipt:
    raw = RawEvent(channel=it.channel, kind=kind, body=msgspec.json.encode(body), received_at=datetime.now(UTC))
    return await it.intake(raw)


def statuses(*words: str) -> dict[str, Any]:
    """Write statuses of one message of ours, in one delivery."""
    told = [
        {"id": OURS, "status": word, "timestamp": str(1_795_000_000 + at), "recipient_id": PERSON}
        for at, word in enumerate(words)
    ]
    made = change("101")
    made["value"] = {"metadata": made["value"]["metadata"], "statuses": told}
    return whatsapp(made)


def told(found: list[dict[str, Any]]) -> list[str]:
    return [one["status"] for one in found if "status" in one]


async def test_a_status_never_goes_back(tmp_path: Path, rabbit_url: str) -> None:
    async with rig(tmp_path, broker_url=rabbit_url, kind="whatsapp", codec=WhatsappCodec("101")) as it:
        receipts = [await give(it, statuses(word)) for word in ("read", "delivered", "sent", "failed")]
        found = await empty_queue(rabbit_url)

    assert receipts == [Receipt.ACCEPTED, Receipt.IGNORED, Receipt.IGNORED, Receipt.IGNORED]
    assert told(found) == ["read"]


async def test_statuses_of_one_delivery_may_come_in_any_order(tmp_path: Path, rabbit_url: str) -> None:
    async with rig(tmp_path, broker_url=rabbit_url, kind="whatsapp", codec=WhatsappCodec("101")) as it:
        await give(it, statuses("sent", "delivered"))
        await give(it, statuses("read", "delivered", "sent"))
        found = await empty_queue(rabbit_url)

    assert told(found) == ["sent", "delivered", "read"]


async def test_an_edit_and_a_deletion_wait_for_their_message(tmp_path: Path, rabbit_url: str) -> None:
    edit = {**text(9), "type": "edit", "edit": {"original_message_id": "wamid.1", "message": text(1, "new")}}
    gone = {**text(10), "type": "revoke", "revoke": {"original_message_id": "wamid.1"}}
    codec = WhatsappCodec("101")
    async with (
        rig(tmp_path, broker_url=rabbit_url, kind="whatsapp", codec=codec) as it,
        asyncio.TaskGroup() as group,
    ):
        early = [group.create_task(give(it, whatsapp(change("101", one)))) for one in (edit, gone)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in early)
        await give(it, whatsapp(change("101", text(1))))
        for task in early:
            assert await task is Receipt.ACCEPTED
        found = await empty_queue(rabbit_url)

    kinds = ["deleted" if "by" in one else "new" if not one["message"]["revision"] else "edit" for one in found]
    assert kinds[0] == "new"
    assert sorted(kinds) == ["deleted", "edit", "new"]


async def test_messenger_edits_wait_as_well(tmp_path: Path, rabbit_url: str) -> None:
    def page(**item: Any) -> dict[str, Any]:
        told = {"sender": {"id": "7"}, "recipient": {"id": "1"}, "timestamp": 1_795_000_000_000, **item}
        return {"object": "page", "entry": [{"id": "1", "messaging": [told]}]}

    codec = MessagingCodec(MESSENGER, "1")
    async with (
        rig(tmp_path, broker_url=rabbit_url, kind="messenger", codec=codec) as it,
        asyncio.TaskGroup() as group,
    ):
        early = group.create_task(
            give(it, page(message_edit={"mid": "m_1", "text": "new", "num_edit": 1}), "messenger")
        )
        await asyncio.sleep(0.1)
        assert not early.done()
        await give(it, page(message={"mid": "m_1", "text": "old"}), "messenger")
        await early
        found = await empty_queue(rabbit_url)

    assert [one["message"]["text"] for one in found] == ["old", "new"]
