"""Files behind media links, over real HTTP connections."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from pathlib import Path

import aiohttp
import psutil
import pytest
from structlog.testing import capture_logs

from connectors.sealing import HEAD, SEGMENT, TAG, Seal
from gateway.blobs import BlobStore
from gateway.settings.model import HttpSection
from gateway.web import streamed
from gateway.web.media import media_link, media_mount
from gateway.web.public import PublicServer

SEAL = Seal([bytes(range(32))])
DATA = random.Random(7).randbytes(40 * SEGMENT + 11)


class Links:
    """A server of a blob store, and links into it."""

    def __init__(self, blobs: BlobStore, server: PublicServer) -> None:
        self.blobs, self.server = blobs, server

    async def put(self, data: bytes) -> str:
        link = media_link(self.blobs, f"http://{self.server.address}", lambda: 2_000_000_000.0)
        return link(await self.blobs.put(data), mime="audio/wav", name="a.wav")[0]


@asynccontextmanager
async def serving(folder: Path, seal: Seal | None) -> AsyncIterator[Links]:
    blobs = BlobStore(folder, seal=seal, clock=lambda: 2_000_000_000.0)
    server = PublicServer(HttpSection(listen="127.0.0.1:0"), {}, {"/media/": media_mount(blobs)})
    await server.start()
    try:
        yield Links(blobs, server)
    finally:
        await server.close(0.1)


@pytest.fixture(params=[None, SEAL], ids=["plain", "sealed"])
async def links(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Links]:
    async with serving(tmp_path, request.param) as found:
        yield found


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
async def test_a_file_comes_whole_in_parts_and_as_a_head_over_one_connection(
    links: Links, client: aiohttp.ClientSession, data: bytes
) -> None:
    url = await links.put(data)
    for _ in range(2):
        async with client.get(url) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))
            assert await answer.read() == data
        async with client.head(url) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))
            assert answer.headers["Content-Type"] == "audio/wav"
        async with client.get(url, headers={"Range": "bytes=0-9"}) as answer:
            assert answer.status == (206 if data else 416)
            assert await answer.read() == (data[:10] or b"no such range")


async def test_a_file_that_breaks_in_the_middle_is_not_taken_for_whole(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    async with serving(tmp_path, SEAL) as links:
        url = await links.put(DATA)
        path = links.blobs._path(f"sha256:{sha256(DATA).hexdigest()}")
        changed = bytearray(path.read_bytes())
        changed[HEAD + 20 * (SEGMENT + TAG)] ^= 1
        path.write_bytes(changed)

        with capture_logs() as logs:
            async with client.get(url) as answer:
                with pytest.raises(aiohttp.ClientError):
                    await answer.read()
        assert [line["event"] for line in logs] == ["answer_broken_off"]
        async with client.get(url, headers={"Range": "bytes=0-99"}) as answer:
            assert await answer.read() == DATA[:100]


def descriptors() -> int:
    return psutil.Process().num_fds()


async def until(number: int) -> None:
    async with asyncio.timeout(30):
        while descriptors() > number:
            await asyncio.sleep(0.05)


async def test_clients_that_leave_or_stop_reading_hold_no_file(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "STALL_SECS", 0.5)
    path = (await links.put(bytes(30_000_000))).partition("/media/")[2]  # more than the system buffers
    before = descriptors()
    port = int(links.server.address.rpartition(":")[2])
    for leave in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        with closing(writer):
            writer.write(f"GET /media/{path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            if not leave:
                await until(before + 2)  # the file is closed, both ends of the connection are there
    await until(before)


SERVER = """
import asyncio, sys
from pathlib import Path
from connectors.sealing import Seal
from gateway.blobs import BlobStore
from gateway.settings.model import HttpSection
from gateway.web.media import media_link, media_mount
from gateway.web.public import PublicServer

async def main():
    blobs = BlobStore(Path(sys.argv[1]), seal=Seal([bytes(range(32))]), clock=lambda: 2_000_000_000.0)
    server = PublicServer(HttpSection(listen="127.0.0.1:0"), {}, {"/media/": media_mount(blobs)})
    await server.start()
    print(server.address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_fifty_megabytes_are_served_in_the_memory_of_a_few_pieces(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    blobs, piece = BlobStore(tmp_path, seal=SEAL, clock=lambda: 2_000_000_000.0), os.urandom(1_000_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield piece

    large, small = await blobs.put_pieces(pieces()), await blobs.put(b"warm up")
    with subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            address = await asyncio.to_thread(process.stdout.readline)
            link = media_link(blobs, f"http://{address.strip()}", lambda: 2_000_000_000.0)
            async with client.get(link(small, mime=None, name=None)[0]) as answer:
                assert await answer.read() == b"warm up"
            before, found, most = psutil.Process(process.pid).memory_info().rss, sha256(), 0
            async with client.get(link(large, mime=None, name=None)[0]) as answer:
                async for part in answer.content.iter_chunked(1_000_000):
                    found.update(part)
                    most = max(most, psutil.Process(process.pid).memory_info().rss)
        finally:
            process.kill()

    assert f"sha256:{found.hexdigest()}" == large
    assert most - before < 12_000_000
