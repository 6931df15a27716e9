"""Part an answer from what it quotes, and from the signature.

Cautious on purpose: text is only cut where a well-known mark stands and nothing but a quotation follows it. An answer
written between the quoted lines is left as it is, and whoever reads the message has the full text beside it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from normalizer.mail.quote_words import COLON, DIVIDER, FROM, OPENERS, OTHER, SENT_FROM, WROTE


class Split(NamedTuple):
    """The author's own words, and the quotation (with its introduction) that was cut off."""

    own: str
    quoted: str | None


_INTRODUCTION = re.compile(
    rf"^\W*(?:{OPENERS})\b.{{4,300}}?(?:{WROTE}).{{0,60}}{COLON}?\s*$", re.IGNORECASE | re.DOTALL
)
_WROTE_LATE = re.compile(rf"@\S{{1,100}}\s*(?:{WROTE})\b.{{0,80}}{COLON}\s*$", re.IGNORECASE)
_WHEN = re.compile(r"\d{1,2}[:.]\d\d|\d{4}")
_LABEL = re.compile(rf"^[\s*_]*([^\W\d][^:*\n]{{0,20}}?)[\s*_]*{COLON}")
_RULE = re.compile(r"^\s*(?:_{3,}|-{3,})\s*$")
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SENT_FROM_MAX, _SENT_FROM_WORDS = 80, 10
_LINE_MAX = 400
_WINDOW = 4


def split(text: str) -> Split:
    """Split `text`; `own` is the whole of it where nothing was recognised or nothing would remain."""
    lines = text.split("\n")
    start = _divider(lines)
    if start is None:
        start = _trailing_quote(lines)
    own, quoted = (lines, []) if start is None else (lines[:start], lines[start:])
    if start is None and (end := _leading_quote(lines)):
        own, quoted = lines[end:], lines[:end]
    if start is not None:
        own = _unruled(own)
    own = _untelephoned(_unsigned(own))
    stripped = "\n".join(own).strip()
    if not stripped:
        return Split(text.strip(), None)
    return Split(stripped, "\n".join(quoted).strip() or None)


def _divider(lines: list[str]) -> int | None:
    """Find the line where a client puts the whole earlier mail below the answer."""
    for number, line in enumerate(lines):
        if len(line) > _LINE_MAX or not line.strip():
            continue
        if DIVIDER.match(line):
            return number
        if _is_header_block(lines, number):
            before = _last_filled(lines, number)
            return before if before is not None and _RULE.match(lines[before]) else _introduction(lines, number)
    return None


def _is_header_block(lines: list[str], number: int) -> bool:
    """``From: … Sent: … To: … Subject: …`` as Outlook writes it, in any of the languages known here."""
    first = _label(lines[number])
    if first not in FROM and first not in OTHER:
        return False
    following = [_label(line) for line in lines[number + 1 : number + 8] if line.strip()][:4]
    others = sum(label in OTHER for label in following)
    return others >= 2 and (first in FROM or any(label in FROM for label in following))


def _label(line: str) -> str:
    match = _LABEL.match(line[:_LINE_MAX])
    return match[1].strip().lower() if match else ""


def _last_filled(lines: list[str], number: int) -> int | None:
    return next((at for at in range(number - 1, max(-1, number - 4), -1) if lines[at].strip()), None)


def _trailing_quote(lines: list[str]) -> int | None:
    """Find where the last quotation begins, if nothing of the author's follows it but a signature."""
    end = len(_unsigned(lines))
    if not any(line.startswith(">") for line in lines[:end]):
        return _bare_introduction(lines, end)
    last = end
    while last > 0 and not lines[last - 1].strip():
        last -= 1
    start = last
    while start > 0 and (lines[start - 1].startswith(">") or not lines[start - 1].strip()):
        start -= 1
    if start == last or not any(line.startswith(">") for line in lines[start:last]):
        return None
    return _introduction(lines, start)


def _leading_quote(lines: list[str]) -> int:
    """Find the end of a quotation that stands, introduced, before an answer without any other quotation; else 0."""
    first = next((number for number, line in enumerate(lines) if line.startswith(">")), None)
    if first is None or not any(_introduces(" ".join(lines[start:first]).strip()) for start in range(first)):
        return 0
    if any(line.strip() for line in lines[: _introduction(lines, first)]):
        return 0
    end = first
    while end < len(lines) and (lines[end].startswith(">") or not lines[end].strip()):
        end += 1
    return 0 if any(line.startswith(">") for line in lines[end:]) else end


def _introduction(lines: list[str], start: int) -> int:
    """Include ``On … wrote:`` before line `start`, which may be broken over a few lines."""
    last = start
    while last > 0 and not lines[last - 1].strip():
        last -= 1
    marked = any(line.startswith(">") for line in lines[start : start + 2])
    for count in range(1, min(_WINDOW, last) + 1):
        block = " ".join(lines[last - count : last])
        if _introduces(block) or (marked and _names_somebody(block)):
            above = lines[last - count - 1] if last > count else ""
            wrapped = not _WHEN.search(block) and bool(_WHEN.search(above[:_LINE_MAX]))
            return last - count - wrapped
    while start < len(lines) and not lines[start].strip():
        start += 1
    return start


def _introduces(text: str) -> bool:
    return len(text) <= _LINE_MAX and bool(_INTRODUCTION.match(text) or _WROTE_LATE.search(text))


def _names_somebody(text: str) -> bool:
    """A date, an address and a colon before a marked quotation introduce it in any language."""
    if len(text) > _LINE_MAX or "@" not in text or not _WHEN.search(text):
        return False
    return bool(re.search(rf"{COLON}$", _BIDI.sub("", text).rstrip()))


def _bare_introduction(lines: list[str], end: int) -> int | None:
    """Find ``On … wrote:`` followed by an unmarked quotation: some clients indent, which text does not show.

    A date and an address must stand in it: "On Monday your colleague wrote:" is the customer's own sentence.
    """
    for number in range(end):
        if not re.search(rf"{COLON}\s*$", lines[number][-_LINE_MAX:]):
            continue
        for count in range(min(_WINDOW, number + 1)):
            block = " ".join(lines[number - count : number + 1])
            if not lines[number - count].strip() or len(block) > _LINE_MAX:
                break
            if "@" in block and _WHEN.search(block) and _introduces(block):
                return number - count
    return None


def _unsigned(lines: list[str]) -> list[str]:
    """Drop what follows the last ``-- `` line, unless quoted text follows it or too much for a signature."""
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].rstrip("\r") in {"-- ", "--"}:
            tail = lines[number + 1 :]
            if len(tail) <= 25 and not any(line.startswith(">") for line in tail):
                return lines[:number]
            return lines
    return lines


def _unruled(lines: list[str]) -> list[str]:
    """Drop the rule above a quotation that was cut off."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or _RULE.match(lines[end - 1])):
        end -= 1
    return lines[:end]


def _untelephoned(lines: list[str]) -> list[str]:
    """Drop ``Sent from my …`` where it is the last line, short, and no sentence."""
    last = len(lines) - 1
    while last >= 0 and not lines[last].strip():
        last -= 1
    line = lines[last].strip() if last > 0 else ""
    short = line and len(line) <= _SENT_FROM_MAX and len(line.split()) <= _SENT_FROM_WORDS
    if short and line[-1] not in "?!" and SENT_FROM.match(line):
        return lines[:last]
    return lines
