"""The port that providers deliver to, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from connectors.api import Delivery, HttpConnector, Reply, Sent, Sink
from gateway.settings.model import HttpSection
from gateway.web import public
from gateway.web.public import Endpoint, PublicServer
from normalizer.codecs.api import Codec
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.raw import Outbound

LIMIT = 100_000
GOOD = b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\n{}"


class Shop:
    """A channel that keeps what it is given; it can be stopped, and made to fail."""

    codec: Codec = DeclarativeCodec(None, None)

    def __init__(self, name: str = "shop") -> None:
        self.name, self.taken = name, list[Delivery]()
        self.open, self.arrived = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> Sent:
        return Sent()

    async def handle(self, delivery: Delivery) -> Reply:
        self.arrived.set()
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        self.taken.append(delivery)
        return Reply(body=self.name.encode())


class Answer:
    """A response, read to its end."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, _ = lines[0].split(" ", 2)
        self.status, self.body = int(status), body
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *data: bytes) -> None:
        for piece in data:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
            size = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            return Answer(head, await self.reader.readexactly(int(size[0].split(b":")[1])) if size else b"")

    async def ask(self, *data: bytes) -> Answer:
        await self.send(*data)
        return await self.answer()

    async def closed(self) -> bool:
        """Wait until the other side has closed; tell whether it said nothing more."""
        async with asyncio.timeout(20):
            try:
                return not await self.reader.read()
            except ConnectionError:
                return True


class Lab:
    """A server with one channel, and clients for it."""

    def __init__(self, server: PublicServer, endpoints: dict[str, Endpoint], stack: AsyncExitStack) -> None:
        self.server, self.endpoints, self._stack = server, endpoints, stack
        self.port = int(server.address.rpartition(":")[2])

    @property
    def shop(self) -> Shop:
        connector = self.endpoints["shop"].connector
        assert isinstance(connector, Shop)
        return connector

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._stack.callback(writer.close)
        return Client(reader, writer)

    async def ask(self, *data: bytes) -> Answer:
        """Ask on a connection of its own."""
        client = await self.connect()
        try:
            return await client.ask(*data)
        finally:
            client.writer.close()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Lab]:
    """Serve the channel `shop` and ``/media/``."""

    async def media(delivery: Delivery) -> Reply:
        return Reply(status=403, body=delivery.path.encode())

    endpoints = {"shop": Endpoint(Shop(), LIMIT)}
    section = HttpSection(**{"listen": "127.0.0.1:0", **options})
    server = PublicServer(section, endpoints, {"/media/": media})
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.close, 0.1)
        yield Lab(server, endpoints, stack)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with serving() as made:
        yield made


def post(body: bytes = b"{}", *headers: str, path: str = "/c/shop", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: gw", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def test_the_channel_of_these_tests_is_one() -> None:
    assert isinstance(Shop(), HttpConnector)


async def test_a_delivery_arrives_as_it_was_sent(lab: Lab) -> None:
    answer = await lab.ask(post(b'{"a": 1}', "X-Sign: abc", "X-Twice: 1", "x-twice: 2", path="/c/shop/in?b=%20c&b=d"))

    assert (answer.status, answer.body) == (200, b"shop")
    (delivery,) = lab.shop.taken
    assert (delivery.method, delivery.path, delivery.url) == ("POST", "in", "/c/shop/in?b=%20c&b=d")
    assert (delivery.query, delivery.body, delivery.remote) == ({"b": " c"}, b'{"a": 1}', "127.0.0.1")
    assert delivery.headers["x-sign"] == "abc"
    assert delivery.headers["x-twice"] == "1, 2"


async def test_a_body_in_pieces_and_in_chunks_is_put_together(lab: Lab) -> None:
    client = await lab.connect()
    whole = post(b"x" * 70_000)
    for start in range(0, len(whole), 9_999):
        await client.send(whole[start : start + 9_999])
        await asyncio.sleep(0.001)
    assert (await client.answer()).status == 200

    chunked = b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await client.ask(chunked, b"3\r\nabc\r\n", b"4;x=y\r\ndefg\r\n", b"0\r\n\r\n")).status == 200
    assert [delivery.body for delivery in lab.shop.taken] == [b"x" * 70_000, b"abcdefg"]


