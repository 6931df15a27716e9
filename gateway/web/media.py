"""``/media/<id>``: stored media by signed, expiring link.

A link says as what the file is to be served, because providers that fetch from it look at the type. What a browser
would run is served as bytes all the same, and everything to be saved, not shown: a customer sent it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from connectors.api import Delivery, LinkMaker, Reply
from connectors.stores import PREFIX
from gateway.blob_reading import BlobFile, Unreadable
from gateway.blobs import NAME, TYPE, BlobStore
from gateway.web.ranges import Unsatisfiable, wanted
from gateway.web.streamed import Streamed

log = structlog.get_logger(__name__)

NOT_FOUND = Reply(status=404, body=b"not found")
HEADERS = {
    # What a customer sent must not run in the gateway's own origin.
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=300",
}
_HARMLESS = re.compile(
    r"(audio|video)/[\w.+-]+|image/(?!svg)[\w.+-]+|text/(plain|csv)|application/(pdf|zip|json|msword|vnd\.[\w.+-]+)",
    re.ASCII,
)
UNKNOWN = "application/octet-stream"
LINK_SECS = 86_400
"""Events wait in queues, and some providers fetch only when the customer looks; `media.get` makes a new link."""


def media_link(blobs: BlobStore, public_url: str, clock: Callable[[], float]) -> LinkMaker:
    """Make what signs links below `public_url` that work for a day."""

    def link(ref: str, *, mime: str | None, name: str | None) -> tuple[str, datetime]:
        expires = clock() + LINK_SECS
        path = blobs.sign(ref, expires, mime=mime, name=name)
        return f"{public_url.rstrip('/')}/media/{path}", datetime.fromtimestamp(int(expires), UTC)

    return link


def media_mount(blobs: BlobStore) -> Callable[[Delivery], Awaitable[Reply | Streamed]]:
    """Make the handler of ``/media/``."""

    async def serve(delivery: Delivery) -> Reply | Streamed:
        if delivery.method not in {"GET", "HEAD"}:
            return Reply(status=405, body=b"method not allowed", headers={"Allow": "GET, HEAD"})
        ref = blobs.verify(delivery.path, delivery.query)
        if ref is None:
            return Reply(status=403, body=b"the link is wrong or has expired")
        try:
            return _answer(delivery, await blobs.open(ref), ref)
        except Unreadable as exc:
            log.error("media_unreadable", ref=ref, reason=exc.reason)  # noqa: TRY400 -- the reason says it all
            return Reply(status=500, body=b"it cannot be read")
        except KeyError:
            return NOT_FOUND

    return serve


def _answer(delivery: Delivery, file: BlobFile, ref: str) -> Reply | Streamed:
    """Serve what is asked for of an open file; whoever sends the answer closes it."""
    etag = f'"{ref.removeprefix(PREFIX)}"'
    headers = _headers(delivery.query) | {"ETag": etag, "Accept-Ranges": "bytes"}
    try:
        part = wanted(delivery.headers, file.size, etag) if delivery.method == "GET" else None
    except Unsatisfiable:
        file.close()
        return Reply(status=416, body=b"no such range", headers={"Content-Range": f"bytes */{file.size}"})
    start, stop = part or (0, file.size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return Streamed(
        status=206 if part else 200,
        length=stop - start,
        pieces=file.pieces(start, stop),
        close=file.close,
        content_type=_type(delivery.query),
        headers=headers,
    )


def _type(query: Mapping[str, str]) -> str:
    mime = query.get(TYPE, "").partition(";")[0].strip().lower()
    return mime if _HARMLESS.fullmatch(mime) and not mime.endswith("xml") else UNKNOWN


def _headers(query: Mapping[str, str]) -> dict[str, str]:
    """Name the file as RFC 6266 says, for every alphabet (RFC 8187)."""
    name = query.get(NAME, "").replace("\\", "/").rpartition("/")[2]
    if not name:
        return HEADERS
    return HEADERS | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"}
