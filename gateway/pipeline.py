"""The inbound path: claim, publish or spool, receipt, commit; in batches.

Guarantee: `submit` ends a delivery with success only after each of its items was confirmed by the broker, or is on
local disk (fsync), or is known to be there from before. Everything else ends as `Busy`, and the provider still has it.

One loop does one round trip to the dedup store at a time; whatever arrives meanwhile shares the next one. A cycle
commits what became durable, then claims what is new, then publishes the new in order. While a conversation has rows in
the spool, or on their way there, its new messages follow them, so that order holds. When a cycle begins says
`gateway.gathering`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from dedup.api import Claim, Deduplicator, DedupUnavailable, Done, Take, Taken
from gateway import envelope, telemetry
from gateway.broker.api import Broker, Outcome, Publication
from gateway.gathering import MOST, Gathering
from gateway.journal import Journal
from gateway.settlement import Settlement
from gateway.spool import Spool
from gateway.spooling import Spooling
from gateway.tickets import Stage, Ticket, Verdict

log = structlog.get_logger(__name__)

RETRY_SECS = 0.02  # how often what waits for others is looked at, and commits that no claims took along
PATIENCE_SECS = 0.5  # how long a message waits in memory for the last spooled rows of its conversation to leave


class Pipeline:
    """See the module; one per worker process."""

    def __init__(
        self,
        *,
        dedup: Deduplicator,
        broker: Broker,
        spool: Spool,
        journal: Journal,
        lease_secs: float,
        clock: Callable[[], float],
        refuse_unchecked: bool = False,
    ) -> None:
        """Take the parts; `run` does the work."""
        self._dedup, self._broker, self._spool, self._clock = dedup, broker, spool, clock
        self._lease, self._refuse_unchecked = lease_secs, refuse_unchecked
        self._fresh: deque[Ticket] = deque()  # to claim
        self._elsewhere: list[Ticket] = []  # claimed by another worker
        self._patient: list[Ticket] = []  # behind spooled rows that the drain is about to publish
        self._live: dict[str, Ticket] = {}  # key → the ticket under way in this process
        self._sent: dict[Publication, Ticket] = {}
        self._wake = asyncio.Event()
        self._gathering = Gathering()
        self._timer: asyncio.TimerHandle | None = None
        self._flush = False  # whether commits have waited for long enough
        self._cycling = False  # whether an exchange is under way, perhaps of commits alone
        self._cycles = 0
        self._loop = asyncio.get_running_loop()
        self._settlement = Settlement(journal=journal, clock=clock, forget=self._forget, wake=self._wake.set)
        self._spooling = Spooling(spool, self._settlement, hold_secs=lease_secs)
        self._dedup_ok = True

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Take responsibility for decoded items; their waiters learn the end."""
        if not self._fresh:
            self._gathering.begin(self._loop.time())
        for ticket in tickets:
            first = self._live.setdefault(ticket.key, ticket)
            if first is ticket:
                self._fresh.append(ticket)
            elif first.followers is None:
                first.followers = [ticket]
            else:
                first.followers.append(ticket)
        gathering, live = self._gathering, len(self._live)
        if live > gathering.expected:
            gathering.expect(live)
        if (len(self._fresh) >= gathering.goal or self._timer is None) and self._due():
            self._wake.set()

    def under_way(self, key: str) -> bool:
        """Tell whether the event of a dedup key is on its way through this process."""
        return key in self._live

    @property
    def idle(self) -> bool:
        """Whether nothing is under way (for the drain at shutdown)."""
        return not (self._live or self._cycling or self._settlement.committing or self._spooling.busy)

    @property
    def dedup_ok(self) -> bool:
        """Whether the dedup store answered the last time."""
        return self._dedup_ok

    @property
    def spool_full(self) -> bool:
        """Whether the spool refused the last time."""
        return self._spooling.full

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep(), name="pipeline-sweep")
            group.create_task(self._spooling.run(), name="pipeline-spooling")
            self._wake.set()  # there may be work from before a failure
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._due():
                    await self._cycle()

    def _due(self) -> bool:
        """Tell whether it is time for a cycle; if it is not yet, see to being woken."""
        if self._flush or self._settlement.urgent:
            return True
        if not self._fresh:
            return False
        if self._gathering.enough(len(self._fresh), len(self._live), self._loop.time()):
            return True
        if self._timer is None:
            self._timer = self._loop.call_at(self._gathering.until, self._gathered)
        return False

    def _gathered(self) -> None:
        self._timer = None
        self._wake.set()

    async def _sweep(self) -> None:
        """Look again at what waits for another worker or for the drain, and commit what no claims took along."""
        while True:
            cycles = self._cycles
            await asyncio.sleep(RETRY_SECS)
            if self._settlement.committing and cycles == self._cycles:
                self._flush = True
                self._wake.set()
            if self._elsewhere:
                again, self._elsewhere = self._elsewhere, []
                for ticket in again:
                    ticket.stage = Stage.CLAIMING
                self._fresh.extend(again)
                self._gathering.begin(0.0)
                self._wake.set()
            if self._patient:
                self._send([])

    async def _cycle(self) -> None:
        self._flush, self._cycling = False, True
        if self._timer is not None:  # else it would wake the process for nothing
            self._timer.cancel()
            self._timer = None
        self._cycles += 1
        batch = [self._fresh.popleft() for _ in range(min(MOST, len(self._fresh)))]
        done, released = self._settlement.take_over()
        try:
            await self._work(batch, done, released)
        except Exception:
            self._settlement.put_back(done, released)  # what was committed can be committed again
            for ticket in batch:  # a bug must not leave keys behind that block every redelivery
                if ticket.stage is Stage.CLAIMING:
                    self._settlement.failed(ticket, release=True)
            raise
        finally:
            self._cycling = False

    async def _work(self, batch: list[Ticket], done: list[Done], released: list[str]) -> None:
        now = self._clock()
        takes = [_take(ticket, now) for ticket in batch]
        try:
            answers = await self._dedup.exchange(takes, done, released, lease=self._lease)
            self._dedup_state(ok=True)
        except DedupUnavailable as exc:
            self._dedup_state(ok=False, reason=str(exc))
            answers = [Taken(Claim.NEW, int(now * 1_000_000) + n) for n in range(len(batch))]
            self._settlement.put_back(done, released)
        self._settlement.committed()
        mine = [ticket for ticket, answer in zip(batch, answers, strict=True) if self._claimed(ticket, answer)]
        if mine:
            self._send(mine)

    def _claimed(self, ticket: Ticket, answer: Taken) -> bool:
        if answer.claim is Claim.DUPLICATE:
            self._settlement.finish(ticket, Verdict.DUPLICATE)
            return False
        if answer.claim is Claim.IN_FLIGHT:
            if ticket.wanted:
                ticket.stage = Stage.ELSEWHERE
                self._elsewhere.append(ticket)
            else:  # nobody waits any more: its holder will end it
                self._settlement.finish(ticket, Verdict.REFUSED)
            return False
        if not self._dedup_ok and self._refuse_unchecked:
            self._settlement.failed(ticket, release=True)  # the store may have done it, and only the answer got lost
            return False
        ticket.unchecked = not self._dedup_ok
        ticket.seq, ticket.redelivery = answer.seq, answer.redelivery
        return True

    def _send(self, tickets: list[Ticket]) -> None:
        """Publish claimed tickets in order; those whose conversation has rows in the spool wait, or follow them there.

        They wait a moment in memory first: otherwise a busy conversation would never find its way out of the spool.
        """
        tickets = [*self._patient, *tickets]
        self._patient = []
        spooled = self._spool.waiting(ticket.conversation for ticket in tickets)
        ready, now, publishing = self._broker.ready, self._loop.time(), Stage.PUBLISHING
        calm = ready and not (spooled or self._spooling.busy)
        flying = set() if ready else {one.conversation for one in self._sent.values() if one.stage is publishing}
        batch: list[Publication] = []
        timestamp = int(self._clock())
        for ticket in tickets:
            behind = not calm and ticket.conversation in spooled
            if not calm and self._must_wait(ticket, ready=ready, behind=behind, flying=flying, now=now):
                ticket.stage = Stage.WAITING
                self._patient.append(ticket)
                continue
            item = self._render(ticket, timestamp)
            if item is None:
                continue
            if calm or (ready and not behind and not self._spooling.holds(ticket.conversation)):
                ticket.stage = publishing
                self._sent[item] = ticket
                batch.append(item)
            else:
                self._spooling.add(ticket)
        if batch:
            self._publish(batch, now)

    def _must_wait(self, ticket: Ticket, *, ready: bool, behind: bool, flying: set[str], now: float) -> bool:
        conversation = ticket.conversation
        if not conversation or self._spooling.holds(conversation):
            return False
        if not ready:  # an earlier message may have to go to the spool first
            return conversation in flying
        if not behind:
            return False
        ticket.patience = ticket.patience or now + PATIENCE_SECS
        return now < ticket.patience

    def _render(self, ticket: Ticket, timestamp: int) -> Publication | None:
        event = ticket.event
        try:
            publication = envelope.publication(
                event, seq=ticket.seq, redelivery=ticket.redelivery, unchecked=ticket.unchecked, timestamp=timestamp
            )
        except Exception:
            log.exception("event_cannot_be_rendered", method=event.method)
            self._settlement.failed(ticket, release=True)
            return None
        ticket.rendered(publication)
        return publication

    def _publish(self, batch: list[Publication], started: float) -> None:
        def outcome(items: Sequence[Publication], result: Outcome) -> None:
            telemetry.PUBLISH.observe(self._loop.time() - started)
            self._on_outcome(items, result)

        self._broker.submit(batch, outcome)

    def _on_outcome(self, items: Sequence[Publication], outcome: Outcome) -> None:
        safe, publishing = [], Stage.PUBLISHING
        confirmed, unknown = outcome is Outcome.CONFIRMED, outcome is Outcome.UNKNOWN
        for item in items:
            ticket = self._sent[item] if unknown else self._sent.pop(item)
            if ticket.stage is not publishing:  # its answer was late: it went to the spool meanwhile
                self._spooling.late(ticket, outcome)
            elif confirmed:
                safe.append(ticket)
            else:
                self._spooling.add(ticket, hold=unknown, lost=outcome is not Outcome.REFUSED)
        if safe:
            self._settlement.durable(safe, Verdict.PUBLISHED)

    def _forget(self, ticket: Ticket) -> Sequence[Ticket]:
        """Take a settled ticket off the books; return its followers, which share the outcome."""
        if self._live.get(ticket.key) is ticket:
            del self._live[ticket.key]
        followers, ticket.followers = ticket.followers, None
        return followers or ()

    def _dedup_state(self, *, ok: bool, reason: str = "") -> None:
        if ok != self._dedup_ok:
            self._dedup_ok = ok
            telemetry.DEDUP_UP.set(ok)
            log.warning("dedup_store_back" if ok else "dedup_store_away", reason=reason)


def _take(ticket: Ticket, now: float) -> Take:
    conversation = ticket.event.params.conversation
    address = (conversation.provider_id or "") if conversation is not None else ""
    return Take(ticket.key, ticket.conversation, address, int(now * 1_000_000), ticket.keep)
