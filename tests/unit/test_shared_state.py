"""What the workers and nodes of a channel share: values, leases, access tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.api import State
from connectors.errors import StateUnavailable, Unreachable
from connectors.leases import Lease
from connectors.shared_token import SharedToken
from dedup.embedded import EmbeddedDeduplicator
from gateway.state import ChannelState
from tests.clocks import Clock


class Issuer:
    """A provider that gives out access tokens, each of which voids the one before."""

    def __init__(self, *, fails: bool = False) -> None:
        self.given, self.fails = 0, fails

    async def __call__(self) -> tuple[str, float]:
        await asyncio.sleep(0)
        if self.fails:
            raise Unreachable("no answer")
        self.given += 1
        return f"token-{self.given}", 7200.0


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[EmbeddedDeduplicator]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db", clock=clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def state(store: EmbeddedDeduplicator) -> State:
    return ChannelState(store, "a")


async def test_channels_do_not_see_each_others_values(store: EmbeddedDeduplicator) -> None:
    first, second = ChannelState(store, "a"), ChannelState(store, "a:1")
    await first.put("1:x", b"one")
    await second.put("x", b"two")
    assert (await first.get("1:x"), await second.get("x"), await first.get("x")) == (b"one", b"two", None)


async def test_state_of_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    state = ChannelState(EmbeddedDeduplicator(tmp_path / "never-opened.db"), "a")
    for attempt in (state.get("k"), state.put("k", b""), state.swap("k", None, b"")):
        with pytest.raises(StateUnavailable):
            await attempt


async def test_a_lease_has_one_holder_until_it_is_given_back(state: State) -> None:
    first, second = Lease(state, "mailbox"), Lease(state, "mailbox")
    assert await first.take()
    assert await first.take()  # renewed
    assert not await second.take()
    await second.release()  # not its own
    assert not await second.take()
    await first.release()
    assert await second.take()


async def test_a_lease_that_is_not_renewed_passes_on(state: State, clock: Clock) -> None:
    first, second = Lease(state, "mailbox", secs=30), Lease(state, "mailbox", secs=30)
    assert await first.take()
    clock.now += 31
    assert await second.take()
    assert not await first.take()


async def test_work_goes_to_the_next_candidate_when_its_holder_ends(state: State) -> None:
    running: list[str] = []

    async def work(name: str) -> None:
        running.append(name)
        await asyncio.Event().wait()

    async def candidate(name: str) -> None:
        await Lease(state, "mailbox", secs=0.1).hold(lambda: work(name))

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        first = group.create_task(candidate("first"))
        while not running:
            await asyncio.sleep(0.01)
        second = group.create_task(candidate("second"))
        await asyncio.sleep(0.1)
        assert running == ["first"]
        first.cancel()
        while len(running) < 2:
            await asyncio.sleep(0.01)
        second.cancel()
    assert running == ["first", "second"]


async def test_work_is_given_up_when_the_lease_is_lost(state: State) -> None:
    given_up = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        holder = group.create_task(Lease(state, "mailbox", secs=0.09).hold(work))
        await asyncio.sleep(0.05)
        await state.put("lease:mailbox", b"somebody else")
        await given_up.wait()
        holder.cancel()


async def test_work_that_fails_gives_the_lease_back_and_says_why(state: State) -> None:
    async def work() -> None:
        raise Unreachable("the mail server hung up")

    with pytest.raises(Unreachable, match="hung up"):
        await Lease(state, "mailbox").hold(work)
    assert await Lease(state, "mailbox").take()


async def test_nodes_share_one_token(state: State, clock: Clock) -> None:
    issuer = Issuer()
    nodes = [SharedToken(state, "access", issuer, clock=clock) for _ in range(5)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(node.get()) for node in nodes for _ in range(3)]
    assert {one.result() for one in asked} == {"token-1"}
    assert issuer.given == 1


async def test_a_token_is_renewed_before_it_ends(state: State, clock: Clock) -> None:
    issuer = Issuer()
    token = SharedToken(state, "access", issuer, clock=clock)
    assert await token.get() == "token-1"
    clock.now += 7200 * 0.89
    assert await token.get() == "token-1"
    clock.now += 7200 * 0.02
    assert await token.get() == "token-2"
    assert token.expires == clock.now + 7200


async def test_a_refused_token_is_replaced_everywhere_once(state: State, clock: Clock) -> None:
    issuer = Issuer()
    first, second = (SharedToken(state, "access", issuer, clock=clock) for _ in range(2))
    old = await first.get()
    assert await second.get() == old
    for node in (first, second):
        node.refuse(old)
    assert (await first.get(), await second.get()) == ("token-2", "token-2")
    first.refuse(old)  # a late answer to a call with the old token
    assert await first.get() == "token-2"
    assert issuer.given == 2


async def test_without_the_store_a_node_fetches_for_itself(tmp_path: Path, clock: Clock) -> None:
    state = ChannelState(EmbeddedDeduplicator(tmp_path / "never-opened.db"), "a")
    issuer = Issuer()
    token = SharedToken(state, "access", issuer, clock=clock)
    assert await token.get() == "token-1"
    assert await token.get() == "token-1"


async def test_a_provider_that_fails_does_not_keep_the_lease(state: State, clock: Clock) -> None:
    with pytest.raises(Unreachable):
        await SharedToken(state, "access", Issuer(fails=True), clock=clock).get()
    assert await SharedToken(state, "access", Issuer(), clock=clock).get() == "token-1"
