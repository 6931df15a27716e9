"""What the gateway serves to pages: the widget, packed where the browser takes it, and once loaded not loaded again."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from connectors.chat.site import WIDGET, WWW
from tests.integration.chat.helpers import Office, office

SCRIPT = (WWW / WIDGET).read_bytes()


class Browser:
    """Loads files, and unpacks nothing."""

    def __init__(self, it: Office, http: aiohttp.ClientSession) -> None:
        self.it, self.http = it, http

    async def load(
        self, path: str = WIDGET, method: str = "GET", /, **headers: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """Return status, headers and body; in names of headers an underscore is a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        skipped = [] if "Accept-Encoding" in named else ["Accept-Encoding"]
        url = f"{self.it.url}/{path}"
        async with self.http.request(method, url, headers=named, skip_auto_headers=skipped) as response:
            return response.status, response.headers, await response.read()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with (
        office(tmp_path, origins=("https://shop.example",), demo=True) as it,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        yield Browser(it, http)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("x-gzip", True),
        ("GZIP", True),
        ("*", True),
        ("gzip;q=0, *", False),
        ("gzip;q=0", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=nonsense", False),
        ("", False),
        (None, False),
    ],
)
async def test_widget_is_packed_where_it_is_accepted(browser: Browser, accepted: str | None, packed: bool) -> None:  # noqa: FBT001
    given = {} if accepted is None else {"Accept_Encoding": accepted}
    status, headers, body = await browser.load(WIDGET, **given)
    assert status == 200
    assert (gzip.decompress(body) if packed else body) == SCRIPT
    assert len(body) <= 30_000 or not packed
    assert headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert int(headers["Content-Length"]) == len(body)


async def test_caches_keep_packed_and_plain_apart(browser: Browser) -> None:
    _, plain, _ = await browser.load()
    _, packed, _ = await browser.load(Accept_Encoding="gzip")
    for headers in (plain, packed):
        assert {name.strip() for name in headers["Vary"].split(",")} == {"Origin", "Accept-Encoding"}
        assert headers["Cache-Control"].startswith("public, max-age=")
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert plain["ETag"] != packed["ETag"]


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_what_a_browser_has_is_not_sent_again(browser: Browser, accepted: str) -> None:
    _, headers, _ = await browser.load(Accept_Encoding=accepted)
    tag = headers["ETag"]
    for known in (tag, f"W/{tag}", f'"another", {tag}', "*"):
        status, again, body = await browser.load(Accept_Encoding=accepted, If_None_Match=known)
        assert (status, body) == (304, b"")
        assert {name: again[name] for name in ("ETag", "Vary", "Cache-Control")} == {
            name: headers[name] for name in ("ETag", "Vary", "Cache-Control")
        }
    status, _, body = await browser.load(Accept_Encoding=accepted, If_None_Match='"another"')
    assert status == 200
    assert body


async def test_a_page_of_the_site_may_read_it_and_another_may_not(browser: Browser) -> None:
    status, headers, _ = await browser.load(Origin="https://shop.example")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://shop.example")
    status, headers, _ = await browser.load(Origin="https://evil.example")
    assert (status, headers.get("Access-Control-Allow-Origin")) == (403, None)


async def test_head_tells_the_same_without_the_script(browser: Browser) -> None:
    _, wanted, _ = await browser.load(Accept_Encoding="gzip")
    status, headers, body = await browser.load(WIDGET, "HEAD", Accept_Encoding="gzip")
    assert (status, body) == (200, b"")
    for name in ("ETag", "Content-Encoding", "Content-Length"):
        assert headers[name] == wanted[name]


async def test_demo_page_is_asked_for_each_time_and_is_bound_to_its_policy(browser: Browser) -> None:
    status, headers, body = await browser.load("", Accept_Encoding="gzip")
    assert status == 200
    assert b"demo.js" in gzip.decompress(body)
    assert headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
