"""From the pipeline to the spool, in groups, and what becomes of rows whose confirm comes late."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from gateway.broker.api import Outcome
from gateway.settlement import Settlement
from gateway.spool import Spool, SpoolFull, SpoolItem
from gateway.tickets import Stage, Ticket, Verdict

log = structlog.get_logger(__name__)


OWN = ""
"""Stands for the channel of rows that are not in the ledger: what the gateway itself tells."""


class Spooling:
    """Writes tickets to the spool in one fsync per group.

    A ticket of unknown outcome is *held*: the drain must not send it again while its connection lives, because the
    confirm may still come; then the row is simply removed. When the connection dies the hold is lifted and the drain
    sends it again, marked as a redelivery. When this process dies the hold runs out by itself.
    """

    def __init__(self, spool: Spool, settlement: Settlement, *, hold_secs: float) -> None:
        """Share the pipeline's settlement; a hold lasts `hold_secs` and is renewed in time."""
        self._spool, self._settlement, self._hold = spool, settlement, hold_secs
        self._incoming: list[Ticket] = []
        self._travelling: Counter[str] = Counter()  # conversations with tickets on their way to the disk
        self._held: dict[int, Ticket] = {}
        self._remove: list[int] = []
        self._unhold: dict[bool, list[int]] = {True: [], False: []}  # possibly sent → rows
        self._wake = asyncio.Event()
        self.full = False

    @property
    def busy(self) -> bool:
        """Whether tickets are on their way to the disk."""
        return bool(self._incoming or self._travelling)

    def holds(self, conversation: str) -> bool:
        """Whether the conversation has tickets on their way to the disk."""
        return bool(conversation) and conversation in self._travelling

    def add(self, ticket: Ticket, *, hold: bool = False, lost: bool = False) -> None:
        """Take a ticket that was not published (`hold`: no answer yet; `lost`: there may be a copy)."""
        ticket.stage = Stage.SPOOLING
        ticket.held, ticket.lost = hold, lost
        self._travelling[ticket.conversation] += 1
        self._incoming.append(ticket)
        self._wake.set()

    def late(self, ticket: Ticket, outcome: Outcome) -> None:
        """Take the answer that came after the ticket was given to the spool."""
        if outcome is Outcome.UNKNOWN:
            return
        if ticket.row is None:  # still on its way to the disk
            ticket.late = outcome
            return
        if self._held.pop(ticket.row, None) is None:
            return
        if outcome is Outcome.CONFIRMED:
            self._remove.append(ticket.row)
            self._settlement.drained(ticket)
        else:
            self._unhold[outcome is Outcome.LOST].append(ticket.row)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        renew = self._hold / 3
        while True:
            try:
                async with asyncio.timeout(renew):
                    await self._wake.wait()
            except TimeoutError:
                await self._spool.hold(list(self._held), self._hold)
            self._wake.clear()
            await self._write()
            await self._tidy()

    async def _write(self) -> None:
        batch, self._incoming = self._incoming, []
        if not batch:
            return
        items = [_item(ticket, self._hold) for ticket in batch]
        try:
            rows = await self._spool.put(items)
        except SpoolFull:
            self._tell_full(full=True)
            for ticket in batch:
                # A claim whose message may have arrived is left to run out, so that the retry is marked.
                self._settlement.failed(ticket, release=not ticket.lost)
        else:
            self._tell_full(full=False)
            for ticket, row in zip(batch, rows, strict=True):
                self._stored(ticket, row)
        for ticket in batch:
            self._travelling[ticket.conversation] -= 1
            if not self._travelling[ticket.conversation]:
                del self._travelling[ticket.conversation]

    def _stored(self, ticket: Ticket, row: int) -> None:
        ticket.row = row
        self._settlement.durable(ticket, Verdict.SPOOLED)
        if ticket.held:
            self._held[row] = ticket
            if ticket.late is not None:
                self.late(ticket, ticket.late)

    async def _tidy(self) -> None:
        remove, self._remove = self._remove, []
        unhold, self._unhold = self._unhold, {True: [], False: []}
        await self._spool.remove(remove)
        for possibly_sent, rows in unhold.items():
            await self._spool.unhold(rows, possibly_sent=possibly_sent)

    def _tell_full(self, *, full: bool) -> None:
        if full != self.full:
            self.full = full
            if full:
                log.error(
                    "spool_full", hint="free disk space or raise gateway.spool_max_bytes; providers are told to wait"
                )
            else:
                log.info("spool_has_room_again")


def _item(ticket: Ticket, hold_secs: float) -> SpoolItem:
    if ticket.publication is None:
        raise AssertionError("a ticket is rendered before it is spooled")
    return SpoolItem(
        publication=ticket.publication,
        channel=ticket.event.params.channel.id if ticket.waiter is not None else OWN,
        conversation=ticket.conversation,
        hold_secs=hold_secs if ticket.held else 0.0,
        redelivery=ticket.lost and not ticket.held,
    )
