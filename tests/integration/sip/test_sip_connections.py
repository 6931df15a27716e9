"""Connections by TCP and TLS: more than PJSIP has places for, from those who say nothing, and from strangers."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.sip.child import door
from connectors.sip.child.door import Door
from tests.servers.phone import Phone, up
from tests.sip.agent import Agent
from tests.sip.line import running

MANY = 100
BACKLOG = 5
KNOWN, STRANGE = "127.0.0.2", "127.0.0.3"


def connect(stack: ExitStack, port: int, count: int, source: str = KNOWN) -> list[socket.socket]:
    """Knock, without waiting for anybody to open."""
    made = []
    for _ in range(count):
        one = socket.socket()
        one.bind((source, 0))
        one.setblocking(False)  # noqa: FBT003 -- the only way to say it
        assert one.connect_ex(("127.0.0.1", port)) == errno.EINPROGRESS
        made.append(stack.enter_context(one))
    return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


class House:
    """A listening socket behind a door, and somebody who takes all who wait, as PJSIP does."""

    def __init__(self, *, busy: list[str] | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)  # noqa: FBT003 -- as above
        self.port: int = self.listener.getsockname()[1]
        self.inside: list[socket.socket] = []
        self.most_at_once = self.thrown = 0
        self._news, self._others = socket.socketpair()
        self.door = Door(
            [self.port],
            also=self._news.fileno(),
            known=lambda host: host != STRANGE,
            busy=lambda: busy or [],
            thrown=self._threw,
        )

    def _threw(self) -> None:
        self.thrown += 1

    def _handle(self, _: int) -> None:
        for one in list(self.inside):
            with suppress(BlockingIOError):
                if not one.recv(100, socket.MSG_DONTWAIT):
                    self.inside.remove(one)
                    one.close()
        before = len(self.inside)
        with suppress(BlockingIOError):
            while True:
                self.inside.append(self.listener.accept()[0])
        self.most_at_once = max(self.most_at_once, len(self.inside) - before)

    def run(self, enough: Callable[[], object]) -> None:
        """Let it work until there is enough."""
        for _ in range(2000):
            self.work(1)
            if enough():
                return
        raise AssertionError(f"not enough: {len(self.inside)} inside, {self.thrown} thrown out")

    def work(self, turns: int) -> None:
        """Let it work for a moment."""
        for _ in range(turns):
            self.door.turn(self._handle, 10)

    def close(self) -> None:
        self.door.close()
        for one in [*self.inside, self.listener, self._news, self._others]:
            one.close()


def house(stack: ExitStack, *, busy: list[str] | None = None) -> House:
    made = House(busy=busy)
    stack.callback(made.close)
    assert made.door.works
    return made


def test_no_more_come_in_than_there_are_places(stack: ExitStack) -> None:
    full = house(stack)
    for _ in range(MANY // 5):
        connect(stack, full.port, 5)
        full.work(5)
    assert door.PLACES <= len(full.inside) <= door.PLACES + BACKLOG
    assert full.most_at_once <= BACKLOG + 1


def test_those_who_come_all_at_once_are_let_in_by_handfuls(stack: ExitStack) -> None:
    full = house(stack)
    connect(stack, full.port, MANY)
    full.work(20)
    assert 0 < full.most_at_once <= BACKLOG + 1


def test_places_of_those_who_left_are_free_a_while_later(stack: ExitStack) -> None:
    full = house(stack)
    while len(full.inside) < door.PLACES:
        connect(stack, full.port, 1)
        full.work(2)
    for one in full.inside:
        one.shutdown(socket.SHUT_RDWR)
    full.run(lambda: not full.inside)
    connect(stack, full.port, 1)
    full.work(20)
    assert not full.inside, "PJSIP still has the places of those who left"
    full.run(lambda: full.inside)


def test_who_says_nothing_makes_room_unless_he_has_a_call(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SILENT_SECS", 0.3)
    callers: list[str] = []
    full = house(stack, busy=callers)
    (calling,) = connect(stack, full.port, 1)
    callers.append("{}:{}".format(*calling.getsockname()))
    full.run(lambda: full.inside)
    for _ in range(MANY // 5):
        connect(stack, full.port, 5)
        full.work(5)
    full.run(lambda: full.thrown > 5)
    assert any(one.getpeername() == calling.getsockname() for one in full.inside)


def test_strangers_are_thrown_out_first_and_at_once(stack: ExitStack) -> None:
    full = house(stack)
    for source in (KNOWN, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE):
        connect(stack, full.port, 5, source)
        full.work(5)
        connect(stack, full.port, 5, source)
        full.work(5)
    full.run(lambda: full.thrown >= 20)
    assert sum(one.getpeername()[0] == KNOWN for one in full.inside) == 10


async def test_a_hundred_connections_at_once_harm_no_call(
    tmp_path: Path, stack: ExitStack, certificate: dict[str, str]
) -> None:
    options: dict[str, Any] = {
        "transports": ["udp", "tcp", "tls"],
        "tls": {**certificate, "port": 0},
        "transcribe": False,
    }
    async with running(tmp_path, **options) as line, Phone() as phone:
        assert line.connector._pool is not None
        ports, pids = line.connector._pool.processes[0].ports, line.pids()
        leg = await up(await phone.dial(f"sip:100@127.0.0.1:{line.port}"))
        for _ in range(3):  # those of the round before have just left: PJSIP still has their places
            knocking = [*connect(stack, ports["tcp"], MANY), *connect(stack, ports["tls"], MANY)]
            for number, one in enumerate(knocking):
                with suppress(OSError):
                    one.send(os.urandom(100)[: number % 3 * 50])
            await asyncio.sleep(1.2)
            for one in knocking:
                one.close()
        with Agent(line.port) as agent:
            assert await asyncio.to_thread(agent.options) == 200
        assert line.pids() == pids
        assert leg.state == "up"
        await leg.hang_up()
