"""`--workers N`: a parent that keeps N processes on one port alive (`gateway.web.door`).

Every worker is a process of its own, so that a crash of one costs the deliveries it had in hand, which their providers
repeat. Worker 0 is the primary (see `gateway.app`). A worker ends when its parent is gone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import structlog
from prometheus_client.multiprocess import mark_process_dead

from gateway import logs
from gateway.settings.model import Settings
from gateway.web.address import bind
from gateway.web.door import ABSENT, Shares, shares_file

log = structlog.get_logger(__name__)

FIRST_SECS, LIMIT_SECS, STABLE_SECS = 0.2, 30.0, 30.0


class Workers:
    """The parent.

    Worker 0 starts first, so that what is wrong with the machine (an address in use, a folder that cannot be written)
    is said once. A worker that fails before it was ever ready ends them all with exit status 1; one that was ready
    before is restarted with back-off for as long as it takes, since the others serve meanwhile.
    """

    def __init__(self, path: Path, settings: Settings, count: int) -> None:
        """Run `count` workers on the configuration at `path`; raises `OSError` that names an address in use."""
        self._path, self._settings, self._count = path, settings, count
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._proven: set[int] = set()
        self._first_ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._metrics = Path(settings.gateway.data_dir) / "metrics"
        self._socket = bind(settings.http.listen)
        self._shares_fd = shares_file(count)
        self._shares = Shares(self._shares_fd, count)

    async def run(self) -> int:
        """Keep the workers alive until SIGTERM; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir(parents=True)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(0))]
            await self._first_ready.wait()
            tasks += [group.create_task(self._keep(index)) for index in range(1, self._count)]
        return max(task.result() for task in tasks)

    async def _keep(self, index: int) -> int:
        loop, delay = asyncio.get_running_loop(), FIRST_SECS
        while not self._stop.is_set():
            started = loop.time()
            status = await self._live(index)
            if self._stop.is_set():
                return max(status, 0)
            if status > 0 and index not in self._proven:
                log.error("worker_cannot_start", worker=index, status=status)
                self._end()
                return status
            if loop.time() - started > STABLE_SECS:
                delay = FIRST_SECS
            log.error("worker_ended", worker=index, status=status, restart_in=round(delay, 2))
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()
            delay = min(delay * 2, LIMIT_SECS)
        return 0

    async def _live(self, index: int) -> int:
        """Start a worker and wait until it has ended; returns its exit status, negative for a signal."""
        hear, say = os.pipe()
        inherited = (say, self._socket.fileno(), self._shares_fd)
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.worker",
                str(self._path),
                *map(str, (index, self._count, *inherited)),
                stdin=asyncio.subprocess.PIPE,
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics)},
                pass_fds=inherited,
            )
        except BaseException:
            os.close(hear)
            raise
        finally:
            os.close(say)
        asyncio.get_running_loop().add_reader(hear, self._heard, index, hear)
        self._children[index] = child
        if self._stop.is_set():  # told while it was being started
            child.terminate()
        status = await child.wait()
        del self._children[index]
        self._ready.discard(index)
        self._shares[index] = ABSENT
        # What it last said about itself is true no more.
        mark_process_dead(child.pid, str(self._metrics))  # type: ignore[no-untyped-call]
        return status

    def _heard(self, index: int, pipe: int) -> None:
        """Take the byte that says "ready", or the end of a worker that never was."""
        if os.read(pipe, 1):
            self._ready.add(index)
            self._proven.add(index)
            if index == 0:
                self._first_ready.set()
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)

    def _end(self) -> None:
        self._stop.set()
        self._socket.close()
        self._first_ready.set()
        for child in self._children.values():
            _signal(child, signal.SIGTERM)

    def _reload(self) -> None:
        for index in self._ready & self._children.keys():  # the others are about to read the new configuration anyway
            _signal(self._children[index], signal.SIGHUP)


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if child.returncode is None:
        child.send_signal(number)


def run_workers(path: Path, settings: Settings, count: int) -> int:
    """Run the parent until it is told to stop; returns the exit status."""
    logs.configure(settings.log, node=settings.gateway.node)
    try:
        workers = Workers(path, settings, count)
    except OSError as exc:
        print(f"omnigate: {exc.strerror}", file=sys.stderr)  # noqa: T201 -- the last words
        return 1
    return asyncio.run(workers.run())
