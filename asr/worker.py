"""A worker process: loads models, recognises voices; ``python -m asr.worker FD``.

One thread decodes, a step of at most `STEP_SECS` of one session at a time: live sessions in turn, and of the others one
only while no live one has sound. Models are loaded in threads of their own (Vosk lets go of the interpreter meanwhile),
so that the sessions of other languages go on. It ends when the socket does, that is with its parent.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from asr import wire
from asr.engine import PARTIAL_SECS, Engine, Recogniser
from asr.models import read
from asr.sound import BYTES

STEP_SECS = 0.2
REPORT_SECS = 0.5
"""Of sound, between two reports of a live session."""
NICE = 5
"""The gateway's own loop and the clock of calls come first."""


class Voice:
    """A session of this worker."""

    def __init__(self, order: wire.Open) -> None:
        """Wait for sound, and for the model."""
        self.order = order
        self.pieces: deque[bytes] = deque()
        self.finishing = False
        self.recogniser: Recogniser | None = None
        self.told = 0.0  # when the last partial was looked at
        self.unreported = 0
        self.busy = 0.0

    @property
    def waiting(self) -> bool:
        """Whether there is something to do."""
        return self.recogniser is not None and bool(self.pieces or self.finishing)

    def next(self) -> bytes:
        """Take sound for a step."""
        limit = int(self.order.rate * STEP_SECS) * BYTES
        taken = bytearray()
        while self.pieces and len(taken) < limit:
            piece = self.pieces.popleft()
            room = limit - len(taken)
            taken += piece[:room]
            if piece[room:]:
                self.pieces.appendleft(piece[room:])
        return bytes(taken)


class Worker:
    """See the module."""

    def __init__(self, sock: socket.socket) -> None:
        """Serve the other end of `sock`."""
        self._sock = sock
        self._voices: dict[int, Voice] = {}
        self._engines: dict[str, Engine | None] = {}  # None while it is loaded
        self._loaded: queue.SimpleQueue[tuple[str, Engine | Exception]] = queue.SimpleQueue()
        self._wake, self._waker = os.pipe()

    def run(self) -> None:
        """Work until the parent is gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        self._send(wire.Ready())
        while True:
            voice = self._choose()
            for fd, _ in poll.poll(0 if voice else None):
                if fd == self._wake:
                    os.read(self._wake, 64)
                elif not self._receive():
                    return
            self._take_engines()
            voice = self._choose()
            if voice is not None:
                self._step(voice)

    def _send(self, message: wire.Message) -> None:
        self._sock.send(wire.pack(message))

    def _receive(self) -> bool:
        """Take what has come; false when the parent is gone."""
        while True:
            try:
                packet = self._sock.recv(wire.PACKET_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not packet:
                return False
            order = wire.unpack_order(packet)
            if isinstance(order, tuple):
                self._sound(*order)
            else:
                self._obey(order)

    def _sound(self, session: int, pcm: bytes) -> None:
        voice = self._voices.get(session)
        if voice is not None:
            voice.pieces.append(pcm)

    def _obey(self, order: wire.Order) -> None:
        match order:
            case wire.Load(path=path):
                self._load(path)
            case wire.Open(session=session, path=path):
                self._voices[session] = Voice(order)
                self._load(path)
                self._equip(session)
            case wire.Finish(session=session):
                if session in self._voices:
                    self._voices[session].finishing = True
            case wire.Close(session=session):
                self._voices.pop(session, None)

    def _load(self, path: str) -> None:
        if path in self._engines:
            return
        self._engines[path] = None

        def work() -> None:
            found: Engine | Exception
            try:
                found = Engine(read(Path(path)))
            except Exception as exc:  # noqa: BLE001 -- told to the parent
                found = exc
            self._loaded.put((path, found))
            os.write(self._waker, b".")

        threading.Thread(target=work, name="load", daemon=True).start()

    def _take_engines(self) -> None:
        while not self._loaded.empty():
            path, found = self._loaded.get()
            concerned = [number for number, voice in self._voices.items() if voice.order.path == path]
            if isinstance(found, Engine):
                self._engines[path] = found
                self._send(wire.Loaded(path, found.factor))
                for number in concerned:
                    self._equip(number)
                continue
            del self._engines[path]  # it may be mended
            reason = str(found) or type(found).__name__
            self._send(wire.Loaded(path, error=reason))
            for number in concerned:
                self._end(number, reason)

    def _equip(self, session: int) -> None:
        voice = self._voices[session]
        engine = self._engines.get(voice.order.path)
        if engine is None:
            return
        try:
            voice.recogniser = Recogniser(engine, voice.order.rate, voice.order.phrases)
        except Exception as exc:  # noqa: BLE001 -- Vosk raises nothing more exact
            self._end(session, str(exc) or type(exc).__name__)

    def _choose(self) -> Voice | None:
        """Return whose turn it is, and put it behind the others."""
        waiting = [voice for voice in self._voices.values() if voice.waiting]
        live = [voice for voice in waiting if voice.order.live]
        chosen = next(iter(live or waiting), None)
        if chosen is not None:
            number = chosen.order.session
            self._voices[number] = self._voices.pop(number)
        return chosen

    def _step(self, voice: Voice) -> None:
        recogniser = voice.recogniser
        if recogniser is None:
            return
        session, pcm, started = voice.order.session, voice.next(), time.perf_counter()
        try:
            segment = recogniser.take(pcm) if pcm else None
            if segment is None and started - voice.told >= PARTIAL_SECS and voice.order.live and not voice.finishing:
                voice.told, segment = started, recogniser.partial()
            last = recogniser.finish() if voice.finishing and not voice.pieces else None
        except Exception as exc:  # noqa: BLE001 -- of the engine: this session is over, others go on
            self._end(session, str(exc) or type(exc).__name__)
            return
        voice.unreported += len(pcm)
        voice.busy += time.perf_counter() - started
        for one in (segment, last):
            if one is not None:
                self._send(wire.Heard(session, one))
        ended = voice.finishing and not voice.pieces
        due = voice.unreported >= voice.order.rate * BYTES * REPORT_SECS or not voice.order.live
        if ended or due or not voice.pieces:
            self._send(wire.Progress(session, voice.unreported, voice.busy))
            voice.unreported, voice.busy = 0, 0.0
        if ended:
            self._end(session)

    def _end(self, session: int, error: str = "") -> None:
        self._voices.pop(session, None)
        self._send(wire.Ended(session, error))


def main(fd: int) -> None:
    """Serve the socket with this descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    os.nice(NICE)
    with socket.socket(fileno=fd) as sock, suppress(BrokenPipeError, ConnectionResetError):
        Worker(sock).run()
    os._exit(0)  # a thread may be loading a model that nobody wants any more


if __name__ == "__main__":
    main(int(sys.argv[1]))
