"""Entry point of `make bench`."""

from __future__ import annotations

import argparse
import itertools
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
import pytest

from tests.bench.load import Load, Round, Servers, largest_rss_mib, measure
from tests.bench.mail.run import bench as bench_mail
from tests.bench.mail.subjects import STARTERS as MAIL_STARTERS
from tests.bench.report import Summary, Verdict, show, summarize, verdicts
from tests.bench.subjects import DEFAULT, STARTERS, Subject
from tests.bench.voice.run import bench as bench_voice
from tests.bench.whatsapp import bench as bench_whatsapp
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

_NUMBERS = itertools.count(0, 100_000_000)
"""First numbers of rounds; further apart than what wrk sends in one."""
_MANY = 100_000


class Result(msgspec.Struct, kw_only=True):
    """What `--json` writes; times in seconds, memory in MiB."""

    machine: str
    load: Load
    rounds: list[Round]
    summaries: list[Summary]
    memory_mib: float | None
    verdicts: list[Verdict]
    core: dict[str, float] | None
    """`tests.bench.core.Figures`."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--secs", type=int, default=6, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="per subject, interleaved; the table shows medians")
    parser.add_argument("--mail", action="store_true", help="mails over SMTP instead of Telegram updates over HTTP")
    parser.add_argument("--connections", type=int, help="kept alive: 64 of wrk, 16 of mail clients")
    parser.add_argument("--rate", type=int, default=1000, help="offered per second in the latency rounds")
    names = list(dict.fromkeys([*STARTERS, *MAIL_STARTERS]))
    parser.add_argument("--only", choices=names, action="append", help="a subject; several are possible")
    parser.add_argument("--whatsapp", action="store_true", help="measure the WhatsApp webhook instead, by batch size")
    parser.add_argument("--voice", action="store_true", help="measure telephone calls instead; --secs is their length")
    parser.add_argument("--calls", type=int, help="of --voice, at once and without transcription; 100 by default")
    parser.add_argument("--no-memory", action="store_true", help=f"do not go on to {_MANY} messages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    return parser.parse_args()


def main() -> int:
    """Run it; exit code 1 when a target is missed."""
    arguments = _arguments()
    try:
        if arguments.mail:
            return bench_mail(
                only=arguments.only,
                rounds=arguments.rounds,
                secs=arguments.secs,
                connections=arguments.connections or 16,
                target=arguments.json,
            )
        if arguments.voice:
            return bench_voice(secs=arguments.secs, calls=arguments.calls, target=arguments.json)
        if arguments.whatsapp:
            return bench_whatsapp(secs=arguments.secs, rounds=arguments.rounds, target=arguments.json)
        result = _bench(arguments)
    except (pytest.skip.Exception, pytest.fail.Exception) as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    show(result.summaries, result.verdicts, f"{result.machine}, {result.load.connections} connections")
    if result.core:
        figures = "  ".join(f"{name} {value:.0f}" for name, value in result.core.items())
        print(f"one process without HTTP (tests/bench/core.py): {figures}")
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return 0 if all(verdict.passed for verdict in result.verdicts) else 1


def _bench(arguments: argparse.Namespace) -> Result:
    load = Load(connections=arguments.connections or 64, secs=arguments.secs)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnigate-bench-")))
        redis = RedisServer(folder / "redis", fsync="everysec")
        rabbit = RabbitServer(folder / "rabbit")
        for server in (redis, rabbit):
            stack.callback(server.stop)
            server.start()
        servers = Servers(redis, rabbit)
        core = None if arguments.only else _core(redis.fresh_url(), rabbit.add_vhost("core"), folder / "core")
        subjects = [_start(name, redis, rabbit, folder, stack) for name in arguments.only or DEFAULT]
        warm = _rounds(subjects, [msgspec.structs.replace(load, secs=2)], servers)
        paced = msgspec.structs.replace(load, rate=arguments.rate, secs=max(2, load.secs // 2))
        rounds = _rounds(subjects, [load] * arguments.rounds + [paced] * arguments.rounds, servers)
        memory = None if arguments.no_memory else _memory(subjects, load, servers, warm + rounds)
    summaries = summarize(rounds)
    machine = f"{platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}"
    judged = verdicts(summaries, memory)
    return Result(
        machine=machine,
        load=load,
        rounds=rounds,
        summaries=summaries,
        memory_mib=memory,
        verdicts=judged,
        core=core,
    )


def _core(redis: str, amqp: str, folder: Path) -> dict[str, float]:
    """Run `tests.bench.core` in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.core", redis, amqp, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"tests.bench.core failed: {done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return figures


def _start(name: str, redis: RedisServer, rabbit: RabbitServer, folder: Path, stack: ExitStack) -> Subject:
    subject = STARTERS[name](name, redis.fresh_url(), rabbit.add_vhost(name), folder)
    stack.callback(subject.stop)
    return subject


def _rounds(subjects: list[Subject], loads: list[Load], servers: Servers) -> list[Round]:
    """Run one round per load and subject, interleaved, so that a slow minute of the machine hits everybody."""
    rounds: list[Round] = []
    for load in loads:
        for subject in subjects:
            one = measure(subject, load, servers, first=next(_NUMBERS))
            _say(f"{one.subject}: {one.per_sec:.0f}/s, p99 {one.p99_ms:.1f} ms")
            rounds.append(one)
            time.sleep(0.5)
    return rounds


def _memory(subjects: list[Subject], load: Load, servers: Servers, rounds: list[Round]) -> float | None:
    """Resident set of the single worker once it has taken 100 000 messages."""
    ours = next((subject for subject in subjects if subject.name == "omnigate-1"), None)
    if ours is None:
        return None
    sent = sum(one.queued for one in rounds if one.subject == ours.name)
    while sent < _MANY:
        sent += measure(ours, load, servers, first=next(_NUMBERS)).queued
    _say(f"{ours.name}: {sent} messages in all")
    return largest_rss_mib(ours.pid)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
