"""Posting deliveries as providers do: in parallel, again after anything but 2xx, some of them twice."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import aiohttp
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REORDER_WINDOW = 10
"""How many neighbours change places with each other."""

HOPELESS = {
    401: "the secret does not fit the channel's",
    403: "the secret does not fit the channel's",
    404: "there is no such channel",
    405: "this is no webhook channel",
}
"""Statuses after which nothing gets better by repeating; providers repeat all the same, people want to know."""

FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.1, 5.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One thing to post; `name` is how the report calls it."""

    name: str
    body: bytes


@dataclass(kw_only=True)
class Report:
    """What became of the traffic.

    Attributes:
        sent: deliveries, each counted once however often it was posted.
        accepted: deliveries answered with 2xx.
        retried: posts after the first of a delivery.
        failed: deliveries given up.
        statuses: how often each answer came; 0 is none at all.
        names: of the accepted deliveries.
    """

    sent: int = 0
    accepted: int = 0
    retried: int = 0
    failed: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def hints(self) -> list[str]:
        """Say what to do about answers that never change."""
        return [f"HTTP {status}: {hint}" for status, hint in HOPELESS.items() if self.statuses[status]]


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to post.

    Attributes:
        rate: deliveries per second; 0 is as fast as it goes.
        connections: posts at the same time.
        attempts: posts of one delivery before it is given up.
        duplicates: how often each delivery is posted again although it was accepted.
        reorder: let neighbours change places.
        timeout_secs: how long to wait for an answer.
    """

    rate: float = 0.0
    connections: int = 40
    attempts: int = 20
    duplicates: int = 0
    reorder: bool = False
    timeout_secs: float = 30.0


async def deliver(
    url: str,
    headers: dict[str, str],
    deliveries: Iterable[Delivery],
    manner: Manner,
    *,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Post everything and report; raises nothing for what the gateway answers.

    Args:
        url: of the channel.
        headers: the same for all deliveries.
        deliveries: what to post.
        manner: how.
        progress: called after each delivery.
    """
    report, began = Report(), time.monotonic()
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue(2 * manner.connections)
    connector = aiohttp.TCPConnector(limit=manner.connections)
    timeout = aiohttp.ClientTimeout(total=manner.timeout_secs)
    session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)
    async with session as http, asyncio.TaskGroup() as tasks:
        for _ in range(manner.connections):
            tasks.create_task(_post_all(http, url, queue, manner, report, progress))
        await _feed(queue, _arranged(deliveries, manner), manner, began)
    report.seconds = time.monotonic() - began
    return report


def _arranged(deliveries: Iterable[Delivery], manner: Manner) -> Iterator[Delivery]:
    source = iter(deliveries)
    while window := list(islice(source, REORDER_WINDOW if manner.reorder else 1)):
        copies = [one for one in window for _ in range(1 + manner.duplicates)]
        if manner.reorder:
            random.shuffle(copies)
        yield from copies


async def _feed(
    queue: asyncio.Queue[Delivery | None], deliveries: Iterator[Delivery], manner: Manner, began: float
) -> None:
    for index, delivery in enumerate(deliveries):
        if manner.rate > 0:
            await asyncio.sleep(began + index / manner.rate - time.monotonic())
        await queue.put(delivery)
    for _ in range(manner.connections):
        await queue.put(None)


async def _post_all(
    http: aiohttp.ClientSession,
    url: str,
    queue: asyncio.Queue[Delivery | None],
    manner: Manner,
    report: Report,
    progress: Callable[[Report], None],
) -> None:
    while (delivery := await queue.get()) is not None:
        accepted = await _post(http, url, delivery, manner.attempts, report)
        report.sent += 1
        report.accepted += accepted
        report.failed += not accepted
        if accepted:
            report.names.append(delivery.name)
        progress(report)


async def _post(http: aiohttp.ClientSession, url: str, delivery: Delivery, attempts: int, report: Report) -> bool:
    for attempt in range(attempts):
        if attempt:
            report.retried += 1
            pause = min(FIRST_PAUSE_SECS * 2 ** min(attempt - 1, 16), LONGEST_PAUSE_SECS)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        status = await _status(http, url, delivery.body)
        report.statuses[status] += 1
        if 200 <= status < 300:
            return True
        if status in HOPELESS:
            return False
    return False


async def _status(http: aiohttp.ClientSession, url: str, body: bytes) -> int:
    try:
        async with http.post(url, data=body, allow_redirects=False) as response:
            await response.read()
            return response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0


class Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, total: int) -> None:
        """Expect `total` deliveries."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task = self._bar.add_task("delivering", total=total)

    def __enter__(self) -> Callable[[Report], None]:
        """Show it."""
        self._bar.start()
        return self.show

    def __exit__(self, *exc: object) -> None:
        """Leave it as it stands."""
        self._bar.stop()

    def show(self, report: Report) -> None:
        """Move it."""
        text = f"delivering, {report.retried} retried, {report.failed} failed"
        self._bar.update(self._task, completed=report.sent, description=text)


def summarize(report: Report) -> str:
    """Render the report: words on a terminal, JSON elsewhere."""
    per_second = report.sent / report.seconds if report.seconds else 0.0
    if not sys.stdout.isatty():
        data = {name: getattr(report, name) for name in ("sent", "accepted", "retried", "failed")}
        statuses = {str(status or "none"): count for status, count in sorted(report.statuses.items())}
        more = {"seconds": round(report.seconds, 3), "per_second": round(per_second, 1), "statuses": statuses}
        return msgspec.json.encode({**data, **more}).decode()
    return (
        f"{report.sent} sent, {report.accepted} accepted, {report.retried} retried, {report.failed} failed "
        f"in {report.seconds:.1f} s ({per_second:.0f}/s)"
    )
