"""``/media/<id>``: stored media by signed, expiring link.

A link says as what the file is to be served, because providers that fetch from it look at the type. What a browser
would run is served as bytes all the same, and everything to be saved, not shown: a customer sent it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from connectors.api import Delivery, LinkMaker, Reply
from gateway.blobs import NAME, TYPE, BlobStore

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


def media_mount(blobs: BlobStore) -> Callable[[Delivery], Awaitable[Reply]]:
    """Make the handler of ``/media/``."""

    async def serve(delivery: Delivery) -> Reply:
        if delivery.method not in {"GET", "HEAD"}:
            return Reply(status=405, body=b"method not allowed", headers={"Allow": "GET, HEAD"})
        ref = blobs.verify(delivery.path, delivery.query)
        if ref is None:
            return Reply(status=403, body=b"the link is wrong or has expired")
        try:
            data = await blobs.get(ref)
        except KeyError:
            return NOT_FOUND
        return Reply(body=data, content_type=_type(delivery.query), headers=_headers(delivery.query))

    return serve


def _type(query: Mapping[str, str]) -> str:
    mime = query.get(TYPE, "").partition(";")[0].strip().lower()
    return mime if _HARMLESS.fullmatch(mime) and not mime.endswith("xml") else UNKNOWN


def _headers(query: Mapping[str, str]) -> dict[str, str]:
    """Name the file as RFC 6266 says, for every alphabet (RFC 8187)."""
    name = query.get(NAME, "").replace("\\", "/").rpartition("/")[2]
    if not name:
        return HEADERS
    return HEADERS | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"}
