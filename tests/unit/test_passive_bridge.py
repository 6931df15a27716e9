"""The sync-reply bridge over a real store: two nodes with a deduplicator each, on one file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from connectors.passive import Bridge
from connectors.passive_slots import Held
from dedup.embedded import EmbeddedDeduplicator
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.parts import Text
from normalizer.raw import Outbound
from tests.contexts import make_context

CHANNEL = ChannelRef(id="shop", type="testchat")
HELD = Held(conversation="cnv_1", message="msg_in", native="1001", info={"us": "gh_1"})


def reply(number: int = 1, **fields: object) -> Outbound:
    made: dict[str, object] = {"conversation": "cnv_1", **fields}
    to = Address(scheme="testchat", value="ada")
    return Outbound(id=f"msg_out{number}", channel=CHANNEL, to=to, parts=(Text(body="hi"),), text="hi", **made)  # type: ignore[arg-type]


def said(info: dict[str, str]) -> bytes:
    return f"hi from {info['us']}".encode()


class Node:
    """One process: its own store connection, its own desk."""

    def __init__(self, folder: Path, stack: AsyncExitStack, http: aiohttp.ClientSession) -> None:
        self._folder, self._stack, self._http = folder, stack, http

    async def bridge(self, *, secs: float = 0.4, limit: int = 10, hub: dict[str, object] | None = None) -> Bridge:
        store = EmbeddedDeduplicator(self._folder / "dedup.db")
        await store.open()
        self._stack.push_async_callback(store.close)
        context = make_context(CHANNEL, self._folder, self._http, store=store, hub={} if hub is None else hub)
        return Bridge(context, secs=secs, limit=limit)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Node(tmp_path, stack, http)


async def both(holder: Bridge, sender: Bridge, message: Outbound) -> tuple[bytes | None, bool]:
    hold = await holder.open(HELD)
    assert hold is not None
    async with asyncio.TaskGroup() as group:
        held = group.create_task(hold.wait())
        sent = group.create_task(sender.offer(message, said))
    return held.result(), sent.result()


async def test_a_reply_in_time_goes_out_in_the_answer(node: Node) -> None:
    bridge = await node.bridge()

    assert await both(bridge, bridge, reply()) == (b"hi from gh_1", True)


async def test_holder_and_sender_may_be_two_processes(node: Node) -> None:
    assert await both(await node.bridge(), await node.bridge(), reply()) == (b"hi from gh_1", True)


async def test_a_reply_before_the_wait_begins_is_taken_too(node: Node) -> None:
    holder, sender = await node.bridge(), await node.bridge()
    hold = await holder.open(HELD)
    assert hold is not None
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(sender.offer(reply(), said))
        await asyncio.sleep(0.05)  # the delivery is being made durable
        assert await hold.wait() == b"hi from gh_1"

    assert sent.result() is True


async def test_without_a_reply_the_wait_ends_at_the_deadline_and_later_replies_go_by_the_api(node: Node) -> None:
    bridge = await node.bridge(secs=0.1)
    hold = await bridge.open(HELD)
    assert hold is not None

    assert await hold.wait() is None
    assert await bridge.offer(reply(), said) is False


async def test_a_repeated_delivery_gets_the_same_answer(node: Node) -> None:
    first, second = await node.bridge(), await node.bridge()
    await both(first, first, reply())

    again = await second.open(HELD)

    assert again is not None
    assert not again.fresh
    assert await again.wait() == b"hi from gh_1"


async def test_a_delivery_repeated_while_the_first_is_held_gets_the_same_answer(node: Node) -> None:
    first, second = await node.bridge(), await node.bridge()
    holds = [await first.open(HELD), await second.open(HELD)]
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(hold.wait()) for hold in holds if hold is not None]
        sent = group.create_task(first.offer(reply(), said))

    assert [wait.result() for wait in waits] == [b"hi from gh_1", b"hi from gh_1"]
    assert sent.result() is True


async def test_of_two_replies_one_goes_out_in_the_answer(node: Node) -> None:
    bridge = await node.bridge()
    hold = await bridge.open(HELD)
    assert hold is not None
    async with asyncio.TaskGroup() as group:
        held = group.create_task(hold.wait())
        sent = [group.create_task(bridge.offer(reply(number), said)) for number in (1, 2)]

    assert held.result() is not None
    assert sorted(task.result() for task in sent) == [False, True]


async def test_two_messages_of_a_customer_are_answered_each_in_its_own_request(node: Node) -> None:
    bridge = await node.bridge()
    other = Held(conversation="cnv_1", message="msg_in2", native="1002", info={"us": "second"})
    first, second = await bridge.open(HELD), await bridge.open(other)
    assert first is not None
    assert second is not None
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(first.wait()), group.create_task(second.wait())]
        group.create_task(bridge.offer(reply(1, in_response_to="msg_in2"), said))
        group.create_task(bridge.offer(reply(2, reply_to=MessageRef(provider_id="1001")), said))

    assert [wait.result() for wait in waits] == [b"hi from gh_1", b"hi from second"]


async def test_an_answer_to_another_message_is_not_put_into_this_request(node: Node) -> None:
    bridge = await node.bridge(secs=0.1)

    assert await both(bridge, bridge, reply(in_response_to="msg_of_yesterday")) == (None, False)


async def test_what_cannot_be_said_in_the_answer_goes_by_the_api(node: Node) -> None:
    bridge = await node.bridge(secs=0.1)
    hold = await bridge.open(HELD)
    assert hold is not None

    assert await bridge.offer(reply(), lambda _: None) is False
    assert await hold.wait() is None


async def test_when_the_holder_has_died_the_sender_sends_by_itself(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.passive.PATIENCE_SECS", 0.1)
    bridge = await node.bridge()
    dead = await bridge.open(HELD)

    sent = await bridge.offer(reply(), said)

    assert sent is False
    assert dead is not None
    assert await dead.wait() is None, "a holder that was only slow must not answer it as well"


async def test_a_holder_whose_client_has_gone_leaves_the_reply_to_the_next_try(node: Node) -> None:
    bridge = await node.bridge()
    gone, again = await bridge.open(HELD, lambda: False), await bridge.open(HELD)
    assert gone is not None
    assert again is not None
    assert await gone.wait() is None

    async with asyncio.TaskGroup() as group:
        held = group.create_task(again.wait())
        sent = group.create_task(bridge.offer(reply(), said))

    assert (held.result(), sent.result()) == (b"hi from gh_1", True)


async def test_a_command_that_comes_again_learns_that_its_reply_went_out(node: Node) -> None:
    first, second = await node.bridge(), await node.bridge()
    await both(first, first, reply())

    assert await second.offer(reply(), said) is True


async def test_a_delivery_that_was_not_accepted_leaves_no_slot(node: Node) -> None:
    bridge = await node.bridge()
    hold = await bridge.open(HELD)
    assert hold is not None

    await hold.drop()

    assert await bridge.offer(reply(), said) is False
    again = await bridge.open(HELD)
    assert again is not None
    assert again.fresh


async def test_without_the_store_nothing_is_held_and_replies_go_by_the_api_at_once(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        bridge = Bridge(make_context(CHANNEL, tmp_path, http), secs=5, limit=10)  # its store was never opened

        began = time.monotonic()
        assert await bridge.open(HELD) is None
        assert await bridge.offer(reply(), said) is False

    assert time.monotonic() - began < 2


async def test_nothing_is_held_with_zero_seconds_or_beyond_the_limit(node: Node) -> None:
    hub: dict[str, object] = {}
    assert await (await node.bridge(secs=0)).open(HELD) is None
    bridge = await node.bridge(limit=1, hub=hub)
    first = await bridge.open(HELD)
    assert first is not None
    async with asyncio.TaskGroup() as group:
        held = group.create_task(first.wait())
        await asyncio.sleep(0)

        assert await bridge.open(Held(conversation="cnv_2", message="msg_2")) is None
        assert await bridge.offer(reply(), said) is True

    assert held.result() is not None
    assert await bridge.open(Held(conversation="cnv_2", message="msg_2")) is not None


async def test_one_customer_cannot_hold_more_than_a_few_requests(node: Node) -> None:
    bridge = await node.bridge(limit=100)

    holds = [await bridge.open(Held(conversation="cnv_1", message=f"msg_{number}")) for number in range(20)]

    assert sum(hold is not None for hold in holds) == 16


async def test_whatever_the_timing_a_reply_goes_out_in_exactly_one_way(node: Node) -> None:
    holder, sender = await node.bridge(secs=0.06, limit=100), await node.bridge()

    async def once(number: int) -> tuple[bytes | None, bool]:
        held = Held(conversation=f"cnv_{number}", message=f"msg_{number}", info={"us": str(number)})
        hold = await holder.open(held)
        assert hold is not None
        async with asyncio.TaskGroup() as group:
            wait = group.create_task(hold.wait())
            await asyncio.sleep(0.04 + number * 0.0008)
            sent = group.create_task(sender.offer(reply(number, conversation=f"cnv_{number}"), said))
        return wait.result(), sent.result()

    async with asyncio.TaskGroup() as group:
        outcomes = [group.create_task(once(number)) for number in range(50)]

    assert all((body is not None) == sent for body, sent in (task.result() for task in outcomes))
    assert {task.result()[1] for task in outcomes} == {True, False}, "both ways should have been met"
