"""Visitors who come and go: nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connectors.secrets import Secret
from tests.integration.chat.helpers import Office, Rejected, office


async def test_what_was_missed_comes_first_in_order_and_then_what_is_new(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        await shop.send(ann.id, "0")
        seen = (await ann.until(2))[-1]["seq"]
    for number in range(1, 250):  # more than one page of the store
        await shop.send(ann.id, f"{number}")
    async with shop.visitor(token=ann.token, after=seen) as again:
        assert again.session["session"]["resumed"]
        assert again.id == ann.id
        await shop.send(ann.id, "250")
        told = await again.until(250)
        assert again.messages() == [f"{number}" for number in range(1, 251)]
        seqs = [one["seq"] for one in told]
        assert seqs == sorted(set(seqs))
        assert seqs[0] > seen


async def test_without_after_nothing_old_is_pushed(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        await shop.send(ann.id, "old")
        await ann.until(2)
    async with shop.visitor(token=ann.token) as again:
        await shop.send(ann.id, "new")
        await again.until(1)
        assert again.messages() == ["new"]
        assert again.session["seq"] == (await again.call("history"))["events"][1]["params"]["seq"]


async def test_after_zero_gives_everything(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
    async with shop.visitor(token=ann.token, after=0) as again:
        await again.until(1)
        assert again.messages() == ["Hi"]


async def test_a_gap_is_told(tmp_path: Path) -> None:
    async with office(tmp_path, keep_secs=0.3) as shop:
        async with shop.visitor() as ann:
            seen = (await ann.say("Hi", "c1"))["seq"]
        await shop.send(ann.id, "lost")
        await asyncio.sleep(0.4)
        await shop.send(ann.id, "kept")
        async with shop.visitor(token=ann.token, after=seen) as again:
            assert again.session["gap"]
            await again.until(1)
            assert again.messages() == ["kept"]
            assert not (await shop.poller().hello(token=ann.token))["gap"]


async def test_no_gap_is_told_when_nothing_is_missing(shop: Office) -> None:
    async with shop.visitor() as ann:
        seen = (await ann.say("Hi", "c1"))["seq"]
        await shop.send(ann.id, "one")
    async with shop.visitor(token=ann.token, after=seen) as again:
        assert not again.session["gap"]


async def test_saying_hello_again_on_a_connection_goes_on_with_another_conversation(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        first = ann.id
        await ann.until(1)
        await ann.hello()
        assert ann.id != first
        await shop.send(first, "to the first")
        await shop.send(ann.id, "to the second")
        await ann.until(2)
        assert ann.messages() == ["Hi", "to the second"]


async def test_a_restart_says_when_to_come_back_and_takes_nothing_with_it(tmp_path: Path) -> None:
    async with office(tmp_path) as shop, shop.visitor() as ann:
        await ann.say("Hi", "c1")
        shop.channel.dismiss()
        (hint,) = await ann.until(1, "reconnect")
        assert 0 <= hint["after_ms"] <= 3000
        assert await ann.close_code() == 1012
    async with office(tmp_path) as shop, shop.visitor(token=ann.token, after=0) as again:
        await again.until(1)
        assert again.messages() == ["Hi"]
        assert (await again.say("Hi", "c1"))["duplicate"]


async def test_a_channel_that_stops_closes_with_1012(tmp_path: Path) -> None:
    async with office(tmp_path) as shop, shop.visitor() as ann:
        shop.stop()
        assert await ann.close_code() == 1012


@pytest.mark.parametrize("kind", ["redis", "embedded"])
async def test_an_answer_given_on_one_node_reaches_a_visitor_on_another(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("redis_url") if kind == "redis" else None
    folders = (tmp_path / "one", tmp_path / "two") if url else (tmp_path, tmp_path)  # nodes, or workers of one
    async with (
        office(folders[0], redis_url=url) as one,
        office(folders[1], redis_url=url) as two,
        one.visitor() as ann,
        one.visitor() as stranger,
    ):
        await ann.say("Hi", "c1")
        await two.send(ann.id, "from the other node")
        await two.perform("typing.send", to=ann.id)
        await two.perform("presence.send", status="online")
        await ann.until(2)
        await ann.until(1, "typing")
        await ann.until(1, "presence")
        await stranger.until(1, "presence")
        assert ann.messages() == ["Hi", "from the other node"]
        assert stranger.messages() == []


async def test_a_visitor_with_a_tab_on_each_node_sees_the_same_in_both(tmp_path: Path, redis_url: str) -> None:
    key = Secret("a-key-of-the-tests-with-32-letters")
    async with (
        office(tmp_path / "one", redis_url=redis_url, token_key=key) as one,
        office(tmp_path / "two", redis_url=redis_url, token_key=key) as two,
        one.visitor() as ann,
        two.visitor(token=ann.token) as tab,
    ):
        await ann.say("from here", "c1")
        await tab.say("from there", "c2")
        assert (await tab.say("from here", "c1"))["duplicate"]
        for each in (ann, tab):
            await each.until(2)
            assert each.messages() == ["from here", "from there"]


async def test_a_token_of_another_key_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path / "one") as one, office(tmp_path / "two") as two, one.visitor() as ann:
        with pytest.raises(Rejected) as refused:
            await two.poller().hello(token=ann.token)
        assert (refused.value.code, refused.value.data["reason"]) == (-32020, "invalid")
