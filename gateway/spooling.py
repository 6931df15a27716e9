"""From the pipeline to the spool, in groups, and what becomes of rows whose confirm comes late."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

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
        self._confirmed: dict[int, Ticket] = {}  # rows to remove
        self._lifted: dict[int, bool] = {}  # rows whose hold is over → possibly sent
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
        if ticket.row is None:
            if ticket.stage is Stage.SETTLED:  # there was no room for it, and its delivery was refused
                self._settlement.afterwards(ticket, known=outcome is Outcome.CONFIRMED)
            else:  # still on its way to the disk
                ticket.late = outcome
            return
        if self._held.pop(ticket.row, None) is None:
            return
        if outcome is Outcome.CONFIRMED:
            self._confirmed[ticket.row] = ticket
        else:
            self._lifted[ticket.row] = outcome is Outcome.LOST
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew(), name="spooling-renew")
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._write()
                await self._tidy()

    async def _renew(self) -> None:
        """Renew holds in time, whatever else goes on; try again what the disk did not take."""
        while True:
            await asyncio.sleep(self._hold / 3)
            with _logged():
                await self._spool.hold(list(self._held), self._hold)
            if self._confirmed or self._lifted:
                self._wake.set()

    async def _write(self) -> None:
        batch, self._incoming = self._incoming, []
        if not batch:
            return
        stored = False
        try:
            rows = await self._spool.put([_item(ticket, self._hold) for ticket in batch])
            stored = True
            self._tell_full(full=False)
            for ticket, row in zip(batch, rows, strict=True):
                self._stored(ticket, row)
        except SpoolFull as exc:
            self._tell_full(full=True, reason=str(exc))
        except Exception:
            log.exception("spool_cannot_be_written")
        finally:  # also when cancelled: nobody may be left waiting
            if not stored:
                for ticket in batch:
                    self._not_stored(ticket)
            self._travelling.subtract(ticket.conversation for ticket in batch)
            self._travelling = +self._travelling

    def _stored(self, ticket: Ticket, row: int) -> None:
        ticket.row = row
        self._settlement.durable([ticket], Verdict.SPOOLED)
        if ticket.held:
            self._held[row] = ticket
            if ticket.late is not None:
                self.late(ticket, ticket.late)

    def _not_stored(self, ticket: Ticket) -> None:
        if ticket.late is Outcome.CONFIRMED:
            self._settlement.durable([ticket], Verdict.PUBLISHED)
        else:
            # A claim whose message may have arrived is left to run out, so that the retry is marked.
            self._settlement.failed(ticket, release=not ticket.lost or ticket.late is Outcome.REFUSED)

    async def _tidy(self) -> None:
        with _logged():  # what fails stays noted and is tried again
            confirmed = dict(self._confirmed)
            removed = await self._spool.remove(confirmed) if confirmed else ()
            for row in confirmed:
                del self._confirmed[row]
            for row in removed:  # not those that somebody else has published and removed meanwhile
                self._settlement.drained(confirmed[row])
            for possibly_sent in (True, False):
                rows = [row for row, flag in self._lifted.items() if flag is possibly_sent]
                await self._spool.unhold(rows, possibly_sent=possibly_sent)
                for row in rows:
                    del self._lifted[row]

    def _tell_full(self, *, full: bool, reason: str = "") -> None:
        if full != self.full:
            self.full = full
            if full:
                log.error("spool_full", reason=reason, hint="providers are told to come again")
            else:
                log.info("spool_has_room_again")


@contextmanager
def _logged() -> Iterator[None]:
    """Let a disk that cannot be written for a moment be no more than a line in the log."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        log.warning("spool_cannot_be_tidied", reason=str(exc))


def _item(ticket: Ticket, hold_secs: float) -> SpoolItem:
    if ticket.publication is None:
        raise AssertionError("a ticket is rendered before it is spooled")
    return SpoolItem(
        publication=ticket.publication,
        channel=ticket.meters.channel if ticket.waiter is not None else OWN,
        conversation=ticket.conversation,
        hold_secs=hold_secs if ticket.held else 0.0,
        redelivery=ticket.lost and not ticket.held,
    )
