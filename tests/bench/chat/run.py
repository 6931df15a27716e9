"""Starts everything, lets visitors come and talk, and judges."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tests.bench.chat.show import Result, Round, judge, show
from tests.bench.load import Servers, cpu_secs, noise, rss_bytes, settled_length
from tests.bench.subjects import QUEUE, Gateway, Script, Subject, settled
from tests.servers.gateway import GatewayProcess
from tests.servers.process import free_port, wait_until
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

IDLE, ACTIVE = 10_000, 2_000
RATE = 200
"""Messages, and answers, offered per second where latency is measured."""
ANSWERS = 4_000
"""Answers published at once where throughput is measured."""
REST_SECS = 20.0
"""How long the idle ones are watched: as long as the servers wait between two pings."""
_FILES = IDLE + ACTIVE + 1_000
_CHANNEL = """
[channels.web]
kind = "chat"
listen = "127.0.0.1:{port}"
max_connections = 13000
max_connections_per_ip = 13000
sessions_per_minute_per_ip = 0
messages_per_minute = 1000000
calls_per_minute = 1000000
"""


class _Chat(Gateway):
    """`omnigate run` with a web chat."""

    def __init__(self, name: str, process: GatewayProcess, port: int) -> None:
        """Wrap a started one, whose WebSockets are at `port`."""
        super().__init__(name, process)
        self._port = port

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port


Start = Callable[[str, str, str, Path], Subject]


def _gateway(workers: int) -> Start:
    def start(name: str, redis: str, amqp: str, folder: Path) -> Subject:
        port = free_port()
        process = GatewayProcess(
            folder / name,
            workers=workers,
            broker=amqp,
            dedup=redis,
            queues=((QUEUE, "v1.*.*.message.received"),),
            channels=_CHANNEL.format(port=port),
        )
        process.start()
        wait_until(lambda: settled(process), timeout=30, what=f"{name} is connected")
        return _Chat(name, process, port)

    return start


def _plain(name: str, _redis: str, amqp: str, folder: Path) -> Subject:
    return Script(name, [sys.executable, "plain_chat.py"], {"AMQP_URL": amqp}, folder)


STARTERS: dict[str, Start] = {
    "omnigate-1": _gateway(1),
    "omnigate-2": _gateway(2),
    "plain-websockets": _plain,
}
_DIALECTS = {"plain-websockets": "plain"}


class _Crowd:
    """The client process."""

    def __init__(self, subject: Subject, amqp: str) -> None:
        argv = [sys.executable, "-m", "tests.bench.chat.client"]
        argv += [_DIALECTS.get(subject.name, "omnigate"), str(subject.port), amqp]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def do(self, what: str, **order: Any) -> dict[str, float]:
        """Give an order and wait until it is done; raises `RuntimeError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise RuntimeError(f"the client of the benchmark has ended with {self._process.wait()}")
        figures: dict[str, float] = json.loads(told)
        return figures

    def end(self) -> None:
        """Let all leave."""
        self._process.kill()
        self._process.communicate()


def bench(*, only: list[str] | None, rounds: int, secs: int, target: Path | None) -> int:
    """Run it and show; returns 1 when a target is missed."""
    _allow_files()
    measured: list[Round] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnigate-bench-")))
        redis, rabbit = RedisServer(folder / "redis", fsync="everysec"), RabbitServer(folder / "rabbit")
        for server in (redis, rabbit):
            stack.callback(server.stop)
            server.start()
        for number in range(rounds):
            for name in only or STARTERS:
                with _running(f"{name}", number, Servers(redis, rabbit), folder) as (subject, amqp):
                    measured.append(_round(subject, amqp, Servers(redis, rabbit), secs))
    summaries = [_median([one for one in measured if one.subject == name]) for name in only or STARTERS]
    judged = judge(summaries)
    machine = f"{platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}"
    show(summaries, judged, f"{IDLE} idle and {ACTIVE} active sessions, {machine}", rate=RATE)
    if target is not None:
        result = Result(machine=machine, rounds=measured, summaries=summaries, verdicts=judged)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return 0 if all(verdict.passed for verdict in judged) else 1


def _allow_files() -> None:
    """Raise the limit of open files, for everybody who is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        pytest.fail(f"{_FILES} open files are needed, and the limit is {hard}: ulimit -Hn {_FILES}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


@contextmanager
def _running(name: str, number: int, servers: Servers, folder: Path) -> Iterator[tuple[Subject, str]]:
    """Start a subject afresh, with a virtual host and a database of its own."""
    vhost = f"{name}.{number}"
    amqp = servers.rabbit.add_vhost(vhost)
    own = folder / str(number)
    own.mkdir(exist_ok=True)
    subject = STARTERS[name](name, servers.redis.fresh_url(), amqp, own)
    subject.vhost = vhost
    try:
        yield subject, amqp
    finally:
        subject.stop()


def _round(subject: Subject, amqp: str, servers: Servers, secs: int) -> Round:
    crowd = _Crowd(subject, amqp)
    try:
        with noise((subject.pid, crowd.pid, *servers.pids)) as busy:
            before = rss_bytes(subject.pid)
            arrived = crowd.do("arrive", count=IDLE, active=False)
            idle, cpu = rss_bytes(subject.pid), cpu_secs(subject.pid)
            crowd.do("rest", secs=REST_SECS)
            idle_cores = (cpu_secs(subject.pid) - cpu) / REST_SECS
            crowd.do("arrive", count=ACTIVE, active=True)
            alive = crowd.do("rest", secs=1)["alive"]
            paced = crowd.do("talk", secs=secs, rate=RATE)
            cpu, broker = cpu_secs(subject.pid), cpu_secs(servers.rabbit.pid)
            full = crowd.do("talk", secs=secs, rate=0)
            cpu, broker = cpu_secs(subject.pid) - cpu, cpu_secs(servers.rabbit.pid) - broker
            queued = settled_length(servers.rabbit, subject.vhost, QUEUE)
            answers = crowd.do("answer", count=RATE * secs, rate=RATE)
            spent = cpu_secs(subject.pid)
            flood = crowd.do("answer", count=ANSWERS, rate=0)
            spent = cpu_secs(subject.pid) - spent
            working, left = rss_bytes(subject.pid), crowd.do("rest", secs=0)["alive"]
    finally:
        crowd.end()
    time.sleep(0.5)
    acked = paced["acked"] + full["acked"]
    return Round(
        subject=subject.name,
        arrivals_per_sec=arrived["per_sec"],
        idle_kib=(idle - before) / 1024 / IDLE,
        working_kib=(working - before) / 1024 / (IDLE + ACTIVE),
        idle_cores=idle_cores,
        per_sec=full["per_sec"],
        full_p50_ms=full["p50_ms"],
        full_p99_ms=full["p99_ms"],
        p50_ms=paced["p50_ms"],
        p99_ms=paced["p99_ms"],
        cpu_us=cpu / max(1, full["acked"]) * 1e6,
        broker_us=broker / max(1, full["acked"]) * 1e6,
        answers_per_sec=flood["per_sec"],
        answer_cpu_us=spent / max(1, flood["arrived"]) * 1e6,
        answer_p50_ms=answers["p50_ms"],
        answer_p99_ms=answers["p99_ms"],
        lost=IDLE + ACTIVE - round(min(alive, left)),
        refused=round(paced["failed"] + full["failed"]),
        missing=max(0, round(acked) - queued),
        astray=RATE * secs + ANSWERS - round(answers["arrived"] + flood["arrived"]),
        noise=busy[0],
    )


def _median(rounds: list[Round]) -> Round:
    """Medians of what was measured, sums of what went wrong."""
    sums = {"lost", "refused", "missing", "astray"}
    found: dict[str, Any] = {"subject": rounds[0].subject}
    for name in Round.__struct_fields__:
        values = [getattr(one, name) for one in rounds]
        if name != "subject":
            found[name] = sum(values) if name in sums else statistics.median(values)
    return Round(**found)
