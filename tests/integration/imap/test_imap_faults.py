"""Cut connections, killed servers, lost stores, two readers: every mail arrives once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from connectors.api import Receipt
from connectors.email import imap
from connectors.errors import StateUnavailable
from dedup.embedded import EmbeddedDeduplicator
from tests.integration.imap.helpers import imap as options_of
from tests.integration.imap.helpers import mail, reading
from tests.servers.dovecot import Dovecot
from tests.servers.proxy import TcpProxy

MakeProxy = Callable[[int], Awaitable[TcpProxy]]


async def test_a_cut_connection_is_made_anew_and_told(dovecot: Dovecot, tmp_path: Path, make_proxy: MakeProxy) -> None:
    proxy = await make_proxy(dovecot.port)
    dovecot.add(mail(1))
    async with reading(tmp_path, options_of(dovecot, port=proxy.port)) as post:
        await post.accepted(1)
        proxy.cut()
        await post.until(lambda: any(down for _, _, down, _ in post.reports))
        dovecot.add(mail(2))
        proxy.resume()
        await post.accepted(2)
        told = [one for one in post.reports if one[0] == "imap"]
        assert told[-1] == ("imap", None, False, None)


async def test_a_connection_that_ends_after_a_while_is_made_anew_without_a_word(
    dovecot: Dovecot, tmp_path: Path, make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "STABLE_SECS", 0.0)
    monkeypatch.setattr(imap, "FIRST_SECS", 0.01)
    proxy = await make_proxy(dovecot.port)
    dovecot.add(mail(1))
    async with reading(tmp_path, options_of(dovecot, port=proxy.port)) as post:
        await post.accepted(1)
        proxy.reset()
        dovecot.add(mail(2))
        await post.accepted(2)
        assert not any(down for _, _, down, _ in post.reports)


async def test_a_connection_that_only_hangs_is_noticed(dovecot: Dovecot, tmp_path: Path, make_proxy: MakeProxy) -> None:
    proxy = await make_proxy(dovecot.port)
    async with reading(tmp_path, options_of(dovecot, port=proxy.port, idle_secs=0.2, timeout_secs=0.5)) as post:
        await post.until(lambda: post.reports)
        proxy.stall()
        await post.until(lambda: any(down for _, _, down, _ in post.reports))
        dovecot.add(mail(1))
        proxy.resume()
        await post.accepted(1)


@pytest.mark.parametrize("after", ["flag", "move"])
async def test_mails_arrive_once_while_the_connection_is_cut_again_and_again(
    dovecot: Dovecot, tmp_path: Path, make_proxy: MakeProxy, after: str
) -> None:
    proxy = await make_proxy(dovecot.port)
    dovecot.add(*(mail(number) for number in range(60)))
    async with reading(tmp_path, options_of(dovecot, port=proxy.port, after=after, retry_secs=0.02)) as post:
        for number in range(1, 12):
            await post.until(lambda: len(post.taken) >= 5 * number)  # noqa: B023
            proxy.reset()
            await asyncio.sleep(0.01 * (number % 3))
        await post.accepted(60)
        await post.until(
            lambda: (
                dovecot.count("Processed") == 60
                if after == "move"
                else all("$OmnigateHandled" in one.flags for one in dovecot.stored())
            )
        )
    assert sorted(post.subjects) == sorted(f"Question {number}" for number in range(60))
    assert Receipt.QUARANTINED not in post.receipts()


@pytest.mark.slow
async def test_mails_arrive_once_while_dovecot_is_killed_again_and_again(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(*(mail(number) for number in range(40)))
    async with reading(tmp_path, options_of(dovecot, retry_secs=0.05)) as post:
        for number in range(1, 5):
            await post.until(lambda: len(post.taken) >= 8 * number)  # noqa: B023
            await asyncio.to_thread(dovecot.restart)
        await post.accepted(40)
    assert sorted(post.subjects) == sorted(f"Question {number}" for number in range(40))


async def test_when_the_store_has_lost_its_data_the_mailbox_is_not_read_again(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path, options_of(dovecot, after="nothing")) as post:
        await post.accepted(2)
        await asyncio.sleep(0.1)
    for path in tmp_path.glob("dedup.db*"):
        path.unlink()
    dovecot.add(mail(3))
    async with reading(tmp_path, options_of(dovecot, after="nothing")) as again:
        await again.accepted(1)
    assert again.subjects == ["Question 3"]


async def test_a_node_that_takes_over_goes_on_where_the_other_was(dovecot: Dovecot, tmp_path: Path) -> None:
    store = EmbeddedDeduplicator(tmp_path / "shared.db")
    await store.open()
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path / "a", options_of(dovecot, after="nothing"), store=store) as post:
        await post.accepted(2)
        await asyncio.sleep(0.1)
    dovecot.add(mail(3))
    async with reading(tmp_path / "b", options_of(dovecot, after="nothing"), store=store) as other:
        await other.accepted(1)
    assert other.subjects == ["Question 3"]
    await store.close()


async def test_of_two_nodes_one_reads_and_the_other_follows_when_it_ends(dovecot: Dovecot, tmp_path: Path) -> None:
    store = EmbeddedDeduplicator(tmp_path / "shared.db")
    await store.open()
    dovecot.add(mail(1))
    options = options_of(dovecot, after="nothing", lease_secs=0.6)
    async with reading(tmp_path / "b", options, store=store) as second:
        async with reading(tmp_path / "a", options, store=store) as first:
            await second.until(lambda: first.taken or second.taken)
            holder, waiting = (first, second) if first.taken else (second, first)
            dovecot.add(mail(2))
            await holder.accepted(2)
            await asyncio.sleep(0.3)
            assert waiting.taken == []
            assert dovecot.logged("Login:")
            assert dovecot.log().count("Login:") == 1
        dovecot.add(mail(3))
        await second.until(lambda: "Question 3" in second.subjects)
        assert not set(second.subjects) & set(first.subjects)
    await store.close()


async def test_without_the_shared_store_nobody_reads(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1))
    away = EmbeddedDeduplicator(tmp_path / "never-opened.db")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 -- the channel ends by itself
        async with reading(tmp_path, options_of(dovecot), store=away) as post:
            await asyncio.sleep(5)
            raise AssertionError(post.taken)
    assert caught.group_contains(StateUnavailable)
    assert "Login:" not in dovecot.log()
