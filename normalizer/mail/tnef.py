"""winmail.dat: what Outlook wraps attachments in (MS-OXTNEF,
https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxtnef/).

An own reader, because `tnefparse` copies the rest of the stream for each attribute (quadratic), raises on file names
that are not UTF-8, and believes counts of four billion recipients. Here every value is a slice of the stream, and what
does not fit ends the reading: what was found until then counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from normalizer.mail import charsets

FILES_MAX = 200
ATTRIBUTES_MAX = 10_000
PROPERTIES_MAX = 2_000
DEPTH_MAX = 3

_SIGNATURE = b"\x78\x9f\x3e\x22"
_MESSAGE = 1
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_STRINGS, _VARIABLE = {0x1E, 0x1F}, {0x0D, 0x1E, 0x1F, 0x102}
_IMESSAGE = bytes.fromhex("0703020000000000c000000000000046")

_BODY, _TITLE, _DATA, _RENDERING, _MESSAGE_PROPS, _FILE_PROPS, _CODEPAGE, _TRANSPORT_NAME = (
    *(0x800C, 0x8010, 0x800F, 0x9002),
    *(0x9003, 0x9005, 0x9007, 0x9001),
)
_PR_BODY, _PR_HTML, _PR_RTF, _PR_CODEPAGE = 0x1000, 0x1013, 0x1009, 0x3FDE
_PR_DATA, _PR_NAME, _PR_LONG_NAME, _PR_DISPLAY_NAME, _PR_MIME, _PR_CID = 0x3701, 0x3704, 0x3707, 0x3001, 0x370E, 0x3712


class File(NamedTuple):
    """An attachment; `name`, `mime` and `content_id` are empty where the stream does not tell."""

    name: str
    mime: str
    content_id: str
    data: memoryview


class Tnef(NamedTuple):
    """What a stream holds.

    Attributes:
        files: in order, those of embedded messages too.
        text: the plain body, maybe empty.
        html: the HTML body, maybe empty.
        rtf: the body in RTF, compressed (`normalizer.mail.rtf`), maybe empty.
        whole: false where the stream ends too early, is damaged, or holds an embedded message.
    """

    files: list[File]
    text: str
    html: str
    rtf: memoryview
    whole: bool


class _Damaged(Exception):
    """What follows cannot be read."""


class _Reader:
    def __init__(self, data: memoryview, depth: int) -> None:
        self.data, self.depth = data, depth
        self.codepage = "cp1252"
        self.files: list[File] = []
        self.found: dict[int, str | memoryview] = {}
        self.text = self.html = ""
        self.rtf, self.whole = memoryview(b""), True

    def read(self) -> Tnef:
        try:
            for level, number, value in _attributes(self.data):
                if level == _MESSAGE:
                    self._message(number, value)
                else:
                    self._attachment(number, value)
        except _Damaged:
            self.whole = False
        self._finish()
        return Tnef(self.files, self.text, self.html, self.rtf, self.whole)

    def _message(self, number: int, value: memoryview) -> None:
        if number == _CODEPAGE and len(value) >= 4:
            self.codepage = _codepage(struct.unpack_from("<I", value)[0])
        elif number == _BODY:
            self.text = self.text or _text(value, self.codepage)
        elif number == _MESSAGE_PROPS:
            found, damaged = _properties(value, self.codepage)
            self.text = _string(found.get(_PR_BODY), self.codepage) or self.text
            charset = found.get(_PR_CODEPAGE)
            label = _codepage(charset) if isinstance(charset, int) else self.codepage
            self.html = _string(found.get(_PR_HTML), label) or self.html
            rtf = found.get(_PR_RTF)
            self.rtf = rtf if isinstance(rtf, memoryview) else self.rtf
            self.whole = self.whole and not damaged

    def _attachment(self, number: int, value: memoryview) -> None:
        if number == _RENDERING:
            self._finish()
            self.found = {_RENDERING: value}
        elif number == _FILE_PROPS:
            found, damaged = _properties(value, self.codepage)
            self.found |= {key: one for key, one in found.items() if not isinstance(one, int)}
            self.whole = self.whole and not damaged
        elif number in {_TITLE, _DATA, _TRANSPORT_NAME}:
            self.found[number] = value

    def _finish(self) -> None:
        """Take the attachment that was read last."""
        found, self.found = self.found, {}
        data = found.get(_DATA, found.get(_PR_DATA))
        if len(self.files) >= FILES_MAX:
            self.whole = self.whole and not found
        elif isinstance(data, memoryview):
            if bytes(data[:16]) == _IMESSAGE:
                self._embedded(data[16:])
                return
            names = (found.get(key) for key in (_PR_LONG_NAME, _TRANSPORT_NAME, _TITLE, _PR_NAME, _PR_DISPLAY_NAME))
            name = next((text for one in names if (text := _string(one, self.codepage))), "")
            mime, cid = (_string(found.get(key), self.codepage) for key in (_PR_MIME, _PR_CID))
            self.files.append(File(name, mime, cid, data))
        elif found:
            self.whole = False

    def _embedded(self, data: memoryview) -> None:
        self.whole = False
        if self.depth < DEPTH_MAX and bytes(data[:4]) == _SIGNATURE:
            inner = _Reader(data, self.depth + 1).read()
            self.files += inner.files[: FILES_MAX - len(self.files)]


def read(data: bytes) -> Tnef | None:
    """Read a stream; None where it is none. Never raises."""
    return _Reader(memoryview(data), 0).read() if data[:4] == _SIGNATURE else None


def _attributes(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Step over level, id, length, value and checksum of each attribute."""
    position, count = 6, 0
    while position < len(data):
        count += 1
        if position + 11 > len(data) or count > ATTRIBUTES_MAX:
            raise _Damaged
        level, number, length = struct.unpack_from("<BII", data, position)
        position += 9
        if level not in {1, 2} or position + length > len(data):
            raise _Damaged
        yield level, number & 0xFFFF, data[position : position + length]
        position += length + 2


