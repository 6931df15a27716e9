"""From a catalogue entry to a model that can be loaded."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import aiohttp
from msgspec import Struct

from asr.download import Download, Progress, Wanted, nothing
from asr.errors import InstallError
from asr.models import is_model

FILES_MOST = 10_000
BYTES_MOST = 34_359_738_368
RATIO_MOST = 100
"""Unpacked, at most so many times as large as the archive; models reach three."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
_NEW = ".new-"


class Installed(Struct, frozen=True, kw_only=True):
    """What was done; `sha256` is of the archive, and empty where the model was there already."""

    name: str
    path: str
    sha256: str = ""
    resumed: bool = False
    already: bool = False


async def install(
    http: aiohttp.ClientSession,
    name: str,
    wanted: Wanted,
    folder: Path,
    *,
    force: bool = False,
    progress: Progress = nothing,
    pause_secs: float = 1.0,
) -> Installed:
    """Download a model and unpack it as ``<folder>/<name>``, which appears with all its files or not at all.

    Args:
        http: a session of the caller's.
        name: of the model; the archive's only folder may be called otherwise.
        wanted: the archive.
        folder: where models are; made if need be.
        force: replace a model that is there.
        progress: told of the download.
        pause_secs: between two tries to download.

    Raises:
        InstallError: with a sentence that says what to do.
    """
    if not NAME.fullmatch(name):
        raise InstallError(f"{name!r} cannot be the name of a model")
    target = folder / name
    if target.exists() and not force:
        if is_model(target):
            return Installed(name=name, path=str(target), already=True)
        raise InstallError(f"{target} is there and is not a model; move it away, or use --force")
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with _alone(folder / f".{name}.lock"):
            archive = folder / f".{name}.zip"
            download = Download(http, wanted, archive, progress=progress, pause_secs=pause_secs)
            digest = await download.run()
            await asyncio.to_thread(unpack, archive, target)
            archive.unlink()
    except OSError as exc:
        full = exc.errno in {errno.ENOSPC, errno.EDQUOT}
        words = f"the disk of {folder} is full" if full else f"{exc.filename or folder}: {exc.strerror or exc}"
        raise InstallError(words) from exc
    return Installed(name=name, path=str(target), sha256=digest, resumed=download.resumed)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a model; an archive that would write elsewhere, or more than a model can be, is deleted and refused.

    Raises:
        InstallError: it is not an archive of one model.
        OSError: of the disk; the archive stays.
    """
    fresh = target.with_name(f"{_NEW}{target.name}-{secrets.token_hex(4)}")
    try:
        try:
            with zipfile.ZipFile(archive) as inside:
                _extract(inside, archive.stat().st_size, fresh)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as exc:
            raise InstallError(f"it is not a zip archive that can be read: {exc}") from exc
        _swap(_model_in(fresh), target)
    except InstallError:
        archive.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _model_in(folder: Path) -> Path:
    for path in (folder, *folder.iterdir()):
        if is_model(path):
            return path
    raise InstallError("there is no Vosk model in the archive (no am/final.mdl)")


def _extract(inside: zipfile.ZipFile, packed: int, fresh: Path) -> None:
    items = inside.infolist()
    limit = min(BYTES_MOST, packed * RATIO_MOST)
    if len(items) > FILES_MOST or sum(item.file_size for item in items) > limit:
        raise InstallError("the archive holds more than a model can be")
    fresh.mkdir(mode=0o755)
    left = limit
    for item in items:
        path = fresh / _safe(item)
        if item.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with inside.open(item) as source, path.open("xb") as file:
            while chunk := source.read(1_048_576):
                left -= len(chunk)
                if left < 0:  # its directory lied
                    raise InstallError("the archive holds more than a model can be")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _safe(item: zipfile.ZipInfo) -> PurePosixPath:
    """Return the path of an item, which leads nowhere else."""
    path, mode = PurePosixPath(item.filename), item.external_attr >> 16
    odd = path.is_absolute() or ".." in path.parts or "\\" in item.filename or ":" in item.filename
    kind = stat.S_IFMT(mode)
    if odd or not path.parts or kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise InstallError(f"the archive wants to write outside of its folder ({item.filename!r}); it was deleted")
    return path


def _swap(model: Path, target: Path) -> None:
    old = target.with_name(f"{_NEW}{target.name}-old-{secrets.token_hex(4)}")
    if target.exists():
        target.rename(old)
    model.rename(target)
    fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    if old.exists():
        shutil.rmtree(old) if old.is_dir() else old.unlink()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep a second installation of the same model out."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallError(f"somebody else is installing it ({path})") from None
        yield
        path.unlink(missing_ok=True)
