"""Models from a server that cuts connections, ignores ranges and sends the wrong bytes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import json
import os
import pty
import stat
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from asr import catalogue, download, install, models
from asr.catalogue import Entry
from asr.download import Wanted
from asr.errors import InstallError
from asr.install import Installed, unpack
from gateway.cli import main
from tests import voice

NAME = "vosk-model-tiny-en"


def archive(top: str = NAME, extra: dict[str, bytes] | None = None) -> bytes:
    """Zip the tiny model as the public archives are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(voice.MODEL.rglob("*")):
            if path.is_file():
                file.write(path, f"{top}/{path.relative_to(voice.MODEL)}")
        for name, data in (extra or {}).items():
            file.writestr(name, data)
    return out.getvalue()


ZIP = archive()


class Shop:
    """A server with one archive, and habits."""

    def __init__(self) -> None:
        self.url = ""
        self.content = ZIP
        self.etag = '"one"'
        self.ranges = True
        self.cut_after: list[int] = []  # bytes of each answer until the connection is cut
        self.statuses: list[int] = []
        self.lie_about_range = 0
        self.asked: list[str] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Shop]:
        app = web.Application()
        app.router.add_get("/model-list.json", self._list)
        app.router.add_get("/elsewhere.zip", self._elsewhere)
        app.router.add_get(f"/{NAME}.zip", self._give)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = str(site.name)
        try:
            yield self
        finally:
            await runner.cleanup()

    @property
    def zip_url(self) -> str:
        return f"{self.url}/{NAME}.zip"

    def entry(self, **changes: Any) -> dict[str, Any]:
        return {
            "lang": "en-us", "lang_text": "US English", "name": NAME, "obsolete": "false", "type": "small",
            "md5": hashlib.md5(ZIP).hexdigest(), "size": len(ZIP), "size_text": "1MiB", "version": "1",
            "url": self.zip_url, **changes,
        }  # fmt: skip

    async def _list(self, _: web.Request) -> web.Response:
        old = self.entry(name="vosk-model-old", obsolete="true", size=1)
        return web.json_response([old, self.entry(), self.entry(name="vosk-model-spk", type="spk", lang="all")])

    async def _elsewhere(self, _: web.Request) -> web.Response:
        raise web.HTTPFound("http://models.example/evil.zip")

    async def _give(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return web.Response(status=status)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.ranges or request.headers.get("If-Range") != self.etag:
            start = 0
        if start >= len(self.content):
            return web.Response(status=416)
        body = self.content[start:]
        answer = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.etag})
        answer.content_length = len(body)
        if start:
            begin = start + self.lie_about_range
            answer.headers["Content-Range"] = f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
        await answer.prepare(request)
        cut = self.cut_after.pop(0) if self.cut_after else len(body)
        await answer.write(body[:cut])
        if cut < len(body) and request.transport is not None:
            await asyncio.sleep(0.05)
            request.transport.abort()
        return answer


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop().serve() as it:
        yield it


async def buy(shop: Shop, folder: Path, **changes: Any) -> Installed:
    force, name = changes.pop("force", False), changes.pop("name", NAME)
    wanted = Wanted(**{"url": shop.zip_url, "size": len(ZIP), "md5": hashlib.md5(ZIP).hexdigest(), **changes})
    async with aiohttp.ClientSession() as http:
        return await install.install(http, name, wanted, folder, force=force, pause_secs=0.01)


async def refused(shop: Shop, folder: Path, **changes: Any) -> str:
    with pytest.raises(InstallError) as caught:
        await buy(shop, folder, **changes)
    assert not (folder / NAME).exists()
    return str(caught.value)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_model_is_downloaded_checked_and_unpacked(shop: Shop, tmp_path: Path) -> None:
    done = await buy(shop, tmp_path / "models")

    assert done == Installed(
        name=NAME, path=str(tmp_path / "models" / NAME), sha256=hashlib.sha256(ZIP).hexdigest(), resumed=False
    )
    assert left(tmp_path / "models") == {NAME}
    found = models.find(NAME, tmp_path / "models")
    assert (found.rate, found.upsamples) == (8000, False)
    assert (found.path / "am/final.mdl").read_bytes() == (voice.MODEL / "am/final.mdl").read_bytes()
    assert (await buy(shop, tmp_path / "models")).already
    assert len(shop.asked) == 1


async def test_connections_that_are_cut_cost_only_what_was_not_there_yet(shop: Shop, tmp_path: Path) -> None:
    shop.cut_after = [100_000, 100_000, 50_000]

    done = await buy(shop, tmp_path)

    assert done.resumed
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in shop.asked if asked]
    assert len(starts) == 3
    assert 0 < starts[0] < starts[1] < starts[2] <= 250_000


