"""Cutting long text into messages without breaking what a reader sees as one character.

The rules are those of Unicode's extended grapheme clusters (UAX #29, section 3.1.1), taken a little wider where the
standard library lacks a property: there may be a place to cut that is not used, never one used that is none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

BACK = 0.5
"""A word may be pulled to the next piece if at least this share of the limit stays."""

_ZWJ = "\u200d"
_NOT_APART_CATEGORIES = frozenset({"Mn", "Me", "Mc", "Cf"})
_PREPENDED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd")
_SPACING_LETTERS = frozenset("\u0e33\u0eb3\uff9e\uff9f")  # Thai and Lao AM, half-width voiced marks


def utf16_length(text: str) -> int:
    """Count UTF-16 code units, as Telegram, Discord, JavaScript and Java do."""
    return len(text) + sum(char > "\uffff" for char in text)


def split(text: str, limit: int, length: Callable[[str], int] = len) -> Iterator[str]:
    """Cut `text` into pieces of at most `limit`; joined they are `text` again.

    Cuts after a line break if there is one in the second half of the piece, else after white space, else between
    two characters as a reader sees them; inside one only if it is longer than `limit` by itself.

    Args:
        text: any text.
        limit: the longest piece, at least 2 (a character outside the BMP has two UTF-16 units).
        length: what `limit` counts.
    """
    start = 0
    while len(text) - start > limit or length(text[start:]) > limit:
        window = text[start : start + limit + 1]
        end = _cut(window, _longest(window, limit, length))
        yield window[:end]
        start += end
    if start < len(text):
        yield text[start:]


def _longest(window: str, limit: int, length: Callable[[str], int]) -> int:
    end = min(limit, len(window) - 1)  # one character stays, to see what a cut would part
    while (excess := length(window[:end]) - limit) > 0:
        end -= max(1, excess // 4)
    return end


def _cut(text: str, end: int) -> int:
    least = max(1, int(end * BACK))
    for fits in (_after_line, _after_space, apart):
        for place in range(end, least - 1, -1):
            if fits(text, place) and apart(text, place):
                return place
    return next((place for place in range(least, 0, -1) if apart(text, place)), end)


def _after_line(text: str, place: int) -> bool:
    return text[place - 1] == "\n"


def _after_space(text: str, place: int) -> bool:
    return text[place - 1].isspace()


def apart(text: str, place: int) -> bool:
    """Tell whether the characters before and after `place` are surely two for a reader."""
    before, after = text[place - 1], text[place]
    if before < "\u0300" and after < "\u0300":
        return not (before == "\r" and after == "\n")
    if before == _ZWJ or after in _SPACING_LETTERS or _modifier(after) or _joins(before):
        return False
    if unicodedata.category(after) in _NOT_APART_CATEGORIES:
        return False
    if _regional(before) and _regional(after):
        return _run_of_regionals(text, place) % 2 == 0
    return not (_hangul(before) and _hangul(after)) or (_syllable(before) and _syllable(after))


def _modifier(char: str) -> bool:
    return "\U0001f3fb" <= char <= "\U0001f3ff"


def _joins(char: str) -> bool:
    # viramas join consonants (rule 9c); number signs and the like are prepended to what follows (rule 9b)
    return unicodedata.combining(char) == 9 or char in _PREPENDED


def _regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _run_of_regionals(text: str, place: int) -> int:
    start = place
    while start and _regional(text[start - 1]):
        start -= 1
    return place - start


def _hangul(char: str) -> bool:
    return "\u1100" <= char <= "\u11ff" or "\ua960" <= char <= "\ua97f" or "\uac00" <= char <= "\ud7ff"


def _syllable(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3"
