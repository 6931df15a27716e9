"""The guard of `connectors.download`: real servers on the loopback, names that resolve as an attacker likes."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.download import UnsafeUrl, _Guard, download, public
from connectors.errors import Misconfigured, Refused, Throttled, Unreachable
from connectors.http import TooLarge

LIMIT = 100_000
HERE = ("127.0.0.1",)
METADATA = "http://169.254.169.254/latest/meta-data/"


class Site:
    """A server on 127.0.0.1 (also reached as localhost) that answers as a test says and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def give(self, path: str, **answer: object) -> str:
        async def respond(_: web.Request) -> web.Response:
            return web.Response(**answer)  # type: ignore[arg-type]

        self.answers[path] = respond
        return self.url(path)

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        return self.give(path, status=status, headers={"Location": to})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self.answers.get(request.path)
        return web.Response(status=404) if answer is None else await answer(request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    it = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", it.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    it.port = sock.getsockname()[1]
    await web.SockSite(runner, sock).start()
    yield it
    await runner.cleanup()


class Names(AbstractResolver):
    """Resolves every name to the next of its addresses, and counts."""

    def __init__(self, *addresses: str) -> None:
        self.addresses, self.asked = list(addresses), 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        address = self.addresses[min(self.asked, len(self.addresses) - 1)]
        self.asked += 1
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
        ]

    async def close(self) -> None:
        pass


async def fetch(url: str, *, allow: tuple[str, ...] = HERE, max_bytes: int = LIMIT, timeout: float = 5.0, **more):  # type: ignore[no-untyped-def]
    return await download(url, max_bytes=max_bytes, timeout=timeout, allow=allow, **more)


async def test_a_file_comes_with_the_type_and_name_the_server_tells(site: Site) -> None:
    told = {"Content-Disposition": 'attachment; filename="cat.png"'}
    url = site.give("/cat", body=b"pixels", content_type="image/png", headers=told)

    found = await fetch(url)

    assert (found.data, found.mime, found.name) == (b"pixels", "image/png", "cat.png")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://2130706433/x",
        "https://0177.0.0.1/x",
        "https://127.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:7f00:1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://[fe80::1%25eth0]/x",
        "https://[fd00:ec2::254]/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/x",
        "https://100.100.100.200/x",
        "https://168.63.129.16/x",
        "https://192.0.0.192/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://255.255.255.255/x",
        "https://user:secret@example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "//example.com/x",
        "/x",
        "",
        "https://",
        "https://[::1/x",
        "https://a:99999/x",
    ],
)
async def test_a_url_that_leads_nowhere_public_is_refused_before_anybody_is_asked(url: str) -> None:
    names = Names("127.0.0.1")

    with pytest.raises(UnsafeUrl):
        await fetch(url, allow=(), resolver=names)

    assert names.asked == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1"])
async def test_a_name_that_resolves_to_a_private_address_is_refused(site: Site, address: str) -> None:
    with pytest.raises(UnsafeUrl):
        await fetch(f"https://cdn.example:{site.port}/x", resolver=Names(address))

    assert site.asked == []


@pytest.mark.parametrize("host", ["0x7f000001", "0x7f.1", "localhost", "localhost.", "LOCALHOST"])
async def test_a_name_that_the_system_takes_for_the_loopback_is_refused(site: Site, host: str) -> None:
    with pytest.raises((UnsafeUrl, Unreachable)) as caught:
        await fetch(f"https://{host}:{site.port}/x", allow=())

    assert site.asked == []
    if host.lower() == "localhost":  # of the others some systems know nothing
        assert isinstance(caught.value, UnsafeUrl)


async def test_a_name_that_changes_its_address_between_two_requests_gains_nothing(site: Site) -> None:
    """DNS rebinding: the address is checked where the socket is made, so an earlier answer counts for nothing."""
    names = Names("127.0.0.2", "127.0.0.1")
    site.redirect("/again", f"https://cdn.example:{site.port}/x")

    for _ in range(2):
        with pytest.raises(UnsafeUrl):
            await fetch(f"https://cdn.example:{site.port}/x", resolver=names)
    with pytest.raises(UnsafeUrl):
        await fetch(site.url("/again"), resolver=Names("127.0.0.1"))

    assert names.asked == 2
    assert [request.path for request in site.asked] == ["/again"]


@pytest.mark.parametrize(
    "target", [METADATA, "https://169.254.169.254/", "https://localhost/", "http://[::1]/", "file:///etc/passwd"]
)
async def test_a_redirect_is_checked_like_the_first_url(site: Site, target: str) -> None:
    with pytest.raises(UnsafeUrl):
        await fetch(site.redirect("/go", target))


