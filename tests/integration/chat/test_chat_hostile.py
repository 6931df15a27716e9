"""What clients do that mean harm, or are broken: closed or answered as documented, and nobody else notices."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from connectors.api import Receipt, Sink
from connectors.chat import desk, socket
from normalizer.raw import RawEvent
from tests.integration.chat.helpers import Office, Rejected, office

HELLO = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1}})
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(
    opcode: int, data: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = True, length: int | None = None
) -> bytes:
    """Write a frame byte by byte (RFC 6455 §5.2)."""
    size = len(data) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + data
    key = b"\x9a\x03\xc5\x71"  # fixed: test ids are made of frames, and every process of a run must make the same
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


class Raw:
    """A connection that was upgraded, and whose bytes the test writes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        await self.writer.drain()

    async def frames(self, found: list[tuple[int, bytes]] | None = None) -> list[tuple[int, bytes]]:
        """Read what the server sends until it closes, into `found`."""
        found = [] if found is None else found
        try:
            async with asyncio.timeout(20):
                while True:
                    head = await self.reader.readexactly(2)
                    size = head[1] & 0x7F
                    if size == 126:
                        (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                    elif size == 127:
                        (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                    found.append((head[0] & 0x0F, await self.reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return found

    async def close_code(self) -> int | None:
        """Read to the end; return the code of the close frame, None where there was none."""
        codes = [data[:2] for opcode, data in await self.frames() if opcode == CLOSE]
        return (struct.unpack("!H", codes[-1])[0] if codes[-1] else 1005) if codes else None


@asynccontextmanager
async def raw(it: Office, *, extensions: str = "") -> AsyncIterator[Raw]:
    """Open a WebSocket by hand."""
    port = it.channel.probe_port()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        "GET /chat/web/ws HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *([extensions] if extensions else []),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def alive(it: Office) -> None:
    """Make sure that somebody else is served."""
    async with it.visitor() as other:
        await other.say("still here", "c1")


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, origins=("https://shop.example",)) as made:
        yield made
        await alive(made)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"{}"), 1003),
        (frame(TEXT, b"x" * 65_537), 1009),
        (frame(TEXT, b"x", length=1 << 40), 1009),
        (frame(TEXT, b"x" * 40_000, fin=False) + frame(CONTINUATION, b"x" * 40_000), 1009),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, HELLO.encode(), mask=False), 1002),
        (frame(TEXT, HELLO.encode(), rsv=4), 1002),
        (frame(TEXT, HELLO.encode(), rsv=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(11, b""), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000)), 1000),
        (frame(CLOSE, b""), 1005),
    ],
)
async def test_frames_that_break_the_protocol_are_closed_with_the_right_code(
    bank: Office, data: bytes, code: int
) -> None:
    async with raw(bank) as client:
        await client.send(data)
        assert await client.close_code() == code


async def test_a_bomb_is_not_unpacked(bank: Office) -> None:
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(b"\0" * 200_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) > 65_536
    small = zlib.compressobj(wbits=-15)
    hidden = (small.compress(b" " * 20_000_000) + small.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(hidden) < 65_536
    for data in (bomb[:60_000], hidden):
        async with raw(bank, extensions="Sec-WebSocket-Extensions: permessage-deflate") as client:
            await client.send(frame(TEXT, data, rsv=4))
            assert await client.close_code() == 1009


async def test_what_is_no_deflate_is_closed(bank: Office) -> None:
    async with raw(bank, extensions="Sec-WebSocket-Extensions: permessage-deflate") as client:
        await client.send(frame(TEXT, b"\xff" * 30, rsv=4))
        assert await client.close_code() == 1002


async def test_packed_frames_are_understood_and_idle_connections_keep_no_packer(bank: Office) -> None:
    async with connect(bank.ws, proxy=None, compression=None, extensions=[ClientPerMessageDeflateFactory()]) as ws:
        (extension,) = ws.protocol.extensions
        assert extension.remote_no_context_takeover
        assert extension.local_no_context_takeover
        await ws.send(HELLO)
        assert "token" in json.loads(await ws.recv())["result"]["session"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/chat/web/ws", {"Origin": "https://evil.example"}, 403),
        ("/chat/web/ws", {"Origin": "null"}, 403),
        ("/chat/web/ws", {"Origin": "https://shop.example.evil.example"}, 403),
        ("/chat/web/ws", {"Origin": "https://shop.example"}, 101),
        ("/chat/web/ws", {"Origin": "http://127.0.0.1:8080"}, 101),
        ("/chat/web/ws", {}, 101),
        ("/chat/web/ws?token=x", {}, 101),
        ("/chat/other/ws", {}, 404),
        ("/chat/web/ws/", {}, 404),
        ("/chat/web", {}, 404),
        ("/", {}, 404),
        ("//chat/web/ws", {}, 404),
    ],
)
async def test_handshakes_are_refused_before_anything_else(
    bank: Office, path: str, headers: dict[str, str], status: int
) -> None:
    url = bank.ws.replace("/chat/web/ws", path)
    try:
        async with connect(url, proxy=None, additional_headers=headers) as ws:
            response = ws.response
    except InvalidStatus as exc:
        response = exc.response
    assert response is not None
    assert (response.status_code, response.headers["Server"]) == (status, "omnigate")
    assert bank.channel.sessions["ws"] <= 1


