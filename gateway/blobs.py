"""Bytes on local disk, addressed by their SHA-256: attachments, raw mails, raw payloads.

``<data_dir>/blobs/ab/abcd…``, written beside and renamed, so that a name is there with all its bytes or not at all;
file and folder are synced before the reference is given out. With `[gateway] blob_key` what is written is sealed
(`connectors.sealing`), and its name is still that of the plain bytes. Links to a blob are signed and expire (`sign`,
`verify`).
"""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import os
import re
import secrets
import time
from collections.abc import AsyncIterable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlencode

from typing_extensions import override

from connectors.api import Blobs
from connectors.durable import sync_folder
from connectors.errors import Busy
from connectors.sealing import Seal, SealBroken
from connectors.stores import PREFIX
from gateway.blob_pieces import TEMPORARY, Pieces, renewed, write_file
from gateway.blob_reading import BlobFile, Unreadable

T = TypeVar("T")

KEY_BYTES = 32
_ADDRESS = re.compile(r"([0-9a-f]{64})(?:/(?!\.\.?$)[^/]+)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EXPIRES, _SIGNATURE = "expires", "signature"
TYPE, NAME = "type", "name"


class BlobStore(Blobs):
    """See the module. Several processes may share the folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        seal: Seal | None = None,
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Keep blobs below `data_dir`, sealed if there is a `seal`, and the key of the links in ``media.key`` there."""
        self._folder, self._key_file, self._clock = data_dir / "blobs", data_dir / "media.key", clock
        self._seal = seal
        self._key = b""

    @override
    async def put(self, data: bytes) -> str:
        """Store `data` and return its reference (``sha256:<hex>``) after fsync; the same bytes are stored once.

        Raises:
            Busy: the disk is full or cannot be written; nothing was kept.
        """
        try:
            return await _in_thread(lambda: self._put(data))
        except OSError as exc:
            raise Busy(30.0, f"{self._folder} cannot be written: {exc.strerror or exc}") from exc

    async def put_pieces(self, pieces: AsyncIterable[bytes | bytearray]) -> str:
        """See `connectors.pieces.PieceStore`."""
        try:
            writer = await _in_thread(lambda: Pieces(self._folder / "00", self._seal))
            try:
                async for piece in pieces:
                    await _in_thread(partial(writer.add, piece))
                return await _in_thread(lambda: self._adopt(writer))
            finally:
                writer.close()
        except OSError as exc:
            raise Busy(30.0, f"{self._folder} cannot be written: {exc.strerror or exc}") from exc

    @override
    async def get(self, ref: str) -> bytes:
        """Read it back; raises `KeyError` when there is no such blob, as `Unreadable` when it cannot be opened."""
        path = self._path(ref)

        def read() -> bytes:
            file = BlobFile(path, self._seal)
            try:
                return b"".join(file.read())
            finally:
                file.close()

        try:
            return await _in_thread(read)
        except FileNotFoundError:
            raise KeyError(ref) from None
        except SealBroken as exc:
            raise Unreadable(ref, str(exc)) from exc

    async def open(self, ref: str) -> BlobFile:
        """Open it, for what is too large for memory or where a part will do; raises as `get`."""
        path = self._path(ref)
        try:
            return await _in_thread(lambda: BlobFile(path, self._seal))
        except FileNotFoundError:
            raise KeyError(ref) from None

    async def as_file(self, ref: str) -> BinaryIO:
        """Open it as a file of the system, for other processes; raises as `get`. What is sealed is in memory then."""
        file = await self.open(ref)
        try:
            return await _in_thread(file.as_file)
        except SealBroken as exc:
            raise Unreadable(ref, str(exc)) from exc
        finally:
            file.close()

    @override
    async def exists(self, ref: str) -> bool:
        """Tell whether `get` would find it."""
        try:
            file = await self.open(ref)
        except KeyError:
            return False
        file.close()
        return True

    async def sweep(self, older_than_secs: float, *, spare: Collection[str] = ()) -> int:
        """Delete what was not put for so long, but not the references `spare`; returns the number of blobs."""
        before = self._clock() - older_than_secs
        names = {ref.removeprefix(PREFIX) for ref in spare}
        return await _in_thread(lambda: sum(_sweep(shard, before, names) for shard in self._shards()))

    async def touched(self, ref: str) -> int:
        """Return when it was last put, in nanoseconds since the epoch; raises `KeyError`."""
        path = self._path(ref)
        try:
            return (await _in_thread(path.stat)).st_mtime_ns
        except FileNotFoundError:
            raise KeyError(ref) from None

    async def delete(self, ref: str, *, unless_put_since: int) -> bool:
        """Delete it, unless it was put after that moment (`touched`); returns whether it was there and is gone."""
        path = self._path(ref)

        def delete() -> bool:
            with suppress(FileNotFoundError), _locked(path.parent, fcntl.LOCK_EX):
                if path.stat().st_mtime_ns <= unless_put_since:
                    path.unlink()
                    return True
            return False

        return await _in_thread(delete)

    def sign(self, ref: str, expires: float, *, mime: str | None = None, name: str | None = None) -> str:
        """Return what follows ``/media/`` in a link that works until `expires` (seconds since the epoch).

        `mime` and `name` say as what it shall be served; nobody else can change them.
        """
        digest = self._path(ref).name
        given = {_EXPIRES: f"{expires:.0f}", TYPE: mime, NAME: name}
        query = {key: value for key, value in given.items() if value}
        return f"{digest}?{urlencode({**query, _SIGNATURE: self._signature(digest, query)}, errors='replace')}"

    def verify(self, path: str, query: Mapping[str, str]) -> str | None:
        """Return the reference a link stands for, or None when it is wrong or has expired.

        Args:
            path: what follows ``/media/``; after the digest a file name may stand, which nobody looks at but providers
                that judge a file by it.
            query: decoded; `TYPE` and `NAME` in it are as they were given to `sign`.
        """
        found, expires = _ADDRESS.fullmatch(path.strip("/")), query.get(_EXPIRES, "")
        if found is None or not re.fullmatch(r"[0-9]{1,15}", expires):
            return None
        digest = found[1]
        given = query.get(_SIGNATURE, "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(self._signature(digest, query).encode(), given):
            return None
        return PREFIX + digest if self._clock() <= int(expires) else None

    def _signature(self, digest: str, query: Mapping[str, str]) -> str:
        if not self._key:
            self._key = _load_key(self._key_file)
        covered = urlencode({name: query[name] for name in (_EXPIRES, TYPE, NAME) if name in query}, errors="replace")
        return hmac.new(self._key, f"{digest}?{covered}".encode(), "sha256").hexdigest()

    def _path(self, ref: str) -> Path:
        digest = ref.removeprefix(PREFIX)
        if not ref.startswith(PREFIX) or not _DIGEST.fullmatch(digest):
            raise KeyError(ref)
        return self._folder / digest[:2] / digest

    def _shards(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []

    def _put(self, data: bytes) -> str:
        path = self._home(sha256(data).hexdigest())
        with _locked(path.parent, fcntl.LOCK_SH) as folder:
            if not renewed(path, len(data), self._seal):
                write_file(path, data, self._seal)
            os.fsync(folder)  # also for a name that another process has just made
        return PREFIX + path.name

    def _adopt(self, pieces: Pieces) -> str:
        path = self._home(pieces.finish())
        with _locked(path.parent, fcntl.LOCK_SH) as folder:
            pieces.path.rename(path)
            os.utime(path)
            os.fsync(folder)
        return PREFIX + path.name

    def _home(self, digest: str) -> Path:
        """Return the path of a blob; its folder is there, for good."""
        path = self._folder / digest[:2] / digest
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
            sync_folder(path.parent.parent.parent)
        return path


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[int]:
    """Hold a lock on a folder, so that nothing is swept between being found and being promised."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
        yield fd
    finally:
        os.close(fd)


def _sweep(shard: Path, before: float, spare: Collection[str]) -> int:
    """Delete old blobs of a folder, and what a crash left half-written."""
    swept = 0
    with _locked(shard, fcntl.LOCK_EX):
        for path in shard.iterdir():
            if path.stat().st_mtime < before and path.name not in spare:
                path.unlink()
                swept += not path.name.startswith(TEMPORARY)
    return swept


def _load_key(path: Path) -> bytes:
    """Read the key, or make it; of several processes that make it at once one wins and all use its key."""
    with suppress(FileNotFoundError):
        return _checked(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}{TEMPORARY}{secrets.token_hex(8)}")
    write_file(mine, secrets.token_hex(KEY_BYTES).encode(), None)
    with suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()
    sync_folder(path.parent)
    return _checked(path)


def _checked(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES:
        raise OSError(f"{path} holds no key: delete it, and a new one is made (links given out so far end)")
    return key
