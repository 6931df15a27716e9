"""`--workers N`: a parent that keeps N processes on one port (SO_REUSEPORT) alive.

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

from gateway import logs
from gateway.settings.model import Settings

log = structlog.get_logger(__name__)

FIRST_SECS, LIMIT_SECS, STABLE_SECS = 0.2, 30.0, 30.0


class Workers:
    """The parent."""

    def __init__(self, path: Path, settings: Settings, count: int) -> None:
        """Run `count` workers on the configuration at `path`."""
        self._path, self._settings, self._count = path, settings, count
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Keep the workers alive until SIGTERM; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._forward, signal.SIGHUP)
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_dir())}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(index, environment)) for index in range(self._count)]
        return max(task.result() for task in tasks)

    def _metrics_dir(self) -> Path:
        folder = Path(self._settings.gateway.data_dir) / "metrics"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    async def _keep(self, index: int, environment: dict[str, str]) -> int:
        loop, delay = asyncio.get_running_loop(), FIRST_SECS
        while True:
            started = loop.time()
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.worker",
                str(self._path),
                str(index),
                str(self._count),
                stdin=asyncio.subprocess.PIPE,
                env=environment,
            )
            self._children[index] = child
            status = await child.wait()
            del self._children[index]
            if self._stop.is_set():
                return max(status, 0)
            log.error("worker_ended", worker=index, status=status, restart_in=round(delay, 2))
            if loop.time() - started > STABLE_SECS:
                delay = FIRST_SECS
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()
                    return 0
            delay = min(delay * 2, LIMIT_SECS)

    def _end(self) -> None:
        self._stop.set()
        self._forward(signal.SIGTERM)

    def _forward(self, number: signal.Signals) -> None:
        for child in self._children.values():
            if child.returncode is None:
                child.send_signal(number)


def run_workers(path: Path, settings: Settings, count: int) -> int:
    """Run the parent until it is told to stop; returns the exit status."""
    logs.configure(settings.log, node=settings.gateway.node)
    return asyncio.run(Workers(path, settings, count).run())
