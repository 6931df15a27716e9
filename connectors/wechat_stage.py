"""Media of a message on its way to WeChat: files are uploaded, pictures of cards and music are linked."""

from __future__ import annotations

from msgspec.structs import replace

from connectors.api import Blobs
from connectors.staging import Staging, Upload, ref_of
from connectors.stores import PREFIX
from normalizer.codecs.wechat_frame import SCHEME
from normalizer.parts import AnyPart, Audio, Card, Carousel, Media, MediaPart
from normalizer.raw import Outbound


async def stage(message: Outbound, staging: Staging, blobs: Blobs, upload: Upload) -> Outbound:
    """Prepare the media of a message; see `Staging.stage`.

    WeChat fetches nothing but pictures of cards and music, so files of somebody else are fetched here and uploaded.
    """
    music = "thumb_media_id" in message.metadata.get(SCHEME, {})

    async def link(part: MediaPart) -> Media:
        return staging.linked(part.media)

    async def staged(part: AnyPart) -> tuple[AnyPart, ...]:
        if isinstance(part, Card | Carousel) or (music and isinstance(part, Audio) and not part.media.voice):
            return await staging.stage_parts((part,), link)
        if isinstance(part, MediaPart) and part.media.provider_id is None and ref_of(part.media) is None:
            part = await _adopted(part, staging, blobs)
        return (await staging.stage(replace(message, parts=(part,)), upload)).parts

    if not any(isinstance(part, MediaPart | Card | Carousel) for part in message.parts):
        return message
    return replace(message, parts=tuple([one for part in message.parts for one in await staged(part)]))


async def _adopted(part: MediaPart, staging: Staging, blobs: Blobs) -> MediaPart:
    """Make a file of somebody else one of ours."""
    found = await staging.bytes_of(part.media)
    ref = await blobs.put(found.data)
    media = replace(
        part.media,
        status="stored",
        sha256=ref.removeprefix(PREFIX),
        mime=part.media.mime or found.mime,
        name=part.media.name or found.name,
    )
    return replace(part, media=media)
