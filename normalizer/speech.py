"""What is done to recognised text before anybody reads it: numerals, and the masking of card numbers.

One function for every place where speech becomes text (partials, finals, voice notes, recordings): `tidy`, and `whole`
for what is there in full. A segment that was changed has no `words` any more: they would show what was masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from normalizer.parts import Segment
from normalizer.spoken import Run, render, runs

CARD_MIN, CARD_MAX = 13, 19
"""Digits of a card number (ISO/IEC 7812-1)."""
SHORT = 4
"""A run of so many digits may be the beginning of a card number."""
BREATH_MS = 15_000
"""Between two parts of a number said in several breaths, at most."""
_Place = tuple[int, int]  # segment, run


class Style(Struct, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        numerals: numbers that were said are written in figures, except a digit that stands alone.
        mask: what becomes asterisks: nothing; ``cards``, runs of 13 to 19 digits that pass the check of card numbers
            (Luhn) and begin like one; ``digits``, every run of four digits or more.
    """

    numerals: bool = False
    mask: Literal["none", "cards", "digits"] = "none"


def tidy(segment: Segment, language: str, style: Style) -> Segment:
    """Rewrite one segment.

    In a partial every run of four digits is masked if anything is: it may grow into a card number. A card number that
    is said in several breaths is in several segments, none of which shows it; `whole` finds it, and ``digits`` masks
    it at once.
    """
    return _rewrite(segment, language, style, frozenset())


def whole(segments: Sequence[Segment], language: str, style: Style) -> tuple[Segment, ...]:
    """Rewrite all segments of a recording or a call, in the order of time; finds card numbers across them."""
    cards = _across(segments, language) if style.mask == "cards" else set()
    return tuple(
        _rewrite(segment, language, style, frozenset(run for at, run in cards if at == index))
        for index, segment in enumerate(segments)
    )


def text_of(segments: Sequence[Segment]) -> str:
    """Join what was said."""
    return " ".join(segment.text for segment in segments if segment.text)


def is_card(digits: str) -> bool:
    """Tell whether a card number is in a string of digits."""
    return any(
        _luhn(digits[start : start + length])
        for start in range(len(digits) - CARD_MIN + 1)
        if digits[start] in "23456"  # of banks and merchants (ISO/IEC 7812-1, major industry identifier)
        for length in range(CARD_MIN, min(CARD_MAX, len(digits) - start) + 1)
    )


def _luhn(digits: str) -> bool:
    """Check a number by ISO/IEC 7812-1 annex B."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _rewrite(segment: Segment, language: str, style: Style, cards: frozenset[int]) -> Segment:
    if not style.numerals and style.mask == "none":
        return segment
    words = segment.text.split()
    replaced = []
    for index, run in enumerate(runs(words, language)):
        if index in cards or _secret(run, style, stable=segment.stable):
            replaced.append((run, "*" * len(run.digits)))
        elif style.numerals and (run.end - run.start > 1 or len(run.digits) > 1):
            replaced.append((run, run.text))
    text = render(words, replaced)
    return segment if text == segment.text else replace(segment, text=text, words=())


def _secret(run: Run, style: Style, *, stable: bool) -> bool:
    if style.mask == "none":
        return False
    if style.mask == "digits" or not stable:
        return len(run.digits) >= SHORT
    return is_card(run.digits)


def _across(segments: Sequence[Segment], language: str) -> set[_Place]:
    """Find runs that are parts of a card number of which other parts are in the segments of the same voice around."""
    found: set[_Place] = set()
    for voice in {(segment.speaker, segment.channel) for segment in segments}:
        chain: list[tuple[_Place, str]] = []
        ended = 0
        for index, segment in enumerate(segments):
            if (segment.speaker, segment.channel) != voice:
                continue
            words = segment.text.split()
            here = runs(words, language)
            if not here or here[0].start or segment.start_ms - ended > BREATH_MS:
                chain = []
            for number, run in enumerate(here):
                if run.start and number:
                    chain = []
                chain.append(((index, number), run.digits))
                if is_card("".join(digits for _, digits in chain)):
                    found.update(place for place, _ in chain)
            if here and here[-1].end < len(words):
                chain = []
            ended = segment.end_ms
    return found
