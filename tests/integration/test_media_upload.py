"""``POST /api/media``: how a file of the core's gets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.blobs import BlobStore
from gateway.web.upload import Upload

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 1000


class Door:
    """An upload of at most 5000 bytes, on a port."""

    def __init__(self, http: aiohttp.ClientSession, url: str, blobs: BlobStore) -> None:
        self.http, self.url, self.blobs = http, url, blobs

    async def put(self, data: Any, query: str = "", **headers: str) -> tuple[int, Any]:
        async with self.http.post(self.url + query, data=data, headers=headers) as answer:
            return answer.status, await (answer.json() if answer.status == 201 else answer.text())


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    blobs = BlobStore(tmp_path)
    app = web.Application(client_max_size=100)  # of other requests; files have a limit of their own
    app.router.add_post("/api/media", Upload(blobs, max_bytes=5000).take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as http:
        yield Door(http, f"{site.name}/api/media", blobs)
    await runner.cleanup()


async def test_a_file_becomes_a_media_item_that_can_be_sent(door: Door) -> None:
    status, media = await door.put(PNG, "?name=cat.png", **{"Content-Type": "image/png"})

    assert status == 201
    assert media == {
        "id": media["id"], "mime": "image/png", "name": "cat.png", "size": len(PNG), "status": "stored",
        "sha256": media["sha256"],
    }  # fmt: skip
    assert await door.blobs.get("sha256:" + media["sha256"]) == PNG
    assert (await door.put(PNG))[1]["id"] == media["id"]


@pytest.mark.parametrize(
    "told", ["application/octet-stream", "application/x-www-form-urlencoded", "text/html", "image/png; x=y"]
)
async def test_without_a_type_that_fits_the_first_bytes_say_what_it_is(door: Door, told: str) -> None:
    assert (await door.put(PNG, **{"Content-Type": told}))[1]["mime"] == "image/png"


async def test_too_large_a_file_is_refused_declared_or_not(door: Door) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    assert (await door.put(b"x" * 5001))[0] == 413
    assert (await door.put(chunks()))[0] == 413
    assert (await door.put(b"x" * 5000))[0] == 201


async def test_an_empty_body_is_no_file(door: Door) -> None:
    status, text = await door.put(b"")

    assert status == 400
    assert "empty" in text
