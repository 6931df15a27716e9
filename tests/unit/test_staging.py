"""Media of outbound messages: blobs of ours become links or uploads, what others have passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from connectors.errors import Unreachable
from connectors.http import TooLarge
from connectors.staging import MediaUnavailable, Staging
from gateway.blobs import BlobStore
from normalizer import parts as p
from normalizer.model import Address, ChannelRef
from normalizer.parts import Media, MediaPart
from normalizer.raw import Outbound
from tests.contexts import make_context

TEL = ChannelRef(id="shop", type="whatsapp")
NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


class Desk:
    """A staging area with one blob in its store, and an `upload` that counts."""

    def __init__(self, staging: Staging, blobs: BlobStore, digest: str) -> None:
        self.staging, self.blobs, self.digest = staging, blobs, digest
        self.uploaded: list[MediaPart] = []
        self.fails = 0
        self.handles_end: datetime | None = None

    @property
    def media(self) -> Media:
        """The blob, as `media.stored` told of it on another channel."""
        return Media(
            id="med_1",
            status="stored",
            sha256=self.digest,
            mime="image/png",
            name="cat.png",
            caption="A cat",
            provider_id="of-another-channel",
            url="https://gw.example/media/old",
        )

    async def upload(self, part: MediaPart) -> Media:
        if self.fails:
            self.fails -= 1
            raise Unreachable("away")
        self.uploaded.append(part)
        handle = f"up{len(self.uploaded)}"
        return replace(part.media, provider_id=handle, url=None, expires_at=self.handles_end)

    async def link(self, part: MediaPart) -> Media:
        return self.staging.linked(part.media)

    async def stage(self, *parts: p.AnyPart, number: int = 1) -> tuple[p.AnyPart, ...]:
        return (await self.staging.stage(message(*parts, number=number), self.upload)).parts


def message(*parts: p.AnyPart, number: int = 1) -> Outbound:
    return Outbound(id=f"msg_{number}", channel=TEL, to=Address(scheme="tel", value="+49"), parts=parts)


def media_of(part: p.AnyPart) -> Media:
    assert isinstance(part, MediaPart)
    return part.media


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as http:
        blobs = BlobStore(tmp_path)
        ref = await blobs.put(b"pixels")
        context = make_context(TEL, tmp_path, http, blobs=blobs)
        staging = Staging(context, hosts=("127.0.0.1",), timeout=5, max_bytes=1000, clock=NOW.timestamp)
        yield Desk(staging, blobs, ref.removeprefix("sha256:"))


async def test_a_message_without_media_passes_untouched(desk: Desk) -> None:
    plain = message(p.Text(body="hello"))

    assert await desk.staging.stage(plain, desk.upload) is plain


async def test_a_blob_becomes_a_signed_link_and_loses_what_another_channel_called_it(desk: Desk) -> None:
    staged = await desk.staging.stage(message(p.Image(media=desk.media)), desk.link)

    media = media_of(staged.parts[0])
    assert media.url is not None
    assert media.url.startswith(f"https://gw.example/media/{desk.digest}?")
    assert media.expires_at is not None
    assert (media.provider_id, media.caption, media.name) == (None, "A cat", "cat.png")


async def test_an_uploaded_blob_is_known_by_the_providers_handle(desk: Desk) -> None:
    (part,) = await desk.stage(p.Image(media=desk.media))

    assert (media_of(part).provider_id, media_of(part).url, media_of(part).caption) == ("up1", None, "A cat")


async def test_the_next_try_of_a_message_uploads_nothing_twice(desk: Desk) -> None:
    two = (p.Image(media=desk.media), p.Image(media=replace(desk.media, caption="Again")))

    first = await desk.stage(*two)
    second = await desk.stage(*two)

    assert first == second
    assert [media_of(part).caption for part in first] == ["A cat", "Again"]
    assert len(desk.uploaded) == 1


async def test_a_later_part_that_fails_does_not_cost_the_earlier_upload(desk: Desk) -> None:
    other = await desk.blobs.put(b"other")
    parts = (
        p.Image(media=desk.media),
        p.File(media=Media(id="med_2", status="stored", sha256=other.removeprefix("sha256:"))),
    )
    await desk.stage(parts[0])
    desk.fails = 1

    with pytest.raises(Unreachable):
        await desk.stage(*parts)
    await desk.stage(*parts)

    assert [media_of(part).id for part in desk.uploaded] == ["med_1", "med_2"]


async def test_the_same_blob_as_another_part_or_in_another_message_is_uploaded_for_it(desk: Desk) -> None:
    await desk.stage(p.Image(media=desk.media), p.File(media=desk.media))
    await desk.stage(p.Image(media=desk.media), number=2)
    desk.staging.done("msg_1")
    await desk.stage(p.Image(media=desk.media))

    assert len(desk.uploaded) == 4


async def test_a_handle_that_ends_soon_is_not_used_again(desk: Desk) -> None:
    desk.handles_end = NOW + timedelta(seconds=30)
    await desk.stage(p.Image(media=desk.media))
    desk.handles_end = NOW + timedelta(hours=1)
    await desk.stage(p.Image(media=desk.media))
    await desk.stage(p.Image(media=desk.media))

    assert len(desk.uploaded) == 2


async def test_pictures_of_cards_are_staged_as_well(desk: Desk) -> None:
    items = (p.CardItem(title="A", media=desk.media), p.CardItem(title="B"))

    (part,) = await desk.stage(p.Carousel(items=items))

    assert isinstance(part, p.Carousel)
    assert [item.media and item.media.provider_id for item in part.items] == ["up1", None]


@pytest.mark.parametrize(
    "media",
    [
        Media(id="1", status="stored", provider_id="handle"),
        Media(id="1", status="pending", url="https://cdn.example/cat.png"),
        Media(id="1", status="stored", sha256="0" * 64, provider_id="handle"),
    ],
)
async def test_what_the_provider_can_get_at_passes_unchanged(desk: Desk, media: Media) -> None:
    assert await desk.stage(p.File(media=media)) == (p.File(media=media),)


async def test_where_the_provider_fetches_nothing_foreign_urls_are_uploaded_once(desk: Desk) -> None:
    desk.staging._urls = True
    foreign = Media(id="1", status="pending", url="https://cdn.example/cat.png")
    known = Media(id="2", status="pending", url="https://cdn.example/cat.png", provider_id="handle")

    first = await desk.stage(p.File(media=foreign), p.File(media=known))
    second = await desk.stage(p.File(media=foreign), p.File(media=known))

    assert first == second
    assert [media_of(part).provider_id for part in first] == ["up1", "handle"]
    assert len(desk.uploaded) == 1


@pytest.mark.parametrize(
    "media",
    [
        Media(id="1", status="stored"),
        Media(id="1", status="stored", sha256="0" * 64),
        Media(id="1", status="stored", sha256="0" * 64, url="https://gw.example/media/old"),
        Media(id="1", status="stored", sha256="../../etc/passwd"),
        Media(id="1", status="pending", sha256="0" * 64),
    ],
)
async def test_a_media_that_is_nothing_is_refused_with_what_to_do(desk: Desk, media: Media) -> None:
    with pytest.raises(MediaUnavailable, match="POST /api/media"):
        await desk.stage(p.File(media=media))


async def test_the_content_is_the_blobs_or_that_of_the_foreign_url(desk: Desk) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.Response(body=b"theirs", content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/x", give)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        ours = await desk.staging.bytes_of(desk.media)
        theirs = await desk.staging.bytes_of(Media(id="1", status="pending", url=f"{site.name}/x"))
    finally:
        await runner.cleanup()

    assert (ours.data, ours.mime, ours.name) == (b"pixels", "image/png", "cat.png")
    assert (theirs.data, theirs.mime) == (b"theirs", "image/jpeg")
    with pytest.raises(TooLarge):
        await desk.staging.bytes_of(desk.media, max_bytes=3)
    with pytest.raises(MediaUnavailable):
        await desk.staging.bytes_of(Media(id="1", status="stored", sha256="0" * 64))
