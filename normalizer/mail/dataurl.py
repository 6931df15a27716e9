"""Pictures written into the HTML itself (``data:`` URLs, RFC 2397), as pasted screenshots are, become attachments."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from normalizer.mail.mime import base64

IMAGES_MAX = 100

_IMAGE = re.compile(
    rb"""(\ssrc\s{0,9}=\s{0,9}(["'])?)data:(image/[A-Za-z0-9.+-]{1,40})((?:;[^;,"'<>\s]{1,80}){0,3}),"""
    rb"""((?(2)[A-Za-z0-9+/=%\s]+|[A-Za-z0-9+/=%]+))"""
)


class Picture(NamedTuple):
    """A picture, and the Content-ID that the HTML has instead of it now."""

    mime: str
    content_id: str
    encoded: bytes

    def data(self) -> bytes:
        """Decode the bytes."""
        return base64(unquote_to_bytes(self.encoded) if b"%" in self.encoded else self.encoded)


def extract(source: bytes, domain: str) -> tuple[bytes, list[Picture]]:
    """Replace pictures by ``cid:`` links that end in ``@domain``."""
    found: list[Picture] = []

    def link(match: re.Match[bytes]) -> bytes:
        if len(found) >= IMAGES_MAX or not match[4].lower().endswith(b";base64"):
            return match[0]
        found.append(Picture(match[3].decode().lower(), f"data-{len(found) + 1}@{domain}", match[5]))
        return match[1] + b"cid:" + found[-1].content_id.encode()

    return (_IMAGE.sub(link, source), found) if b"data:image/" in source else (source, found)
