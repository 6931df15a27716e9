"""Operating system processes that never outlive the test run, and ports for them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

_spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
"""All children are started from this one thread, which lives as long as the interpreter.

The kernel sends the "parent died" signal when the *thread* that forked ends, not the process: a server started from
a short-lived worker thread would be killed with it.
"""
_SPARE_PORTS = range(20_000, 32_000)
"""Below the ephemeral range (32768 and up), so no outgoing connection takes the port of a server that is down."""
_RTP_PORTS = range(10_000, 20_000)


def _ours(ports: range) -> range:
    """Return a process's own part: a free port of another's may be that of a server yet to start, or of a call."""
    part = len(ports) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return ports[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) * part :][:part]


_OURS = _ours(_SPARE_PORTS)
_random = random.SystemRandom()  # pytest-randomly seeds the shared one: parallel runs would choose the same ports
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback TCP and UDP port that nobody listens on and that this run has not given out before."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many in a row, an even one where there are several: RTP, RTCP, and those of video."""
    while True:
        first = _random.choice(_OURS) & (~1 if count > 1 else ~0)
        ports = set(range(first, first + count))
        if ports.isdisjoint(_given) and all(map(_is_free, ports)):
            _given.update(ports)
            return first


def rtp_ports(count: int) -> tuple[int, int]:
    """Return the first and the last of so many UDP ports for media, of which PJSIP takes those that are free."""
    ours = _ours(_RTP_PORTS)
    first = _random.randrange(ours.start, ours.stop - count, 2)
    return first, first + count - 1


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
        return True
    return False


def require(binary: str, package: str) -> str:
    """Return the path of a program; without it skip the test, or fail it where CI is set."""
    path = shutil.which(binary, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        missing(f"{binary} is not installed (apt-get install {package}, or `make test`, which does it)")
    return path


def missing(reason: str) -> None:
    """Skip for lack of a program or server; in CI that would hide a test, so fail there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def wait_until(condition: Callable[[], object], *, timeout: float, what: str) -> None:
    """Poll until `condition` is true; raises `TimeoutError` that names `what`."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Tell whether a TCP connection to the loopback port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def open_ports() -> set[int]:
    """List the TCP ports on which anybody listens, without connecting: a connection counts against limits."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}  # TCP_LISTEN


class Process:
    """A child in a process group of its own; SIGKILL reaches the whole group, also when the test run is killed."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path, cwd: Path | None = None
    ) -> None:
        """Start `argv` with its output appended to `log`."""
        self.log = log
        self._logged_before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._popen = _spawner.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()
        self.pid = self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return what this process wrote so far."""
        return self.log.read_bytes()[self._logged_before :].decode(errors="replace")

    def wait_until(self, condition: Callable[[], object], *, timeout: float, what: str) -> None:
        """Like `wait_until`, but fails at once, with the output, when the process ends."""

        def met() -> bool:
            if self.returncode is not None:
                raise RuntimeError(f"{what}: the process ended with {self.returncode}\n{self.output()[-4000:]}")
            return bool(condition())

        try:
            wait_until(met, timeout=timeout, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.output()[-4000:]}") from None

    def signal(self, number: int) -> None:
        """Send a signal to the process itself, not to its children."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL the process and everything it started, and reap it."""
        family = _family(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._popen.wait()
        wait_until(lambda: not any(map(_lives, family)), timeout=10, what=f"children of {self.pid} killed")

    def terminate(self, timeout: float) -> int:
        """SIGTERM, then wait for the exit code; after `timeout` seconds kill it and raise `TimeoutError`."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout, "ignored SIGTERM")

    def wait(self, timeout: float, did: str = "went on") -> int:
        """Wait for the exit code; after `timeout` seconds kill it and raise `TimeoutError`."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"pid {self.pid} {did} for {timeout:g} s\n{self.output()[-4000:]}") from None

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, like a machine that hangs."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End `pause`."""
        self.signal(signal.SIGCONT)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # orphans are zombies until init gets round to them
    except psutil.NoSuchProcess:
        return False