async def test_progress_is_told_from_where_the_last_run_was_cut_off(shop: Shop, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    wanted = Wanted(url=shop.zip_url, md5=hashlib.md5(ZIP).hexdigest())
    shop.cut_after, shop.statuses = [300_000], [200, 404]
    async with aiohttp.ClientSession() as http:
        with pytest.raises(InstallError):
            await install.install(http, NAME, wanted, tmp_path, progress=lambda *at: seen.append(at), pause_secs=0.01)
        there, first = seen[-1][0], len(seen)
        await install.install(http, NAME, wanted, tmp_path, progress=lambda *at: seen.append(at), pause_secs=0.01)

    assert 0 < there <= 300_000
    assert seen == sorted(seen)
    assert seen[first][0] >= there
    assert seen[-1] == (len(ZIP), len(ZIP))


async def test_on_a_terminal_a_bar_shows_how_far_it_is(shop: Shop, tmp_path: Path) -> None:
    screen, theirs = pty.openpty()
    digest = hashlib.sha256(ZIP).hexdigest()
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("omnigate"), "models", "install", NAME, "--dir", tmp_path, "--url", shop.zip_url,
        "--sha256", digest, stdout=asyncio.subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    asyncio.get_running_loop().add_reader(screen, lambda: shown.extend(_there(screen)))
    out, _ = await process.communicate()
    asyncio.get_running_loop().remove_reader(screen)
    shown += _there(screen)
    os.close(screen)

    assert (process.returncode, json.loads(out)["sha256"]) == (0, digest)
    assert NAME in shown.decode()
    assert "/" in shown.decode()  # so much of so much


def _there(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:  # the other end is closed
        return b""


async def test_another_run_goes_on_where_the_last_was_cut_off(shop: Shop, tmp_path: Path) -> None:
    shop.cut_after, shop.statuses = [100_000], [200, 404]
    assert "404" in await refused(shop, tmp_path)

    assert (await buy(shop, tmp_path)).resumed


async def test_a_file_that_changed_meanwhile_is_begun_anew(shop: Shop, tmp_path: Path) -> None:
    shop.cut_after, shop.statuses = [100_000], [200, 404]
    await refused(shop, tmp_path)
    shop.etag = '"two"'

    done = await buy(shop, tmp_path)

    assert not done.resumed
    assert shop.asked[-1]  # it was asked for


@pytest.mark.parametrize("habit", ["no ranges", "weak tag", "another part"])
async def test_servers_with_other_habits_give_the_right_file_in_the_end(shop: Shop, tmp_path: Path, habit: str) -> None:
    shop.cut_after = [100_000]
    if habit == "no ranges":
        shop.ranges = False
    elif habit == "weak tag":
        shop.etag = 'W/"one"'
    else:
        shop.lie_about_range = 7

    done = await buy(shop, tmp_path)

    assert done.sha256 == hashlib.sha256(ZIP).hexdigest()
    assert not done.resumed


async def test_more_than_the_file_on_disk_is_thrown_away(shop: Shop, tmp_path: Path) -> None:
    shop.cut_after, shop.statuses = [100_000], [200, 404]
    await refused(shop, tmp_path)
    with (tmp_path / f".{NAME}.zip.part").open("ab") as file:
        file.write(b"x" * len(ZIP))

    assert (await buy(shop, tmp_path)).sha256 == hashlib.sha256(ZIP).hexdigest()


async def test_a_server_that_is_tired_is_asked_again(shop: Shop, tmp_path: Path) -> None:
    shop.statuses = [503, 429, 500]
    await buy(shop, tmp_path)
    assert len(shop.asked) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "00" * 32}, "its SHA-256 is"),
        ({"md5": "00" * 16}, "its MD5 is"),
        ({"size": 1000}, "that is another file"),
        ({"url": "https://127.0.0.1:9/x.zip"}, "cannot be downloaded"),
        ({"url": "http://models.example/x.zip"}, "expected https://"),
        ({"url": "file:///etc/passwd"}, "expected https://"),
        ({"name": "../elsewhere"}, "cannot be the name"),
    ],
    ids=["sha256", "md5", "size", "no-network", "plain-http", "file", "name"],
)
async def test_what_is_not_the_model_is_refused(shop: Shop, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert words in await refused(shop, tmp_path, **change)
    assert not [name for name in left(tmp_path) if name.endswith((".zip", ".part"))]


async def test_the_wrong_bytes_of_the_right_length_are_noticed_and_deleted(shop: Shop, tmp_path: Path) -> None:
    shop.content = ZIP[:-1] + bytes([ZIP[-1] ^ 1])
    assert "MD5" in await refused(shop, tmp_path)
    shop.content = ZIP
    assert not (await buy(shop, tmp_path)).resumed


async def test_a_redirect_to_plain_http_is_not_believed(shop: Shop, tmp_path: Path) -> None:
    words = await refused(shop, tmp_path, url=f"{shop.url}/elsewhere.zip")
    assert "expected https://" in words or "cannot be downloaded" in words


async def test_a_full_disk_keeps_what_is_there(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: Usage)
    assert "has no room" in await refused(shop, tmp_path)
    monkeypatch.undo()

    real = asyncio.to_thread

    async def full(work: Any, *arguments: Any, **options: Any) -> Any:
        if getattr(work, "__name__", "") == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await real(work, *arguments, **options)

    monkeypatch.setattr(download.asyncio, "to_thread", full)
    assert "is full" in await refused(shop, tmp_path)


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", f"{NAME}/../../evil", "..\\evil", "C:\\evil", f"{NAME}/am/../../../evil"]
)
def test_an_archive_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / "inside" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(archive(extra={name: b"evil"}))

    with pytest.raises(InstallError, match="outside"):
        unpack(path, path.with_name(NAME))

    assert left(tmp_path) == {"inside"}
    assert left(path.parent) == set()


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(ZIP)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(*link(f"{NAME}/passwd", "/etc/passwd"))

    with pytest.raises(InstallError, match="outside"):
        unpack(path, tmp_path / NAME)