async def test_requests_in_a_row_are_answered_in_order(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(*(post(str(number).encode()) for number in range(40)))

    for _ in range(40):
        assert (await client.answer()).status == 200
    assert [int(delivery.body) for delivery in lab.shop.taken] == list(range(40))


async def test_an_old_client_is_answered_and_the_connection_closed(lab: Lab) -> None:
    client = await lab.connect()
    answer = await client.ask(post(version="1.0"))

    assert answer.status == 200
    assert await client.closed()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("POST /", 404),
        ("GET /favicon.ico", 404),
        ("POST /c", 404),
        ("POST /c/", 404),
        ("POST /c/nobody", 404),
        ("POST /c/../c/shop", 404),
        ("POST /c/%2e%2e/shop", 404),
        ("POST /c//shop", 404),
        ("POST /C/shop", 404),
        ("POST /c/shop%00", 404),
        ("GET http://gw/", 404),
        ("OPTIONS *", 404),
        ("CONNECT gw:443", 404),
        ("PUT /c/shop", 405),
        ("DELETE /c/shop", 405),
        ("TRACE /c/shop", 405),
        ("OPTIONS /c/shop", 405),
        ("GET /media/../../etc/passwd", 403),
        ("GET /media/..%2f..%2fetc%2fpasswd", 403),
        ("GET /media/%00", 403),
    ],
)
async def test_what_is_not_there_is_refused(lab: Lab, line: str, status: int) -> None:
    answer = await lab.ask(f"{line} HTTP/1.1\r\nHost: gw\r\n\r\n".encode())

    assert answer.status == status
    assert answer.headers.get("allow") == ("GET, HEAD, POST" if status == 405 else None)
    assert not lab.shop.taken


HEAD = b"POST /c/shop HTTP/1.1\r\nHost: gw\r\n"
HIDDEN = b"POST /c/shop?hidden HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n"
BAD_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n\r\n",
    "noise": bytes(range(1, 255)) * 4 + b"\r\n\r\n",
    "version 9": b"POST /c/shop HTTP/9.9\r\nHost: gw\r\n\r\n",
    "a method of 9000 letters": b"P" * 9_000 + b" /c/shop HTTP/1.1\r\n\r\n",
    "a path of 9000 letters": b"POST /c/" + b"s" * 9_000 + b" HTTP/1.1\r\n\r\n",
    "a header of 9000 letters": HEAD + b"X: " + b"x" * 9_000 + b"\r\n\r\n",
    "1000 headers": HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(1_000)) + b"\r\n",
    "NUL in a header": HEAD + b"X: a\x00b\r\n\r\n",
    "a header without colon": HEAD + b"nonsense\r\n\r\n",
    "a blank before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + HIDDEN,
    "a length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a length with a sign": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length in hex": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of 2^80": HEAD + b"Content-Length: 1208925819614629174706176\r\n\r\n{}",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "an unknown transfer encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked, but not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a chunk size that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "a chunk size of 2^80": HEAD + b"Transfer-Encoding: chunked\r\n\r\n100000000000000000000\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "gzip that is none": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("data", BAD_HTTP.values(), ids=BAD_HTTP)
