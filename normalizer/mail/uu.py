"""Files that were uuencoded into the text, as old mail programs and many cron jobs do."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

_BEGIN = re.compile(r"^begin [0-7]{3,4} ([^\n]{1,255})$", re.MULTILINE)


class Encoded(NamedTuple):
    """A file found in a text."""

    name: str
    data: bytes


def extract(text: str) -> tuple[str, list[Encoded]]:
    """Take complete files out of `text`; what only begins like one stays."""
    files: list[Encoded] = []
    kept: list[str] = []
    position = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < position:
            continue
        data, end = _decode(text, begin.end() + 1)
        if data is None:
            continue
        files.append(Encoded(begin[1].strip(), data))
        kept.append(text[position : begin.start()])
        position = end
    return ("".join([*kept, text[position:]]) if files else text), files


def _decode(text: str, start: int) -> tuple[bytes | None, int]:
    """Decode lines up to ``end``; None where a line is no data, as the line of the next ``begin`` is none."""
    out: list[bytes] = []
    position = start
    while position < len(text):
        newline = text.find("\n", position)
        stop = len(text) if newline < 0 else newline
        line = text[position:stop]
        position = stop + 1
        if line.rstrip() == "end":
            return b"".join(out), min(position, len(text))
        try:
            out.append(line_data(line.encode("ascii")))
        except (binascii.Error, UnicodeEncodeError):
            break
    return None, start


def line_data(line: bytes) -> bytes:
    """Decode a line; raises `binascii.Error`. Junk behind the data is allowed, as Python's former `uu` module did."""
    if not line.strip():
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        count = (((line[0] - 32) & 63) * 4 + 5) // 3
        if len(line) > count + 2:
            raise
        return binascii.a2b_uu(line[:count])
