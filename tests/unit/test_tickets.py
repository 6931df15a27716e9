"""What an item keeps on its way, and how its delivery is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.broker.api import Publication
from gateway.telemetry import Meters
from gateway.tickets import Ticket, Verdict, Waiter
from gateway.web.quick import Outbox
from normalizer.model import ChannelRef, MessageRef, StatusParams
from normalizer.raw import Event

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event() -> Event:
    params = StatusParams(
        event_id="evt_1",
        channel=ChannelRef(id="shop", type="webhook"),
        schema="1.0",
        message=MessageRef(id="msg_1", provider_id="77"),
        status="read",
        at=NOW,
    )
    return Event(method="message.status", params=params, key="1")


def publication() -> Publication:
    return Publication(
        routing_key="k", body=b"{}", message_id="evt_1", method="message.status", timestamp=1, headers={}
    )


def test_what_is_rendered_keeps_its_line_of_the_journal_and_lets_its_event_go() -> None:
    early, late = (Ticket(event(), Meters("shop", "webhook"), None, 60.0) for _ in range(2))
    late.rendered(publication())

    assert not hasattr(late, "event")
    assert early.entry("published", 3.0) == late.entry("published", 3.0)
    line = late.entry("drained", 4.0)
    assert (line.ts, line.verdict, line.channel, line.event_id) == (4.0, "drained", "shop", "evt_1")
    assert (line.message_id, line.provider_id, line.method, line.detail) == ("msg_1", "77", "message.status", "read")


def test_what_was_not_checked_says_so_in_the_journal() -> None:
    ticket = Ticket(event(), Meters("shop", "webhook"), None, 60.0)
    ticket.unchecked = True
    ticket.rendered(publication())
    assert ticket.entry("published", 3.0).detail == "unchecked"


def test_a_delivery_ends_with_its_last_item_and_once() -> None:
    ended: list[Waiter] = []
    waiter = Waiter(3, 0.0, ended.append)
    waiter.settle(Verdict.DUPLICATE)
    waiter.settle(Verdict.PUBLISHED)
    assert ended == []
    waiter.settle(Verdict.DUPLICATE)
    waiter.expire()
    assert (len(ended), waiter.safe, waiter.fresh, waiter.open) == (1, True, True, False)


def test_a_delivery_one_item_of_which_is_refused_is_not_safe() -> None:
    ended: list[Waiter] = []
    waiter = Waiter(2, 0.0, ended.append)
    waiter.settle(Verdict.REFUSED)
    waiter.settle(Verdict.PUBLISHED)
    assert (len(ended), waiter.safe) == (1, False)


async def test_answers_of_one_turn_are_written_in_order_in_the_next_and_those_they_cause_later() -> None:
    box, written = Outbox(asyncio.get_running_loop()), list[bytes]()

    def again(answer: bytes) -> None:
        written.append(answer)
        box.put(written.append, answer + b"!")

    writers: list[Callable[[bytes], None]] = [written.append, again, written.append]
    for number, write in enumerate(writers):
        box.put(write, b"%d" % number)
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"0", b"1", b"2"]
    await asyncio.sleep(0)
    assert written == [b"0", b"1", b"2", b"1!"]
