"""Workers share a listening socket so that each has its part of the connections; here they are in one process."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.web.address import bind
from gateway.web.door import ABSENT, SLACK, Door, Shared, Shares, shares_file


class Worker:
    """Has connections, as the public server does."""

    def __init__(self, sock: socket.socket, shares: Shares, index: int) -> None:
        self.open: set[asyncio.BaseTransport] = set()
        self.index, self.shares = index, shares
        self.door = Door(Shared(sock.dup(), shares, index), lambda: Client(self), lambda: len(self.open))

    @property
    def told(self) -> int:
        return self.shares[self.index]


class Client(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.worker.open.add(transport)
        self.worker.door.tell(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.open.discard(self.transport)
        self.worker.door.tell(self)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with bind("127.0.0.1:0") as sock:
        yield sock


@pytest.fixture
def shares() -> Iterator[Shares]:
    fd = shares_file(3)
    yield Shares(fd, 3)
    os.close(fd)


@asynccontextmanager
async def workers(sock: socket.socket, shares: Shares, count: int) -> AsyncIterator[list[Worker]]:
    made = [Worker(sock, shares, index) for index in range(count)]
    yield made
    for worker in made:
        worker.door.close()
        for transport in list(worker.open):
            transport.close()
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def clients(sock: socket.socket, count: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connect so many, all at once."""
    host, port = sock.getsockname()
    pairs = await asyncio.gather(*(asyncio.open_connection(host, port) for _ in range(count)))
    yield [writer for _, writer in pairs]
    for _, writer in pairs:
        writer.close()


@pytest.mark.parametrize("told", [True, False], ids=["length-told", "length-not-told"])
async def test_connections_that_come_all_at_once_are_shared_evenly(
    sock: socket.socket, shares: Shares, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    if not told:  # a system that does not tell how many wait
        monkeypatch.delattr(socket, "TCP_INFO")
    async with workers(sock, shares, 2) as (one, two):
        async with clients(sock, 64):
            await until(lambda: len(one.open) + len(two.open) == 64)
            assert abs(len(one.open) - len(two.open)) <= 2 * SLACK
            await until(lambda: (one.told, two.told) == (len(one.open), len(two.open)))
        await until(lambda: one.told == two.told == 0)


async def test_who_comes_later_gets_the_next_ones(sock: socket.socket, shares: Shares) -> None:
    async with workers(sock, shares, 1) as (one,), clients(sock, 10):
        await until(lambda: one.told == 10)
        late = Worker(sock, shares, 1)
        async with clients(sock, 8):
            await until(lambda: one.told + late.told == 18)
            assert late.told >= 8 - SLACK
        late.door.close()


@pytest.mark.parametrize(("others", "taken"), [(ABSENT, 200), (0, 100), (60, 130)])
async def test_who_waits_is_taken_at_once_as_far_as_it_is_this_workers_share(
    sock: socket.socket, shares: Shares, others: int, taken: int
) -> None:
    shares[1] = others
    async with clients(sock, 200), workers(sock, shares, 1) as (one,):
        for _ in range(3):  # turns of the loop; one for each connection would keep the last waiting for long
            await asyncio.sleep(0)
        assert one.told == taken
        await until(lambda: one.told == 200)


async def test_a_connection_that_begins_is_counted_once(sock: socket.socket, shares: Shares) -> None:
    async with clients(sock, 8), workers(sock, shares, 1) as (one,):
        told = set()
        while len(one.open) < 8:
            await asyncio.sleep(0)
            told.add(one.told)
        await until(lambda: one.told == 8)
        assert max(told) == 8  # whoever says it has more is given less of the next burst


async def test_a_worker_that_is_busy_for_a_moment_finds_its_share(
    sock: socket.socket, shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.door.PATIENCE_SECS", 60.0)
    shares[1] = 0
    async with clients(sock, 12), workers(sock, shares, 1) as (one,):
        await until(lambda: one.told == 6)
        await asyncio.sleep(0.02)  # it looks several times
        assert one.told == 6
        two = Worker(sock, shares, 1)
        await until(lambda: two.told == 6)
        two.door.close()


async def test_a_worker_that_is_stuck_keeps_nobody_waiting(sock: socket.socket, shares: Shares) -> None:
    shares[1] = 0  # it has fewest, and never takes one
    async with workers(sock, shares, 1) as (one,), clients(sock, 12):
        await until(lambda: one.told == 12)


async def test_who_is_gone_does_not_count(sock: socket.socket, shares: Shares) -> None:
    async with workers(sock, shares, 2) as (one, two):
        two.door.close()
        assert shares.fair(0, waiting=12) == 12
        assert two.told == ABSENT
        async with clients(sock, 12):
            await until(lambda: one.told == 12)
        two.door.close()  # once more does no harm


async def test_what_waits_is_not_lost_when_nobody_is_there_for_a_moment(sock: socket.socket, shares: Shares) -> None:
    async with clients(sock, 5) as writers, workers(sock, shares, 2) as (one, two):
        await until(lambda: one.told + two.told == 5)
        assert not any(writer.is_closing() for writer in writers)


async def test_without_file_descriptors_a_client_waits_until_there_are_some(
    sock: socket.socket, shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.door.FAILED_SECS", 0.02)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with workers(sock, shares, 1) as (one,), clients(sock, 1):
        await until(lambda: one.told == 1)
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, limits[1]))
            try:
                await asyncio.get_running_loop().sock_connect(client, sock.getsockname())
                await asyncio.sleep(0.1)
                assert one.told == 1
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            await until(lambda: one.told == 2)


async def test_a_socket_that_fails_for_a_while_is_looked_at_again(
    sock: socket.socket, shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.door.FAILED_SECS", 0.02)
    shares[1] = 0  # so that this worker steps back first, and fails when it returns
    async with workers(sock, shares, 1) as (one,), clients(sock, SLACK):
        await until(lambda: one.told == SLACK)
        sock.shutdown(socket.SHUT_RDWR)  # accept(2): EINVAL
        await asyncio.sleep(0.1)
        sock.listen()
        async with clients(sock, 2):
            await until(lambda: one.told == SLACK + 2)
