"""The cases of the Autobahn test suite's fuzzing client, against the port of a chat.

The suite itself (https://github.com/crossbario/autobahn-testsuite) runs on Python 2.7 only, which no Debian has any
more, and wants a server that echoes: `make autobahn` runs it where there is a Python 2.7. This is what everybody runs:
its cases by their numbers, written byte by byte, against a chat that is at work. Whatever is a text is answered, by a
result or an error, as the suite's is echoed. Where the suite calls an answer *non-strict* or leaves it open, what is
expected here is what the library `websockets` does:

* after a frame that breaks the protocol nothing is answered, not even what came before it in the same instant;
* invalid UTF-8 in a fragmented message is told when the message ends (6.4);
* a close between two fragments is answered by 1002 (7.1.5), where the suite wants the code echoed;
* binary messages are closed with 1003, because this protocol has none.
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.chat.helpers import Office, office
from tests.integration.chat.test_chat_hostile import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HELLO,
    PING,
    PONG,
    TEXT,
    Raw,
    alive,
    frame,
    raw,
)

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
END = frame(CLOSE, struct.pack("!H", 1000))


class Case(NamedTuple):
    """One case.

    Attributes:
        number: in the suite.
        chunks: what is written, each chunk by itself.
        code: of the close frame that answers.
        texts: messages that are answered before.
        pongs: payloads of these.
        extensions: line of the handshake.
    """

    number: str
    chunks: Sequence[bytes]
    code: int
    texts: int = 0
    pongs: tuple[bytes, ...] = ()
    extensions: str = ""


def octets(data: bytes) -> list[bytes]:
    """Cut it into single bytes."""
    return [data[at : at + 1] for at in range(len(data))]


def padded(length: int) -> bytes:
    """Make a text of this length that is answered."""
    return HELLO.encode().ljust(length)


def text(data: bytes, **options: bool) -> bytes:
    return frame(TEXT, data, **options)


def more(data: bytes, **options: bool) -> bytes:
    return frame(CONTINUATION, data, **options)


def framing() -> Iterable[Case]:
    for number, length in enumerate((125, 126, 127, 128, 65_535, 65_536), 2):
        yield Case(f"1.1.{number}", [text(padded(length)), END], 1000, texts=1)
    whole = text(padded(65_536))
    yield Case("1.1.1", [text(b""), END], 1000, texts=1)
    yield Case("1.1.8", [*(whole[at : at + 997] for at in range(0, len(whole), 997)), END], 1000, texts=1)
    for number, length in enumerate((0, 125, 65_536), 1):
        yield Case(f"1.2.{number}", [frame(BINARY, b"\xfe" * length)], 1003)


def pings() -> Iterable[Case]:
    for number, payload in (("2.1", b""), ("2.2", b"Hello"), ("2.3", b"\x00\xff\xfe"), ("2.4", b"\xfe" * 125)):
        yield Case(number, [frame(PING, payload), END], 1000, pongs=(payload,))
    yield Case("2.5", [frame(PING, b"\xfe" * 126), END], 1002)
    yield Case("2.6", [*octets(frame(PING, b"\xfe" * 125)), END], 1000, pongs=(b"\xfe" * 125,))
    yield Case("2.7", [frame(PONG, b""), END], 1000)
    yield Case("2.8", [frame(PONG, b"nobody asked"), END], 1000)
    yield Case("2.9", [frame(PONG, b"nobody asked"), frame(PING, b"but I do"), END], 1000, pongs=(b"but I do",))
    payloads = tuple(b"payload-%d" % number for number in range(10))
    ten = [frame(PING, payload) for payload in payloads]
    yield Case("2.10", [*ten, END], 1000, pongs=payloads)
    yield Case("2.11", [*octets(b"".join(ten)), END], 1000, pongs=payloads)


def reserved() -> Iterable[Case]:
    for rsv in range(1, 8):
        for opcode, name in ((TEXT, "text"), (PING, "ping"), (PONG, "pong"), (CLOSE, "close"), (BINARY, "binary")):
            yield Case(f"3.{rsv} {name}", [frame(opcode, b"", rsv=rsv), frame(PING, b"")], 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"4 opcode {opcode}", [frame(opcode, b""), frame(PING, b"")], 1002)
        words = frame(opcode, b"reserved opcode payload") + frame(PING, b"")
        yield Case(f"4 opcode {opcode} with payload", [words], 1002)
        yield Case(f"4 opcode {opcode} with payload by octets", octets(words), 1002)


def fragments() -> Iterable[Case]:
    hello = HELLO.encode()
    parts = [hello[:20], hello[20:]]
    two = [text(parts[0], fin=False), more(parts[1])]
    between = [two[0], frame(PING, b"between"), two[1]]
    yield Case("5.1", [frame(PING, b"half", fin=False), more(b"other half")], 1002)
    yield Case("5.2", [frame(PONG, b"half", fin=False), more(b"other half")], 1002)
    for number, chunks in (("5.3", [b"".join(two)]), ("5.4", two), ("5.5", octets(b"".join(two)))):
        yield Case(number, [*chunks, END], 1000, texts=1)
    for number, chunks in (("5.6", [b"".join(between)]), ("5.7", between), ("5.8", octets(b"".join(between)))):
        yield Case(number, [*chunks, END], 1000, texts=1, pongs=(b"between",))
    for number, fin in (("5.9", True), ("5.12", False)):
        alone = [more(b"nothing to go on with", fin=fin), text(hello)]
        yield Case(number, [b"".join(alone)], 1002)
        yield Case(f"{number} by frames", alone, 1002)
        yield Case(f"{number} by octets", octets(b"".join(alone)), 1002)
    yield Case("5.15", [b"".join([*two, more(b"x", fin=False), text(hello)])], 1002)
    for number, first in (("5.16", False), ("5.17", True)):
        yield Case(number, [more(b"x", fin=first), text(b"y", fin=False), more(b"z")] * 2, 1002)
    yield Case("5.18", [text(b"fragment1", fin=False), text(b"fragment2")], 1002)
    pieces = [hello[at : at + 15] for at in range(0, len(hello), 15)]
    long = [text(pieces[0], fin=False)]
    for number, piece in enumerate(pieces[1:], 1):
        long += [frame(PING, b"pongme %d" % number), more(piece, fin=number == len(pieces) - 1)]
    asked = tuple(b"pongme %d" % number for number in range(1, len(pieces)))
    yield Case("5.19", [b"".join(long), END], 1000, texts=1, pongs=asked)
    yield Case("5.20", [*long, END], 1000, texts=1, pongs=asked)


GREEK = "Hello-µ@ßöäüàá-UTF-8!!".encode()
VALID = {
    "6.5": "κόσμε".encode(),
    "6.6": b"\xf4\x8f\xbf\xbf",
    "6.7": "\0 \u0080 \u0800 \U00010000".encode(),
    "6.9": "\x7f \u07ff \uffff \U0010ffff".encode(),
    "6.11": "\ud7ff \ue000 \ufffd \U0010ffff".encode(),
    "6.22": "\ufffe \uffff \U0001fffe \U0010ffff".encode(),
    "6.23": "\ufff9 \ufffa \ufffb \ufffc \ufffd".encode(),
}
INVALID = {
    "6.3": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    "6.6.2": b"\xce",
    "6.6.3": b"\xce\xba\xe1\xbd",
    "6.8.1": b"\xf8\x88\x80\x80\x80",
    "6.8.2": b"\xfc\x84\x80\x80\x80\x80",
    "6.10.1": b"\xf7\xbf\xbf\xbf",
    "6.10.2": b"\xfb\xbf\xbf\xbf\xbf",
    "6.10.3": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "6.11.5": b"\xf4\x90\x80\x80",
    "6.12.1": b"\x80",
    "6.12.2": b"\xbf",
    "6.12.8": bytes(range(0x80, 0xC0)),
    "6.13.1": b" ".join(bytes([one]) for one in range(0xC0, 0xE0)),
    "6.13.2": b" ".join(bytes([one]) for one in range(0xE0, 0xF0)),
    "6.13.3": b" ".join(bytes([one]) for one in range(0xF0, 0xF8)),
    "6.14.1": b"\xc0",
    "6.14.2": b"\xe0\x80",
    "6.14.3": b"\xf0\x80\x80",
    "6.14.6": b"\xdf",
    "6.14.7": b"\xef\xbf",
    "6.15": b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf",
    "6.16.1": b"\xfe",
    "6.16.2": b"\xff",
    "6.17.1": b"\xc0\xaf",
    "6.17.2": b"\xe0\x80\xaf",
    "6.17.3": b"\xf0\x80\x80\xaf",
    "6.18.1": b"\xc1\xbf",
    "6.18.2": b"\xe0\x9f\xbf",
    "6.18.3": b"\xf0\x8f\xbf\xbf",
    "6.19.1": b"\xc0\x80",
    "6.19.2": b"\xe0\x80\x80",
    "6.20.1": b"\xed\xa0\x80",
    "6.20.7": b"\xed\xbf\xbf",
    "6.21.1": b"\xed\xa0\x80\xed\xb0\x80",
    "6.21.8": b"\xed\xaf\xbf\xed\xbf\xbf",
}


def utf8() -> Iterable[Case]:
    yield Case("6.1.1", [text(b""), END], 1000, texts=1)
    yield Case("6.1.2", [text(b"", fin=False), more(b"", fin=False), more(b""), END], 1000, texts=1)
    yield Case("6.1.3", [text(b"", fin=False), more(HELLO.encode(), fin=False), more(b""), END], 1000, texts=1)
    for number, data in {"6.2": GREEK, **VALID}.items():
        yield Case(number, [text(data), END], 1000, texts=1)
        yield Case(f"{number} cut in two", [text(data[:1], fin=False), more(data[1:]), END], 1000, texts=1)
        yield Case(f"{number} by octets", [*_singly(data), END], 1000, texts=1)
    for number, data in INVALID.items():
        yield Case(number, [text(b"valid " + data + b" valid")], 1007)
        yield Case(f"{number} at the end", [text(b"valid " + data)], 1007)
        yield Case(f"{number} by octets", _singly(data), 1007)
    kosme, wrong = "κόσμε".encode(), b"\xf4\x90\x80\x80"
    yield Case("6.4.1", [text(kosme, fin=False), more(wrong, fin=False), more(b"edited")], 1007)
    yield Case("6.4.2", [text(kosme + wrong[:1], fin=False), more(wrong[1:2], fin=False), more(b"edited")], 1007)
    yield Case("6.4.3", [*octets(text(kosme + wrong + b"edited"))], 1007)


def _singly(data: bytes) -> list[bytes]:
    """Write a message with a frame for each byte."""
    last = len(data) - 1
    return [frame(CONTINUATION if at else TEXT, data[at : at + 1], fin=at == last) for at in range(len(data))]


def closing() -> Iterable[Case]:
    hello = text(HELLO.encode())
    yield Case("7.1.1", [hello, END], 1000, texts=1)
    yield Case("7.1.2", [END, END], 1000)
    yield Case("7.1.3", [END + frame(PING, b"too late")], 1000)
    yield Case("7.1.4", [END + hello], 1000)
    yield Case("7.1.5", [text(b"fragment1", fin=False), END, more(b"fragment2")], 1002)
    yield Case("7.1.6", [hello, END, frame(PING, b"too late")], 1000, texts=1)
    yield Case("7.3.1", [frame(CLOSE, b"")], 1005)
    yield Case("7.3.2", [frame(CLOSE, b"a")], 1002)
    yield Case("7.3.3", [END], 1000)
    for number, reason in (("7.3.4", b"Hello World!"), ("7.3.5", b"*" * 123)):
        yield Case(number, [frame(CLOSE, struct.pack("!H", 1000) + reason)], 1000)
    yield Case("7.3.6", [frame(CLOSE, struct.pack("!H", 1000) + b"*" * 124)], 1002)
    yield Case("7.5.1", [frame(CLOSE, struct.pack("!H", 1000) + b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], 1007)
    for number, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
        yield Case(f"7.7.{number}", [frame(CLOSE, struct.pack("!H", code))], code)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield Case(f"7.9.{number}", [frame(CLOSE, struct.pack("!H", code))], 1002)
        yield Case(f"7.9.{number} with words", [frame(CLOSE, struct.pack("!H", code) + b"why not")], 1002)
    yield Case("7.13.1", [frame(CLOSE, struct.pack("!H", 5000))], 1002)
    yield Case("7.13.2", [frame(CLOSE, struct.pack("!H", 65_535))], 1002)


def packed(data: bytes, bits: int = 15) -> bytes:
    """Compress a message (RFC 7692 §7.2.1)."""
    packer = zlib.compressobj(wbits=-bits)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed() -> Iterable[Case]:
    def case(number: str, chunks: Sequence[bytes], code: int = 1000, texts: int = 0) -> Case:
        return Case(number, [*chunks, *([END] if code == 1000 else [])], code, texts=texts, extensions=DEFLATE)

    for number, length in enumerate((0, 16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536), 1):
        data = packed(padded(length) if length > 100 else b"x" * length)
        whole = frame(TEXT, data, rsv=4)
        yield case(f"12.1.{number}", [whole], texts=1)
        yield case(f"12.1.{number} many", [whole] * 5, texts=5)
        yield case(f"12.1.{number} by octets", [*octets(whole[:200]), whole[200:]], texts=1)
        middle = len(data) // 2
        yield case(f"12.2.{number}", [frame(TEXT, data[:middle], rsv=4, fin=False), more(data[middle:])], texts=1)
    hello = packed(HELLO.encode())
    yield case("12 beside plain ones", [text(HELLO.encode()), frame(TEXT, hello, rsv=4)], texts=2)
    yield case("12 with a final block", [frame(TEXT, zlib.compress(HELLO.encode(), wbits=-15) + b"\0", rsv=4)], texts=1)
    yield case("12 invalid UTF-8", [frame(TEXT, packed(b"\xff\xfe"), rsv=4)], 1007)
    yield case("12 bit on a continuation", [frame(TEXT, hello[:9], rsv=4, fin=False), frame(0, hello[9:], rsv=4)], 1002)
    yield case("12 bit on a ping", [frame(PING, hello, rsv=4)], 1002)
    yield case("12 bit on a close", [frame(CLOSE, b"", rsv=4)], 1002)
    yield case("12 another bit", [frame(TEXT, hello, rsv=6)], 1002)
    yield case("12 no deflate", [frame(TEXT, b"\xff" * 30, rsv=4)], 1002)
    yield case("12 too large in the end", [frame(TEXT, packed(b" " * 65_537), rsv=4)], 1009)
    yield case("12 binary", [frame(BINARY, hello, rsv=4)], 1003)


SECTIONS = (framing, pings, reserved, fragments, utf8, closing, compressed)


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, max_connections_per_ip=1000, calls_per_minute=100_000) as made:
        yield made
        await alive(made)


async def write(client: Raw, chunks: Sequence[bytes], answered: Callable[[], bool]) -> None:
    """Write chunk by chunk, and the end when all is answered; what is no longer read is no fault."""
    with suppress(ConnectionError):
        for chunk in chunks:
            while chunk is END and not answered():
                await asyncio.sleep(0.005)
            await client.send(chunk)
            await asyncio.sleep(0)


async def first(client: Raw) -> bytes:
    """Wait for the first text."""
    heard: list[tuple[int, bytes]] = []
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        reading = group.create_task(client.frames(heard))
        while not heard:
            await asyncio.sleep(0.005)
        reading.cancel()
    assert heard[0][0] == TEXT
    return heard[0][1]


async def play(it: Office, case: Case) -> tuple[int | None, int, tuple[bytes, ...]]:
    """Return the code, how many texts were answered, and the pongs."""
    async with raw(it, extensions=case.extensions) as client, asyncio.TaskGroup() as group:
        heard: list[tuple[int, bytes]] = []
        writing = group.create_task(
            write(client, case.chunks, lambda: sum(opcode == TEXT for opcode, _ in heard) == case.texts)
        )
        await client.frames(heard)
        writing.cancel()
    codes = [struct.unpack("!H", data[:2])[0] if data else 1005 for opcode, data in heard if opcode == CLOSE]
    texts = [data for opcode, data in heard if opcode == TEXT]
    pongs = tuple(data for opcode, data in heard if opcode == PONG)
    return (codes[-1] if codes else None), len(texts), pongs


@pytest.mark.parametrize("section", SECTIONS)
async def test_case_is_closed_with_the_right_code_and_answered_before(chat: Office, section: object) -> None:
    assert callable(section)
    cases: list[Case] = list(section())
    found: dict[str, tuple[int | None, int, tuple[bytes, ...]]] = {}
    at_once = asyncio.Semaphore(20)

    async def one(case: Case) -> None:
        async with at_once:
            found[case.number] = await play(chat, case)

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(one(case))
    wanted = {case.number: (case.code, case.texts, case.pongs) for case in cases}
    assert len(wanted) == len(cases)
    assert found == wanted


@pytest.mark.parametrize(
    ("offer", "bits"),
    [
        ("permessage-deflate", 15),
        ("permessage-deflate; client_max_window_bits", 15),
        ("permessage-deflate; client_max_window_bits=9", 9),
        ("permessage-deflate; server_max_window_bits=9", 15),
        ("permessage-deflate; server_max_window_bits=15; client_max_window_bits=15", 15),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15),
        ("permessage-deflate; future_parameter, permessage-deflate", 15),
        ("x-webkit-deflate-frame, permessage-deflate", 15),
    ],
)
async def test_offer_of_compression_is_taken_and_kept(chat: Office, offer: str, bits: int) -> None:
    async with raw(chat, extensions=f"Sec-WebSocket-Extensions: {offer}") as client:
        await client.send(frame(TEXT, packed(HELLO.encode(), bits), rsv=4))
        answer = await first(client)
    unpack = zlib.decompressobj(wbits=-12)  # the server promises no larger window
    assert "result" in json.loads(unpack.decompress(answer + b"\0\0\xff\xff"))


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; future_parameter",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=nine",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-bzip2",
    ],
)
async def test_offer_that_makes_no_sense_is_declined(chat: Office, offer: str) -> None:
    async with raw(chat, extensions=f"Sec-WebSocket-Extensions: {offer}") as client:
        await client.send(text(HELLO.encode()))
        answer = await first(client)
    assert "result" in json.loads(answer)
