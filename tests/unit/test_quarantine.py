"""The quarantine: bytes nobody understood come back exactly as they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.errors import Busy
from gateway.quarantine import Quarantine
from normalizer.model import ChannelRef, Security
from normalizer.raw import RawEvent
from tests.clocks import Clock

Open = Callable[..., Quarantine]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Open the quarantine once more, as another process would."""
    with ExitStack() as stack:

        def open_one(*, max_bytes: int = 100_000_000) -> Quarantine:
            quarantine = Quarantine(tmp_path / "quarantine.db", max_bytes=max_bytes, clock=clock)
            quarantine.open()
            stack.callback(quarantine.close)
            return quarantine

        yield open_one


@pytest.fixture
def quarantine(opened: Open) -> Quarantine:
    return opened()


def delivery(body: bytes = b"\xff not json \x00", channel: str = "tg", **meta: str) -> RawEvent:
    return RawEvent(
        channel=ChannelRef(id=channel, type="telegram", account="@bot", labels={"team": "eu"}),
        kind="telegram",
        body=body,
        received_at=datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
        content_type="application/json; charset=koi8-r",
        security=Security(verified="token"),
        meta=meta,
    )


async def test_delivery_comes_back_exactly_as_it_came(quarantine: Quarantine) -> None:
    raw = delivery(peer="192.0.2.1")
    number, fresh = await quarantine.add(raw, raw.body, "not JSON", item=False)

    found = await quarantine.get(number)

    assert fresh
    assert found is not None
    assert found[1] == raw
    assert (found[0].state, found[0].reason, found[0].times, found[0].size) == ("kept", "not JSON", 1, len(raw.body))


async def test_item_of_a_batch_is_kept_with_its_own_bytes(quarantine: Quarantine) -> None:
    number, _ = await quarantine.add(delivery(b'[{}, {"bad": 1}]'), b'{"bad": 1}', "$[1]: no id", item=True)

    found = await quarantine.get(number)

    assert found is not None
    assert (found[1].body, found[1].item) == (b'{"bad": 1}', True)


async def test_same_bytes_again_are_counted_and_no_news(quarantine: Quarantine, clock: Clock) -> None:
    first = await quarantine.add(delivery(), b"bad", "reason", item=False)
    clock.now += 5
    again = await quarantine.add(delivery(), b"bad", "better reason", item=False)

    (row,) = await quarantine.list()
    assert (first, again) == ((row.id, True), (row.id, False))
    assert (row.times, row.reason, row.last_at - row.first_at) == (2, "better reason", 5)


async def test_same_bytes_elsewhere_are_another_row(quarantine: Quarantine) -> None:
    rows = [
        await quarantine.add(delivery(), b"bad", "", item=False),
        await quarantine.add(delivery(channel="other"), b"bad", "", item=False),
        await quarantine.add(delivery(), b"bad", "", item=True),
        await quarantine.add(delivery(channel="t"), b"gbad", "", item=False),
    ]

    assert len({number for number, _ in rows}) == 4
    assert all(fresh for _, fresh in rows)


async def test_text_that_is_not_unicode_is_taken(quarantine: Quarantine) -> None:
    number, _ = await quarantine.add(delivery(subject="\udce4"), b"mail", "bad \udce4", item=False)

    found = await quarantine.get(number)

    assert found is not None
    assert found[1].meta == {"subject": "\\udce4"}
    assert found[0].reason == "bad \\udce4"


async def test_redrive_is_asked_for_by_another_process(opened: Open) -> None:
    gateway, command = opened(), opened()
    ids = [(await gateway.add(delivery(), body, "", item=False))[0] for body in (b"1", b"2", b"3")]
    assert list(gateway.pending()) == []

    assert await command.request_redrive(ids[:2]) == 2

    assert [(row.id, raw.body) for row, raw in gateway.pending()] == [(ids[0], b"1"), (ids[1], b"2")]
    await gateway.finish(ids[0], ok=True)
    await gateway.finish(ids[1], ok=False, note="still not JSON")
    assert list(gateway.pending()) == []
    states = {row.id: (row.state, row.note) for row in await command.list()}
    assert states == {ids[0]: ("redriven", ""), ids[1]: ("kept", "still not JSON"), ids[2]: ("kept", "")}
    assert await command.request_redrive(None) == 2


