"""What is compared: the gateway with one and two workers, aiosmtpd with a plain script, and Haraka with a plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.subjects import PEERS, QUEUE, Start, Subject, install_node_modules, settled
from tests.servers.gateway import GatewayProcess
from tests.servers.process import Process, free_port, listening, require, wait_until

_HARAKA = PEERS / "haraka"
_NODE = 20
"""Major version of Node.js that Haraka 3.3 needs (its package.json)."""
_NPM = ("--omit=optional", "--loglevel=error")
_CHANNEL = """
[channels.mail]
kind = "email"
addresses = ["support@shop.example"]

[channels.mail.smtp]
listen = "127.0.0.1:{port}"
settle_secs = 0
connections_per_minute_per_ip = 0
"""


class Mailing:
    """A running program that takes mail for support@shop.example on `port`."""

    def __init__(self, name: str, port: int, process: Process | GatewayProcess) -> None:
        """Wrap a started one."""
        self.name = self.vhost = name
        self.port, self._process = port, process

    @property
    def pid(self) -> int:
        """Process id of the parent."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        if isinstance(self._process, GatewayProcess):
            self._process.stop()
        else:
            self._process.kill()


def _gateway(workers: int) -> Start:
    def start(name: str, redis: str, amqp: str, folder: Path) -> Subject:
        port = free_port()
        process = GatewayProcess(
            folder / name,
            workers=workers,
            broker=amqp,
            dedup=redis,
            queues=((QUEUE, "v1.*.*.message.#"),),
            channels=_CHANNEL.format(port=port),
        )
        process.start()
        wait_until(lambda: settled(process), timeout=30, what=f"{name} is connected")
        return Mailing(name, port, process)

    return start


def _script(
    name: str, argv: list[str], env: Mapping[str, str], folder: Path, ready: Callable[[int], object]
) -> Subject:
    own, port = folder / name, int(env["PORT"])
    own.mkdir(exist_ok=True)
    known = {"FOLDER": str(own), "NODE_ENV": "production"}
    process = Process(argv, env={**os.environ, **env, **known}, log=folder / f"{name}.log", cwd=PEERS)
    process.wait_until(lambda: ready(port), timeout=30, what=name)
    return Mailing(name, port, process)


def _aiosmtpd(name: str, redis: str, amqp: str, folder: Path) -> Subject:
    env = {"REDIS_URL": redis, "AMQP_URL": amqp, "PORT": str(free_port())}
    return _script(name, [sys.executable, "plain_smtp.py"], env, folder, listening)


def _haraka(name: str, redis: str, amqp: str, folder: Path) -> Subject:
    install_node_modules(_HARAKA, *_NPM)
    port, home = free_port(), folder / name
    shutil.copytree(_HARAKA / "node_modules" / "Haraka" / "config", home / "config")
    shutil.copytree(_HARAKA / "config", home / "config", dirs_exist_ok=True)
    (home / "config" / "smtp.ini").write_text(f"listen=127.0.0.1:{port}\nnodes=0\n")
    for shared in ("plugins", "node_modules"):
        (home / shared).symlink_to(_HARAKA / shared)
    argv = [require("node", "nodejs"), str(_HARAKA / "node_modules" / "Haraka" / "bin" / "haraka"), "-c", str(home)]
    env = {"REDIS_URL": redis, "AMQP_URL": amqp, "PORT": str(port)}
    # it listens before its plugins are there, and dies of a connection at that time
    return _script(name, argv, env, folder, lambda _: (home / "connected").exists())


STARTERS: dict[str, Start] = {
    "omnigate-1": _gateway(1),
    "omnigate-2": _gateway(2),
    "plain-aiosmtpd": _aiosmtpd,
    "haraka": _haraka,
}


def available() -> list[str]:
    """Choose the subjects; Haraka is left out, with a word why, where it cannot be installed or does not run."""
    why = _no_haraka()
    if why is not None:
        print(f"bench: without Haraka: {why}", file=sys.stderr)
    return [name for name in STARTERS if name != "haraka" or why is None]


def _no_haraka() -> str | None:
    try:
        version = subprocess.check_output([require("node", "nodejs"), "-p", "process.versions.node"], text=True)
        if int(version.partition(".")[0]) < _NODE:
            return f"it needs Node.js {_NODE}, and here is {version.strip()}"
        install_node_modules(_HARAKA, *_NPM)
    except (OSError, subprocess.CalledProcessError) as exc:
        return str(exc)
    return None
