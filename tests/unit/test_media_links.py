"""``/media/``: what a signed link shows, and as what."""

from __future__ import annotations

import random
import time
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from connectors.api import Delivery, Reply
from connectors.sealing import SEGMENT, Seal
from gateway.blobs import BlobStore
from gateway.web.media import media_link, media_mount

SEAL = Seal([bytes(range(32))])


async def follow(blobs: BlobStore, url: str, headers: dict[str, str] | None = None, **changes: str) -> Reply:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    path = parts.path.removeprefix("/media")
    delivery = Delivery(method="GET", path=path, url=url, query=query, headers=headers or {}, body=b"")
    found = await media_mount(blobs)(delivery)
    if isinstance(found, Reply):
        return found
    body = b"".join([piece async for piece in found.pieces])
    found.close()
    assert len(body) == found.length
    return Reply(status=found.status, body=body, content_type=found.content_type, headers=found.headers)


@pytest.fixture(params=[None, SEAL], ids=["plain", "sealed"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path, seal=request.param)


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


DATA = random.Random(6).randbytes(3 * SEGMENT + 17)
SIZE = len(DATA)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        ("bytes=-99999999", 0, SIZE),
        (f"bytes={SEGMENT - 1}-{SEGMENT}", SEGMENT - 1, SEGMENT + 1),
        (f"bytes={SEGMENT}-{3 * SEGMENT}", SEGMENT, 3 * SEGMENT + 1),
        (f"bytes={SIZE - 1}-{SIZE + 100}", SIZE - 1, SIZE),
    ],
)
async def test_a_part_is_served_where_one_is_asked_for(blobs: BlobStore, asked: str, start: int, stop: int) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(DATA), mime="audio/wav", name=None)

    reply = await follow(blobs, url, {"range": asked})

    assert (reply.status, reply.body) == (206, DATA[start:stop])
    assert reply.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=0-1,5-6"},
        {"range": "bytes=9-3"},
        {"range": "bytes=-"},
        {"range": "lines=1-2"},
        {"range": "bytes=\u0663-"},
        {"range": "bytes=0-1", "if-range": '"another"'},
    ],
    ids=["none", "two", "backwards", "empty", "lines", "digits of another script", "another file"],
)
async def test_all_is_served_where_no_part_can_be(blobs: BlobStore, headers: dict[str, str]) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(DATA), mime="audio/wav", name=None)

    reply = await follow(blobs, url, headers)

    assert (reply.status, reply.body) == (200, DATA)
    assert reply.headers["Accept-Ranges"] == "bytes"


async def test_a_part_of_the_same_file_is_served_to_who_has_the_rest(blobs: BlobStore) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(DATA), mime="audio/wav", name=None)
    etag = (await follow(blobs, url)).headers["ETag"]

    assert (await follow(blobs, url, {"range": "bytes=1-2", "if-range": etag})).body == DATA[1:3]


@pytest.mark.parametrize(("data", "asked"), [(DATA, f"bytes={SIZE}-"), (DATA, "bytes=-0"), (b"", "bytes=0-")])
async def test_a_part_behind_the_end_is_refused(blobs: BlobStore, data: bytes, asked: str) -> None:
    url, _ = media_link(blobs, "https://gw.example", time.time)(await blobs.put(data), mime="audio/wav", name=None)

    reply = await follow(blobs, url, {"range": asked})

    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(data)}")


async def test_a_file_whose_key_is_gone_is_an_error_and_not_missing(tmp_path: Path) -> None:
    sealed = BlobStore(tmp_path, seal=SEAL)
    url, _ = media_link(sealed, "https://gw.example", time.time)(await sealed.put(DATA), mime=None, name=None)

    assert (await follow(BlobStore(tmp_path), url)).status == 500
    assert (await follow(sealed, url)).status == 200
