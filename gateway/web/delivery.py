"""From an HTTP request to what a connector is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from aiohttp.http_parser import RawRequestMessage
from msgspec import Struct
from multidict import CIMultiDictProxy
from typing_extensions import override

from connectors.addresses import Networks, client_address
from connectors.api import Delivery

T = TypeVar("T")

PREFIX = "/c/"


def address(target: str) -> tuple[str, str, bool]:
    """Read a request target: its channel (empty elsewhere), the rest of the path, whether there is a query."""
    path, _, query = target.partition("?")
    if not path.startswith(PREFIX):
        return "", "", False
    channel, _, rest = path[len(PREFIX) :].partition("/")
    return channel, rest, bool(query)


class Headers(Mapping[str, str]):
    """The header fields of a request, names in lower case; looked up when asked for, as few are, and remembered then.

    One that came in several lines has them joined by commas (RFC 9110 §5.3).
    """

    __slots__ = ("_fields", "_known")

    def __init__(self, fields: CIMultiDictProxy[str]) -> None:
        """Read `fields`."""
        self._fields = fields
        self._known: dict[str, str | None] = {}

    @override
    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields.getall(name))

    @override
    def get(self, name: str, default: T | None = None) -> Any:
        if name in self._known:
            value = self._known[name]
        else:
            found = self._fields.getall(name, None)
            value = self._known[name] = None if found is None else ", ".join(found)
        return default if value is None else value

    def all(self, name: str) -> list[str]:
        """Return each line of a field, none where it is missing."""
        return self._fields.getall(name, [])

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._fields

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name in self._fields))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


class Head(Struct, frozen=True, kw_only=True):
    """What a request says before its body; shared by all that begin with the same bytes.

    Attributes:
        url: as the client asked for it.
        channel: that it is for; empty where it is for something else.
        rest: of the path, for the connector.
        query: of the URL, decoded.
    """

    method: str
    url: str
    channel: str = ""
    rest: str
    query: Mapping[str, str]
    headers: Headers


def head_of(message: RawRequestMessage) -> Head:
    """Describe a request that aiohttp's parser has read."""
    channel, rest, query = address(message.path)
    return Head(
        method=message.method,
        url=message.path,
        channel=channel,
        rest=rest,
        query=dict(message.url.query) if query else {},
        headers=Headers(message.headers),
    )


def delivery(
    head: Head, body: bytes, remote: str | None, *, trusted: Networks, connected: Callable[[], bool]
) -> Delivery:
    """Describe a request to a connector.

    Args:
        head: what it begins with.
        body: all of it.
        remote: the peer; where it is one of the `trusted` proxies, whom that names.
        trusted: proxies.
        connected: see `Delivery`.
    """
    if trusted:
        remote = client_address(remote, head.headers.all("X-Forwarded-For"), trusted)
    return Delivery(
        method=head.method,
        path=head.rest,
        url=head.url,
        query=head.query,
        headers=head.headers,
        body=body,
        remote=remote,
        connected=connected,
    )
