"""A Redis server of our own."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from tests.servers.process import Process, free_port, require


class RedisServer:
    """`redis-server` on a free loopback port; by default every write is on disk before it is answered."""

    def __init__(self, folder: Path, *, fsync: str = "always") -> None:
        """Prepare it in `folder`; `start` starts it. `fsync` is Redis' ``appendfsync``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._fsync = fsync
        self._databases_given = 0
        self.port = free_port()
        self._binary = require("redis-server", "redis-server")
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Its URL, database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """URL of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def fresh_url(self) -> str:
        """URL of a database that was not given out before."""
        self._databases_given += 1
        return self.url_of(self._databases_given)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    def start(self) -> RedisServer:
        """Start it, with the data it had, and wait until it answers."""
        if self._process is not None and self._process.returncode is None:
            return self
        self._process = Process([self._binary, *self._options()], log=self.folder / "redis.log")
        self._process.wait_until(self._answers, timeout=20, what=f"redis-server on port {self.port}")
        return self

    restart = start

    def kill(self) -> None:
        """SIGKILL, as in a crash; the data stays for `start`."""
        self._running().kill()

    def stop(self) -> None:
        """End it for good; does nothing when it is not running."""
        if self._process is not None:
            self._process.resume()
            self._process.kill()

    def pause(self) -> None:
        """Keep connections open and answer nothing until `resume`."""
        self._running().pause()

    def resume(self) -> None:
        """End `pause`."""
        self._running().resume()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the Redis server was not started")
        return self._process

    def _options(self) -> list[str]:
        return (
            f"--port {self.port} --bind 127.0.0.1 --dir {self.folder} --save  --appendonly yes"
            f" --appendfsync {self._fsync} --daemonize no --maxmemory-policy noeviction --databases 16384"
        ).split(" ")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False
