"""Files of ours on their way to Telegram: sent with the call that uses them.

Telegram has no upload of its own; a call names a file that comes in the same form as ``attach://<field>``
(https://core.telegram.org/bots/api#sending-files). Between staging and the request a blob stands in the call as
``attach://<sha256>?…``, which says what is to be read; `with_files` makes the form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.multipart import form
from normalizer.parts import Media
from normalizer.raw import Wire

SCHEME = "attach://"
_HINT = SCHEME.encode()
_FIELDS = ("photo", "video", "audio", "voice", "document", "sticker", "animation")

BytesOf = Callable[[Media], Awaitable[Fetched]]


def attached(media: Media) -> Media:
    """Name a blob of ours so that `with_files` finds it."""
    told = {name: value for name, value in (("type", media.mime), ("name", media.name)) if value}
    return replace(media, url=f"{SCHEME}{media.sha256}?{urlencode(told, errors='replace')}", provider_id=None)


async def with_files(wire: Wire, bytes_of: BytesOf) -> Wire:
    """Turn a JSON call that names blobs into a form that has them; other calls pass as they are."""
    if _HINT not in wire.body:
        return wire
    body = msgspec.json.decode(wire.body, type=dict[str, Any])
    files: dict[str, Fetched] = {}
    for holder, key in _places(body):
        value = holder.get(key)
        if isinstance(value, str) and value.startswith(SCHEME):
            name = f"file{len(files)}"
            files[name] = await bytes_of(_media(value))
            holder[key] = SCHEME + name
    if not files:
        return wire
    fields = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in body.items()
    }
    made = form(fields, files)
    return replace(wire, headers={"Content-Type": made.content_type}, body=made.body)


def _places(body: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where a call can name a file: in its own fields, or as the `media` of editMessageMedia."""
    places = [(body, name) for name in _FIELDS]
    inner = body.get("media")
    return [*places, (inner, "media")] if isinstance(inner, dict) else places


def _media(url: str) -> Media:
    digest, _, query = url.removeprefix(SCHEME).partition("?")
    told = {name: values[0] for name, values in parse_qs(query).items()}
    return Media(id=digest, sha256=digest, status="stored", mime=told.get("type"), name=told.get("name"))
