"""What is compared: the gateway with one and two workers, and the straightforward scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from tests.servers.gateway import TELEGRAM_SECRET, GatewayProcess
from tests.servers.process import Process, free_port, listening, require, wait_until

QUEUE = "helpdesk"
PEERS = Path(__file__).with_name("peers")


class Subject(Protocol):
    """A running program that takes Telegram deliveries at ``/c/tg`` and publishes to the queue `QUEUE`."""

    name: str
    vhost: str

    @property
    def pid(self) -> int:
        """Process id of the parent."""
        ...

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


Start = Callable[[str, str, str, Path], Subject]
"""(name and virtual host, Redis URL, AMQP URL, folder) → running subject."""


class Gateway:
    """`omnigate run`."""

    def __init__(self, name: str, process: GatewayProcess) -> None:
        """Wrap a started one."""
        self.name = self.vhost = name
        self.process = process

    @property
    def pid(self) -> int:
        """Process id of the parent."""
        return self.process.pid

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.process.http_port

    def stop(self) -> None:
        """End it."""
        self.process.stop()


class Script:
    """One of the peers."""

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str], folder: Path) -> None:
        """Start it and wait until it listens."""
        self.name = self.vhost = name
        self.port = free_port()
        own = {"PORT": str(self.port), "SECRET": TELEGRAM_SECRET, "NODE_ENV": "production"}
        self._process = Process(argv, env={**os.environ, **env, **own}, log=folder / f"{name}.log", cwd=PEERS)
        self._process.wait_until(lambda: listening(self.port), timeout=30, what=name)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.kill()


def _gateway(workers: int) -> Start:
    def start(name: str, redis: str, amqp: str, folder: Path) -> Subject:
        queues = ((QUEUE, "v1.*.*.message.#"),)
        process = GatewayProcess(folder / name, workers=workers, broker=amqp, dedup=redis, queues=queues)
        process.start()
        # It is ready before RabbitMQ is, thanks to its spool; here its queue has to be there, and every worker.
        wait_until(lambda: settled(process), timeout=30, what=f"{name} is connected")
        return Gateway(name, process)

    return start


def settled(process: GatewayProcess) -> bool:
    """Tell whether all workers run, and are connected."""
    started = process.logs().count('"gateway_ready"')
    return started == process.workers and not json.loads(process.get("/readyz")[1])["reasons"]


def _python(name: str, redis: str, amqp: str, folder: Path) -> Subject:
    return Script(name, [sys.executable, "plain.py"], {"REDIS_URL": redis, "AMQP_URL": amqp}, folder)


def _python_uvloop(name: str, redis: str, amqp: str, folder: Path) -> Subject:
    argv = [sys.executable, "-c", "import uvloop, plain; uvloop.install(); plain.main()"]
    return Script(name, argv, {"REDIS_URL": redis, "AMQP_URL": amqp}, folder)


def _node(name: str, redis: str, amqp: str, folder: Path) -> Subject:
    install_node_modules()
    return Script(name, [require("node", "nodejs"), "plain.js"], {"REDIS_URL": redis, "AMQP_URL": amqp}, folder)


def install_node_modules(folder: Path = PEERS, *options: str) -> None:
    """`npm ci` from the lock file of a folder, unless that was done for this lock file already."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".installed.json"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return
    argv = [require("npm", "npm"), "ci", "--omit=dev", *options, "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(argv, cwd=folder, check=True, stdout=sys.stderr)
    shutil.copyfile(lock, done)


STARTERS: dict[str, Start] = {
    "omnigate-1": _gateway(1),
    "omnigate-2": _gateway(2),
    "plain-python": _python,
    "plain-node": _node,
    "plain-python-uvloop": _python_uvloop,
}
DEFAULT = ("omnigate-1", "omnigate-2", "plain-python", "plain-node")
