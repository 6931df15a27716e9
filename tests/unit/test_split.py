"""Cutting text: nothing lost, nothing too long, no character of a reader broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import split_graphemes

from normalizer.split import apart, split, utf16_length

CLUSTERS = ("a", " ", "\n", "é", "e\u0301", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "한", "\u1112\u1161\u11ab", "नि", "क्ष", "กำ", "❤️",
            "🏴\U000e0067\U000e0062\U000e007f", "1️⃣", "가\u11a8")  # fmt: skip
TEXTS = st.lists(st.sampled_from(CLUSTERS) | st.characters(codec="utf-8"), max_size=60).map("".join)
WORDS = st.lists(st.sampled_from([cluster for cluster in CLUSTERS if cluster != "\n"]), max_size=60).map("".join)


@given(TEXTS, st.integers(2, 40))
def test_the_pieces_are_the_text_and_none_is_too_long(text: str, limit: int) -> None:
    for length in (len, utf16_length):
        pieces = list(split(text, limit, length))

        assert "".join(pieces) == text
        assert all(0 < length(piece) <= limit for piece in pieces)


@given(WORDS)
def test_two_characters_are_never_seen_where_another_implementation_sees_one(text: str) -> None:
    spans, _ = split_graphemes(text)
    ends = {start for start, *_ in spans}

    for place in range(1, len(text)):
        assert place in ends or not apart(text, place)


@given(WORDS)
def test_no_piece_begins_or_ends_inside_a_character_as_long_as_characters_fit(text: str) -> None:
    pieces, at = list(split(text, 64, utf16_length)), 0
    for piece in pieces[:-1]:
        at += len(piece)
        assert apart(text, at)


@pytest.mark.parametrize("cluster", [cluster for cluster in CLUSTERS if len(cluster) > 1])
def test_a_cluster_stays_whole_at_every_offset(cluster: str) -> None:
    for offset in range(20):
        pieces = list(split("x" * offset + cluster * 3, 20, utf16_length))

        assert all(cluster in piece or set(piece) <= {"x"} for piece in pieces)


def test_a_line_is_kept_together_before_a_word_and_a_word_before_letters() -> None:
    assert list(split("first line\nsecond one", 15)) == ["first line\n", "second one"]
    assert list(split("one two three four", 10)) == ["one two ", "three four"]
    assert list(split("x" * 25, 10)) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_text_that_fits_is_one_piece_and_no_text_is_none() -> None:
    assert list(split("hello", 5)) == ["hello"]
    assert list(split("", 5)) == []
    assert list(split("😀😀", 4, utf16_length)) == ["😀😀"]