async def test_two_origins_are_none(bank: Office) -> None:
    headers = [("Origin", "https://shop.example"), ("Origin", "https://evil.example")]
    with pytest.raises(InvalidStatus):
        async with connect(bank.ws, proxy=None, additional_headers=headers):
            pass


async def test_the_subprotocol_is_spoken_by_who_offers_it(bank: Office) -> None:
    async with connect(bank.ws, proxy=None, subprotocols=["x", "omnigate.chat.1"]) as ws:  # type: ignore[list-item]
        assert ws.subprotocol == "omnigate.chat.1"
    async with connect(bank.ws, proxy=None) as ws:
        assert ws.subprotocol is None


def call(method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


BOTH = {"text": "x", "parts": [{"type": "text", "body": "x"}]}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("[" * 3000, -32600),
        ('{"params":' + "[" * 3000, -32700),
        (f"[{call('ping')}]", -32600),
        ('"ping"', -32600),
        ("{}", -32600),
        ('{"jsonrpc": "2.0", "id": 1, "result": {}}', -32600),
        ('{"jsonrpc": "2.0", "id": {}, "method": "ping"}', -32600),
        (call("eval"), -32601),
        (call("message.send", id="msg_1", text="x"), -32602),
        (call("message.send", id="a b", text="x"), -32602),
        (call("message.send", id="a\n", text="x"), -32602),
        (call("message.send", id="a", text=""), -32602),
        (call("message.send", id="a", **BOTH), -32602),
        (call("message.send", id="a", parts=[{"type": "text", "body": "x"}] * 17), -32602),
        (call("message.send", id="a", parts=[{"type": "system"}]), -32602),
        (call("message.edit", id="a", revision=0, text="x"), -32602),
        (call("ack", seq=2**53), -32602),
        (call("ack", seq=-1), -32602),
        (call("hello", protocol=2), -32602),
        (call("message.send", id="a", text="\ud800"), -32700),
    ],
)
async def test_calls_that_make_no_sense_are_answered(bank: Office, text: str, code: int) -> None:
    async with connect(bank.ws, proxy=None) as ws:
        await ws.send(HELLO)
        await ws.recv()
        await ws.send(text)
        told = json.loads(await ws.recv())
        assert told["error"]["code"] == code
        assert isinstance(told["error"]["data"]["retryable"], bool)
        await ws.send('{"jsonrpc": "2.0", "id": 2, "method": "ping"}')
        assert json.loads(await ws.recv()) == {"jsonrpc": "2.0", "id": 2, "result": {}}


async def test_who_speaks_nonsense_only_is_closed(bank: Office) -> None:
    async with bank.connected() as mallory:
        for _ in range(socket.FAULTS_MAX):
            await mallory.ws.send("nonsense")
        assert await mallory.close_code() == 1008


async def test_before_hello_nothing_is_done_and_not_for_long(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "HELLO_SECS", 0.3)
    async with bank.connected() as mallory:
        with pytest.raises(Rejected) as refused:
            await mallory.say("Hi", "c1")
        assert refused.value.code == -32021
        assert await mallory.close_code() == 1008
    async with bank.visitor() as ann:
        await asyncio.sleep(0.5)
        await ann.call("ping")


