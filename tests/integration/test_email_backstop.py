"""The guard that keeps machines from answering each other, with a real store behind it."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from connectors.api import Receipt
from connectors.email.backstop import HOUR, AnswersConfig, Backstop
from connectors.email.config import TrustConfig
from connectors.email.delivery import Inbox, Mail, Outcome
from connectors.email.keys import FILE, load_tokens
from connectors.email.threads import Threads
from connectors.email.trust import Trust
from connectors.errors import Misconfigured, Refused, Unreachable
from connectors.secrets import Secret
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from dedup.redis import RedisDeduplicator
from gateway.state import ChannelState
from normalizer import ids
from normalizer.codecs.email import EmailCodec
from normalizer.mail.threading import conversation_of
from normalizer.mail.tokens import Tokens
from normalizer.model import Address, ChannelRef, MessageParams, MessageRef
from normalizer.raw import Event, Outbound, RawEvent
from tests.contexts import make_context

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TOKENS = Tokens((b"0123456789abcdef",))
AUTOMATIC = {"email": {"auto": "true"}}


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_176_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def store_in(folder: Path) -> AsyncIterator[EmbeddedDeduplicator]:
    store = EmbeddedDeduplicator(folder / "dedup.db")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def guard(store: Deduplicator, channel: str = "support", clock: Clock | None = None, **limits: int) -> Backstop:
    return Backstop(
        ChannelState(store, channel),
        AnswersConfig(**limits),
        channel=channel,
        tokens=TOKENS,
        own=("support@shop.example", "*@help.shop.example"),
        clock=clock or Clock(),
    )


def outbound(number: int = 1, to: str = "ann@example.net", **fields: Any) -> Outbound:
    return Outbound(
        id=ids.message_id("support", "gateway:out", str(number)),
        channel=ChannelRef(id="support", type="email"),
        to=Address(scheme="mailto", value=to),
        parts=(),
        **fields,
    )


def mail(header: str = "", message_id: str = "1@example.net", author: str = "ann@example.net") -> bytes:
    return f"From: {author}\r\nMessage-ID: <{message_id}>\r\n{header}\r\n\r\nHello".encode()


async def test_an_automatic_mail_is_answered_by_nobody_but_a_human(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store)
        await backstop.observe(mail("Auto-Submitted: auto-replied\r\n"), "ann@example.net", ["support@shop.example"])
        answers = MessageRef(provider_id="1@example.net")
        by_our_id = ids.message_id("support", "", "1@example.net")

        for named in ({"reply_to": answers}, {"in_response_to": by_our_id}, {"conversation": "cnv_1"}):
            with pytest.raises(Refused, match="RFC 3834"):
                await backstop.check(outbound(metadata=AUTOMATIC, **named))
        await backstop.check(outbound(reply_to=answers))


async def test_the_answer_to_a_human_passes_although_the_last_mail_was_automatic(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store)
        await backstop.observe(mail("Auto-Submitted: auto-replied\r\n"), "ann@example.net", [])
        await backstop.observe(mail(message_id="2@example.net"), "ann@example.net", [])

        await backstop.check(outbound(metadata=AUTOMATIC, reply_to=MessageRef(provider_id="2@example.net")))


@pytest.mark.parametrize(
    ("header", "mail_from"),
    [
        ("", ""),
        ("List-Id: <users.lists.example>\r\n", "bounces@lists.example"),
        ("X-Spam-Flag: YES\r\n", "ann@example.net"),
        ("X-Loop: support@shop.example\r\n", "ann@example.net"),
        ("Subject: Out of Office: x\r\nIn-Reply-To: <9@shop.example>\r\n", "ann@example.net"),
    ],
)
async def test_every_kind_of_mail_that_no_machine_may_answer_is_remembered(
    tmp_path: Path, header: str, mail_from: str
) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store)
        await backstop.observe(mail(header), mail_from, ["support@shop.example"])

        with pytest.raises(Refused):
            await backstop.check(outbound(metadata=AUTOMATIC, reply_to=MessageRef(provider_id="1@example.net")))


@pytest.mark.parametrize(
    "to", ["Mailer-Daemon@mx.example", "postmaster@example.net", "Support+x@shop.example", "any@help.shop.example"]
)
async def test_no_automatic_mail_goes_to_mail_systems_or_to_ourselves(tmp_path: Path, to: str) -> None:
    async with store_in(tmp_path) as store:
        with pytest.raises(Refused):
            await guard(store).check(outbound(to=to, metadata=AUTOMATIC))
        await guard(store).check(outbound(to=to))


async def test_an_address_gets_no_more_than_its_share_of_an_hour_whoever_sends(tmp_path: Path) -> None:
    clock = Clock()
    async with store_in(tmp_path) as store:
        for number in range(3):
            await guard(store, clock=clock, per_hour=3).check(outbound(number, to="Ann@Example.net"))
            clock.now += 10
        with pytest.raises(Refused, match=r"3 mails within the hour.*answers\.per_hour"):
            await guard(store, clock=clock, per_hour=3).check(outbound(9))
        await guard(store, clock=clock, per_hour=3).check(outbound(9, to="bob@example.org"))

        clock.now += HOUR - 29
        await guard(store, clock=clock, per_hour=3).check(outbound(9))
        with pytest.raises(Refused):
            await guard(store, clock=clock, per_hour=3).check(outbound(10))


async def test_automatic_mails_have_a_smaller_share(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store, automatic_per_hour=2)
        for number in range(2):
            await backstop.check(outbound(number, metadata=AUTOMATIC))

        with pytest.raises(Refused, match=r"answers\.automatic_per_hour"):
            await backstop.check(outbound(9, metadata=AUTOMATIC))
        await backstop.check(outbound(9))


async def test_a_mail_that_is_tried_again_counts_once(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store, per_hour=1)
        for _ in range(5):
            await backstop.check(outbound(1))

        with pytest.raises(Refused):
            await backstop.check(outbound(2))


async def test_mails_at_the_same_moment_are_all_counted(redis_url: str) -> None:
    store = RedisDeduplicator(redis_url, timeout=5)
    await store.open()
    passed: list[int] = []

    async def send(number: int) -> None:
        with suppress(Refused):
            await guard(store, per_hour=4).check(outbound(number))
            passed.append(number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(send(number))
    finally:
        await store.close()

    assert len(passed) == 4


async def test_zero_is_no_limit(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        backstop = guard(store, per_hour=0, automatic_per_hour=0)
        for number in range(100):
            await backstop.check(outbound(number, metadata=AUTOMATIC))


async def test_without_the_store_a_human_is_not_kept_waiting_and_a_machine_is(tmp_path: Path) -> None:
    backstop = guard(EmbeddedDeduplicator(tmp_path / "dedup.db"))

    await backstop.check(outbound())
    with pytest.raises(Unreachable, match="try again"):
        await backstop.check(outbound(metadata=AUTOMATIC))


class Machine:
    """A gateway whose core answers every mail at once, and hides that it does."""

    def __init__(self, store: EmbeddedDeduplicator, name: str, per_hour: int) -> None:
        self.name, self.address, self.sent = name, f"desk@{name}.example", 0
        self.codec = EmailCodec(TOKENS)
        self.backstop = Backstop(
            ChannelState(store, name),
            AnswersConfig(per_hour=per_hour),
            channel=name,
            tokens=TOKENS,
            own=(self.address,),
            clock=Clock(),
        )

    async def answer(self, body: bytes, sender: str) -> bytes:
        await self.backstop.observe(body, sender, [self.address])
        raw = RawEvent(channel=ChannelRef(id=self.name, type="email"), kind="email", body=body, received_at=NOW)
        (received,) = self.codec.decode(raw)
        assert isinstance(received, Event)
        assert isinstance(received.params, MessageParams)
        answered = received.params.message
        await self.backstop.check(
            outbound(self.sent, to=sender, reply_to=MessageRef(id=answered.id, provider_id=answered.provider_id))
        )
        self.sent += 1
        return mail(
            f"In-Reply-To: <{answered.provider_id}>\r\n", f"{self.sent}@{self.name}.example", author=self.address
        )


async def test_two_gateways_that_answer_each_other_stop_after_the_configured_number(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        left, right = Machine(store, "left", 7), Machine(store, "right", 7)
        body, sender = mail(author=right.address), right.address
        with suppress(Refused):
            for _ in range(100):
                body = await left.answer(body, sender)
                body, sender = await right.answer(body, left.address), right.address

    assert (left.sent, right.sent) == (7, 7)


async def test_what_arrives_is_seen_by_the_guard_before_the_core(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store, aiohttp.ClientSession() as http:
        refused: list[str] = []
        backstop = guard(store)

        async def core(_: RawEvent) -> Receipt:
            answered = MessageRef(provider_id="1@example.net")
            try:
                await backstop.check(outbound(metadata=AUTOMATIC, reply_to=answered))
            except Refused as exc:
                refused.append(exc.code)
            return Receipt.ACCEPTED

        context = make_context(ChannelRef(id="support", type="email"), tmp_path, http, store=store)
        inbox = Inbox(context, core, Trust(TrustConfig()), backstop, EmailCodec())
        letter = Mail(body=mail("Precedence: bulk\r\n"), sender="ann@example.net", peer="192.0.2.7", helo="x", tls="")

        assert await inbox.deliver(letter, ["support@shop.example"]) is Outcome.ACCEPTED
        assert refused == ["refused"]


async def test_a_mail_is_taken_also_when_the_guard_cannot_remember_it(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:

        async def core(_: RawEvent) -> Receipt:
            return Receipt.ACCEPTED

        context = make_context(ChannelRef(id="support", type="email"), tmp_path, http)
        backstop = guard(EmbeddedDeduplicator(tmp_path / "dedup.db"))
        letter = Mail(body=mail("Precedence: bulk\r\n"), sender="", peer="192.0.2.7", helo="x", tls="")

        inbox = Inbox(context, core, Trust(TrustConfig()), backstop, EmailCodec())
        assert await inbox.deliver(letter, []) is Outcome.ACCEPTED


async def test_a_third_party_does_not_say_who_reads_the_next_answer(tmp_path: Path) -> None:
    codec = EmailCodec(TOKENS)
    conversation = conversation_of("support", "ann@example.net", "1@example.net")
    ours = TOKENS.message_id("support", conversation, outbound().id, "shop.example", to="ann@example.net")
    first = mail("Cc: bob@example.org\r\n")
    foreign = mail(f"In-Reply-To: {ours}\r\nCc: mallory@evil.example\r\n", "2@evil.example", "eve@evil.example")

    async with store_in(tmp_path) as store:
        threads = Threads(ChannelState(store, "support"), structlog.get_logger())
        for body in (first, foreign):
            raw = RawEvent(channel=ChannelRef(id="support", type="email"), kind="email", body=body, received_at=NOW)
            (received,) = codec.decode(raw)
            assert isinstance(received, Event)
            await threads.received(received)
        known = await threads.of(conversation)

    assert "2@evil.example" in known.ids
    assert known.others == ("bob@example.org",)


def test_the_key_of_a_data_directory_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    marker = load_tokens((), tmp_path).marker("support", "cnv_" + "0" * 32)
    path = tmp_path / FILE

    assert load_tokens((), tmp_path).find_marker(marker, "support") is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [FILE.name]


def test_a_line_on_top_of_the_file_replaces_the_key_and_the_old_one_still_counts(tmp_path: Path) -> None:
    old = load_tokens((), tmp_path).marker("support", "cnv_" + "0" * 32)
    path = tmp_path / FILE
    kept = path.read_text()
    path.write_text("ab" * 32 + "\n" + kept)

    assert load_tokens((), tmp_path).find_marker(old, "support") is not None
    assert load_tokens((), tmp_path).marker("support", "cnv_" + "0" * 32) != old
    path.write_text("ab" * 32 + "\n")
    assert load_tokens((), tmp_path).find_marker(old, "support") is None


def test_configured_keys_are_the_same_on_every_node_and_touch_no_file(tmp_path: Path) -> None:
    keys = (Secret("a new key of some length"), Secret("an old key of some length"))
    old = load_tokens(keys[1:], tmp_path / "a").marker("support", "cnv_" + "0" * 32)

    assert load_tokens(keys, tmp_path / "b").find_marker(old, "support") is not None
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "abcd\n", "no hexadecimal at all\n"])
def test_a_key_file_that_cannot_be_used_is_named_without_what_is_in_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_text(content)

    with pytest.raises(Misconfigured, match=r"signing\.keys") as caught:
        load_tokens((), tmp_path)
    assert content.strip() == "" or content.strip() not in str(caught.value)
