"""Numbers as people say them, found among recognised words: English and German, and figures in any language.

Simple rather than clever: a run of digits said one by one is one number (``four two seven`` → 427), a cardinal is one
(``twenty one`` → 21, ``zweihundertdrei`` → 203), and a digit that stands alone stays a word (``one moment``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from msgspec import Struct

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
_TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = (("million", 1_000_000), ("thousand", 1_000), ("hundred", 100))
_TIMES = {"double": 2, "triple": 3}
_DE_UNITS = {
    "null": 0, "eins": 1, "zwei": 2, "zwo": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8,
    "neun": 9,
}  # fmt: skip
_DE_TEENS = {
    "zehn": 10, "elf": 11, "zwölf": 12, "dreizehn": 13, "vierzehn": 14, "fünfzehn": 15, "sechzehn": 16, "siebzehn": 17,
    "achtzehn": 18, "neunzehn": 19,
}  # fmt: skip
_DE_TENS = {
    "zwanzig": 20, "dreißig": 30, "dreissig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70,
    "achtzig": 80, "neunzig": 90,
}  # fmt: skip
_DE_PARTS = {"ein": 1, "hundert": 100}
_DE_SCALES = (("tausend", 1_000), ("hundert", 100))


class Run(Struct, frozen=True):
    """Number words that follow each other: words `start` to `end` (not included), as one string per number.

    `spelled` tells that they are digits said one by one.
    """

    start: int
    end: int
    numbers: tuple[str, ...]
    spelled: bool

    @property
    def digits(self) -> str:
        """All of it as figures."""
        return "".join(self.numbers)

    @property
    def text(self) -> str:
        """As it is written; digits said one by one are one number."""
        return ("" if self.spelled else " ").join(self.numbers)


def runs(words: Sequence[str], language: str) -> list[Run]:
    """Find the runs of numbers in words; `language` is a tag such as ``en`` or ``de-AT``."""
    number = {"en": _english, "de": _german}.get(language.partition("-")[0].lower(), _figures)
    found: list[Run] = []
    at = 0
    while at < len(words):
        start, numbers, spelled = at, [], True
        while at < len(words) and (hit := number(words, at)) is not None:
            spelled &= len(hit[0]) == 1 or words[at] in _TIMES
            numbers.append(hit[0])
            at = hit[1]
        if numbers:
            found.append(Run(start, at, tuple(numbers), spelled))
        else:
            at += 1
    return found


def _figures(words: Sequence[str], at: int) -> tuple[str, int] | None:
    word = words[at]
    return (word, at + 1) if word.isascii() and word.isdigit() else None


def _english(words: Sequence[str], at: int) -> tuple[str, int] | None:
    word = words[at]
    if word in _TIMES and at + 1 < len(words) and words[at + 1] in _UNITS:
        return str(_UNITS[words[at + 1]]) * _TIMES[word], at + 2
    if word == "oh":  # a digit only beside others
        beside = [words[near] for near in (at - 1, at + 1) if 0 <= near < len(words)]
        return ("0", at + 1) if any(near in _UNITS or near == "oh" for near in beside) else None
    if word == "zero":
        return "0", at + 1
    if (figures := _figures(words, at)) is not None:
        return figures
    value, end = _scaled(words, at, 0)
    return (str(value), end) if end > at else None


def _scaled(words: Sequence[str], at: int, level: int) -> tuple[int, int]:
    """Read a cardinal that begins at a word; returns its value and where it ends, which is `at` if there is none."""
    if level == len(_SCALES):
        return _below_hundred(words, at)
    name, size = _SCALES[level]
    head, end = _scaled(words, at, level + 1)
    if end == at or not head or end >= len(words) or words[end] != name:
        return head, end
    value, end = head * size, end + 1
    rest = end + 1 if end < len(words) and words[end] == "and" else end
    tail, after = _scaled(words, rest, level + 1)
    return (value + tail, after) if after > rest and tail else (value, end)


def _below_hundred(words: Sequence[str], at: int) -> tuple[int, int]:
    word = words[at] if at < len(words) else ""
    if word in _TENS:
        unit = _UNITS.get(words[at + 1], 0) if at + 1 < len(words) else 0
        return _TENS[word] + unit, at + (2 if unit else 1)
    for table in (_TEENS, _UNITS):
        if word in table:
            return table[word], at + 1
    return 0, at


def _german(words: Sequence[str], at: int) -> tuple[str, int] | None:
    value = _german_value(words[at])
    return _figures(words, at) if value is None else (str(value), at + 1)


def _german_value(word: str) -> int | None:
    """Read a German number, which is one word up to 999 999."""
    for table in (_DE_UNITS, _DE_TEENS, _DE_TENS):
        if word in table:
            return table[word]
    for name, size in _DE_SCALES:
        head, found, tail = word.partition(name)
        if found and (head or tail):
            factor = _german_part(head) if head else 1
            rest = _german_part(tail.removeprefix("und")) if tail else 0
            return None if factor is None or rest is None else factor * size + rest
    for tens, value in _DE_TENS.items():
        unit = word.removesuffix(tens).removesuffix("und")
        if word.endswith("und" + tens):
            ones = _german_part(unit) if unit == "ein" or unit in _DE_UNITS else None
            return value + ones if ones else None
    return None


def _german_part(word: str) -> int | None:
    """Read a part of a number, where one is ``ein`` and a hundred may stand alone."""
    return _DE_PARTS[word] if word in _DE_PARTS else _german_value(word)


def render(words: Sequence[str], replaced: Sequence[tuple[Run, str]]) -> str:
    """Put words together again with some runs replaced."""
    pieces, at = [], 0
    for run, text in replaced:
        pieces += [*words[at : run.start], text]
        at = run.end
    return " ".join(chain(pieces, words[at:]))
