"""Fetching a URL that somebody else wrote, without being sent to where only we can go (SSRF).

https only, to public addresses only. The address is checked in the moment its socket is made, so what a name resolves
to between a check and the connection does not matter (DNS rebinding). Redirects are followed by hand, each checked
like the first URL; what proves us to one origin is not shown to another. Hosts the operator names (`allow`) may be
private and may speak http.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from connectors.api import Fetched
from connectors.errors import Refused, Unreachable
from connectors.http import Answer, TooLarge, refusal

REDIRECTS = 3
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_PRIVATE_USE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure, https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "192.0.0.0/24",  # RFC 6890; the metadata service of some clouds is there
        "192.88.99.0/24",  # RFC 7526
        "3fff::/20",  # RFC 9637
    )
)
"""What `ipaddress` of some Python versions takes for public."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class UnsafeUrl(Refused):
    """The URL, or one it redirects to, leads where the gateway fetches nothing from."""

    code = "unsafe_url"


async def download(
    url: str,
    *,
    max_bytes: int,
    timeout: float,  # noqa: ASYNC109 -- of the whole exchange, redirects and body included
    headers: Mapping[str, str] | None = None,
    allow: Collection[str] = (),
    resolver: AbstractResolver | None = None,
) -> Fetched:
    """Fetch `url`.

    Args:
        url: absolute; may carry a token, and is in no error.
        max_bytes: the largest body, before and after decompression.
        timeout: seconds for everything.
        headers: of the request; dropped when a redirect leads to another scheme, host or port.
        allow: host names in lower case that may be fetched from although they are not public, also without TLS.
        resolver: looks host names up, instead of the system.

    Raises:
        UnsafeUrl: see the module.
        TooLarge: more than `max_bytes`.
        SendError: by the answer, as in `connectors.http.refusal`; `Unreachable` when there is none.
    """
    target, given = _checked(url, allow), dict(headers or {})
    try:
        async with asyncio.timeout(timeout):
            for _ in range(REDIRECTS + 1):
                answer = await _get(target, given, max_bytes, guarded=_host(target) not in allow, resolver=resolver)
                if isinstance(answer, Fetched):
                    return answer
                onwards = _checked(answer, allow, base=target)
                given = given if onwards.origin() == target.origin() else {}
                target = onwards
    except TimeoutError:
        raise Unreachable(f"{_host(target)} did not answer in full within {timeout:g} s") from None
    raise Refused(f"{_host(target)} redirects more than {REDIRECTS} times")


def public(address: str) -> bool:
    """Tell whether an IP address is one anybody on the internet could reach, whatever it is wrapped in."""
    try:
        ip: IpAddress = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or _translated(ip)
        if inner is not None:
            return public(str(inner))
        if ip.is_site_local or ip.sixtofour is not None or ip.teredo is not None:
            return False
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _PRIVATE_USE)
    return ip.is_global and not special


def _translated(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a NAT64 gateway turns an IPv6 address into (RFC 6052, section 2.1)."""
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


def _checked(url: str, allow: Collection[str], base: URL | None = None) -> URL:
    try:
        target = URL(url) if base is None else base.join(URL(url))
        host = _host(target)
        absolute = target.is_absolute() and target.port is not None
    except ValueError:
        raise UnsafeUrl("the URL is not valid") from None
    if not absolute or not host or target.scheme not in {"https", "http"}:
        raise UnsafeUrl("only absolute https URLs are fetched")
    if target.user is not None or target.password is not None:
        raise UnsafeUrl("URLs with a user name are not fetched")
    if host in allow:
        return target
    if target.scheme != "https":
        raise UnsafeUrl(f"{host} is not fetched from without TLS; name it in `media_hosts` if it shall be")
    if (":" in host or host.replace(".", "").isdigit()) and not public(host):
        raise _private(host)
    return target


def _host(url: URL) -> str:
    return (url.host or "").rstrip(".").lower()


def _private(host: str) -> UnsafeUrl:
    return UnsafeUrl(f"{host} is not a public address; name it in `media_hosts` if it shall be fetched from")


class _Guard:
    """Makes sockets for public addresses only; remembers whether it refused one."""

    def __init__(self) -> None:
        self.refused = False

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not public(str(address[0])):
            self.refused = True
            raise OSError(errno.EACCES, "not a public address")
        return socket.socket(family, kind, protocol)


async def _get(
    url: URL, headers: dict[str, str], max_bytes: int, *, guarded: bool, resolver: AbstractResolver | None
) -> Fetched | str:
    """Return the content, or where it is said to be; a connector of its own, so that no other socket is reused."""
    guard = _Guard()
    connector = aiohttp.TCPConnector(
        resolver=resolver, socket_factory=guard if guarded else None, use_dns_cache=False, force_close=True
    )
    asked = {"Accept-Encoding": "gzip, deflate", **headers}
    try:
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            session.get(url, headers=asked, allow_redirects=False) as response,
        ):
            return await _answer(response, max_bytes)
    except (aiohttp.ClientError, OSError, ValueError) as exc:  # of aiohttp's texts some have the URL
        if guard.refused:
            raise _private(_host(url)) from None
        raise Unreachable(f"{_host(url)} cannot be reached: {type(exc).__name__}") from None


async def _answer(response: aiohttp.ClientResponse, max_bytes: int) -> Fetched | str:
    if response.status in _REDIRECTING and "Location" in response.headers:
        return response.headers["Location"]
    error = refusal(Answer(status=response.status, headers=response.headers, body=b""))
    if error is not None:
        raise error
    told = response.content_disposition
    return Fetched(
        data=await _body(response, max_bytes),
        mime=response.content_type if "Content-Type" in response.headers else None,
        name=told.filename if told is not None else None,
    )


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if (response.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise Refused(f"the answer is encoded in a way that was not asked for ({encoding[:20]!r})")
    packed = bytearray()
    async for chunk in response.content.iter_any():
        packed += chunk
        if len(packed) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(packed) if encoding in {"identity", ""} else _unpacked(bytes(packed), max_bytes)


def _unpacked(packed: bytes, max_bytes: int) -> bytes:
    """Decompress, and stop where it gets too large, so that a small answer cannot fill the memory."""
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = stream.decompress(packed, max_bytes + 1)
    except zlib.error:
        raise Unreachable("the answer cannot be decompressed") from None
    if len(content) > max_bytes:
        raise _too_large(max_bytes)
    if not stream.eof:
        raise Unreachable("the answer breaks off")
    return content


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the file is larger than {max_bytes} bytes")
