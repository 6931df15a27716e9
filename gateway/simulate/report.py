"""What became of simulated traffic, for people and for scripts."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

HOPELESS = {
    400: "the gateway cannot read it, and this channel refuses what it cannot read (on_malformed)",
    401: "the secret does not fit the channel's, or the signed time is not now",
    403: "the secret does not fit the channel's, or the signed time is not now",
    404: "there is no such channel",
    405: "this is no webhook channel",
    413: "larger than the channel's max_bytes",
}
"""Statuses after which nothing gets better by repeating; providers repeat all the same, people want to know."""

PERCENTILES = (50, 95, 99)


@dataclass(kw_only=True)
class Report:
    """What became of the traffic.

    Attributes:
        sent: deliveries, each counted once however often it was posted.
        accepted: deliveries answered with 2xx.
        retried: posts after the first of a delivery.
        failed: deliveries given up.
        seconds: the whole run.
        statuses: how often each answer came; 0 is none at all.
        names: of the accepted deliveries.
        latencies: of every answer, in seconds.
    """

    sent: int = 0
    accepted: int = 0
    retried: int = 0
    failed: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def hints(self) -> list[str]:
        """Say what to do about answers that never change."""
        return [f"HTTP {status}: {hint}" for status, hint in HOPELESS.items() if self.statuses[status]]

    def latency_ms(self) -> dict[str, float]:
        """Return percentiles (nearest rank) and the maximum in milliseconds; nothing without an answer."""
        if not self.latencies:
            return {}
        ordered = sorted(self.latencies)
        ranks = {f"p{share}": ceil(len(ordered) * share / 100) - 1 for share in PERCENTILES}
        return {name: round(1000 * ordered[rank], 2) for name, rank in {**ranks, "max": -1}.items()}


class Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, total: int, doing: str = "delivering") -> None:
        """Expect `total` deliveries, or whatever is being done."""
        self._doing = doing
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task = self._bar.add_task(doing, total=total)

    def __enter__(self) -> Callable[[Report], None]:
        """Show it."""
        self._bar.start()
        return self.show

    def __exit__(self, *exc: object) -> None:
        """Leave it as it stands."""
        self._bar.stop()

    def show(self, report: Report) -> None:
        """Move it."""
        retried = f", {report.retried} retried" if report.retried else ""
        text = f"{self._doing}{retried}, {report.failed} failed"
        self._bar.update(self._task, completed=report.sent, description=text)


def summarize(report: Report, extra: Mapping[str, int] | None = None) -> str:
    """Render the report, with `extra` counts: words on a terminal, JSON elsewhere."""
    per_second = report.sent / report.seconds if report.seconds else 0.0
    latency = report.latency_ms()
    statuses = {str(status or "none"): count for status, count in sorted(report.statuses.items())}
    if not sys.stdout.isatty():
        data = {name: getattr(report, name) for name in ("sent", "accepted", "retried", "failed")}
        more = {"seconds": round(report.seconds, 3), "per_second": round(per_second, 1), "statuses": statuses}
        return msgspec.json.encode({**data, **(extra or {}), **more, "latency_ms": latency}).decode()
    counts = f"{report.sent} sent, {report.accepted} accepted, {report.retried} retried, {report.failed} failed"
    counts += "".join(f", {count} {name}" for name, count in (extra or {}).items())
    lines = [
        f"{counts} in {report.seconds:.1f} s ({per_second:.0f}/s)",
        "answers: " + ", ".join(f"{count} x {status}" for status, count in statuses.items()),
        "latency: " + ", ".join(f"{name} {value:g} ms" for name, value in latency.items()),
    ]
    return "\n".join(lines if latency else lines[:2])