def _properties(data: memoryview, codepage: str) -> tuple[dict[int, str | int | memoryview], bool]:
    """Read a set of MAPI properties; returns those understood, and whether the rest was damaged."""
    found: dict[int, str | int | memoryview] = {}
    try:
        count, position = _number(data, 0), 4
        for _ in range(min(count, PROPERTIES_MAX)):
            head = _number(data, position)
            position, kind, number = position + 4, head & 0xFFFF, head >> 16
            if number >= 0x8000:
                position = _named(data, position)
            value, position = _value(data, position, kind, codepage)
            if value is not None:
                found.setdefault(number, value)
    except _Damaged:
        return found, True
    return found, count > PROPERTIES_MAX


def _named(data: memoryview, position: int) -> int:
    """Step over a property's name: a set and a number, or a set and a string."""
    kind, length = _number(data, position + 16), _number(data, position + 20)
    return position + 24 + (_padded(length) if kind else 0)


def _value(data: memoryview, position: int, kind: int, codepage: str) -> tuple[str | int | memoryview | None, int]:
    base, count = kind & 0x0FFF, 1
    if kind & 0x1000 or base in _VARIABLE:
        count, position = _number(data, position), position + 4
    if base not in _VARIABLE:
        if base not in _FIXED or count > len(data):
            raise _Damaged
        return (_number(data, position) if base == 3 and kind == 3 else None), position + _FIXED[base] * count
    value: str | memoryview | None = None
    for _ in range(count):
        length, position = _number(data, position), position + 4
        if position + length > len(data):
            raise _Damaged
        if value is None:
            slice_ = data[position : position + length]
            value = _text(slice_, "utf-16-le" if base == 0x1F else codepage) if base in _STRINGS else slice_
        position += _padded(length)
    return value, position


def _number(data: memoryview, position: int) -> int:
    if position + 4 > len(data):
        raise _Damaged
    return int.from_bytes(data[position : position + 4], "little")


def _padded(length: int) -> int:
    return length + (-length % 4)


def _codepage(number: int) -> str:
    return {65001: "utf-8", 20127: "us-ascii", 50220: "iso-2022-jp", 936: "gb18030"}.get(number, f"cp{number}")


def _text(value: memoryview, label: str) -> str:
    return charsets.decode(bytes(value), label).rstrip("\0\ufffd")


def _string(value: str | int | memoryview | None, label: str) -> str:
    if isinstance(value, memoryview):
        return _text(value, label)
    return value if isinstance(value, str) else ""
