"""Which pages may open a chat: the `Origin` of browsers (RFC 6454), for WebSockets and for CORS.

It keeps other sites from using a visitor's browser. It keeps out nobody who writes his own client, which sends what it
likes: what such a client may do is decided by its token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

ANY, NULL = "*", "null"
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Origin | None:
        """Read an origin; None when it is none."""
        try:
            parts = urlsplit(text.lower())
            port = parts.port
        except ValueError:
            return None
        if not parts.scheme or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
            return None
        return cls(parts.scheme, (parts.hostname or "").rstrip("."), port or _PORTS.get(parts.scheme))


class Origins:
    """The origins of one channel."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Allow these; see `ChatConfig.origins`."""
        names = {name.lower() for name in allowed}
        self._any, self._null = ANY in names, NULL in names
        self._exact = {Origin.parse(name) for name in names if "://*." not in name} - {None}
        wild = [Origin.parse(name.replace("://*.", "://", 1)) for name in names if "://*." in name]
        self._wild = [one for one in wild if one is not None]

    def allow(self, origin: str | None, host: str | None) -> bool:
        """Tell whether a page of `origin` may; `host` is the `Host` that is asked, whose own pages may."""
        if origin is None or self._any:
            return True
        if origin == NULL:
            return self._null
        found = Origin.parse(origin)
        if found is None:
            return False
        asked = Origin.parse(f"http://{host}") if host else None
        if found in self._exact or (asked is not None and found.host == asked.host and found.scheme in _PORTS):
            return True
        return any(
            found.scheme == wild.scheme and found.port == wild.port and found.host.endswith("." + wild.host)
            for wild in self._wild
        )


def cors(origin: str | None) -> dict[str, str]:
    """Return the headers of an answer to a page that may (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    if origin is None:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After", "Vary": "Origin"}


def preflight(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the answer to a preflight of a page that may."""
    return {
        **cors(headers.get("origin")),
        "Access-Control-Allow-Methods": "GET, POST, PUT",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "7200",
    }
