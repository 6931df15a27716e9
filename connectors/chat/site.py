"""What a page loads: the widget, and a page to try it; plain files beside this module, in ``www``.

The widget runs in the site's page, so it is for everybody to load; the page to try it is served where `demo` is set.
A file is read and packed once, when it is asked for first; a process serves the files of its own version.
"""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from connectors.api import Delivery, Reply
from connectors.chat.origins import cors

WWW = Path(__file__).with_name("www")
WIDGET = "widget.js"
DEMO = {"": "demo.html"}
"""Path → file, of the page to try the chat; further files of it begin with ``demo``."""
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
FRESH = {WIDGET: "public, max-age=300, stale-while-revalidate=86400"}
"""How long a file may be used unasked, so that a new version is at the site within minutes, and who waits for the
network has the old one at once (RFC 5861 §3); others are asked for each time, which costs a 304."""
NOT_FOUND = Reply(status=404, body=b"not found")
POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss: http: https:; img-src 'self' data: blob: http: https:; "
    "media-src 'self' http: https:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
)


class Site:
    """See the module."""

    def __init__(self, *, demo: bool) -> None:
        """Serve the widget, and with `demo` the page to try it."""
        self._demo = demo

    def page(self, head: Delivery) -> Reply:
        """Answer a request for a file."""
        name = DEMO.get(head.path, head.path)
        if head.method not in {"GET", "HEAD"} or not (name == WIDGET or (self._demo and name.startswith("demo"))):
            return NOT_FOUND
        found = _file(name)
        if found is None:
            return NOT_FOUND
        packed = found.packed is not None and takes_gzip(head.headers.get("accept-encoding", ""))
        tag = found.packed_tag if packed else found.tag
        headers = {
            **cors(head.headers.get("origin")),
            "Vary": "Origin, Accept-Encoding",
            "ETag": tag,
            "Cache-Control": FRESH.get(name, "no-cache"),
            "X-Content-Type-Options": "nosniff",
        }
        if _known(head.headers.get("if-none-match", ""), tag):
            return Reply(status=304, headers=headers)
        if name.endswith(".html"):
            headers["Content-Security-Policy"] = POLICY
        if packed:
            headers["Content-Encoding"] = "gzip"
        body = found.packed if packed and found.packed is not None else found.body
        return Reply(body=body, content_type=TYPES[Path(name).suffix], headers=headers)


class _File(Struct, frozen=True):
    """A file, and the same packed, where that is smaller; two representations have two tags (RFC 9110 §8.8.3.3)."""

    body: bytes
    packed: bytes | None
    tag: str
    packed_tag: str


@cache
def _file(name: str) -> _File | None:
    """Read a file once; None for what is none of ours."""
    known = {path.name: path for path in WWW.iterdir()} if WWW.is_dir() else {}
    path = known.get(name)
    if path is None or path.suffix not in TYPES:
        return None
    body = path.read_bytes()
    packed, digest = gzip.compress(body, mtime=0), sha256(body).hexdigest()[:16]
    return _File(body, packed if len(packed) < len(body) else None, f'"{digest}"', f'"{digest}-gzip"')


def takes_gzip(accepted: str) -> bool:
    """Read an Accept-Encoding (RFC 9110 §12.5.3); where gzip is not named, ``*`` stands for it."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        name, _, rest = item.partition(";")
        weight = rest.strip().removeprefix("q=") if rest else "1"
        try:
            weights[name.strip()] = float(weight)
        except ValueError:
            continue
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _known(tags: str, tag: str) -> bool:
    """Read an If-None-Match, which compares weakly: a server in front may have made the tag weak."""
    return any(one.strip().removeprefix("W/") in {tag, "*"} for one in tags.split(","))
