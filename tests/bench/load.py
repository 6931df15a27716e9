"""One round of load: wrk against a subject, with what it cost and what arrived."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from tests.bench.subjects import QUEUE, Subject
from tests.servers.gateway import TELEGRAM_SECRET
from tests.servers.process import require
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

_SCRIPT = Path(__file__).with_name("telegram.lua")


class Round(msgspec.Struct, kw_only=True):
    """What one round measured.

    Attributes:
        subject: its name.
        size: of a mail in bytes; 0 for Telegram updates.
        rate: offered, 0 for as fast as answers come.
        accepted: 2xx answers.
        queued: messages in the queue afterwards.
        per_sec: accepted per second.
        cpu_us: CPU of the subject's processes per message, microseconds.
        broker_us: CPU of RabbitMQ per message, microseconds.
        rss_mib: the largest resident set of one of its processes at the end.
        noise: cores that programs outside the benchmark kept busy meanwhile; figures with much of it say little.
        refused: answers that were not 2xx.
        broken: connections that failed, and timeouts.
    """

    subject: str
    rate: int
    accepted: int
    queued: int
    per_sec: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    broker_us: float
    rss_mib: float
    noise: float
    refused: int
    broken: int
    size: int = 0


class Source(Protocol):
    """What sends.

    Attributes:
        rate: see `Round`.
        size: see `Round`.
    """

    @property
    def rate(self) -> int: ...

    @property
    def size(self) -> int: ...

    def run(self, port: int, first: int) -> dict[str, float]:
        """Send to a port what is numbered from `first`; return figures as wrk's script does; raises `RuntimeError`."""
        ...


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of wrk, the same for every subject.

    Attributes:
        connections: kept alive; each waits for its answer before it sends again.
        threads: of wrk.
        secs: per round.
        rate: deliveries per second offered; 0 is as fast as answers come.
    """

    connections: int = 64
    threads: int = 1
    secs: int = 6
    rate: int = 0

    @property
    def size(self) -> int:
        """See `Source`."""
        return 0

    @property
    def pause_ms(self) -> int:
        """Mean pause of a connection between two requests."""
        return self.connections * 1000 // self.rate if self.rate else 0

    def run(self, port: int, first: int) -> dict[str, float]:
        """Send new deliveries, numbered from `first`, and return wrk's figures; raises `RuntimeError`."""
        url = f"http://127.0.0.1:{port}/c/tg"
        return self.wrk(_SCRIPT, url, TELEGRAM_SECRET, str(first), str(self.pause_ms))

    def wrk(self, script: Path, url: str, *arguments: str) -> dict[str, float]:
        """Run wrk with a script whose last line of output is JSON; raises `RuntimeError`."""
        argv = [require("wrk", "wrk"), "-t", str(self.threads), "-c", str(self.connections), "-d", f"{self.secs}s"]
        argv += ["--timeout", "10s", "-s", str(script), url, "--", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        last = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not last.startswith("{"):
            raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
        figures: dict[str, float] = json.loads(last)
        return figures


class Servers(msgspec.Struct, frozen=True):
    """What all subjects share."""

    redis: RedisServer
    rabbit: RabbitServer

    @property
    def pids(self) -> tuple[int, int]:
        """Their process ids."""
        return self.redis.pid, self.rabbit.pid


def measure(subject: Subject, load: Source, servers: Servers, first: int) -> Round:
    """Empty the queue, run the load, wait until the queue stands still, and count."""
    rabbit = servers.rabbit
    rabbit.purge(subject.vhost, QUEUE)
    cpu, broker = cpu_secs(subject.pid), cpu_secs(rabbit.pid)
    with noise((subject.pid, *servers.pids)) as busy:
        figures = load.run(subject.port, first)
    queued = settled_length(rabbit, subject.vhost)
    cpu, broker = cpu_secs(subject.pid) - cpu, cpu_secs(rabbit.pid) - broker
    accepted = int(figures["answers"] - figures["refused"])
    rss = largest_rss_mib(subject.pid)
    rabbit.purge(subject.vhost, QUEUE)
    return Round(
        subject=subject.name,
        rate=load.rate,
        accepted=accepted,
        queued=queued,
        per_sec=accepted / figures["secs"],
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        cpu_us=cpu / max(queued, 1) * 1e6,
        broker_us=broker / max(queued, 1) * 1e6,
        rss_mib=rss,
        noise=busy[0],
        refused=int(figures["refused"]),
        broken=int(figures["broken"] + figures["timeouts"]),
        size=load.size,
    )


@contextmanager
def noise(pids: Sequence[int]) -> Iterator[list[float]]:
    """Fill in, at the end, how many cores were busy with what is neither ours nor of the processes `pids`."""
    result: list[float] = []
    others, started = _others_secs(pids), time.monotonic()
    yield result
    result.append((_others_secs(pids) - others) / (time.monotonic() - started))


def _others_secs(pids: Sequence[int]) -> float:
    whole = psutil.cpu_times()
    busy = whole.user + whole.nice + whole.system + whole.irq + whole.softirq
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    ours += sum(map(cpu_secs, pids))
    return float(busy) - ours


def cpu_secs(pid: int) -> float:
    """CPU seconds of a process and its descendants so far, user and system."""
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in _family(pid))))


def largest_rss_mib(pid: int) -> float:
    """The largest resident set among a process and its descendants."""
    return float(max(process.memory_info().rss for process in _family(pid))) / 2**20


def rss_bytes(pid: int) -> int:
    """Resident sets of a process and its descendants, together."""
    return int(sum(process.memory_info().rss for process in _family(pid)))


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def settled_length(rabbit: RabbitServer, vhost: str, queue: str = QUEUE) -> int:
    """Length of the queue once it is the same three times in a row."""
    seen = [rabbit.queue_length(vhost, queue)]
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        time.sleep(0.15)
        seen.append(rabbit.queue_length(vhost, queue))
    return seen[-1]
