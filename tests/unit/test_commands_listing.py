"""Numbers, times and text of lists."""

from __future__ import annotations

from datetime import datetime

import pytest

from gateway.commands.listing import age, moment, plural, printable, size


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_age_has_one_unit(seconds: float, expected: str) -> None:
    assert age(1000.0, clock=lambda: 1000.0 + seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_500_000, "1.43 MiB"), (2**33, "8 GiB")]
)
def test_size_has_one_unit(count: int, expected: str) -> None:
    assert size(count) == expected


def test_moment_is_unambiguous() -> None:
    assert datetime.fromisoformat(moment(1_795_176_000.5)).timestamp() == 1_795_176_000.5


def test_words_are_counted() -> None:
    assert [plural(count, "row") for count in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_text_from_outside_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31m\x07b\n") == "a�[31m�b\n"
