"""Calls under load: frames lost and late, words understood, and what it costs the other channels."""

from __future__ import annotations

import asyncio
import itertools
import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from tests import voice
from tests.bench.load import Load, Servers, cpu_secs, measure
from tests.bench.report import Verdict
from tests.bench.subjects import QUEUE, Gateway, Script, settled
from tests.bench.voice.callers import SENTENCE, feed, sentences, speech
from tests.servers.gateway import GatewayProcess
from tests.servers.kamailio import Kamailio
from tests.servers.process import free_port, wait_until
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.sipp import Outcome, Sipp
from tests.sip import scenarios

PER_PROCESS = 4
TRANSCRIBED, PLAIN = 20, 100
RATE = 200  # webhook deliveries per second, beside the calls
STORM, SHORT = 500, 1000
NOISY = 0.2
_NUMBERS = itertools.count(0, 1_000_000)


class Row(msgspec.Struct, kw_only=True):
    """What one part measured.

    Attributes:
        subject: who, doing what.
        calls: at a time.
        done: calls that went as they should, and of which there is a complete recording, and a transcript if wanted.
        cores: used by the subject.
        rss_mib: of all its processes.
        packets: of 60 ms.
        late: of them, more than 60 ms after they were due.
        worst_ms: the latest.
        lost: frames of 20 ms that the gateway lost: not received (nobody else loses packets on one machine), discarded,
            not sent on, or not recorded.
        right: share of the sentences that were understood; None where nobody listens.
        p99_ms: of webhook deliveries meanwhile.
        noise: cores that programs outside the benchmark kept busy meanwhile.
    """

    subject: str
    calls: int = 0
    done: int = 0
    cores: float = 0.0
    rss_mib: float = 0.0
    packets: int = 0
    late: int = 0
    worst_ms: int = 0
    lost: int = 0
    right: float | None = None
    p99_ms: float | None = None
    noise: float | None = None