async def test_what_is_no_sound_http_is_refused_without_a_word_too_many(
    lab: Lab, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await lab.connect()
    answer = await client.ask(data)

    assert answer.status == 400
    assert answer.body in {b"bad request", b"the body is broken"}
    assert await client.closed(), "a request hidden behind it was answered"
    assert not lab.shop.taken
    assert not [line for line in capsys.readouterr().out.splitlines() if "[debug" not in line]
    assert (await lab.ask(GOOD)).status == 200


async def test_nothing_is_told_about_the_software(lab: Lab) -> None:
    requests = [GOOD, b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", post(b"", path="/c/nobody")]
    for data in requests:
        assert (await lab.ask(data)).headers["server"] == "omnigate"


async def test_a_body_announced_too_large_is_refused_before_it_is_sent(lab: Lab) -> None:
    answer = await lab.ask(b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nContent-Length: 104857600\r\n\r\n")

    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert str(LIMIT).encode() in answer.body


async def test_chunks_are_read_no_further_than_the_limit(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(*[b"2000\r\n" + b"x" * 0x2000 + b"\r\n"] * (LIMIT // 0x2000 + 1))

    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_whoever_sends_on_after_a_refusal_still_reads_the_answer(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nContent-Length: 20000000\r\n\r\n", *[b"x" * 200_000] * 100)

    assert (await client.answer()).status == 413


async def test_a_compressed_body_counts_as_large_as_it_really_is(lab: Lab) -> None:
    small, large = gzip.compress(b"[1]"), gzip.compress(bytes(50_000_000))

    assert (await lab.ask(post(small, "Content-Encoding: gzip"))).status == 200
    assert len(large) < LIMIT
    assert (await lab.ask(post(large, "Content-Encoding: gzip"))).status == 413
    assert [delivery.body for delivery in lab.shop.taken] == [b"[1]"]


async def test_whoever_asks_before_sending_is_told_to_go_on(lab: Lab) -> None:
    client = await lab.connect()
    first = await client.ask(b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    second = await client.ask(b"{}")
    third = await client.ask(
        b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
    )

    assert (first.status, second.status, third.status) == (100, 200, 413)


async def test_bodies_of_all_clients_together_have_a_limit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "BUFFERED_MAX", 150_000)
    whole = post(b"x" * 90_000)
    first, second = await lab.connect(), await lab.connect()
    await first.send(whole[:80_000])
    await asyncio.sleep(0.05)

    refused = await second.ask(whole[:89_000])
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (await first.ask(whole[80_000:])).status == 200
    assert (await lab.ask(whole)).status == 200


async def test_a_client_that_never_ends_its_headers_is_cut_off_while_others_are_served() -> None:
    async with serving(header_timeout_secs=0.3) as lab:
        silent = [await lab.connect() for _ in range(20)]
        slow = [await lab.connect() for _ in range(20)]

        async def drip(client: Client) -> bool:
            for byte in HEAD + b"X: y\r\n" * 500:
                if client.reader.at_eof() or client.writer.is_closing():
                    break
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            return await client.closed()

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            cut = [group.create_task(client.closed()) for client in silent]
            cut += [group.create_task(drip(client)) for client in slow]
            served = 0
            while not all(task.done() for task in cut):
                assert (await lab.ask(GOOD)).status == 200
                served += 1

        assert served
        assert all(task.result() for task in cut)


async def test_a_body_that_does_not_come_in_time_is_refused_while_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(public, "LINGER_SECS", 0.2)
    async with serving(body_timeout_secs=0.3) as lab:
        slow = [await lab.connect() for _ in range(20)]
        for client in slow:
            await client.send(post(b"x" * 100)[:-50])

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            answers = [group.create_task(client.answer()) for client in slow]
            while not all(task.done() for task in answers):
                assert (await lab.ask(GOOD)).status == 200

        assert {task.result().status for task in answers} == {408}
        assert all([await client.closed() for client in slow])


async def test_a_client_that_goes_away_in_the_middle_leaves_no_trace(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    for cut in range(1, len(GOOD), 5):
        client = await lab.connect()
        await client.send(GOOD[:cut])
        await asyncio.sleep(0.002)  # it is being read
        client.writer.close()
        await client.writer.wait_closed()
    assert (await lab.ask(GOOD)).status == 200

    assert len(lab.shop.taken) == 1
    assert not [line for line in capsys.readouterr().out.splitlines() if "[debug" not in line]


async def test_a_client_that_does_not_wait_for_the_answer_has_delivered_all_the_same(lab: Lab) -> None:
    lab.shop.open.clear()
    client = await lab.connect()
    await client.send(GOOD)
    await lab.shop.arrived.wait()
    client.writer.transport.abort()
    await asyncio.sleep(0.02)
    lab.shop.open.set()
    await asyncio.sleep(0.02)

    assert len(lab.shop.taken) == 1


async def test_beyond_the_limit_the_longest_idle_connection_makes_room() -> None:
    async with serving(max_connections=3) as lab:
        clients = [await lab.connect() for _ in range(3)]
        for client in clients:
            assert (await client.ask(GOOD)).status == 200
        assert (await clients[0].ask(GOOD)).status == 200  # now the second is idle longest

        assert (await lab.ask(GOOD)).status == 200
        assert await clients[1].closed()
        assert (await clients[0].ask(GOOD)).status == 200
        assert (await clients[2].ask(GOOD)).status == 200


async def test_with_no_connection_idle_a_new_one_is_told_to_come_back() -> None:
    async with serving(max_connections=3) as lab:
        lab.shop.open.clear()
        busy = [await lab.connect() for _ in range(3)]
        for client in busy:
            lab.shop.arrived.clear()
            await client.send(GOOD)
            await lab.shop.arrived.wait()

        late = await lab.connect()
        refused = await late.answer()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert await late.closed()

        lab.shop.open.set()
        assert [(await client.answer()).status for client in busy] == [200, 200, 200]
        assert (await lab.ask(GOOD)).status == 200


async def test_a_fault_of_ours_is_answered_without_its_details(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.shop.fault = RuntimeError("/etc/secret")
    answer = await lab.ask(GOOD)

    assert (answer.status, answer.body) == (500, b"internal error")
    assert "request_failed" in capsys.readouterr().out


async def test_a_channel_replaced_while_a_body_comes_in_takes_the_delivery(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(GOOD[:-1])
    await asyncio.sleep(0.02)
    old = lab.shop
    old.fault = RuntimeError("halted")
    lab.endpoints["shop"] = Endpoint(Shop("new"), LIMIT)

    answer = await client.ask(GOOD[-1:])
    assert (answer.status, answer.body) == (200, b"new")
    assert not old.taken


async def test_a_channel_removed_while_a_body_comes_in_is_unknown(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(GOOD[:-1])
    await asyncio.sleep(0.02)
    del lab.endpoints["shop"]

    assert (await client.ask(GOOD[-1:])).status == 404


async def test_at_the_end_open_connections_get_one_more_answer() -> None:
    async with serving() as lab:
        idle, busy = await lab.connect(), await lab.connect()
        assert (await idle.ask(GOOD)).headers.get("connection") is None
        lab.shop.open.clear()
        lab.shop.arrived.clear()
        await busy.send(GOOD)
        await lab.shop.arrived.wait()
        lab.server.stop_listening()
        lab.shop.open.set()

        assert (await busy.answer()).headers["connection"] == "close"
        last = await idle.ask(GOOD)
        assert (last.status, last.headers["connection"]) == (200, "close")
        with pytest.raises(OSError, match=r"refused|failed"):
            await lab.connect()


async def test_closing_waits_for_what_is_under_way() -> None:
    async with serving() as lab:
        client = await lab.connect()
        lab.shop.open.clear()
        await client.send(GOOD)
        await lab.shop.arrived.wait()
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(lab.server.close(10))
            await asyncio.sleep(0.05)
            assert not closing.done()
            lab.shop.open.set()

        assert (await client.answer()).status == 200
        assert await client.closed()


async def test_who_connects_to_an_address_that_is_only_bound_is_served_later() -> None:
    endpoints: dict[str, Endpoint] = {}
    server = PublicServer(HttpSection(listen="127.0.0.1:0"), endpoints, {})
    server.bind()
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        PublicServer(HttpSection(listen=server.address), endpoints, {}).bind()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    early = Client(reader, writer)
    await early.send(GOOD)
    endpoints["shop"] = Endpoint(Shop(), LIMIT)
    await server.start()
    try:
        assert (await early.answer()).status == 200
    finally:
        writer.close()
        await server.close(0.1)


async def test_a_proxy_is_believed_where_it_is_trusted() -> None:
    header = "X-Forwarded-For: 203.0.113.9"
    async with serving(trusted_proxies=("127.0.0.0/8",)) as lab:
        await lab.ask(post(b"{}", header))
        assert lab.shop.taken[0].remote == "203.0.113.9"
    async with serving() as lab:
        await lab.ask(post(b"{}", header))
        assert lab.shop.taken[0].remote == "127.0.0.1"


async def test_bytes_above_ascii_in_a_header_reach_the_channel_unharmed(lab: Lab) -> None:
    assert (await lab.ask(HEAD + b"X: \xff\xfe\xc0\r\nContent-Length: 2\r\n\r\n{}")).status == 200
    assert lab.shop.taken[0].headers["x"].encode("utf-8", "surrogateescape") == b"\xff\xfe\xc0"
