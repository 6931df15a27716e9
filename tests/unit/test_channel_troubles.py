"""What the parts of a channel say about themselves becomes one state, told on edges."""

from __future__ import annotations

from typing import Any, cast

from gateway.running import Running, Trouble

EMPTY = cast("Any", None)
DOWN, DYING = Trouble("no answer"), Trouble("the token ends soon", down=False)


def running() -> Running:
    """A channel that has just started to receive."""
    it = Running(channel=EMPTY, connector=EMPTY, intake=EMPTY, service="s", sender=None)
    assert not it.note("receive", None)
    return it


def test_a_channel_that_starts_well_or_paused_is_no_news() -> None:
    assert running().state == "ok"
    paused = Running(channel=EMPTY, connector=EMPTY, intake=EMPTY, service="s", sender=None)
    assert not paused.note("receive", Trouble("paused"))
    assert (paused.state, paused.error) == ("down", "paused")


def test_the_worst_part_makes_the_state_and_every_edge_is_told_once() -> None:
    it = running()
    steps = [
        ("oauth", DYING, True, "degraded"),
        ("oauth", Trouble("still", down=False), False, "degraded"),
        ("imap", DOWN, True, "down"),
        ("imap", Trouble("another reason"), False, "down"),
        ("imap", None, True, "degraded"),
        ("imap", None, False, "degraded"),
        ("oauth", DOWN, True, "down"),
        ("oauth", None, True, "ok"),
    ]
    for component, trouble, edge, state in steps:
        assert (it.note(component, trouble), it.state) == (edge, state), (component, trouble)
    assert it.error is None


def test_all_reasons_are_named() -> None:
    it = running()
    it.note("oauth", DYING)
    it.note("imap", DOWN)
    assert it.error == "the token ends soon; no answer"
