"""Recognisers in worker processes: who gets one, who waits, and how they are.

Admission: a live session is taken by the worker that is least busy, if its live sessions then need at most `ROOM` of a
core, by the measured real-time factor of their models; one is always taken. What can wait (voice notes, recordings)
takes one place per worker, is not counted, and is worked on only while no live session has sound.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Mapping
from itertools import count
from pathlib import Path

import structlog
from msgspec import Struct

from asr import models, wire
from asr.errors import AsrError, MissingModel, Unavailable
from asr.process import WorkerProcess
from asr.session import Limits, Session
from normalizer.parts import Segment

log = structlog.get_logger(__name__)

ROOM = 0.8
"""Of a core: what live sessions of one worker may need together."""
GUESS = 0.25
"""Real-time factor of a model that nobody has measured yet; that of a middling one."""
HANG_SECS = 30.0
"""A worker that has sound and says nothing for so long is killed; one that starts or loads a model has `LOAD_SECS`."""
LOAD_SECS = 180.0
LOOK_SECS = 1.0
AHEAD = Limits(buffer_secs=2.0)
"""Of a session that can wait: how much sound is on its way."""


class Stats(Struct, frozen=True, kw_only=True):
    """How the pool is.

    Attributes:
        sessions: live ones.
        waiting: sessions of what can wait.
        workers: that are up.
        room: further live sessions of the first language that would be taken.
        factor: mean real-time factor of the loaded models; 0 while there is none.
        missed_ms: sound that was never recognised, since the start.
        restarts: workers that died.
    """

    sessions: int
    waiting: int
    workers: int
    room: int
    factor: float
    missed_ms: int
    restarts: int


class Pool:
    """See the module; belongs to one event loop. `run` starts the workers; without models there are none."""

    def __init__(
        self,
        named: Mapping[str, str],
        folder: Path,
        *,
        workers: int = 0,
        max_sessions: int = 0,
        preload: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """Recognise with the models of `named` (language → name in `folder`, or path).

        Args:
            named: which model for which language.
            folder: where models are installed.
            workers: processes; 0 is one per core.
            max_sessions: live sessions at once; 0 goes by how long the models take.
            preload: each worker loads all models when it starts.
            limits: of live sessions.
        """
        self._named, self._folder = dict(named), folder
        self._max, self._limits = max_sessions, limits or Limits()
        self._numbers = count(1)
        total = (workers or _cores()) if named else 0
        preloaded = self._present if preload else list
        self.workers = [WorkerProcess(number, preloaded, self._guess) for number in range(total)]
        self._idle = asyncio.Semaphore(total)
        self._missed = 0

    @property
    def languages(self) -> list[str]:
        """Return what models are named for."""
        return list(self._named)

    @property
    def starting(self) -> bool:
        """Whether no worker takes sessions yet, or any more."""
        return bool(self.workers) and not any(worker.ready for worker in self.workers)

    async def run(self) -> None:
        """Keep the workers alive until cancelled; then they are ended."""
        async with asyncio.TaskGroup() as group:
            for number, worker in enumerate(self.workers):
                group.create_task(worker.run(), name=f"asr-{number}")
            group.create_task(self._watch(), name="asr-watch")

    def model(self, language: str) -> models.Model:
        """Find the model of a language.

        Raises:
            MissingModel: none is named, or it is not there, or Vosk is not, or the model proved unusable.
        """
        if language not in self._named:
            raise MissingModel(f"no model is configured for {language!r} ([asr] models)")
        if importlib.util.find_spec("vosk") is None:
            raise MissingModel("Vosk is not installed (omnigate[asr])")
        found = models.find(self._named[language], self._folder)
        now = asyncio.get_running_loop().time()
        for worker in self.workers:
            until, reason = worker.broken.get(str(found.path), (0.0, ""))
            if now < until:
                raise MissingModel(reason)
        return found

    def problem(self, language: str) -> str | None:
        """Say why nothing can be recognised in a language, or None."""
        try:
            self.model(language)
        except MissingModel as exc:
            return str(exc)
        return None

    def listen(self, *, language: str, rate: int, phrases: tuple[str, ...] = ()) -> Session:
        """Take a recogniser for a live voice.

        Raises:
            MissingModel: see `model`.
            Unavailable: all are busy, or starting.
        """
        path = str(self.model(language).path)
        worker = self._choose(path)
        live = sum(len(_live(one)) for one in self.workers)
        full = live >= self._max if self._max else not _has_room(worker, path)
        if full:
            raise Unavailable(f"all recognisers are busy ({live} voices)")
        return self._open(worker, path, rate, phrases, self._limits, live=True)

    async def transcribe(
        self, sound: AsyncIterator[bytes], *, language: str, rate: int, phrases: tuple[str, ...] = ()
    ) -> list[Segment]:
        """Recognise what can wait; after everybody who waits already, and behind all live sessions.

        Raises:
            MissingModel: see `model`.
            Unavailable: the recogniser died on the way.
        """
        path = str(self.model(language).path)
        async with self._idle:
            session = self._open(self._choose(path, live=False), path, rate, phrases, AHEAD, live=False)
            try:
                async for pcm in sound:
                    await session.give(pcm)
                session.finish()
                return [segment async for segment in session if segment.stable]
            finally:
                session.close()

    def stats(self) -> Stats:
        """Tell how it is."""
        factors = [factor for worker in self.workers for factor in worker.factors.values()]
        live = sum(len(_live(worker)) for worker in self.workers)
        return Stats(
            sessions=live,
            waiting=sum(len(worker.sessions) for worker in self.workers) - live,
            workers=sum(worker.ready for worker in self.workers),
            room=self._room(live),
            factor=sum(factors) / len(factors) if factors else 0.0,
            missed_ms=self._missed,
            restarts=sum(worker.restarts for worker in self.workers),
        )

    def _room(self, live: int) -> int:
        if self._max:
            return max(0, self._max - live)
        try:
            path = str(self.model(next(iter(self._named), "")).path)
        except MissingModel:
            return 0
        return sum(_places(worker, path) for worker in self.workers if worker.ready)

    def _guess(self, path: str) -> float:
        """Return what other workers measured for a model."""
        known = [worker.factors[path] for worker in self.workers if path in worker.factors]
        return max(known, default=GUESS)

    def _present(self) -> list[str]:
        found = []
        for name in dict.fromkeys(self._named.values()):
            try:
                found.append(str(models.find(name, self._folder).path))
            except AsrError as exc:
                log.warning("asr_model_missing", model=name, reason=str(exc))
        return found

    def _choose(self, path: str, *, live: bool = True) -> WorkerProcess:
        ready = [worker for worker in self.workers if worker.ready]
        if not ready:
            raise Unavailable("the recognisers are starting")
        if live:
            return min(ready, key=lambda worker: (worker.load() + worker.factor(path), path not in worker.factors))
        return min(ready, key=lambda worker: (len(worker.sessions) - len(_live(worker)), worker.load()))

    def _open(
        self, worker: WorkerProcess, path: str, rate: int, phrases: tuple[str, ...], limits: Limits, *, live: bool
    ) -> Session:
        number = next(self._numbers)
        order = wire.Open(number, path, rate, phrases, live)

        def ended() -> None:
            worker.sessions.pop(number, None)

        session = Session(worker, order, limits, on_missed=self._miss, on_end=ended)
        worker.sessions[number] = session
        return session

    def _miss(self, milliseconds: int) -> None:
        self._missed += milliseconds

    async def _watch(self) -> None:
        """End workers that hang: their sessions would wait for ever."""
        loop = asyncio.get_running_loop()
        since = [loop.time() for _ in self.workers]  # when each was last seen with nothing to do
        while True:
            await asyncio.sleep(LOOK_SECS)
            for number, worker in enumerate(self.workers):
                if not worker.busy:
                    since[number] = loop.time()
                silent = loop.time() - max(since[number], worker.moved_at)
                if silent > (HANG_SECS if worker.ready and not worker.loading else LOAD_SECS):
                    log.error("asr_worker_hangs", worker=number, secs=round(silent))
                    worker.kill()


def _cores() -> int:
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _live(worker: WorkerProcess) -> list[Session]:
    return [session for session in worker.sessions.values() if session.order.live]


def _has_room(worker: WorkerProcess, path: str) -> bool:
    return not _live(worker) or worker.load() + worker.factor(path) <= ROOM


def _places(worker: WorkerProcess, path: str) -> int:
    left = int((ROOM - worker.load()) / max(worker.factor(path), 0.001))
    return max(left, 0 if _live(worker) else 1)