async def test_discarded_rows_are_not_redriven(quarantine: Quarantine) -> None:
    ids = [(await quarantine.add(delivery(), body, "", item=False))[0] for body in (b"1", b"2")]
    await quarantine.request_redrive(ids)
    assert await quarantine.discard(ids[:1]) == 1

    assert [row.id for row, _ in quarantine.pending()] == ids[1:]
    await quarantine.finish(ids[0], ok=True)
    assert [row.id for row in await quarantine.list(state="discarded")] == ids[:1]
    assert await quarantine.discard(None) == 1
    assert quarantine.waiting() == 0


@pytest.mark.parametrize("ok", [True, False])
async def test_bytes_that_come_again_after_they_were_dealt_with_are_news(quarantine: Quarantine, *, ok: bool) -> None:
    number, _ = await quarantine.add(delivery(), b"bad", "", item=False)
    if ok:
        await quarantine.request_redrive([number])
        await quarantine.finish(number, ok=True)
    else:
        await quarantine.discard([number])

    assert await quarantine.add(delivery(), b"bad", "", item=False) == (number, True)
    assert [row.state for row in await quarantine.list()] == ["kept"]


async def test_list_shows_the_newest_first_and_filters(quarantine: Quarantine) -> None:
    for n in range(5):
        await quarantine.add(delivery(channel=f"c{n % 2}"), b"%d" % n, str(n), item=False)

    assert [row.reason for row in await quarantine.list(2, 1)] == ["3", "2"]
    assert [row.reason for row in await quarantine.list(channel="c1")] == ["3", "1"]
    assert await quarantine.list(state="redrive") == []
    assert await quarantine.get(999) is None


async def test_full_quarantine_is_busy_and_can_still_be_worked_on(opened: Open) -> None:
    quarantine = opened(max_bytes=300_000)
    kept = 0
    with pytest.raises(Busy, match="300000 bytes"):  # noqa: PT012 -- until it is full
        while True:
            await quarantine.add(delivery(), bytes(9000) + b"%d" % kept, "", item=False)
            kept += 1

    assert kept == quarantine.waiting() > 10
    assert await quarantine.add(delivery(), bytes(9000) + b"0", "", item=False) == (1, False)
    assert await quarantine.request_redrive(None) == kept
    for row, _ in quarantine.pending(1000):
        await quarantine.finish(row.id, ok=True, note="fine now")


async def test_sweep_deletes_only_what_was_dealt_with_long_ago(quarantine: Quarantine, clock: Clock) -> None:
    for body in (b"kept", b"old", b"new"):
        await quarantine.add(delivery(), body, body.decode(), item=False)
    await quarantine.discard([2])
    clock.now += 100
    await quarantine.discard([3])

    assert await quarantine.sweep(50) == 1
    assert [row.reason for row in await quarantine.list()] == ["new", "kept"]


async def test_closed_file_is_busy(quarantine: Quarantine) -> None:
    quarantine.close()

    with pytest.raises(Busy):
        await quarantine.add(delivery(), b"", "", item=False)


async def test_mended_row_is_redriven_with_the_new_bytes_and_the_original_stays(quarantine: Quarantine) -> None:
    number, _ = await quarantine.add(delivery(), b"bad", "no id", item=True)

    assert await quarantine.mend(number, b"better")
    assert await quarantine.mend(number, b"good")

    await quarantine.request_redrive([number])
    ((row, raw),) = quarantine.pending()
    assert (raw.body, raw.item, row.note) == (b"good", True, "mended by hand")
    assert quarantine.original(number) == b"bad"
    assert await quarantine.add(delivery(), b"bad", "no id", item=True) == (number, False)


async def test_only_a_row_that_is_kept_can_be_mended(quarantine: Quarantine) -> None:
    number, _ = await quarantine.add(delivery(), b"bad", "", item=False)
    await quarantine.discard([number])

    assert not await quarantine.mend(number, b"good")
    assert not await quarantine.mend(999, b"good")
    assert quarantine.original(number) is None


async def test_original_is_swept_with_its_row(quarantine: Quarantine, clock: Clock) -> None:
    number, _ = await quarantine.add(delivery(), b"bad", "", item=False)
    await quarantine.mend(number, b"good")
    await quarantine.discard([number])
    clock.now += 100

    await quarantine.sweep(50)

    assert quarantine.original(number) is None


async def test_rows_are_found_by_what_is_in_them(quarantine: Quarantine) -> None:
    for body in (b'{"id": "o-17"}', b"\xff o-17 \x00", b'{"id": "o-1"}'):
        await quarantine.add(delivery(), body, "", item=False)

    assert [row.id for row, _ in quarantine.mentions("o-17")] == [2, 1]
    assert quarantine.mentions("o-18") == []
