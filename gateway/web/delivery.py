"""From an HTTP request to what a connector is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_request import BaseRequest
from yarl import URL

from connectors.addresses import Networks, client_address
from connectors.api import Delivery


def delivery(
    head: BaseRequest | RawRequestMessage,
    url: URL,
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
        url=str(url),
        query=dict(url.query) if url.raw_query_string else {},
        headers=plain(headers),
        body=body,
        remote=remote,
        connected=connected,
    )


def plain(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower the names; a header that came in several lines is one with commas (RFC 9110 §5.3)."""
    found = {name.lower(): value for name, value in headers.items()}
    if len(found) < len(headers):
        found = {}
        for name, value in headers.items():
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found
