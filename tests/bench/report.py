"""From rounds to medians, a table and verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.load import Round

_FIGURES = ("per_sec", "p50_ms", "p99_ms", "cpu_us", "broker_us", "rss_mib", "noise")
_MEMORY_MIB = 120
_NOISY = 0.2
BASES = {"x python": "plain-python", "x node": "plain-node"}


class Summary(msgspec.Struct, kw_only=True):
    """Medians over a subject's rounds at one offered rate; `accepted`, `queued`, `refused` and `broken` are sums.

    Attributes:
        missing: accepted deliveries that are not in the queue, over all rounds; must be 0.
        surplus: messages in the queue whose answer wrk did not wait for when its time was up.
    """

    subject: str
    rate: int
    rounds: int
    per_sec: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    broker_us: float
    rss_mib: float
    noise: float
    accepted: int
    queued: int
    missing: int
    surplus: int
    refused: int
    broken: int
    size: int = 0


class Verdict(msgspec.Struct):
    """One target, and whether it was met."""

    target: str
    measured: str
    passed: bool


def summarize(rounds: Iterable[Round]) -> list[Summary]:
    """Reduce to one summary per subject, rate and size, in order of appearance."""
    groups: dict[tuple[str, int, int], list[Round]] = {}
    for one in rounds:
        groups.setdefault((one.subject, one.rate, one.size), []).append(one)
    return [_summary(name, rate, size, of) for (name, rate, size), of in groups.items()]


def _summary(name: str, rate: int, size: int, rounds: list[Round]) -> Summary:
    medians = {figure: statistics.median(getattr(one, figure) for one in rounds) for figure in _FIGURES}
    return Summary(
        subject=name,
        rate=rate,
        size=size,
        rounds=len(rounds),
        accepted=sum(one.accepted for one in rounds),
        queued=sum(one.queued for one in rounds),
        missing=sum(max(0, one.accepted - one.queued) for one in rounds),
        surplus=sum(max(0, one.queued - one.accepted) for one in rounds),
        refused=sum(one.refused for one in rounds),
        broken=sum(one.broken for one in rounds),
        **medians,
    )


def verdicts(summaries: list[Summary], memory_mib: float | None) -> list[Verdict]:
    """Judge what was measured; a target whose subjects did not run is left out."""
    found = []
    for rate in dict.fromkeys(summary.rate for summary in summaries):
        by_name = {summary.subject: summary for summary in summaries if summary.rate == rate}
        for ours, theirs, least in (("omnigate-1", "plain-python", 2.0), ("omnigate-2", "plain-node", 0.6)):
            if ours in by_name and theirs in by_name:
                found += _compare(by_name[ours], by_name[theirs], least)
    if memory_mib is not None:
        target = f"less than {_MEMORY_MIB} MiB per worker after 100 000 messages"
        found.append(Verdict(target, f"{memory_mib:.0f} MiB", memory_mib < _MEMORY_MIB))
    return [*found, nothing_lost(summaries)]


def nothing_lost(summaries: list[Summary]) -> Verdict:
    """Judge whether what was accepted has arrived."""
    lost = sum(summary.missing for summary in summaries)
    return Verdict("every delivery answered 2xx is in the queue", f"{lost} missing", lost == 0)


def _compare(ours: Summary, theirs: Summary, least: float) -> list[Verdict]:
    load = f"at {ours.rate}/s" if ours.rate else "at full load"
    latency = Verdict(
        f"{ours.subject}: p99 {load} below {theirs.subject}'s",
        f"{ours.p99_ms:.1f} ms : {theirs.p99_ms:.1f} ms",
        ours.p99_ms < theirs.p99_ms,
    )
    if ours.rate:
        return [latency]
    ratio = ours.per_sec / theirs.per_sec
    target = f"{ours.subject}: at least {least:g}x {theirs.subject}"
    measured = f"{ratio:.2f}x ({ours.per_sec:.0f}/s : {theirs.per_sec:.0f}/s)"
    return [Verdict(target, measured, ratio >= least), latency]


def show(summaries: list[Summary], judged: list[Verdict], title: str, bases: Mapping[str, str] = BASES) -> None:
    """Print a table per offered rate and size, and the verdicts, to stdout; plain when that is not a terminal.

    `bases` are the columns that compare: heading → subject.
    """
    console = Console(width=None if Console().is_terminal else 170, highlight=False)
    for rate, size in dict.fromkeys((summary.rate, summary.size) for summary in summaries):
        rows = [summary for summary in summaries if (summary.rate, summary.size) == (rate, size)]
        load = f"{rate}/s offered" if rate else f"mails of {size} bytes" if size else "full load"
        console.print(_table(rows, f"{title}, {load}", bases))
    if max((summary.noise for summary in summaries), default=0) > _NOISY:
        console.print("[yellow]Other programs kept this machine busy (column noise, in cores): measure again.[/]")
    for verdict in judged:
        word = "[green]PASS[/]" if verdict.passed else "[red]FAIL[/]"
        console.print(f"{word}  {verdict.target}: {verdict.measured}")


def _table(rows: list[Summary], title: str, bases: Mapping[str, str]) -> Table:
    rates = {row.subject: row.per_sec for row in rows}
    table = Table(title=title)
    table.add_column("subject", no_wrap=True)
    headings = "p50 ms,p99 ms,CPU us/msg,broker us/msg,RSS MiB,noise,2xx,in queue,missing,not 2xx,broken"
    for heading in ("msg/s", *bases, *headings.split(",")):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*_cells(row, [rates.get(base) for base in bases.values()]))
    return table


def _cells(one: Summary, bases: list[float | None]) -> list[str]:
    ratios = [f"{one.per_sec / base:.2f}" if base else "-" for base in bases]
    figures = [f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.cpu_us:.0f}", f"{one.broker_us:.0f}"]
    counts = [
        f"{one.rss_mib:.0f}",
        f"{one.noise:.2f}",
        *map(str, (one.accepted, one.queued, one.missing, one.refused, one.broken)),
    ]
    return [one.subject, f"{one.per_sec:.0f}", *ratios, *figures, *counts]
