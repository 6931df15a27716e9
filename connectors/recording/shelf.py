"""The recordings of a channel, from the first sample to the event that tells of them.

``<data_dir>/recordings/<channel>/`` holds what is being recorded and what waits to be stored. One way leads out of it,
for a call that ended, for what a process that died left, and for what did not fit on the disk before::

    tape ─► (mp3, opus) ─► blob ─► retention ─► slip says where ─► tape deleted ─► told ─► slip deleted

A process that dies in between has the rest done by the next: the same bytes are the same blob, and what was not known
to be told is told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Context
from connectors.recording import slip as slips
from connectors.recording.config import RecordingConfig
from connectors.recording.recorder import Recorder
from connectors.recording.slip import Slip
from connectors.recording.storing import Lost, store
from connectors.recording.tape import PLAIN, SEALED
from connectors.recording.writer import Writer
from connectors.stores import PREFIX
from normalizer.errors import OmniError
from normalizer.parts import Media

RETRY_SECS = 30.0
AT_ONCE = 4
COMPONENT = "recordings"


class Stored(Struct, frozen=True, kw_only=True):
    """A recording that is a blob.

    Attributes:
        name: as given to `Shelf.begin`.
        meta: likewise.
        media: the file, with a fresh link.
        started_at: when its first sample was spoken.
        complete: nothing is missing: no process died, the disk took all of it, and it stayed within `max_secs`.
        missed_ms: how much of it is silent because it could not be kept.
        keep_until: when it is deleted, where the channel says so.
        remark: what is odd about it.
    """

    name: str
    meta: dict[str, Any]
    media: Media
    started_at: datetime
    complete: bool
    missed_ms: int = 0
    keep_until: datetime | None = None
    remark: str | None = None


Tell = Callable[[Stored], Awaitable[bool]]
"""Tells others of a recording; true once that is durable. It may be told again (a crash): derive ids from `name`."""


class Shelf:
    """See the module. `begin` and `end` never wait; `run` does all the rest."""

    def __init__(self, context: Context, config: RecordingConfig) -> None:
        """Keep the recordings of the channel of `context`."""
        self._context, self._config = context, config
        self._folder: Path = context.data_dir / "recordings" / context.channel.id
        self._writer: Writer = context.hub.setdefault("recording-writer", Writer())
        self._wake, self._moved = asyncio.Event(), asyncio.Event()
        self._busy: set[str] = set()
        self._ended: dict[str, Slip] = {}
        self._later: dict[str, float] = {}
        self._parked: set[str] = set()

    @property
    def parked(self) -> int:
        """How many recordings cannot be stored or told for now, and are tried again."""
        return len(self._parked)

    def begin(
        self, name: str, *, meta: dict[str, Any], rate: int = 8000, started_at: datetime, passing: bool = False
    ) -> Recorder:
        """Start a recording.

        Args:
            name: of its files, and what it is known by; letters, digits, `-`, `_` and dots inside; never used before.
            meta: comes back in `Stored`, also from another process: builtins (what `msgspec.to_builtins` returns).
            rate: samples per second.
            started_at: when the first sample is spoken.
            passing: it is needed for a moment only: `days` and `format` do not apply, the caller deletes it.

        Raises:
            ValueError: the name is none.
        """
        if not slips.NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a file")
        slip = Slip(rate=rate, started_at=started_at, meta=meta, passing=passing)
        self._busy.add(name)
        return Recorder(
            self._folder,
            name,
            slip,
            writer=self._writer,
            seal=self._context.seal,
            max_secs=self._config.max_secs,
        )

    def end(self, recorder: Recorder) -> None:
        """End a recording; `run` stores it and tells of it. Does nothing a second time."""
        loop, name = asyncio.get_running_loop(), recorder.name

        def ended(slip: Slip | None) -> None:
            with suppress(RuntimeError):  # the loop is gone: the next process finds it
                loop.call_soon_threadsafe(self._put_down, name, slip)

        recorder.finish(ended)

    async def run(self, tell: Tell) -> None:
        """Store and tell what ended, and first what earlier processes left; until cancelled.

        What cannot be stored now (disk full, key missing) stays in the folder, degrades the channel and is tried again.
        """
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for name in await asyncio.to_thread(_names, self._folder):
                    if name not in self._busy and self._later.get(name, 0.0) <= asyncio.get_running_loop().time():
                        self._busy.add(name)
                        group.create_task(self._work(name, tell, slots))
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECS):
                        await self._wake.wait()

    async def settled(self, secs: float) -> bool:
        """Wait until all that ended is stored and told, at most for `secs`; the rest is left to the next `run`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(secs):
                while self._busy or self._ended.keys() - self._later.keys():  # what is parked is not waited for
                    self._moved.clear()
                    await self._moved.wait()
                return True
        return False

    def _put_down(self, name: str, slip: Slip | None) -> None:
        self._busy.discard(name)
        if slip is None:
            self._context.log.error("recording_lost", recording=name, reason="the disk never took any of it")
        else:
            self._ended[name] = slip
        self._wake.set()
        self._moved.set()

    async def _work(self, name: str, tell: Tell, slots: asyncio.Semaphore) -> None:
        try:
            async with slots:
                await self._settle(name, tell)
        except BlockingIOError:  # another process still records it
            self._later[name] = asyncio.get_running_loop().time() + RETRY_SECS
        except (OmniError, OSError) as exc:
            if name not in self._parked:
                self._context.log.warning("recording_parked", recording=name, reason=str(exc))
            self._park(name)
            self._context.report(COMPONENT, f"a recording cannot be stored: {exc}")
        except Exception:  # the other recordings go on
            self._context.log.exception("recording_failed", recording=name)
            self._park(name)
        else:
            self._ended.pop(name, None)
            self._later.pop(name, None)
            if name in self._parked:
                self._parked.remove(name)
                if not self._parked:
                    self._context.report(COMPONENT, None)
        finally:
            self._busy.discard(name)
            self._moved.set()

    def _park(self, name: str) -> None:
        self._parked.add(name)
        self._later[name] = asyncio.get_running_loop().time() + RETRY_SECS

    async def _settle(self, name: str, tell: Tell) -> None:
        """Bring one recording to its end; raises `OmniError` or `OSError` when that has to wait."""
        folder, seal = self._folder, self._context.seal
        slip = self._ended.get(name) or await asyncio.to_thread(slips.read, folder, name, seal)
        if slip is None or slip.media is None:
            try:
                slip = await store(folder, name, slip, self._context, self._config)
            except Lost as exc:
                self._context.log.info("recording_dropped", recording=name, reason=str(exc))
                await asyncio.to_thread(_remove, folder, name)
                return
            self._ended[name] = slip
            with suppress(OSError):  # no room for the slip: then the tape stays until it is told
                await asyncio.to_thread(slips.write, folder, name, slip, seal)
                await asyncio.to_thread(_remove_tape, folder, name)
        if not await tell(self._stored(name, slip)):
            raise Untold("it is stored, and nobody could be told")
        await asyncio.to_thread(_remove, folder, name)

    def _stored(self, name: str, slip: Slip) -> Stored:
        media = slip.media
        if media is None or media.sha256 is None:
            raise AssertionError("told before it was stored")
        url, expires_at = self._context.link(PREFIX + media.sha256, mime=media.mime, name=media.name)
        return Stored(
            name=name,
            meta=slip.meta,
            media=replace(media, url=url, expires_at=expires_at),
            started_at=slip.started_at,
            complete=slip.complete,
            missed_ms=slip.missed * 1000 // slip.rate,
            keep_until=slip.keep_until,
            remark=slip.remark,
        )


class Untold(OmniError):
    """The event that tells of a recording is not durable yet."""

    code, retryable = "untold", True


def _names(folder: Path) -> list[str]:
    """List what is in the folder, oldest name first."""
    if not folder.is_dir():
        return []
    return sorted({path.stem for path in folder.iterdir() if path.suffix in {PLAIN, SEALED, slips.SUFFIX}})


def _remove_tape(folder: Path, name: str) -> None:
    for suffix in (PLAIN, SEALED):
        (folder / (name + suffix)).unlink(missing_ok=True)


def _remove(folder: Path, name: str) -> None:
    """Delete the tape before the slip: a slip alone without `media` says that there is nothing."""
    _remove_tape(folder, name)
    slips.remove(folder, name)