async def test_redirects_are_followed_three_times(site: Site) -> None:
    site.give("/end", body=b"here")
    site.redirect("/3", "/end", 308)
    site.redirect("/2", site.url("/3"), 307)
    site.redirect("/1", "2", 301)

    assert (await fetch(site.url("/1"))).data == b"here"
    with pytest.raises(Refused, match="redirects more than 3 times"):
        await fetch(site.redirect("/0", "/1", 303))


async def test_credentials_do_not_follow_to_another_host(site: Site) -> None:
    site.give("/end", body=b"here")
    site.redirect("/there", site.url("/end", "localhost"))
    site.redirect("/stay", "/end")
    ours = {"Authorization": "Bearer secret", "X-Api-Key": "secret"}

    await fetch(site.url("/there"), allow=("127.0.0.1", "localhost"), headers=ours)
    await fetch(site.url("/stay"), headers=ours)

    there, stayed = site.asked[1], site.asked[3]
    assert there.headers["Host"].startswith("localhost")
    assert not {"Authorization", "X-Api-Key"} & set(there.headers)
    assert {"Authorization", "X-Api-Key"} <= set(stayed.headers)


async def test_a_host_that_is_allowed_is_allowed_by_name_only(site: Site) -> None:
    site.give("/x", body=b"here")

    assert (await fetch(site.url("/x", "localhost"), allow=("localhost",))).data == b"here"
    with pytest.raises(UnsafeUrl):
        await fetch(site.url("/x"), allow=("localhost",))


async def test_a_file_may_be_as_large_as_the_limit_and_no_larger(site: Site) -> None:
    site.give("/fits", body=b"x" * LIMIT)
    site.give("/declared", body=b"x" * (LIMIT + 1))

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 10_000)
        return response

    site.answers["/chunked"] = endless

    assert len((await fetch(site.url("/fits"))).data) == LIMIT
    for path in ("/declared", "/chunked"):
        with pytest.raises(TooLarge):
            await fetch(site.url(path))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_what_is_compressed_is_unpacked_up_to_the_limit(site: Site, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    site.give("/small", body=pack(b"x" * LIMIT), headers={"Content-Encoding": encoding})
    site.give("/bomb", body=pack(bytes(50_000_000)), headers={"Content-Encoding": encoding})
    site.give("/cut", body=pack(b"some words " * 50)[:-12], headers={"Content-Encoding": encoding})

    assert (await fetch(site.url("/small"))).data == b"x" * LIMIT
    with pytest.raises(TooLarge):
        await fetch(site.url("/bomb"))
    with pytest.raises(Unreachable):
        await fetch(site.url("/cut"))


async def test_an_encoding_nobody_asked_for_is_refused(site: Site) -> None:
    with pytest.raises(Refused):
        await fetch(site.give("/x", body=b"??", headers={"Content-Encoding": "br"}))


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, Refused), (410, Refused), (401, Misconfigured), (403, Misconfigured), (500, Unreachable), (429, Throttled)],
)
async def test_an_answer_that_is_no_file_says_whether_to_try_again(
    site: Site, status: int, error: type[Exception]
) -> None:
    url = site.give("/x", status=status, body=b"token=hunter2", headers={"Retry-After": "7"})

    with pytest.raises(error) as caught:
        await fetch(f"{url}?token=hunter2")

    assert "hunter2" not in repr(vars(caught.value)) + str(caught.value)
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 7.0


async def test_a_server_that_dawdles_is_given_up(site: Site) -> None:
    async def dawdle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.01)

    site.answers["/x"] = dawdle

    with pytest.raises(Unreachable, match="did not answer in full"):
        await fetch(site.url("/x"), timeout=0.2)


async def test_nobody_there_is_unreachable_and_the_url_is_not_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    with pytest.raises(Unreachable) as caught:
        await fetch(f"http://127.0.0.1:{port}/bot-secret/x")

    assert "secret" not in str(caught.value)


def test_sockets_are_made_for_public_addresses() -> None:
    guard = _Guard()
    guard((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("8.8.8.8", 443))).close()
    assert not guard.refused

    with pytest.raises(OSError, match="not a public address"):
        guard((socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 443, 0, 0)))
    assert guard.refused


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::", False),
        ("2001:db8::1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("cdn.example", False),
        ("", False),
    ],
)
def test_public_is_what_anybody_could_reach(address: str, expected: bool) -> None:  # noqa: FBT001
    assert public(address) is expected
