"""Media of a message on its way to Slack: files are uploaded, pictures of cards are linked."""

from __future__ import annotations

from msgspec.structs import replace

from connectors.staging import Staging, Upload
from normalizer.parts import AnyPart, Card, Carousel, Media, MediaPart
from normalizer.raw import Outbound


async def stage(message: Outbound, staging: Staging, upload: Upload) -> Outbound:
    """Prepare the media of a message; see `Staging.stage`."""
    if not any(isinstance(part, MediaPart | Card | Carousel) for part in message.parts):
        return message

    async def link(part: MediaPart) -> Media:
        return part.media if part.media.url and part.media.sha256 is None else staging.linked(part.media)

    async def staged(part: AnyPart) -> tuple[AnyPart, ...]:
        if isinstance(part, Card | Carousel):
            return await staging.stage_parts((part,), link)
        return (await staging.stage(replace(message, parts=(part,)), upload)).parts

    return replace(message, parts=tuple([one for part in message.parts for one in await staged(part)]))
