"""The state of one item on its way through the pipeline, and of the delivery it came in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from connectors.errors import Busy
from gateway.broker.api import Outcome, Publication
from gateway.journal import Entry
from gateway.telemetry import Meters
from normalizer.model import EventParams, Message, MessageRef, QuarantinedParams, StatusParams
from normalizer.raw import Event

LATE_SECS = 0.05
"""How late a delivery may be answered for that one timer does for many."""


class Verdict(Enum):
    """How an item ended; the value is the word in the journal."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    SPOOLED = "spooled"
    REFUSED = "refused"


class Stage(Enum):
    """Where an item is.

    CLAIMING: waits for the answer of the dedup store.
    ELSEWHERE: another worker holds the claim; asked again until it has an outcome.
    WAITING: until the drain has published what its conversation has in the spool.
    PUBLISHING: sent to the broker, no answer yet.
    SPOOLING: on its way to the local disk.
    SETTLED: has its verdict.
    """

    CLAIMING = 1
    ELSEWHERE = 2
    WAITING = 3
    PUBLISHING = 4
    SPOOLING = 5
    SETTLED = 6


class Waiter(Struct, eq=False):
    """One delivery: done when the last of its items is settled.

    Attributes:
        left: items that are not settled.
        deadline: loop time until which it waits, if a `Patience` has it.
        told: called once, at the end. It is given the waiter, so that it need not hold it: that would be a cycle, and
            messages leave none (`calm_gc`).
        noted: see `Ticket.noted`.
        fresh: one of its items was new.
        open: somebody still waits for it.
        safe: each of its items is; until then, or for ever, the provider has to try again.
    """

    left: int
    deadline: float
    told: Callable[[Waiter], None]
    noted: bool = False
    fresh: bool = False
    open: bool = True
    safe: bool = False

    def settle(self, verdict: Verdict) -> None:
        """Take the verdict of one item."""
        if not self.open:
            return
        if verdict is Verdict.REFUSED:
            self.expire()
            return
        self.fresh = self.fresh or verdict is not Verdict.DUPLICATE
        self.left -= 1
        if not self.left:
            self.open, self.safe = False, True
            self.told(self)

    def expire(self) -> None:
        """Stop waiting: the provider shall try again."""
        if self.open:
            self.open = False
            self.told(self)


def resolve(future: asyncio.Future[None], waiter: Waiter) -> None:
    """Tell whoever awaits `future` how a delivery ended: `Busy` unless it is safe."""
    if future.done():  # whoever waited was cancelled
        return
    if waiter.safe:
        future.set_result(None)
    else:
        future.set_exception(Busy())


class Patience:
    """Ends the waiting of a channel's deliveries, whatever becomes of the pipeline; one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, secs: float) -> None:
        """Have every delivery wait for `secs`, or `LATE_SECS` more."""
        self._loop, self._secs = loop, secs
        self._waiting: dict[Waiter, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, items: int, started: float, told: Callable[[Waiter], None], *, noted: bool) -> Waiter:
        """Let a delivery of so many items wait, that came at `started` (loop time)."""
        waiter = Waiter(items, started + self._secs, told, noted)
        self._waiting[waiter] = None
        if self._timer is None:
            self._timer = self._loop.call_at(waiter.deadline, self._look)
        return waiter

    def end(self, waiter: Waiter) -> None:
        """Forget it; nobody waits any more."""
        waiter.open = False
        self._waiting.pop(waiter, None)

    def _look(self) -> None:
        self._timer, now = None, self._loop.time()
        for waiter in [waiter for waiter in self._waiting if waiter.deadline <= now]:
            self._waiting.pop(waiter, None)
            waiter.expire()
        if self._waiting:
            first = min(waiter.deadline for waiter in self._waiting)
            self._timer = self._loop.call_at(max(first, now + LATE_SECS), self._look)


class Ticket:
    """One item; `waiter` is None for what the gateway itself tells, and `event` is there until it is `rendered`."""

    __slots__ = (
        "_entry",
        "conversation",
        "event",
        "followers",
        "held",
        "keep",
        "key",
        "late",
        "lost",
        "meters",
        "patience",
        "publication",
        "redelivery",
        "row",
        "seq",
        "stage",
        "told",
        "unchecked",
        "waiter",
    )

    def __init__(self, event: Event, meters: Meters, waiter: Waiter | None, keep: float) -> None:
        """Start at the claim."""
        self.event, self.meters, self.waiter, self.keep = event, meters, waiter, keep
        self.key = event.key  # of the dedup store
        conversation = event.params.conversation
        self.conversation = conversation.id if conversation is not None else ""
        self.stage = Stage.CLAIMING
        self.publication: Publication | None = None
        self._entry: Entry | None = None
        self.followers: list[Ticket] | None = None  # the same key, delivered while this one is under way
        self.row: int | None = None  # of the spool
        self.seq = self.redelivery = 0
        self.unchecked = False
        self.patience = 0.0  # loop time until which it waits behind the spool; 0 before it has to
        self.held = self.lost = False  # outcome unknown, for now or for ever
        self.late: Outcome | None = None  # came while the row was being written
        self.told: Callable[[Verdict], None] | None = None  # where there is no waiter, who wants to know

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the outcome."""
        waiters = [self.waiter, *(follower.waiter for follower in self.followers or ())]
        return any(waiter is not None and waiter.open for waiter in waiters)

    @property
    def noted(self) -> bool:
        """Whether somebody of ours notes that it came, once it is told so (`RawEvent.noted`, `Intake.publish`)."""
        return self.waiter.noted if self.waiter is not None else self.told is not None

    def rendered(self, publication: Publication) -> None:
        """Keep what is sent and what the journal tells; let the event go, so that its memory serves the next one."""
        self.publication, self._entry = publication, _entry(self.event, unchecked=self.unchecked)
        del self.event

    def entry(self, verdict: str, now: float) -> Entry:
        """Fill in the line of the journal; there is one per ticket."""
        line = self._entry = self._entry or _entry(self.event, unchecked=self.unchecked)
        line.verdict, line.ts = verdict, now
        return line


def _entry(event: Event, *, unchecked: bool) -> Entry:
    params = event.params
    message: Message | MessageRef | None = getattr(params, "message", None)
    return Entry(
        ts=0.0,
        channel=params.channel.id,
        event_id=params.event_id,
        message_id=(message and message.id) or "",
        provider_id=(message and message.provider_id) or "",
        method=event.method,
        verdict="",
        detail="unchecked" if unchecked else _detail(params),
    )


def _detail(params: EventParams) -> str:
    if isinstance(params, QuarantinedParams):
        return f"quarantine row {params.quarantine_id}"
    return params.status if isinstance(params, StatusParams) else ""
