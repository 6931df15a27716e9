"""What a page loads: the widget, and a page to try it; plain files beside this module, in ``www``.

The widget runs in the site's page, so it is for everybody to load; the page to try it is served where `demo` is set.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

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
        body, tag = found
        headers = {
            **cors(head.headers.get("origin")),
            "ETag": tag,
            "Cache-Control": "public, max-age=300" if name == WIDGET else "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        if head.headers.get("if-none-match") == tag:
            return Reply(status=304, headers=headers)
        if name.endswith(".html"):
            headers["Content-Security-Policy"] = POLICY
        return Reply(body=body, content_type=TYPES[Path(name).suffix], headers=headers)


@cache
def _file(name: str) -> tuple[bytes, str] | None:
    """Read a file once; None for what is none of ours."""
    known = {path.name: path for path in WWW.iterdir()} if WWW.is_dir() else {}
    path = known.get(name)
    if path is None or path.suffix not in TYPES:
        return None
    body = path.read_bytes()
    return body, f'"{sha256(body).hexdigest()[:16]}"'
