"""What a round of the chat's benchmark measured, as a table, and whether it is good enough."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.report import Verdict

_NOISY = 0.2


class Round(msgspec.Struct, kw_only=True):
    """What one round measured.

    Attributes:
        subject: its name.
        arrivals_per_sec: sessions begun per second.
        idle_kib: resident memory per session, of those who have said nothing yet, KiB.
        working_kib: the same at the end, over all sessions.
        idle_cores: what the idle ones cost, for pings above all.
        per_sec: messages acknowledged per second, where each active visitor writes again at once.
        full_p50_ms, full_p99_ms: from sending to the acknowledgement then.
        p50_ms, p99_ms: the same where messages come one by one.
        cpu_us, broker_us: CPU per message of the subject and of RabbitMQ, microseconds.
        answers_per_sec: answers of the core that have arrived, where they are published as fast as possible.
        answer_cpu_us: CPU of the subject per answer then, microseconds.
        answer_p50_ms, answer_p99_ms: from publishing to arriving, where they are published one by one.
        lost: sessions that were disconnected.
        refused: messages that were answered with an error.
        missing: acknowledged messages that are not in the queue; must be 0.
        astray: answers that did not arrive; must be 0.
        noise: cores that other programs kept busy.
    """

    subject: str
    arrivals_per_sec: float
    idle_kib: float
    working_kib: float
    idle_cores: float
    per_sec: float
    full_p50_ms: float
    full_p99_ms: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    broker_us: float
    answers_per_sec: float
    answer_cpu_us: float
    answer_p50_ms: float
    answer_p99_ms: float
    lost: int
    refused: int
    missing: int
    astray: int
    noise: float


class Result(msgspec.Struct, kw_only=True):
    """What `--json` writes."""

    machine: str
    rounds: list[Round]
    summaries: list[Round]
    verdicts: list[Verdict]


def judge(summaries: list[Round]) -> list[Verdict]:
    """Compare with the plain script; what did not run is left out."""
    by_name = {one.subject: one for one in summaries}
    ours, theirs = by_name.get("omnigate-1"), by_name.get("plain-websockets")
    found = []
    if ours is not None and theirs is not None:
        memory = f"{ours.idle_kib:.1f} KiB : {theirs.idle_kib:.1f} KiB"
        target = "omnigate-1: memory per idle session below that of plain-websockets"
        found.append(Verdict(target, memory, ours.idle_kib < theirs.idle_kib))
    for name, what in (("missing", "every acknowledged message is in the queue"), ("astray", "every answer arrives")):
        count = sum(getattr(one, name) for one in summaries if one.subject != "plain-websockets")
        found.append(Verdict(f"omnigate: {what}", f"{count} {name}", count == 0))
    kept = sum(one.lost for one in summaries if one.subject != "plain-websockets")
    found.append(Verdict("omnigate: nobody is disconnected", f"{kept} lost", kept == 0))
    return found


def show(summaries: list[Round], judged: list[Verdict], title: str, *, rate: int) -> None:
    """Print tables and verdicts to stdout; plain when that is not a terminal."""
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    columns = {
        "sessions/s": "arrivals_per_sec:.0f",
        "KiB/session idle": "idle_kib:.1f",
        "KiB/session at the end": "working_kib:.1f",
        "cores idle": "idle_cores:.2f",
        "disconnected": "lost:d",
        "noise": "noise:.2f",
    }
    console.print(_table(summaries, title, columns))
    columns = {
        "msg/s": "per_sec:.0f",
        "p50 ms": "full_p50_ms:.0f",
        "p99 ms": "full_p99_ms:.0f",
        "CPU us/msg": "cpu_us:.0f",
        "broker us/msg": "broker_us:.0f",
        f"p50 ms at {rate}/s": "p50_ms:.1f",
        f"p99 ms at {rate}/s": "p99_ms:.1f",
        "refused": "refused:d",
        "missing": "missing:d",
    }
    console.print(_table(summaries, "from visitors: sent to acknowledged", columns))
    columns = {
        "answers/s": "answers_per_sec:.0f",
        "CPU us/answer": "answer_cpu_us:.0f",
        f"p50 ms at {rate}/s": "answer_p50_ms:.1f",
        f"p99 ms at {rate}/s": "answer_p99_ms:.1f",
        "astray": "astray:d",
    }
    console.print(_table(summaries, "to visitors: published to delivered", columns))
    if max((one.noise for one in summaries), default=0) > _NOISY:
        console.print("[yellow]Other programs kept this machine busy (column noise, in cores): measure again.[/]")
    for verdict in judged:
        word = "[green]PASS[/]" if verdict.passed else "[red]FAIL[/]"
        console.print(f"{word}  {verdict.target}: {verdict.measured}")


def _table(rows: list[Round], title: str, columns: dict[str, str]) -> Table:
    table = Table(title=title)
    table.add_column("subject", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (column.partition(":") for column in columns.values())
        table.add_row(row.subject, *(format(getattr(row, name), form) for name, _, form in cells))
    return table
