"""``/media/``: what a signed link shows, and as what."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from connectors.api import Delivery, Reply
from gateway.blobs import BlobStore
from gateway.web.media import media_link, media_mount


async def follow(blobs: BlobStore, url: str, **changes: str) -> Reply:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    path = parts.path.removeprefix("/media")
    return await media_mount(blobs)(Delivery(method="GET", path=path, url=url, query=query, headers={}, body=b""))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.mark.parametrize(
    ("mime", "served"),
    [
        ("image/png", "image/png"),
        ("audio/ogg; codecs=opus", "audio/ogg"),
        ("application/pdf", "application/pdf"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",) * 2,
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("application/vnd.mozilla.xul+xml", "application/octet-stream"),
        ("text/plain\r\nX-Evil: 1", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
async def test_a_file_is_served_as_what_it_is_unless_a_browser_would_run_it(
    blobs: BlobStore, mime: str | None, served: str
) -> None:
    url, _ = media_link(blobs, "https://gw.example/", time.time)(await blobs.put(b"x"), mime=mime, name=None)

    reply = await follow(blobs, url)

    assert (reply.status, reply.body, reply.content_type) == (200, b"x", served)
    assert reply.headers["Content-Disposition"] == "attachment"
    assert "sandbox" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "told"), [("Grüße 1.png", "Grüße 1.png"), ("../../etc/passwd", "passwd"), ('a"\r\nX: 1', 'a"\r\nX: 1')]
)
async def test_a_file_keeps_its_name_and_nothing_else(blobs: BlobStore, name: str, told: str) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(b"x"), mime=None, name=name)

    reply = await follow(blobs, url)

    assert reply.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{quote(told, safe='')}"


@pytest.mark.parametrize("changes", [{"type": "image/png"}, {"name": "b.exe"}, {"expires": "9999999999"}])
async def test_type_name_and_end_cannot_be_changed(blobs: BlobStore, changes: dict[str, str]) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(b"x"), mime="audio/ogg", name="a.ogg")
    bare, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(b"x"), mime=None, name=None)

    assert (await follow(blobs, url, **changes)).status == 403
    assert (await follow(blobs, bare, **changes)).status == 403
    assert (await follow(blobs, url)).status == 200
