"""A mailbox and `omnigate run`: killed at every stage of a fetch, with 5 000 mails waiting, with one of 50 MB."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.rig import empty_queue
from tests.servers.dovecot import PASSWORD, USER, Dovecot
from tests.servers.gateway import GatewayProcess
from tests.servers.tripwire import Tripwire

pytestmark = pytest.mark.slow

MIB = 1_048_576
STAGES: dict[str, tuple[Literal["client", "server"], bytes]] = {
    "before the login": ("client", b"AUTHENTICATE"),
    "before the fetch": ("client", b"BODY.PEEK[]"),
    "during the fetch": ("server", b"Question 7"),
    "after the receipts, before the flags": ("client", b"UID STORE"),
    "after the flags, before the position is kept": ("server", b"OK Store"),
}


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    server = Dovecot()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
async def wire(dovecot: Dovecot) -> AsyncIterator[Tripwire]:
    async with Tripwire(dovecot.port).serve() as proxy:
        yield proxy


def channel(port: int, **options: object) -> str:
    known = {"host": "127.0.0.1", "port": port, "tls": "none", "user": USER, "password": "env:IMAP_PASSWORD"}
    known |= {"poll_secs": 1.0, "idle_secs": 5.0, "lease_secs": 1.0, "retry_secs": 0.2, **options}
    shown = ", ".join(f'{name} = "{one}"' if isinstance(one, str) else f"{name} = {one}" for name, one in known.items())
    return f'[channels.box]\nkind = "email"\nimap = {{ {shown} }}\n'


def mail(number: int, *, text: bytes = b"hello", message_id: bool = True) -> bytes:
    own = b"Message-ID: <%d@customer.example>\r\n" % number if message_id else b""
    header = b"From: Ann <ann%d@customer.example>\r\nSubject: Question %d\r\n" % (number % 97, number)
    return header + own + b"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n\r\n" + text + b"\r\n"


async def subjects(rabbit_url: str) -> list[str]:
    """Take the messages out of the queue."""
    found = await empty_queue(rabbit_url)
    return [
        params["message"]["subject"] for params in found if params["channel"]["id"] == "box" and "message" in params
    ]


async def until(condition: Callable[[], object], secs: float) -> None:
    async with asyncio.timeout(secs):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


def memory(gateway: GatewayProcess, name: str) -> int:
    """Bytes the gateway has now (VmRSS), or had at most (VmHWM)."""
    lines = Path(f"/proc/{gateway.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


async def test_killed_at_every_stage_of_a_fetch_every_mail_arrives_once(
    dovecot: Dovecot, wire: Tripwire, make_gateway: Callable[..., GatewayProcess], rabbit_url: str
) -> None:
    sent = 0

    def add(count: int) -> None:
        nonlocal sent
        dovecot.add(*(mail(number, message_id=number % 2 == 0) for number in range(sent, sent + count)))
        sent += count

    options: dict[str, Any] = {"broker": rabbit_url, "env": {"IMAP_PASSWORD": PASSWORD}}
    add(10)
    side, word = next(iter(STAGES.values()))
    wire.arm(side, word)
    gateway = await asyncio.to_thread(lambda: make_gateway(channels=channel(wire.port), **options))
    for side, word in [*STAGES.values()][1:]:
        await asyncio.wait_for(wire.tripped.wait(), 90)
        await asyncio.to_thread(gateway.kill9)
        wire.disarm()
        add(5)
        wire.arm(side, word)
        await asyncio.to_thread(gateway.restart)
    await asyncio.wait_for(wire.tripped.wait(), 90)
    await asyncio.to_thread(gateway.kill9)
    wire.disarm()
    await asyncio.to_thread(gateway.restart)
    await until(lambda: all("$OmnigateHandled" in one.flags for one in dovecot.stored()), 90)
    assert Counter(await subjects(rabbit_url)) == Counter(f"Question {number}" for number in range(sent))


@pytest.mark.timeout(600)
async def test_five_thousand_waiting_mails_arrive_once_in_bounded_memory(
    dovecot: Dovecot, make_gateway: Callable[..., GatewayProcess], rabbit_url: str
) -> None:
    empty = await asyncio.to_thread(
        lambda: make_gateway(channels=channel(dovecot.port, folder="Drafts"), env={"IMAP_PASSWORD": PASSWORD})
    )
    before = memory(empty, "VmHWM")
    empty.stop()
    dovecot.add(*(mail(number, text=b"x" * 5_000) for number in range(5_000)))
    gateway = await asyncio.to_thread(
        lambda: make_gateway(channels=channel(dovecot.port), broker=rabbit_url, env={"IMAP_PASSWORD": PASSWORD})
    )
    await until(lambda: gateway.total("gateway_published_messages_total", channel="box") >= 5_000, 480)
    await until(lambda: all(flags(dovecot)), 60)
    assert memory(gateway, "VmHWM") - before < 32 * MIB
    assert Counter(await subjects(rabbit_url)) == Counter(f"Question {number}" for number in range(5_000))


@pytest.mark.parametrize(("limit", "most"), [(36_700_160, 24), (60_000_000, 300)])
async def test_a_mail_of_fifty_megabytes_arrives_once_in_bounded_memory(
    dovecot: Dovecot, make_gateway: Callable[..., GatewayProcess], rabbit_url: str, limit: int, most: int
) -> None:
    """Above the limit it is streamed to disk; below, it is in memory up to five times."""
    large = b"From: a@b.example\r\nSubject: Large\r\nMessage-ID: <large@b.example>\r\nMIME-Version: 1.0\r\n"
    large += b'Content-Type: multipart/mixed; boundary="zz"\r\n\r\n--zz\r\n\r\nThe film is attached.\r\n--zz\r\n'
    large += b"Content-Type: video/mp4\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 18 + b"\r\n"
    large += (b"QUJD" * 18 + b"\r\n") * (50_000_000 // 74) + b"--zz--\r\n"
    dovecot.add(mail(1))
    gateway = await asyncio.to_thread(
        lambda: make_gateway(
            channels=f"{channel(dovecot.port)}max_bytes = {limit}\n",
            broker=rabbit_url,
            env={"IMAP_PASSWORD": PASSWORD},
        )
    )
    await until(lambda: all("\\Seen" in one.flags for one in dovecot.stored()), 90)
    before = memory(gateway, "VmRSS")
    dovecot.add(large, mail(2))
    await until(lambda: dovecot.log() and flags(dovecot) == [True] * 3, 120)
    grown = memory(gateway, "VmHWM") - before
    assert Counter(await subjects(rabbit_url)) == Counter(["Question 1", "Large", "Question 2"])
    assert grown < most * MIB


def flags(dovecot: Dovecot) -> list[bool]:
    """Tell of each mail whether it was seen, without fetching it."""
    with dovecot.client() as client:
        client.select(readonly=True)
        answer = client.uid("FETCH", "1:*", "(FLAGS)")[1]
        return [b"\\Seen" in one for one in answer if isinstance(one, bytes)]
