"""A worker process and the parent's end of its socket: started, watched, started again."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from asr import wire
from asr.errors import Died, MissingModel, Unavailable
from asr.session import Session
from asr.sound import BYTES

log = structlog.get_logger(__name__)

FIRST_SECS, MOST_SECS, STABLE_SECS = 0.2, 30.0, 30.0
"""Back-off of restarts; after `STABLE_SECS` of life it starts anew."""
AT_ONCE = 256  # packets taken in one go: other tasks get their turn
HALF_LIFE_SECS = 30.0  # of sound, until a measured factor has mostly replaced the one before
BROKEN_SECS = 60.0
"""How long a model is left alone that could not be loaded, or that workers died of `FATAL` times in a row."""
FATAL = 2
_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class WorkerProcess:
    """See the module.

    Attributes:
        ready: it takes sessions.
        moved_at: when it last said something, or was started.
        sessions: by number; those that have not ended.
        factors: path of a model it has loaded → its real-time factor here.
        broken: path of a model → (until when, why).
        restarts: how often it had to be started again.
    """

    def __init__(self, number: int, preload: Callable[[], list[str]], guess: Callable[[str], float]) -> None:
        """Name it; it loads the models of `preload` whenever it starts, and asks `guess` how long one takes."""
        self._number, self._preload, self._guess = number, preload, guess
        self._sock: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._out: deque[bytes] = deque()
        self._loading: set[str] = set()
        self._fatal: Counter[str] = Counter()  # path of a model → deaths in a row while it was loaded
        self.ready = False
        self.moved_at = 0.0
        self.sessions: dict[int, Session] = {}
        self.factors: dict[str, float] = {}
        self.broken: dict[str, tuple[float, str]] = {}
        self.restarts = 0

    @property
    def busy(self) -> bool:
        """Whether it should say something soon."""
        return not self.ready or self.loading or any(session.waiting for session in self.sessions.values())

    @property
    def loading(self) -> bool:
        """Whether it is loading a model."""
        return bool(self._loading)

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        return self._process.pid if self._process is not None and self.ready else 0

    def load(self) -> float:
        """Return seconds of work per second that its live sessions cost."""
        return sum(self.factor(one.order.path) for one in self.sessions.values() if one.order.live)

    def factor(self, path: str) -> float:
        """Return the real-time factor of a model."""
        known = self.factors.get(path)
        return self._guess(path) if known is None else known

    async def run(self) -> None:
        """Keep the process alive until cancelled."""
        loop, delay = asyncio.get_running_loop(), FIRST_SECS
        try:
            while True:
                started = loop.time()
                reason = await self._life()
                log.warning("asr_worker_died", worker=self._number, reason=reason, sessions=len(self.sessions))
                self._lose(Died(f"the recogniser died ({reason})"))
                self.restarts += 1
                delay = FIRST_SECS if loop.time() - started > STABLE_SECS else delay
                await asyncio.sleep(delay)
                delay = min(delay * 2, MOST_SECS)
        finally:
            self._lose(Unavailable("the recognisers are told to end"))

    def kill(self) -> None:
        """End it; `run` starts the next."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _life(self) -> str:
        """Start it and wait for its end; returns why it ended."""
        loop = asyncio.get_running_loop()
        ours, theirs = wire.pair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "asr.worker", str(theirs.fileno()), pass_fds=(theirs.fileno(),),
                env=os.environ | _THREADS, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as exc:
            ours.close()
            return str(exc)
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 -- the socket module's own
        self._sock, self._process, self.moved_at = ours, process, loop.time()
        loop.add_reader(ours, self._readable)
        try:
            return await _last_words(process)
        finally:
            self.ready = False
            self._disconnect()
            self.kill()
            with suppress(ProcessLookupError):
                await process.wait()

    def _disconnect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._sock is not None:
            loop.remove_reader(self._sock)
            loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    def _lose(self, error: Unavailable) -> None:
        until = asyncio.get_running_loop().time() + BROKEN_SECS
        self._fatal.update(self._loading)
        for path in self._loading:
            if self._fatal[path] >= FATAL:
                self.broken[path] = (until, f"recognisers die when they load {path}")
        self._loading.clear()
        self._out.clear()
        self.factors.clear()
        for session in list(self.sessions.values()):
            session.end(error)

    # -- to the worker

    def order(self, message: wire.Message) -> None:
        """See `asr.session.Link`."""
        if isinstance(message, wire.Open) and message.path not in self.factors:
            self._loading.add(message.path)
        self._put(wire.pack(message))

    def sound(self, session: int, pcm: bytes) -> None:
        """See `asr.session.Link`."""
        self._put(wire.pack_sound(session, pcm))

    def _put(self, packet: bytes) -> None:
        if self._sock is None:
            return
        if not self._out:
            try:
                self._sock.send(packet)
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._sock, self._writable)
            except OSError:
                return  # it died: `run` tells the sessions
            else:
                return
        self._out.append(packet)  # bounded: sessions stop when they are `buffer_secs` ahead

    def _writable(self) -> None:
        while self._out and self._sock is not None:
            try:
                self._sock.send(self._out[0])
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                break
            self._out.popleft()
        if self._sock is not None:
            asyncio.get_running_loop().remove_writer(self._sock)

    # -- from the worker

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            if self._sock is None:
                return
            try:
                packet = self._sock.recv(wire.PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                asyncio.get_running_loop().remove_reader(self._sock)
                return
            self.moved_at = asyncio.get_running_loop().time()
            self._take(wire.unpack_answer(packet))

    def _take(self, answer: wire.Answer) -> None:
        match answer:
            case wire.Ready():
                self.ready = True
                for path in self._preload():
                    self._loading.add(path)
                    self.order(wire.Load(path))
            case wire.Loaded(path=path, factor=factor, error=error):
                self._loading.discard(path)
                if error:
                    self.broken[path] = (asyncio.get_running_loop().time() + BROKEN_SECS, error)
                    log.error("asr_model_unusable", worker=self._number, model=path, reason=error)
                    return
                self.broken.pop(path, None)
                del self._fatal[path]
                self.factors[path] = factor
                log.info("asr_model_loaded", worker=self._number, model=path, factor=round(factor, 4))
            case wire.Heard(session=number, segment=segment):
                if number in self.sessions:
                    self.sessions[number].hear(segment)
            case wire.Progress(session=number, taken=taken, busy=busy):
                self._progress(number, taken, busy)
            case wire.Ended(session=number, error=error):
                if number in self.sessions:
                    session = self.sessions[number]
                    session.end(self._why(session.order.path, error) if error else None)

    def _why(self, path: str, error: str) -> Unavailable | MissingModel:
        return MissingModel(error) if path in self.broken else Died(f"the recogniser failed: {error}")

    def _progress(self, number: int, taken: int, busy: float) -> None:
        session = self.sessions.get(number)
        if session is None or not taken:
            return
        session.progress(taken)
        path, secs = session.order.path, taken / (session.order.rate * BYTES)
        before, weight = self.factor(path), min(1.0, secs / HALF_LIFE_SECS)
        self.factors[path] = before + (busy / secs - before) * weight


async def _last_words(process: asyncio.subprocess.Process) -> str:
    """Read what it complains about until it ends; returns how it ended and its last line."""
    last = b""
    if process.stderr is not None:
        while chunk := await process.stderr.read(4096):
            last = (last + chunk)[-1024:]
    status = await process.wait()
    line = last.decode(errors="replace").strip().rpartition("\n")[2]
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"{how}: {line}" if line else how
