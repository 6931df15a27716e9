"""``/media/<id>``: stored media by signed, expiring link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from connectors.api import Delivery, LinkMaker, Reply
from gateway.blobs import BlobStore

NOT_FOUND = Reply(status=404, body=b"not found")
HEADERS = {
    # What a customer sent must not run in the gateway's own origin.
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=300",
}


LINK_SECS = 3600


def media_link(blobs: BlobStore, public_url: str, clock: Callable[[], float]) -> LinkMaker:
    """Make what signs links below `public_url` that work for an hour."""

    def link(ref: str, *, mime: str | None, name: str | None) -> tuple[str, datetime]:  # noqa: ARG001 -- `LinkMaker`
        expires = clock() + LINK_SECS
        return f"{public_url.rstrip('/')}/media/{blobs.sign(ref, expires)}", datetime.fromtimestamp(expires, UTC)

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
        return Reply(body=data, content_type="application/octet-stream", headers=HEADERS)

    return serve