class Lab:
    """A gateway with a telephone line behind Kamailio, and a webhook channel."""

    def __init__(self, folder: Path, stack: ExitStack, servers: Servers, name: str, calls: int, **options: str) -> None:
        """Start it for so many calls at a time."""
        self.name, self.calls, self._stack, self._servers = name, calls, stack, servers
        self._folder, self._hears = folder / name, options.get("transcribe") != "false"
        ports = [free_port()]
        while len(ports) < -(-calls // PER_PROCESS):
            ports.append(ports[0] + 2 * len(ports))
        usual = {"listen": f'"127.0.0.1:{ports[0]}"', "max_calls": str(calls), "overflow": '"reject"'}
        usual |= {"rtp_ports": "[10000, 18999]", "invites_per_minute": "0", "record": "true"}
        lines = "".join(f"{key} = {value}\n" for key, value in {**usual, **options}.items())
        self.gateway = GatewayProcess(
            self._folder,
            broker=servers.rabbit.add_vhost(name),
            dedup=servers.redis.fresh_url(),
            queues=((QUEUE, "v1.telegram.#"), ("calls", "v1.sip.#")),
            channels=f'[channels.phone]\nkind = "sip"\n{lines}',
            sections={"asr": f'models = {{ en = "{voice.MODEL}" }}', "log": 'level = "debug"'},
        )
        stack.callback(self.gateway.stop)
        self.gateway.start(timeout=120)
        wait_until(lambda: settled(self.gateway), timeout=60, what=f"{name} is connected")
        self.subject = Gateway(name, self.gateway)
        self.kamailio = Kamailio(self._folder / "kamailio")
        stack.callback(self.kamailio.stop)
        self.kamailio.dispatcher(ports, maxload=PER_PROCESS)
        wait_until(self._all_answer, timeout=120, what=f"{len(ports)} telephony processes answer OPTIONS")

    def _all_answer(self) -> bool:
        return all(flags.startswith("A") for flags in self.kamailio.destinations().values())

    def webhooks(self, secs: int, *beside: int) -> tuple[float, float]:
        """Deliver webhooks; returns their p99 in milliseconds, and the cores that others used, besides these pids."""
        load = Load(connections=16, secs=secs, rate=RATE)
        before = sum(map(cpu_secs, beside))
        found = measure(self.subject, load, self._servers, first=next(_NUMBERS))
        return found.p99_ms, max(0.0, found.noise - (sum(map(cpu_secs, beside)) - before) / secs)

    def talk(self, secs: int) -> Row:
        """Have all calls at once for so long, and webhooks beside."""
        sipp = Sipp(self._folder, scenarios.TALK_AND_BYE, speech=speech())
        self._stack.callback(sipp.kill)
        sipp.start(self.kamailio.port, calls=self.calls, at_once=self.calls, per_second=15, pause_ms=secs * 1000 + 1000)
        wait_until(lambda: self.kamailio.load() == self.calls, timeout=60, what=f"{self.calls} calls are up")
        cpu, before = cpu_secs(self.gateway.pid), psutil.Process(self.gateway.pid)
        p99, noise = self.webhooks(max(4, secs - self.calls // 15 - 4), sipp.pid, self.kamailio.pid)
        used, memory = cpu_secs(self.gateway.pid) - cpu, _memory(before)
        outcome = sipp.wait(secs + 120)
        if outcome.code:
            print(outcome.log[-500:], file=sys.stderr)
        wait_until(lambda: self._ended() >= self.calls, timeout=60, what="all calls have ended")
        return self._judge(secs, outcome, used / max(4, secs - self.calls // 15 - 4), memory, p99, noise)

    def _ended(self) -> int:
        return len(self._log("sip_sound"))

    def _log(self, event: str) -> list[dict[str, Any]]:
        lines = self.gateway.logs().splitlines()
        return [json.loads(line) for line in lines if f'"event": "{event}"' in line]

    def _judge(self, secs: int, outcome: Outcome, cores: float, memory: float, p99: float, noise: float) -> Row:
        events = asyncio.run(consume(self._servers.rabbit.url_of(self.name), self.calls))
        sounds = self._log("sip_sound")
        lost = 3 * max((one["unsent"] for one in sounds), default=0)
        for rtp in (one.get("rtp", {}) for one in events["call.ended"]):
            lost += rtp.get("lost", 0) + rtp.get("discarded", 0)
        recordings = events["call.recording.ready"]
        lost += sum(one.get("missed_ms", 0) // 20 for one in recordings)
        texts = [one["text"] for one in events.get("call.transcript.final", ()) if one.get("complete")]
        done = [outcome.succeeded, sum(one.get("complete", True) for one in recordings)]
        return Row(
            subject=self.name,
            calls=self.calls,
            done=min([*done, len(texts)] if self._hears else done),
            cores=cores,
            rss_mib=memory,
            packets=sum(one["packets"] for one in sounds),
            late=sum(one["late"] for one in sounds),
            worst_ms=max((one["worst_ms"] for one in sounds), default=0),
            lost=lost,
            right=_right(texts, secs, self.calls) if self._hears else None,
            p99_ms=p99,
            noise=noise,
        )


def _right(texts: list[str], secs: int, calls: int) -> float:
    """Return the share of the sentences that were understood; what a call was longer makes up for nothing."""
    said = sentences(secs)
    return sum(min(text.count(SENTENCE), said) for text in texts) / (said * calls)


def _memory(process: psutil.Process) -> float:
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20


async def consume(url: str, calls: int) -> dict[str, list[dict[str, Any]]]:
    """Read the events of calls until each has ended and is recorded, and a while longer for the last words."""
    import aio_pika  # noqa: PLC0415 -- the other benches do without

    found: dict[str, list[dict[str, Any]]] = {"call.ended": [], "call.recording.ready": []}
    async with await aio_pika.connect(url) as connection:
        queue = await (await connection.channel()).get_queue("calls")
        quiet = 0
        while quiet < 20 and not (quiet > 4 and min(map(len, found.values())) >= calls):
            message = await queue.get(fail=False)
            if message is None:
                quiet += 1
                await asyncio.sleep(1)
                continue
            quiet = 0
            await message.ack()
            event = json.loads(message.body)
            found.setdefault(event["method"], []).append(event["params"])
    return found


def _plain(folder: Path, secs: int) -> Row:
    """Give the same sound to the plain script."""
    script = Script("plain-vosk", [sys.executable, "plain_vosk.py"], {"MODEL": str(voice.MODEL)}, folder)
    try:
        cpu = cpu_secs(script.pid)
        texts = asyncio.run(feed(script.port, TRANSCRIBED, secs))
        used, memory = cpu_secs(script.pid) - cpu, _memory(psutil.Process(script.pid))
    finally:
        script.stop()
    return Row(
        subject="plain-vosk (no SIP)",
        calls=TRANSCRIBED,
        done=len(texts),
        cores=used / secs,
        rss_mib=memory,
        right=_right(texts, secs, TRANSCRIBED),
    )


def _storm(lab: Lab) -> tuple[Row, float]:
    """Many who give up, and many short calls, beside each other; returns what memory grew by, in MiB."""
    port = lab.kamailio.port

    def calls(cancelled: int, short: int) -> int:
        runs = [
            Sipp(lab._folder, scenarios.CANCEL).start(port, calls=cancelled, at_once=8, per_second=40, pause_ms=5),
            Sipp(lab._folder, scenarios.TALK_AND_BYE).start(port, calls=short, at_once=8, per_second=40, pause_ms=20),
        ]
        outcomes = [run.wait(300) for run in runs]
        for outcome in outcomes:
            if outcome.code:
                print(outcome.log[-500:], file=sys.stderr)
        return sum(outcome.succeeded for outcome in outcomes)

    calls(STORM // 5, SHORT // 5)
    before = _memory(psutil.Process(lab.gateway.pid))
    done = calls(STORM, SHORT)
    grown = _memory(psutil.Process(lab.gateway.pid)) - before
    row = Row(subject=f"{STORM} INVITE+CANCEL, {SHORT} short calls", calls=16, done=done, rss_mib=before + grown)
    return row, grown


def bench(*, secs: int, calls: int | None, target: Path | None) -> int:
    """Measure, print and judge; returns the exit code. `calls` are those without transcription, 100 by default."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnigate-bench-")))
        redis, rabbit = RedisServer(folder / "redis", fsync="everysec"), RabbitServer(folder / "rabbit")
        for server in (redis, rabbit):
            stack.callback(server.stop)
            server.start()
        servers = Servers(redis, rabbit)
        rows: list[Row] = []
        verdicts: list[Verdict] = []
        for name, count, options in (
            ("live transcription", TRANSCRIBED, {}),
            ("no transcription", calls or PLAIN, {"transcribe": "false"}),
        ):
            with ExitStack() as own:
                lab = Lab(folder, own, servers, name.replace(" ", "-"), count, **options)
                idle, noise = lab.webhooks(max(4, secs // 2), lab.kamailio.pid)
                rows += [Row(subject="idle", p99_ms=idle, noise=noise), _say(lab.talk(secs))]
                verdicts += _verdicts(rows[-1], idle)
        plain = _say(_plain(folder, secs))
        rows.append(plain)
        ours = rows[1].right or 0.0
        words = f"{ours:.1%} : {plain.right or 0:.1%}"
        verdicts.append(Verdict("sentences understood, as many as the plain script", words, ours >= (plain.right or 0)))
        with ExitStack() as own:
            quiet = {"transcribe": "false", "answer_after_secs": "0.3"}
            row, grown = _storm(Lab(folder, own, servers, "storm", 32, **quiet))
            rows.append(_say(row))
        verdicts.append(Verdict(row.subject, f"{row.done} as they should", row.done == STORM + SHORT))
        verdicts.append(Verdict("memory is back to where it was, within 10 MiB", f"{grown:+.1f} MiB", grown < 10))
    _show(rows, verdicts)
    if target:
        target.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": rows, "verdicts": verdicts})))
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _say(row: Row) -> Row:
    print(f"{row.subject}: {row.done} of {row.calls} calls, {row.cores:.2f} cores", file=sys.stderr, flush=True)
    return row


def _verdicts(row: Row, idle: float) -> list[Verdict]:
    name = f"{row.calls} calls, {row.subject}"
    p99 = row.p99_ms or 0.0
    return [
        Verdict(f"{name}: all went as they should", str(row.done), row.done == row.calls),
        Verdict(f"{name}: no frame lost", f"{row.lost} of {row.packets * 3}", row.lost == 0 < row.packets),
        Verdict(f"{name}: no frame late by more than 60 ms", f"{row.late}, worst {row.worst_ms} ms", row.late == 0),
        Verdict(f"{name}: webhooks' p99 within twice idle", f"{p99:.1f} ms : {idle:.1f} ms", p99 <= 2 * idle),
    ]


def _show(rows: list[Row], verdicts: list[Verdict]) -> None:
    console = Console(width=None if Console().is_terminal else 170, highlight=False)
    machine = f"{platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}"
    table = Table(title=f"Calls; {machine}; webhooks at {RATE}/s beside them")
    table.add_column("subject", no_wrap=True)
    for heading in (
        "calls",
        "done",
        "cores",
        "RSS MiB",
        "packets",
        "late",
        "worst ms",
        "lost frames",
        "right",
        "p99 ms",
        "noise",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        right = "-" if row.right is None else f"{row.right:.1%}"
        p99 = "-" if row.p99_ms is None else f"{row.p99_ms:.1f}"
        figures = [row.calls, row.done, f"{row.cores:.2f}", f"{row.rss_mib:.0f}", row.packets, row.late, row.worst_ms]
        noise = "-" if row.noise is None else f"{row.noise:.2f}"
        table.add_row(row.subject, *map(str, figures), str(row.lost), right, p99, noise)
    console.print(table)
    if max(row.noise or 0.0 for row in rows) > NOISY:
        console.print("[yellow]Other programs kept this machine busy (column noise, in cores): measure again.[/]")
    for verdict in verdicts:
        word = "[green]PASS[/]" if verdict.passed else "[red]FAIL[/]"
        console.print(f"{word}  {verdict.target}: {verdict.measured}")