def test_a_zip_bomb_and_what_is_no_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for data in (archive(extra={f"{NAME}/zeros": bytes(200_000_000)}), b"not a zip", ZIP[:-200], b""):
        path.write_bytes(data)
        with pytest.raises(InstallError):
            unpack(path, tmp_path / NAME)
        assert left(tmp_path) == set()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("readme.txt", "no model")
    path.write_bytes(out.getvalue())
    with pytest.raises(InstallError, match="no Vosk model"):
        unpack(path, tmp_path / NAME)


async def test_a_model_is_replaced_on_request_only(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mine").touch()
    with pytest.raises(InstallError, match="--force"):
        await buy(shop, tmp_path)
    assert not (await buy(shop, tmp_path, force=True)).already
    assert not (tmp_path / NAME / "mine").exists()
    assert left(tmp_path) == {NAME}


async def test_two_do_not_install_the_same_model_at_once(shop: Shop, tmp_path: Path) -> None:
    with install._alone(tmp_path / f".{NAME}.lock"):
        assert "somebody else" in await refused(shop, tmp_path)


async def test_a_folder_that_cannot_be_made_is_named(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstallError, match="file"):
        await buy(shop, tmp_path / "file" / "models")


def test_the_catalogue_that_comes_along_is_sound() -> None:
    entries = catalogue.embedded()
    assert len(entries) > 25
    for entry in entries:
        assert entry.current
        assert install.NAME.fullmatch(entry.name)
        assert entry.url == f"https://alphacephei.com/vosk/models/{entry.name}.zip"
        assert len(entry.md5) == 32
        assert entry.size > 1_000_000
    chosen = {language: catalogue.choose(entries, language) for language in ("en", "de", "en-gb", "cn", "xx")}
    assert {language: entry and entry.name for language, entry in chosen.items()} == {
        "en": "vosk-model-small-en-us-0.15",
        "de": "vosk-model-small-de-0.15",
        "en-gb": "vosk-model-small-en-gb-0.15",
        "cn": "vosk-model-small-cn-0.22",
        "xx": None,
    }
    assert catalogue.choose(entries, "vosk-model-en-us-0.22-lgraph") is not None


async def test_a_catalogue_that_is_none_is_refused(shop: Shop) -> None:
    async with aiohttp.ClientSession() as http:
        assert [
            entry.name for entry in await catalogue.fetch(http, f"{shop.url}/model-list.json") if entry.current
        ] == [NAME]
        for url, words in (
            (shop.zip_url, "not a catalogue"),
            (f"{shop.url}/nothing", "HTTP 404"),
            ("https://127.0.0.1:9/", "cannot be read"),
            ("http://models.example/list", "expected https://"),
        ):
            with pytest.raises(InstallError, match=words):
                await catalogue.fetch(http, url)
    assert Entry(name="x", url="", lang="en-us").speaks("EN")


async def test_the_command_lists_installs_and_finds(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gw.toml").write_text(f'[asr]\nmodels = {{ en = "{NAME}" }}\n')
    listing, config = f"{shop.url}/model-list.json", ["--config", "gw.toml"]

    async def run(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["models", *arguments, *config])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    status, out, _ = await run("path", NAME)
    assert status == 1
    status, out, _ = await run("install", "en", "--catalogue", listing)
    assert (status, json.loads(out)["name"]) == (0, NAME)
    status, out, _ = await run("list", "--catalogue", listing)
    (row,) = [json.loads(one) for one in out.splitlines()]
    assert (row["name"], row["installed"], row["used_for"]) == (NAME, True, ["en"])
    status, out, _ = await run("list", "--catalogue", listing, "--all")
    assert len(out.splitlines()) == 3
    status, out, _ = await run("list")
    assert {NAME, "vosk-model-small-de-0.15"} <= {json.loads(one)["name"] for one in out.splitlines()}
    status, out, _ = await run("path", NAME)
    assert (status, out.strip()) == (0, f"var/models/{NAME}")
    status, _, err = await run("install", "vosk-model-small-de-0.1")
    assert (status, "did you mean" in err, err.count("\n")) == (1, True, 1)
    status, out, _ = await run("install", "mine", "--url", shop.zip_url, "--sha256", hashlib.sha256(ZIP).hexdigest())
    assert (status, json.loads(out)["path"]) == (0, "var/models/mine")
    status, _, err = await run("install", "other", "--url", shop.zip_url, "--sha256", "00" * 32)
    assert (status, "SHA-256" in err) == (1, True)
