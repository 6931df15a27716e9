"""From an HTTP request to what a connector is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDictProxy
from typing_extensions import override

from connectors.addresses import Networks, client_address
from connectors.api import Delivery

T = TypeVar("T")

PREFIX = "/c/"


@lru_cache(maxsize=256)
def address(target: str) -> tuple[str, str, bool]:
    """Read a request target: the channel it names, the rest of its path, whether it has a query; no channel elsewhere.

    Providers ask for the same again and again.
    """
    path, _, query = target.partition("?")
    if not path.startswith(PREFIX):
        return "", "", False
    channel, _, rest = path[len(PREFIX) :].partition("/")
    return channel, rest, bool(query)


class Headers(Mapping[str, str]):
    """The header fields of a request, names in lower case; looked up when asked for, as few are.

    One that came in several lines has them joined by commas (RFC 9110 §5.3).
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: CIMultiDictProxy[str]) -> None:
        """Read `fields`."""
        self._fields = fields

    @override
    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields.getall(name))

    @override
    def get(self, name: str, default: T | None = None) -> Any:
        found = self._fields.getall(name, None)
        return default if found is None else ", ".join(found)

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._fields

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name in self._fields))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


def delivery(
    head: BaseRequest | RawRequestMessage,
    url: str,
    query: dict[str, str],
    remote: str | None,
    rest: str,
    body: bytes,
    *,
    trusted: Networks,
    connected: Callable[[], bool],
) -> Delivery:
    """Describe a request.

    Args:
        head: its method and headers.
        url: as the client asked for it.
        query: of the URL, decoded.
        remote: the peer; where it is one of the `trusted` proxies, whom that names.
        rest: of the path, for the connector.
        body: all of it.
        trusted: proxies.
        connected: see `Delivery`.
    """
    headers = head.headers
    if trusted:
        remote = client_address(remote, headers.getall("X-Forwarded-For", ()), trusted)
    return Delivery(
        method=head.method,
        path=rest,
        url=url,
        query=query,
        headers=Headers(headers),
        body=body,
        remote=remote,
        connected=connected,
    )
