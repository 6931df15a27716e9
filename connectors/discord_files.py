"""Files on their way to Discord: sent in one form with the call that shows them.

https://docs.discord.com/developers/reference#uploading-files. Between staging and the request a blob stands in the call
as ``attach://<sha256>?…`` in `files`; `with_files` makes the form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.multipart import form
from connectors.staging import Staging, Upload
from connectors.stores import PREFIX
from normalizer.codecs.discord_send import ATTACH, FILES
from normalizer.parts import AnyPart, Card, Carousel, Media, MediaPart
from normalizer.raw import Outbound, Wire

BytesOf = Callable[[Media], Awaitable[Fetched]]
_HINT = ATTACH.encode()


def attached(media: Media, ref: str, found: Fetched | None = None) -> Media:
    """Name a blob so that `with_files` finds it."""
    mime, name = media.mime or (found.mime if found else None), media.name or (found.name if found else None)
    told = {key: value for key, value in (("type", mime), ("name", name)) if value}
    url = f"{ATTACH}{ref.removeprefix(PREFIX)}?{urlencode(told, errors='replace')}"
    return replace(media, url=url, provider_id=None, name=name)


async def with_files(wire: Wire, bytes_of: BytesOf) -> Wire:
    """Turn a JSON call that names blobs into a form that has them; other calls pass as they are."""
    if _HINT not in wire.body:
        return wire
    body = msgspec.json.decode(wire.body, type=dict[str, Any])
    named = body.pop(FILES, None)
    if not named:
        return wire
    files = {f"files[{index}]": await bytes_of(_media(url)) for index, url in enumerate(named)}
    for attachment, file in zip(body["attachments"], files.values(), strict=True):
        attachment["filename"] = file.name or attachment["filename"]
    made = form({"payload_json": msgspec.json.encode(body).decode()}, files)
    return replace(wire, headers={"Content-Type": made.content_type}, body=made.body)


def _media(url: str) -> Media:
    digest, _, query = url.removeprefix(ATTACH).partition("?")
    told = {name: values[0] for name, values in parse_qs(query).items()}
    return Media(id=digest, sha256=digest, status="stored", mime=told.get("type"), name=told.get("name"))


async def stage(message: Outbound, staging: Staging, upload: Upload) -> Outbound:
    """Prepare the media of a message: files are attached, pictures of cards are linked."""

    async def link(part: MediaPart) -> Media:
        return part.media if part.media.url and part.media.sha256 is None else staging.linked(part.media)

    async def staged(part: AnyPart) -> tuple[AnyPart, ...]:
        if isinstance(part, Card | Carousel):
            return await staging.stage_parts((part,), link)
        return (await staging.stage(replace(message, parts=(part,)), upload)).parts

    if not any(isinstance(part, MediaPart | Card | Carousel) for part in message.parts):
        return message
    return replace(message, parts=tuple([one for part in message.parts for one in await staged(part)]))
