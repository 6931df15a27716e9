"""One voice as the parent sees it: what is sent, what is missed, what is heard last."""

from __future__ import annotations

import asyncio

import pytest

from asr import wire
from asr.errors import Died, Unavailable
from asr.session import Limits, Session
from normalizer.parts import Segment, Word

SECOND = bytes(16_000)  # at 8 kHz


class Wire:
    """Remembers what a worker would get."""

    def __init__(self) -> None:
        self.orders: list[wire.Message] = []
        self.bytes = 0

    def order(self, message: wire.Message) -> None:
        self.orders.append(message)

    def sound(self, session: int, pcm: bytes) -> None:
        assert session == 7
        assert len(pcm) <= wire.PIECE_BYTES
        self.bytes += len(pcm)


class Bench:
    """A session and its ends."""

    def __init__(self, *, live: bool = True, **limits: float) -> None:
        self.wire, self.missed, self.ends = Wire(), 0, 0
        order = wire.Open(7, "/model", 8000, (), live)
        self.session = Session(self.wire, order, Limits(**limits), on_missed=self._miss, on_end=self._end)

    def _miss(self, milliseconds: int) -> None:
        self.missed += milliseconds

    def _end(self) -> None:
        self.ends += 1

    async def heard(self) -> list[Segment]:
        async with asyncio.timeout(10):
            return [segment async for segment in self.session]


def final(text: str = "hello", start_ms: int = 0, end_ms: int = 500) -> Segment:
    return Segment(start_ms=start_ms, end_ms=end_ms, text=text, confidence=1.0)


def partial(text: str) -> Segment:
    return Segment(start_ms=0, end_ms=500, text=text, stable=False)


async def test_sound_goes_on_in_pieces_until_the_recogniser_is_too_far_behind() -> None:
    bench = Bench(buffer_secs=2, missed_secs=9)

    for _ in range(5):
        bench.session.feed(SECOND)

    assert bench.wire.bytes == 2 * len(SECOND)
    assert bench.session.missed_ms == bench.missed == 3000
    bench.session.progress(len(SECOND))
    bench.session.feed(SECOND)
    assert bench.wire.bytes == 3 * len(SECOND)


async def test_a_recogniser_that_missed_too_much_is_given_up() -> None:
    bench = Bench(buffer_secs=1, missed_secs=2)
    for _ in range(3):
        bench.session.feed(SECOND)

    with pytest.raises(Unavailable, match="2000 ms"):
        await bench.heard()
    bench.session.feed(SECOND)
    assert (bench.wire.orders[-1], bench.ends, bench.wire.bytes) == (wire.Close(7), 1, len(SECOND))


async def test_times_count_what_was_missed() -> None:
    bench = Bench(buffer_secs=1, missed_secs=60)
    bench.session.feed(SECOND)
    bench.session.feed(SECOND + SECOND)  # missed
    bench.session.progress(len(SECOND))
    bench.session.feed(SECOND)
    words = (Word(text="hello", start_ms=1200, end_ms=1300),)

    bench.session.hear(final(start_ms=100, end_ms=900))
    bench.session.hear(Segment(start_ms=1200, end_ms=1300, text="hello", words=words))
    bench.session.end()
    before, after = await bench.heard()

    assert (before.start_ms, before.end_ms) == (100, 900)
    assert (after.start_ms, after.end_ms, after.words[0].start_ms) == (3200, 3300, 3200)


async def test_half_a_sample_is_not_sent() -> None:
    bench = Bench()
    bench.session.feed(b"abc")
    bench.session.feed(b"")
    assert bench.wire.bytes == 2


async def test_a_partial_that_nobody_took_makes_room_for_the_next() -> None:
    bench = Bench()
    for text in ("my", "my order", "my order is"):
        bench.session.hear(partial(text))
    bench.session.hear(final("my order is late"))
    bench.session.hear(partial("so"))
    bench.session.hear(final("so what"))
    bench.session.end()

    assert [segment.text for segment in await bench.heard()] == ["my order is late", "so what"]


@pytest.mark.parametrize("error", [None, Died("killed")])
async def test_what_a_partial_has_shown_becomes_a_final_when_the_recogniser_goes(error: Died | None) -> None:
    bench = Bench()
    bench.session.hear(partial("my order"))
    shown = await anext(aiter(bench.session))
    bench.session.end(error)

    found = []
    try:
        async for segment in bench.session:
            found += [segment]
    except Died:
        assert error is not None

    assert (shown.stable, [(one.text, one.stable) for one in found]) == (False, [("my order", True)])


async def test_a_last_word_that_does_not_come_is_not_waited_for() -> None:
    bench = Bench(final_secs=0.05)
    bench.session.feed(SECOND)
    bench.session.hear(partial("my order"))
    bench.session.finish()
    bench.session.finish()

    assert [(one.text, one.stable) for one in await bench.heard()] == [("my order", False), ("my order", True)]
    assert bench.wire.orders[1:] == [wire.Finish(7), wire.Close(7)]
    bench.session.hear(final("too late"))
    assert bench.ends == 1


async def test_what_can_wait_is_sent_as_fast_as_it_is_recognised() -> None:
    bench = Bench(live=False, buffer_secs=2)
    giving = asyncio.get_running_loop().create_task(bench.session.give(SECOND * 10))
    await asyncio.sleep(0.05)
    sent = bench.wire.bytes
    assert 2 * len(SECOND) < sent < 5 * len(SECOND)

    while not giving.done():
        bench.session.progress(wire.PIECE_BYTES)
        await asyncio.sleep(0)

    assert bench.wire.bytes == 10 * len(SECOND)
    assert bench.missed == 0


async def test_giving_ends_when_the_recogniser_died() -> None:
    bench = Bench(live=False, buffer_secs=1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(bench.session.give(SECOND * 10))
        await asyncio.sleep(0)
        bench.session.end(Died("killed"))
    with pytest.raises(Died):
        await bench.heard()


async def test_closing_forgets() -> None:
    bench = Bench()
    bench.session.hear(final())
    bench.session.close()
    bench.session.close()
    assert await bench.heard() == []
    assert (bench.wire.orders[-1], bench.ends) == (wire.Close(7), 1)
