"""``POST /api/media``: a file of the core's becomes a media item that `message.send` can name.

The body is the file; `Content-Type` says what it is (without one that says something, its first bytes do) and
``?name=`` how it is called. The answer is the `Media` to put into a part.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog
from aiohttp import web

from connectors.api import Blobs
from connectors.errors import Busy
from connectors.media_types import type_of
from normalizer import ids
from normalizer.parts import Media

log = structlog.get_logger(__name__)

MAX_BYTES = 104_857_600
"""The largest file that a provider takes is a WhatsApp document
(https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media)."""
BODY_SECS = 120.0
AT_ONCE = 4
"""Files are in memory while they come in."""
_NOT_MEANT = frozenset({"application/x-www-form-urlencoded"})  # what curl --data-binary says when nobody tells it


class Upload:
    """Takes files for `blobs`; whoever mounts it checks the token first."""

    def __init__(self, blobs: Blobs, *, max_bytes: int = MAX_BYTES) -> None:
        """Refuse what is larger than `max_bytes`."""
        self._blobs, self._max_bytes = blobs, max_bytes
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def take(self, request: web.Request) -> web.Response:
        """Store the body; raises `web.HTTPException` for what cannot be taken."""
        try:
            async with self._slots, asyncio.timeout(BODY_SECS):
                data = await self._read(request)
                if not data:
                    return web.Response(status=400, text="400: the body is the file, and it is empty\n")
                ref = await self._blobs.put(data)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except Busy as exc:
            return web.Response(status=503, text=f"503: {exc}\n", headers={"Retry-After": "30"})
        media = _media(request, data, ref.removeprefix("sha256:"))
        log.info("media_put_in", remote=request.remote, size=media.size)
        return web.Response(body=msgspec.json.encode(media), status=201, content_type="application/json")

    async def _read(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > self._max_bytes:
            raise web.HTTPRequestEntityTooLarge(self._max_bytes, request.content_length or 0)
        data = bytearray()
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > self._max_bytes:
                raise web.HTTPRequestEntityTooLarge(self._max_bytes, len(data))
        return bytes(data)


def _media(request: web.Request, data: bytes, digest: str) -> Media:
    told = request.content_type if "Content-Type" in request.headers else None
    return Media(
        id=ids.media_id("", digest),
        status="stored",
        sha256=digest,
        size=len(data),
        mime=type_of(data, None if told in _NOT_MEANT else told),
        name=request.query.get("name") or None,
    )
