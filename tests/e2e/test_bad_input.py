"""What the open internet sends: the answers of the table, nothing told, nothing growing, and the good are served."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest

from tests.servers.gateway import GatewayProcess, telegram_headers, telegram_update

SECRET = "a-secret-of-the-shop"
SHOP = """
[channels.shop]
kind = "webhook"
verify = { scheme = "hmac", header = "X-Signature", secret = "env:SHOP_SECRET" }
[channels.shop.receive]
each = "messages"
id = "id"
sender = "from"
scheme = "tel"
text = "text"
"""
HTTP = "header_timeout_secs = 1.0\nbody_timeout_secs = 1.0\n"
WORDS = "a customer's own words"
DEEP = 100_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(
        tmp_path_factory.mktemp("bad-input") / "gateway",
        channels=SHOP,
        sections={"http": HTTP},
        env={"SHOP_SECRET": SECRET},
    )
    try:
        yield made.start()
    finally:
        made.stop()


def signed(body: bytes) -> dict[str, str]:
    return {"X-Signature": hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()}


def order(number: int | str, text: str = "hello") -> bytes:
    return json.dumps({"messages": [{"id": f"o-{number}", "from": "+4930123", "text": text}]}).encode()


def headers_for(channel: str, body: bytes) -> dict[str, str]:
    return telegram_headers() if channel == "tg" else signed(body)


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"<xml>a customer's own words</xml>",
    "half JSON": b'{"update_id": 1, "message": {"text": "a customer\'s own words',
    "no object": b"[1, 2, 3]",
    "a number": b"1e999999",
    "null": b"null",
    "wrong types": b'{"update_id": [], "message": "x", "messages": "y"}',
    "deeper wrong types": b'{"update_id": 5, "message": {"message_id": {}, "chat": []}, "messages": 7}',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"m":' * DEEP + b"1" + b"}" * DEEP,
    "depth without end": b"[" * (4 * DEEP),
    "invalid UTF-8": b'{"update_id": 1, "messages": [{"id": "\xff\xfe\xc0\x80"}]}',
    "UTF-16": '{"update_id": 1}'.encode("utf-16"),
    "NUL bytes": b"\x00" * 5_000,
    "a long number": b'{"update_id": ' + b"9" * 50_000 + b', "messages": ' + b"9" * 50_000 + b"}",
    "a lone surrogate": b'{"update_id": "\\ud800", "messages": "\\ud800"}',
}


@pytest.mark.parametrize(("channel", "answer"), [("tg", 200), ("shop", 400)])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_nobody_understands(gateway: GatewayProcess, channel: str, answer: int, body: bytes) -> None:
    before = gateway.total("gateway_quarantined_messages_total") + gateway.total("gateway_duplicate_messages_total")
    status, told = gateway.post(f"/c/{channel}", body, headers_for(channel, body))

    assert (status, told) == (answer, b"" if answer == 200 else b"malformed_payload")
    after = gateway.total("gateway_quarantined_messages_total") + gateway.total("gateway_duplicate_messages_total")
    assert after - before == (answer == 200), "a provider that repeats is told 200, and the bytes are kept"


ODD_BUT_READABLE = {
    "an object without anything": b"{}",
    "no items": b'{"messages": []}',
    "one item of wrong types": b'{"messages": {"id": {"x": 5}, "from": [], "text": 7}}',
    "items that are none": b'{"messages": [1, null, "x", [], {}]}',
}


@pytest.mark.parametrize("body", ODD_BUT_READABLE.values(), ids=ODD_BUT_READABLE)
@pytest.mark.parametrize("channel", ["tg", "shop"])
def test_a_body_that_is_readable_but_odd_never_fails(gateway: GatewayProcess, channel: str, body: bytes) -> None:
    assert gateway.post(f"/c/{channel}", body, headers_for(channel, body))[0] in {200, 400}


@pytest.mark.parametrize(
    ("channel", "headers"),
    [
        ("tg", {}),
        ("tg", {"X-Telegram-Bot-Api-Secret-Token": "wrong"}),
        ("tg", {"X-Telegram-Bot-Api-Secret-Token": ""}),
        ("tg", {"X-Telegram-Bot-Api-Secret-Token": "\xff\xfe"}),
        ("shop", {}),
        ("shop", {"X-Signature": "00"}),
        ("shop", {"X-Signature": "0" * 64}),
        ("shop", {"X-Signature": "not hex \xe4"}),
        ("shop", {"X-Signature": "sha256=" + "0" * 64}),
        ("shop", {"X-Signature": "0" * 8_000}),
    ],
)
def test_who_is_not_authentic_is_refused(gateway: GatewayProcess, channel: str, headers: dict[str, str]) -> None:
    before = gateway.total("gateway_refused_deliveries_total", channel=channel, code="unauthorized")
    status, told = gateway.post(f"/c/{channel}", order("forged", WORDS), headers)

    assert (status, told) == (401, b"unauthorized")
    assert gateway.total("gateway_refused_deliveries_total", channel=channel, code="unauthorized") == before + 1


async def test_a_secret_beside_a_wrong_one_proves_nothing(gateway: GatewayProcess) -> None:
    right = b"X-Telegram-Bot-Api-Secret-Token: " + telegram_headers()["X-Telegram-Bot-Api-Secret-Token"].encode()
    wrong = b"X-Telegram-Bot-Api-Secret-Token: wrong"
    for lines, status in (((right,), 200), ((right, wrong), 401), ((wrong, right), 401)):
        head = b"\r\n".join([b"POST /c/tg HTTP/1.1", b"Host: gw", b"Content-Length: 2", *lines])
        assert await raw(gateway, head + b"\r\n\r\n{}") == status


@pytest.mark.parametrize("path", ["/c/nobody", "/c/", "/", "/c/tg%00", "/c/../../etc/passwd", "/metrics", "/api"])
def test_what_is_not_there_is_404(gateway: GatewayProcess, path: str) -> None:
    assert gateway.post(path, b"{}", telegram_headers())[0] == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
async def test_a_wrong_method_is_405(gateway: GatewayProcess, method: str) -> None:
    head = f"{method} /c/tg HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n".encode()
    assert await raw(gateway, head) == (400 if method == "BREW" else 405)


@pytest.mark.parametrize(
    "path",
    [
        "/media/",
        "/media/../../../etc/passwd",
        "/media/..%2f..%2f..%2fetc%2fpasswd",
        "/media/%00",
        "/media/" + "0" * 64,
        "/media/" + "0" * 64 + "?exp=99999999999&sig=" + "0" * 64,
        "/media/" + "0" * 64 + "?exp=NaN&sig=%ff",
        "/media/" + "0" * 64 + "?exp=" + "9" * 5_000 + "&sig=",
    ],
)
async def test_a_forged_media_link_shows_nothing(gateway: GatewayProcess, path: str) -> None:
    assert await raw(gateway, f"GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode()) in {403, 404}


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_100_mb_are_refused_long_before_their_end(gateway: GatewayProcess, chunked: bool) -> None:  # noqa: FBT001
    process = psutil.Process(gateway.pid)
    before = process.memory_info().rss
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 104857600"
    sent = 0
    async with connection(gateway) as (reader, writer):
        writer.write(f"POST /c/tg HTTP/1.1\r\nHost: gw\r\n{length}\r\n\r\n".encode())
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            answer = group.create_task(reader.readline())
            piece = b"x" * 65_536
            while not answer.done() and sent < 104_857_600:
                writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)

    assert b" 413 " in answer.result()
    assert sent < 20_000_000
    assert process.memory_info().rss - before < 20_000_000


async def test_thousands_of_bad_requests_leave_nothing_behind(gateway: GatewayProcess) -> None:
    process = psutil.Process(gateway.pid)
    large = b'{"update_id": "' + b"x" * 900_000
    requests = [("tg", body) for body in BAD_BODIES.values()] + [("shop", body) for body in BAD_BODIES.values()]
    requests += [("nobody", b"{}"), ("shop", large), ("tg", b"x" * 2_000_000)]

    async def flood(rounds: int) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60), asyncio.TaskGroup() as group:
            for start in range(8):
                group.create_task(attack(session, requests[start:] + requests[:start], rounds))

    async def attack(session: aiohttp.ClientSession, mine: list[tuple[str, bytes]], rounds: int) -> None:
        for _ in range(rounds):
            for channel, body in mine:
                try:
                    async with session.post(
                        f"{gateway.url}/c/{channel}", data=io.BytesIO(body), headers=headers_for(channel, body)
                    ) as answer:
                        assert answer.status in {200, 400, 404, 413}
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                    assert len(body) > 1_000_000, "only a body that is too large is cut off"

    await flood(2)
    open_files, before = process.num_fds(), process.memory_info().rss
    await flood(4)

    assert process.memory_info().rss - before < 25_000_000
    assert process.num_fds() <= open_files + 20


async def test_hundreds_of_slow_clients_are_cut_off_while_others_are_served(gateway: GatewayProcess) -> None:
    half_headers = b"POST /c/tg HTTP/1.1\r\nHost: gw\r\nX-Slow: "
    half_body = b"POST /c/tg HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n{"

    async def loris(beginning: bytes) -> bytes:
        async with connection(gateway) as (reader, writer):
            writer.write(beginning)
            try:
                async with asyncio.timeout(30):
                    while not reader.at_eof() and not writer.is_closing():
                        await asyncio.sleep(0.2)
                        writer.write(b"y")
                    return await reader.read()
            except ConnectionError:
                return b""

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        slow = [group.create_task(loris(beginning)) for beginning in [half_headers, half_body] * 150]
        number = 0
        while not all(task.done() for task in slow):
            number += 1
            assert await asyncio.to_thread(gateway.post_update, telegram_update(10_000 + number)) == 200
            await asyncio.sleep(0.01)

    assert number > 3
    assert {task.result()[:12] for task in slow} <= {b"", b"HTTP/1.1 408"}


async def test_half_requests_and_clients_that_vanish_are_no_event(gateway: GatewayProcess) -> None:
    body = json.dumps(telegram_update(20_001)).encode()
    head = b"POST /c/tg HTTP/1.1\r\nHost: gw\r\nX-Telegram-Bot-Api-Secret-Token: %s\r\nContent-Length: %d\r\n\r\n"
    whole = head % (telegram_headers()["X-Telegram-Bot-Api-Secret-Token"].encode(), len(body)) + body
    before = gateway.total("gateway_received_messages_total", channel="tg")
    for cut in range(1, len(whole), 7):
        async with connection(gateway) as (_, writer):
            writer.write(whole[:cut])
            await writer.drain()
            if cut % 2:
                writer.transport.abort()
    assert gateway.total("gateway_received_messages_total", channel="tg") == before

    assert await raw(gateway, whole) == 200
    assert gateway.total("gateway_received_messages_total", channel="tg") == before + 1


async def test_after_all_that_the_good_are_served_the_books_balance_and_nothing_was_told(
    gateway: GatewayProcess,
) -> None:
    number = 30_000
    assert gateway.post_update(telegram_update(number, text=WORDS)) == 200
    assert gateway.post("/c/shop", order(number, WORDS), signed(order(number, WORDS)))[0] == 200
    assert gateway.post("/c/shop", b"{", signed(b"{"))[0] == 400
    gateway.post("/c/tg", b"{ " + WORDS.encode(), telegram_headers())

    seen = gateway.cli("tail", "--from-start", "--channel", "shop", "--method", "message.received", "--count", "1")
    assert seen.returncode == 0
    assert json.loads(seen.stdout)["params"]["message"]["text"] == WORDS
    received, rows = gateway.books()
    assert received == sum(rows.values())
    assert gateway.ready()
    logs = gateway.logs()
    assert "Traceback" not in logs
    assert '"exception"' not in logs
    assert not [line for line in logs.splitlines() if '"level": "error"' in line]
    assert WORDS not in logs
    assert SECRET not in logs


async def test_no_answer_names_the_software_or_its_version(gateway: GatewayProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for url in (f"{gateway.url}/c/tg", f"{gateway.url}/", gateway.admin_url, f"{gateway.admin_url}/healthz"):
            async with session.get(url) as answer:
                assert answer.headers["Server"] == "omnigate"


@asynccontextmanager
async def connection(gateway: GatewayProcess) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def raw(gateway: GatewayProcess, data: bytes) -> int:
    """Send these bytes; return the status of the answer."""
    async with connection(gateway) as (reader, writer), asyncio.timeout(20):
        writer.write(data)
        return int((await reader.readline()).split()[1])