async def test_a_flood_is_refused_and_then_closed_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "REFUSALS_MAX", 20)
    async with office(tmp_path, calls_per_minute=30) as it, it.visitor() as ann, it.visitor() as mallory:
        codes: list[int] = []
        while mallory.ws.close_code is None:
            try:
                await mallory.say("x", f"c{len(codes)}")
                codes.append(0)
            except Rejected as exc:
                codes.append(exc.code)
            except (ConnectionClosed, asyncio.CancelledError):
                break
        assert set(codes) == {0, -32005}
        assert 15 <= codes.count(-32005) <= 20
        assert await mallory.close_code() == 1008
        await ann.say("me, too", "c1")


async def test_of_a_rush_so_many_calls_are_done_at_once_and_the_others_in_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "UNDER_WAY", 3)
    under_way = [0]

    def counted(sink: Sink) -> Sink:
        async def deliver(raw: RawEvent) -> Receipt:
            under_way.append(under_way[-1] + 1)
            try:
                return await sink(raw)
            finally:
                under_way.append(under_way[-1] - 1)

        return deliver

    async with office(tmp_path, through=counted) as it, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(it.visitor()) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            for visitor in crowd:
                for number in range(3):
                    group.create_task(visitor.say(f"message {number}", f"c{number}"))
        await it.event("message.received", 60)
    assert max(under_way) == 3


async def test_connections_are_limited_for_each_client_and_in_all(tmp_path: Path) -> None:
    async with office(tmp_path, max_connections=3, max_connections_per_ip=2, trusted_proxies=("127.0.0.1",)) as it:

        def behind(address: str) -> Any:
            return it.connected(additional_headers={"X-Forwarded-For": address})

        async with behind("192.0.2.1"), behind("192.0.2.1"):
            with pytest.raises(InvalidStatus) as each:
                async with behind("192.0.2.1"):
                    pass
            assert each.value.response.status_code == 429
            async with behind("2001:db8::1"):
                with pytest.raises(InvalidStatus) as all_:
                    async with behind("192.0.2.2"):
                        pass
                assert all_.value.response.status_code == 503
        await it.until(lambda: it.channel.sessions["ws"] == 0)
        async with behind("192.0.2.1"):
            pass


async def test_handshakes_that_fail_take_no_place(tmp_path: Path) -> None:
    async with office(tmp_path, max_connections=2) as it:
        for _ in range(10):
            async with it.http.get(it.ws.replace("ws:", "http:")) as response:
                assert response.status in {400, 426}
            reader, writer = await asyncio.open_connection("127.0.0.1", it.channel.probe_port())
            writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
        await alive(it)


async def test_a_client_that_does_not_read_is_let_go_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "WRITE_SECS", 0.3)
    async with office(tmp_path) as it:
        async with raw(it) as lazy, it.visitor() as ann:
            await lazy.send(frame(TEXT, HELLO.encode()))
            await it.until(lambda: it.channel.sessions["ws"] == 2)
            token = json.loads((await _one(lazy))[1])["result"]["session"]["token"]
            visitor = json.loads(_payload(token))["sub"]
            big = os.urandom(100_000).hex()
            for number in range(100):
                await it.send(visitor, big, id_=f"msg_{number:032x}")
            await ann.say("meanwhile", "c1")
            await it.until(lambda: it.channel.sessions["ws"] == 1)
        monkeypatch.undo()  # on a busy machine this one is slow, too
        async with it.visitor(token=token, after=0) as again:
            await again.until(100)


async def _one(client: Raw) -> tuple[int, bytes]:
    head = await client.reader.readexactly(2)
    size = head[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await client.reader.readexactly(2))
    return head[0] & 0x0F, await client.reader.readexactly(size)


def _payload(token: str) -> bytes:
    part = token.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_client_that_answers_no_ping_is_let_go(tmp_path: Path) -> None:
    async with office(tmp_path, ping_secs=1.0) as it, raw(it) as silent, it.visitor() as ann:
        await silent.send(frame(TEXT, HELLO.encode()))
        found = await silent.frames()
        assert PING in {opcode for opcode, _ in found}
        await ann.call("ping")


async def test_secrets_and_texts_do_not_reach_the_log(bank: Office, capfd: pytest.CaptureFixture[str]) -> None:
    async with bank.visitor() as ann:
        await ann.say("a very private text", "c1")
        token = ann.token
    async with bank.connected() as mallory:
        with pytest.raises(Rejected):
            await mallory.hello(token=token + "x")
    shown = "".join(capfd.readouterr())
    assert token not in shown
    assert "private" not in shown
