"""Posting deliveries as providers do: in parallel, again after anything but 2xx, some of them twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import aiohttp
from cyclopts import Parameter
from msgspec import Struct
from yarl import URL

from gateway.simulate.api import Handshake, Request, Simulator
from gateway.simulate.report import HOPELESS, Report

REORDER_WINDOW = 10
"""How many neighbours change places with each other."""

FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.1, 5.0
TIMEOUT_SECS = 30.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One thing to post, unsigned.

    Attributes:
        name: how the report calls it.
        request: as the provider makes it.
        mark: which retry of the provider's it is; 0 is none.
    """

    name: str
    request: Request
    mark: int = 0


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the provider delivers.

    Attributes:
        rate: deliveries per second; 0 is as fast as it goes.
        connections: posts at the same time; by default as many as the provider has.
        attempts: posts of one delivery before it is given up.
        duplicates: how often each delivery is sent again although it was accepted; 0.1 is one in ten.
        retries: how often each comes again as the provider's retry, marked as it marks them, as after a lost answer.
        reorder: let neighbouring deliveries change places.
        stale: sign as if it were this many seconds ago; beyond the replay window it must be refused.
        timeout_secs: how long to wait for an answer.
    """

    rate: float = 0.0
    connections: int = 0
    attempts: int = 20
    duplicates: float = 0.0
    retries: int = 0
    reorder: Annotated[bool, Parameter(negative=())] = False
    stale: float = 0.0
    timeout_secs: float = TIMEOUT_SECS


class Poster(Struct):
    """Posts to one URL what one simulator signs."""

    http: aiohttp.ClientSession
    url: str
    simulator: Simulator[Any]
    manner: Manner
    report: Report
    progress: Callable[[Report], None]
    clock: Callable[[], float]

    async def post_all(self, queue: asyncio.Queue[Delivery | None]) -> None:
        """Post until the queue says that there is no more."""
        while (delivery := await queue.get()) is not None:
            accepted = await self._post(delivery)
            self.report.sent += 1
            self.report.accepted += accepted
            self.report.failed += not accepted
            if accepted:
                self.report.names.append(delivery.name)
            self.progress(self.report)

    async def _post(self, delivery: Delivery) -> bool:
        for attempt in range(self.manner.attempts):
            if attempt:
                self.report.retried += 1
                pause = min(FIRST_PAUSE_SECS * 2 ** min(attempt - 1, 16), LONGEST_PAUSE_SECS)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            status = await self._status(delivery, delivery.mark + attempt)
            self.report.statuses[status] += 1
            if 200 <= status < 300:
                return True
            if status in HOPELESS:
                return False
        return False

    async def _status(self, delivery: Delivery, mark: int) -> int:
        marked = self.simulator.again(delivery.request, mark) if mark else delivery.request
        signed = self.simulator.sign(marked, self.clock() - self.manner.stale)
        began = time.monotonic()
        status, _ = await post(self.http, self.url, signed)
        if status:
            self.report.latencies.append(time.monotonic() - began)
        return status


async def post(http: aiohttp.ClientSession, url: str, request: Request) -> tuple[int, bytes]:
    """Perform one request to a channel's URL; returns status and body, status 0 where no answer came."""
    target = URL(url + request.path, encoded=True)
    target = target.update_query(request.query) if request.query else target
    try:
        async with http.request(
            request.method, target, headers=request.headers, data=request.body or None, allow_redirects=False
        ) as response:
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0, b""


async def deliver(
    url: str,
    simulator: Simulator[Any],
    deliveries: Iterable[Delivery],
    manner: Manner,
    *,
    progress: Callable[[Report], None] = lambda _: None,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge: signed times
) -> Report:
    """Sign and post everything and report; raises nothing for what the gateway answers.

    Args:
        url: of the channel, as this machine reaches it.
        simulator: the provider.
        deliveries: what to post.
        manner: how.
        progress: called after each delivery.
        clock: Unix time.
    """
    report, began = Report(), time.monotonic()
    lanes = max(manner.connections or simulator.connections, 1)
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue(2 * lanes)
    timeout = aiohttp.ClientTimeout(total=manner.timeout_secs)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=lanes), timeout=timeout)
    async with session as http, asyncio.TaskGroup() as tasks:
        poster = Poster(http, url, simulator, manner, report, progress, clock)
        for _ in range(lanes):
            tasks.create_task(poster.post_all(queue))
        await _feed(queue, arranged(deliveries, manner), manner, began)
        for _ in range(lanes):
            await queue.put(None)
    report.seconds = time.monotonic() - began
    return report


def arranged(deliveries: Iterable[Delivery], manner: Manner) -> Iterator[Delivery]:
    """Add duplicates and the provider's retries, and change places."""
    source = iter(deliveries)
    while window := list(islice(source, REORDER_WINDOW if manner.reorder else 1)):
        copies = [copy for one in window for copy in _repeated(one, manner)]
        if manner.reorder:
            random.shuffle(copies)
        yield from copies


def _repeated(one: Delivery, manner: Manner) -> Iterator[Delivery]:
    whole, share = divmod(max(manner.duplicates, 0.0), 1)
    yield from [one] * (1 + int(whole) + (random.random() < share))
    for mark in range(1, manner.retries + 1):
        yield Delivery(name=one.name, request=one.request, mark=mark)


async def _feed(
    queue: asyncio.Queue[Delivery | None], deliveries: Iterator[Delivery], manner: Manner, began: float
) -> None:
    for index, delivery in enumerate(deliveries):
        if manner.rate > 0:
            await asyncio.sleep(began + index / manner.rate - time.monotonic())
        await queue.put(delivery)


async def shake(url: str, handshake: Handshake) -> str | None:
    """Perform a handshake; returns what is wrong with the answer, None if nothing is."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECS)) as http:
        status, body = await post(http, url, handshake.request)
    return handshake.complaint(status, body) if status else "no answer; is the gateway running?"
