"""Downloads that go on where they were cut off, and are what they should be."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec
from msgspec import Struct

from asr.catalogue import check_url
from asr.errors import InstallError

TRIES = 5
"""In a row that bring nothing."""
PAUSE_SECS = 1.0
STALL_SECS = 30.0
MAX_BYTES = 17_179_869_184
CHUNK_BYTES = 262_144
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
Progress = Callable[[int, int], None]
"""Told how many bytes are there, of how many (0: nobody knows)."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What to download; empty and 0 are not known."""

    url: str
    size: int = 0
    md5: str = ""
    sha256: str = ""


class _Mark(Struct, frozen=True):
    """Of which file the bytes so far are: a range of another one would not fit. See RFC 9110 §13.1.5, If-Range."""

    url: str
    validator: str = ""


class _Cut(Exception):
    """The connection ended before the file did."""


def nothing(_there: int, _total: int) -> None:
    """Show no progress."""


class Download:
    """One file, first ``<target>.part``; what is there of it is kept when something goes wrong on the way."""

    def __init__(
        self, http: aiohttp.ClientSession, wanted: Wanted, target: Path, *, progress: Progress = nothing,
        pause_secs: float = PAUSE_SECS,
    ) -> None:  # fmt: skip
        """Download `wanted` to `target`."""
        self._http, self._wanted, self._target, self._progress = http, wanted, target, progress
        self._pause_secs = pause_secs
        self._part = target.with_name(target.name + ".part")
        self._mark = target.with_name(target.name + ".part.json")
        self.resumed = False

    async def run(self) -> str:
        """Download and check; returns the SHA-256 of the file.

        Raises:
            InstallError: with a sentence that says what to do.
        """
        check_url(self._wanted.url, proved=bool(self._wanted.sha256))
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            await self._fetch()
            return await asyncio.to_thread(self._adopt)
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise InstallError(
                    f"the disk of {self._target.parent} is full; make room and try again, it goes on where it was"
                ) from exc
            raise InstallError(f"{exc.filename or self._target}: {exc.strerror or exc}") from exc

    async def _fetch(self) -> None:
        tries = 0
        while True:
            before = self._there()
            if before and before == self._wanted.size:
                return
            try:
                await self._try(before)
            except (aiohttp.ClientError, TimeoutError, _Cut) as exc:
                tries = tries + 1 if self._there() <= before else 1
                if tries >= TRIES:
                    reason = str(exc) or type(exc).__name__
                    raise InstallError(
                        f"{self._wanted.url} cannot be downloaded: {reason}; try again, it goes on where it was"
                    ) from exc
                await asyncio.sleep(self._pause_secs)
            else:
                return

    def _there(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    async def _try(self, there: int) -> None:
        mark = self._read_mark()
        headers = {"Accept-Encoding": "identity"}
        if there and mark.url == self._wanted.url and mark.validator:
            headers |= {"Range": f"bytes={there}-", "If-Range": mark.validator}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=STALL_SECS, sock_read=STALL_SECS)
        async with self._http.get(self._wanted.url, headers=headers, timeout=timeout) as answer:
            check_url(str(answer.url), proved=bool(self._wanted.sha256))  # it may have led elsewhere
            start, total = self._position(answer, there)
            self._check_room(total or self._wanted.size, start)
            if not start:
                self._mark.write_bytes(msgspec.json.encode(_Mark(self._wanted.url, _validator(answer))))
            self.resumed = start > 0
            with self._part.open("r+b" if start else "wb") as file:
                file.truncate(start)
                file.seek(start)
                await self._copy(answer, file, start, total)

    def _position(self, answer: aiohttp.ClientResponse, there: int) -> tuple[int, int]:
        """Return where the body begins, and how long the file is; raises `_Cut` or `InstallError`."""
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != there:
                self._part.unlink(missing_ok=True)
                raise _Cut("it answered with another part of the file than was asked for")
            return there, int(found[2]) if found[2] != "*" else 0
        if answer.status == 416:  # what is there is longer than the file, or all of it
            self._part.unlink(missing_ok=True)
            raise _Cut("it has not so much of the file")
        if answer.status >= 500 or answer.status == 429:
            raise _Cut(f"it answered HTTP {answer.status}")
        if answer.status != 200:
            hint = ": there is no such file" if answer.status in {404, 410} else ""
            raise InstallError(f"{self._wanted.url} answered HTTP {answer.status}{hint}")
        return 0, answer.content_length or 0

    def _check_room(self, total: int, start: int) -> None:
        limit = self._wanted.size or MAX_BYTES
        if total > limit:
            raise InstallError(f"{self._wanted.url} has {total} bytes, expected {limit}: that is another file")
        free = shutil.disk_usage(self._target.parent).free
        if total - start > free:
            raise InstallError(f"{self._target.parent} has no room: {total - start} bytes are needed, {free} are free")

    async def _copy(self, answer: aiohttp.ClientResponse, file: BinaryIO, there: int, total: int) -> None:
        limit = self._wanted.size or MAX_BYTES
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            there += len(chunk)
            if there > limit:
                raise InstallError(f"{self._wanted.url} sends more than {limit} bytes: that is another file")
            await asyncio.to_thread(file.write, chunk)
            self._progress(there, total or self._wanted.size)
        if total and there < total:
            raise _Cut(f"it ended after {there} of {total} bytes")

    def _read_mark(self) -> _Mark:
        try:
            return msgspec.json.decode(self._mark.read_bytes(), type=_Mark)
        except (OSError, msgspec.MsgspecError):
            return _Mark("")

    def _adopt(self) -> str:
        """Check the file and give it its name."""
        wanted, md5, sha256 = self._wanted, hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with self._part.open("rb") as file:
            while chunk := file.read(1_048_576):
                md5.update(chunk)
                sha256.update(chunk)
            os.fsync(file.fileno())
        for name, expected, found in (
            ("SHA-256", wanted.sha256, sha256.hexdigest()),
            ("MD5", "" if wanted.sha256 else wanted.md5, md5.hexdigest()),
        ):
            if expected and expected.lower() != found:
                self._forget()
                raise InstallError(f"{wanted.url} is not what it should be: its {name} is {found}, expected {expected}")
        self._part.rename(self._target)
        self._mark.unlink(missing_ok=True)
        return sha256.hexdigest()

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)


def _validator(answer: aiohttp.ClientResponse) -> str:
    """Return what names this state of the file: a strong ETag, or the date; weak ones may not be used (RFC 9110)."""
    etag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
