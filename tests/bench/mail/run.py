"""Starts everything, sends in rounds, and judges."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psutil

from tests.bench.load import Round, Servers, measure
from tests.bench.mail.letters import LARGE, SMALL
from tests.bench.mail.reading import Figures
from tests.bench.mail.subjects import STARTERS, available
from tests.bench.report import Summary, Verdict, nothing_lost, show, summarize
from tests.bench.subjects import Subject
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

BASES = {"x aiosmtpd": "plain-aiosmtpd", "x haraka": "haraka"}
_SPAN = 10_000_000
"""Mails of a round have numbers of their own."""


class Mails(msgspec.Struct, frozen=True, kw_only=True):
    """See `tests.bench.load.Source`: new mails over SMTP.

    Attributes:
        connections: each waits for its answer before it sends the next.
        secs: per round.
        size: of a mail, about.
    """

    connections: int = 16
    secs: int = 6
    size: int = SMALL

    @property
    def rate(self) -> int:
        """As fast as answers come."""
        return 0

    def run(self, port: int, first: int) -> dict[str, float]:
        """Send; returns the figures of `tests.bench.mail.client`."""
        argv = [sys.executable, "-m", "tests.bench.mail.client"]
        told = _figures([*argv, *map(str, (port, first, self.secs, self.connections, self.size))])
        return msgspec.convert(told, dict[str, float])


class Result(msgspec.Struct, kw_only=True):
    """What `--json` writes."""

    machine: str
    rounds: list[Round]
    summaries: list[Summary]
    reading: list[Figures]
    verdicts: list[Verdict]


def bench(*, only: list[str] | None, rounds: int, secs: int, connections: int, target: Path | None) -> int:
    """Run it and show; returns 1 when a target is missed."""
    reading = msgspec.convert(_figures([sys.executable, "-m", "tests.bench.mail.reading"]), list[Figures])
    measured = _measure(only or available(), rounds, secs, connections)
    summaries = summarize(measured)
    judged = [*_verdicts(summaries), nothing_lost(summaries)]
    machine = f"{platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}"
    show(summaries, judged, f"{machine}, {connections} connections", BASES)
    for one in reading:
        print(
            f"reading a mail of {one.size} bytes: {one.codec:.2f} ms to the event, {one.whole:.2f} ms with attachments;"
            f" Python's parser {one.parser:.2f} ms, with everything decoded {one.reader:.2f} ms "
            f"({one.whole / one.parser:.2f}x and {one.whole / one.reader:.2f}x)"
        )
    if target is not None:
        result = Result(machine=machine, rounds=measured, summaries=summaries, reading=reading, verdicts=judged)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return 0 if all(verdict.passed for verdict in judged) else 1


def _measure(names: list[str], rounds: int, secs: int, connections: int) -> list[Round]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnigate-bench-")))
        redis, rabbit = RedisServer(folder / "redis", fsync="everysec"), RabbitServer(folder / "rabbit")
        for server in (redis, rabbit):
            stack.callback(server.stop)
            server.start()
        subjects: list[Subject] = []
        for name in names:
            subjects.append(STARTERS[name](name, redis.fresh_url(), rabbit.add_vhost(name), folder))
            stack.callback(subjects[-1].stop)
        found, first = [], 0
        for number in range(rounds + 1):
            for size in (SMALL, LARGE):
                load = Mails(connections=connections, secs=secs if number else 2, size=size)
                for subject in subjects:
                    one = measure(subject, load, Servers(redis, rabbit), first=(first := first + _SPAN))
                    print(f"{one.subject}: {one.per_sec:.0f}/s of {size} bytes", file=sys.stderr, flush=True)
                    found += [one] if number else []  # the first round warms up
                    time.sleep(0.5)
    return found


def _verdicts(summaries: list[Summary]) -> list[Verdict]:
    found = []
    for size in (SMALL, LARGE):
        rates = {one.subject: one.per_sec for one in summaries if one.size == size}
        if rates.keys() >= {"omnigate-1", "plain-aiosmtpd"}:
            ratio = rates["omnigate-1"] / rates["plain-aiosmtpd"]
            measured = f"{ratio:.2f}x ({rates['omnigate-1']:.0f}/s : {rates['plain-aiosmtpd']:.0f}/s)"
            found.append(Verdict(f"omnigate-1: at least plain-aiosmtpd, {size} bytes", measured, ratio >= 1))
    return found


def _figures(argv: list[str]) -> object:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[2]} failed: {done.stderr[-3000:]}")
    found: object = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found
