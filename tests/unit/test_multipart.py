"""Forms are read back by another implementation: aiohttp's own server."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from connectors.api import Fetched
from connectors.multipart import form, post_form

Parts = list[tuple[str | None, str | None, str | None, bytes]]


@pytest.fixture
async def server() -> object:
    found: Parts = []

    async def take(request: web.Request) -> web.Response:
        async for part in await request.multipart():
            assert isinstance(part, aiohttp.BodyPartReader)
            found.append((part.name, part.filename, part.headers.get("Content-Type"), bytes(await part.read())))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield str(site.name), found
    await runner.cleanup()


async def test_fields_and_files_arrive_byte_for_byte(server: tuple[str, Parts]) -> None:
    url, found = server
    content = bytes(range(256)) + b"\r\n--omnigate-\r\n"
    files = {"file": Fetched(data=content, mime="image/png", name="Grüße 文件.png"), "thumb": Fetched(data=b"")}
    wire = post_form(url, {"chat_id": "4711", "caption": "a\r\nb ü"}, files)

    async with aiohttp.ClientSession() as http, http.post(url, data=wire.body, headers=wire.headers) as answer:
        assert answer.status == 200

    assert found == [
        ("chat_id", None, None, b"4711"),
        ("caption", None, None, "a\r\nb ü".encode()),
        ("file", "Grüße 文件.png", "image/png", content),
        ("thumb", "thumb", "application/octet-stream", b""),
    ]


def test_a_file_name_cannot_break_out_of_its_header() -> None:
    name = 'x"\r\nX-Evil: 1\r\n\r\n.png'

    body = form({}, {"f": Fetched(data=b"", name=name, mime='a/b"\r\nX-Evil: 2')}).body

    assert b"\r\nX-Evil" not in body
    assert b'filename="x%22%0D%0AX-Evil: 1%0D%0A%0D%0A.png"' in body
