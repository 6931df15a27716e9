"""The end of an item: count, write into the journal, tell whoever waits, commit.

Guarantee: a receipt is given for what is *durable* (broker confirm or fsync), and not before. Its commit goes with the
next round trip to the dedup store, at most two sweeps of the pipeline later, and nobody waits for it. Until it is done
the event is still claimed by this process, so that whoever gets it again, here or elsewhere, is told "in flight" and
asks again. If the process dies in that moment, the claim runs out, and a provider that delivers again what it was
answered "accepted" for finds it new: published twice, under the same id, the second copy marked. Waiting for the commit
would only shorten the time in which that can happen (there is one between confirm and commit in any case), and would
cost every answer a round trip.

Where the receipt is not the end of it, because somebody of ours must still note that it came (a flag in a mailbox, a
cursor, a job), dying in between is sure to bring the event again. Such items (`Ticket.noted`) end after their commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

from dedup.api import Done
from gateway.journal import Journal
from gateway.tickets import Stage, Ticket, Verdict

MOST_UNCOMMITTED = 10_000  # commits kept while the dedup store is away; a lost one costs a marked redelivery at most


class Settlement:
    """See the module."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Callable[[], float],
        forget: Callable[[Ticket], Sequence[Ticket]],
        wake: Callable[[], None],
    ) -> None:
        """Take the journal and the pipeline's hooks."""
        self._journal, self._clock, self._forget, self._wake = journal, clock, forget, wake
        self._done: list[Done] = []
        self._noted: list[tuple[Ticket, Verdict]] = []  # their commit is among `_done`
        self._asked: list[tuple[Ticket, Verdict]] = []  # their commit is under way
        self._released: list[str] = []
        self._uncommitted: list[Done] = []
        self._unreleased: list[str] = []

    @property
    def committing(self) -> bool:
        """Whether there is something to commit or release that was not tried yet."""
        return bool(self._done or self._released)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for a commit, or a claim is to be given back: its provider may be here any moment."""
        return bool(self._released or self._noted)

    def durable(self, tickets: Sequence[Ticket], verdict: Verdict) -> None:
        """End items that are safe; see the module."""
        settled, ended = Stage.SETTLED, []
        for ticket in tickets:
            ticket.stage = settled
            self._done.append(Done(ticket.key, ticket.keep))
            if ticket.noted:
                self._noted.append((ticket, verdict))
            else:
                ended.append(ticket)
        self._end(ended, verdict)
        if self._noted:
            self._wake()

    def failed(self, ticket: Ticket, *, release: bool) -> None:
        """Promise nothing, so that the provider tries again; give the claim back, or let it run out."""
        if release:
            self._released.append(ticket.key)
        self.finish(ticket, Verdict.REFUSED)
        self._wake()

    def afterwards(self, ticket: Ticket, *, known: bool) -> None:
        """End the claim of a refused delivery whose message has got an outcome after all."""
        if known:
            self._done.append(Done(ticket.key, ticket.keep))
        else:
            self._released.append(ticket.key)
            self._wake()

    def take_over(self) -> tuple[list[Done], list[str]]:
        """Return what the next round trip shall commit and release; what fails is given to `put_back`."""
        done, released = [*self._uncommitted, *self._done], [*self._unreleased, *self._released]
        self._done, self._released, self._uncommitted, self._unreleased = [], [], [], []
        if self._noted:
            self._asked, self._noted = [*self._asked, *self._noted], []
        return done, released

    def committed(self) -> None:
        """End what waited for the round trip that is over, also when the store was away: it is durable."""
        if self._asked:
            asked, self._asked = self._asked, []
            for verdict, ended in groupby(asked, key=itemgetter(1)):
                self._end([ticket for ticket, _ in ended], verdict)

    def put_back(self, done: Sequence[Done], released: Sequence[str]) -> None:
        """Offer what the store did not take again, with the next claims."""
        self._uncommitted = [*self._uncommitted, *done][-MOST_UNCOMMITTED:]
        self._unreleased = [*self._unreleased, *released][-MOST_UNCOMMITTED:]

    def finish(self, ticket: Ticket, verdict: Verdict) -> None:
        """End an item that needs no commit."""
        ticket.stage = Stage.SETTLED
        self._end([ticket], verdict)

    def drained(self, ticket: Ticket) -> None:
        """Count an item that had been spooled and was confirmed late."""
        if ticket.waiter is not None:
            ticket.meters.published.inc()
            ticket.meters.spooled.dec()
        self._journal.append([ticket.entry("drained", self._clock())])

    def _end(self, tickets: Sequence[Ticket], verdict: Verdict) -> None:
        """Tell whoever waits, first of all; then count and note it. Followers share the outcome."""
        if not tickets:
            return
        followers: list[Ticket] = []
        for ticket in tickets:
            if ticket.waiter is not None:
                ticket.waiter.settle(verdict)
            elif ticket.told is not None:
                ticket.told(verdict)
            followers += self._forget(ticket)
        if verdict is not Verdict.REFUSED:
            _count([ticket for ticket in tickets if ticket.waiter is not None], verdict)
        now, word = self._clock(), verdict.value
        self._journal.append([ticket.entry(word, now) for ticket in tickets])
        for follower in followers:
            follower.stage = Stage.SETTLED
        self._end(followers, Verdict.REFUSED if verdict is Verdict.REFUSED else Verdict.DUPLICATE)


def _count(tickets: Sequence[Ticket], verdict: Verdict) -> None:
    """Count the items of a batch that ended alike; a counter shared by processes costs a microsecond each time."""
    for meters, number in Counter([ticket.meters for ticket in tickets]).items():
        meters.received.inc(number)
        if verdict is Verdict.PUBLISHED:
            meters.published.inc(number)
        elif verdict is Verdict.SPOOLED:
            meters.spooled.inc(number)
        else:
            meters.duplicate.inc(number)
    for meters, number in Counter([ticket.meters for ticket in tickets if ticket.unchecked]).items():
        meters.unchecked.inc(number)
