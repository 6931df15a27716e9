"""When a batch is enough."""

from __future__ import annotations

from gateway.gathering import GATHER_FROM, GATHER_SECS, MOST, Gathering

NOW = 1000.0
LATE = NOW + GATHER_SECS


def expecting(live: int) -> Gathering:
    gathering = Gathering()
    gathering.expect(live)
    gathering.begin(NOW)
    return gathering


def test_where_few_are_under_way_nobody_waits() -> None:
    assert Gathering().enough(1, 1, NOW)
    assert expecting(GATHER_FROM - 1).enough(1, 1, NOW)


def test_where_many_were_under_way_the_first_waits_for_as_many_but_not_for_long() -> None:
    gathering = expecting(40)
    assert not gathering.enough(1, 1, NOW)
    assert not gathering.enough(39, 39, LATE - 0.001)
    assert gathering.enough(40, 40, NOW)
    assert gathering.until == LATE
    assert gathering.enough(1, 1, LATE)


def test_who_did_not_come_in_time_is_not_expected_the_next_time() -> None:
    gathering = expecting(40)
    assert gathering.enough(20, 30, LATE)
    gathering.begin(LATE)
    assert not gathering.enough(29, 30, LATE)
    assert gathering.enough(30, 30, LATE)

    assert gathering.enough(1, 1, LATE + GATHER_SECS)
    assert gathering.enough(1, 1, NOW)


def test_no_more_are_waited_for_than_fit_in_a_round_trip() -> None:
    assert expecting(10 * MOST).enough(MOST, 10 * MOST, NOW)


def test_what_has_waited_before_does_not_wait_again() -> None:
    gathering = expecting(40)
    gathering.begin(0.0)
    assert gathering.enough(1, 1, NOW)
