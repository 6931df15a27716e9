r"""The body of a mail in RTF: what Outlook keeps in winmail.dat, with or without the HTML it was made of.

The stream is compressed (MS-OXRTFCP, https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxrtfcp/);
HTML stands in it between marks (MS-OXRTFEX, https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxrtfex/).

An own reader, because `striprtf` knows nothing of that HTML, searches links and fonts with expressions that are
quadratic in the size of the mail, and writes halves of surrogate pairs; `compressed-rtf` has no bound. Both are the
other side in the tests. Here the time is linear, and what is damaged gives what came before.
"""

from __future__ import annotations

import re
import struct
from html import escape
from typing import NamedTuple

from normalizer.mail import charsets

OUTPUT_MAX = 524_288
"""Bytes of RTF that are read of one body; as much as of an HTML part."""
GROUPS_MAX = 1_000

_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans "
    b"SerifSymbolArialTimes New RomanCourier{\\colortbl"
    b"\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_WINDOW = 4096
_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)|\\",
    re.DOTALL,
)
_CHARSETS = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "big5", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
"""Code pages of ``\\fcharset``; of others that of the document counts."""
_CHARACTERS = {
    "par": "\n", "line": "\n", "sect": "\n\n", "page": "\n\n", "row": "\n", "cell": "\t", "nestcell": "\t",
    "nestrow": "\n", "tab": "\t", "emdash": "\u2014", "endash": "\u2013", "emspace": "\u2003", "enspace": "\u2002",
    "bullet": "\u2022", "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c", "rdblquote": "\u201d",
    "~": "\u00a0", "_": "\u2011", "\n": "\n", "\r": "\n",
}  # fmt: skip
_UNSHOWN = frozenset({
    "colortbl", "stylesheet", "info", "pict", "object", "header", "headerl", "headerr", "headerf", "footer", "footerl",
    "footerr", "footerf", "nonesttables", "filetbl", "listtable", "listoverridetable", "revtbl", "annotation", "xe",
})  # fmt: skip
"""Groups that are no text."""
_LINK = re.compile(r'HYPERLINK\s+(?:\\[a-z]\s+)*"([^"\s]{1,2000})"', re.IGNORECASE)


class Body(NamedTuple):
    """What a stream says.

    Attributes:
        text: its text; empty where there is HTML.
        html: the HTML that it carries; empty where it carries none.
        size: bytes that were read.
        whole: false where it ends too early, or is longer than `OUTPUT_MAX`.
    """

    text: str
    html: str
    size: int
    whole: bool


def read(data: bytes, limit: int = OUTPUT_MAX) -> Body | None:
    """Read ``PR_RTF_COMPRESSED``, at most `limit` bytes of RTF; None where it is none. Never raises."""
    plain, whole = decompress(data, limit)
    if not plain.startswith(b"{\\rtf"):
        return None
    reader = _Reader()
    reader.read(plain)
    text = reader.written()
    return Body("" if reader.html else text.strip("\n"), text if reader.html else "", len(plain), whole)


def decompress(data: bytes, limit: int) -> tuple[bytes, bool]:
    """Return the RTF, at most `limit` bytes, and whether it is all there. Its checksum is not looked at."""
    if len(data) < 16:
        return b"", False
    size, kind = struct.unpack_from("<I4s", data, 4)
    if kind == b"MELA":
        return data[16 : 16 + min(size, limit)], len(data) - 16 >= size <= limit
    if kind != b"LZFu":
        return b"", False
    out = bytearray(_DICTIONARY)
    end, position, bound = False, 16, len(_DICTIONARY) + limit
    while position < len(data) and not end and len(out) < bound:
        flags, position = data[position], position + 1
        for bit in range(8):
            if not flags >> bit & 1:
                out += data[position : position + 1]
                position += 1
                continue
            if end := position + 2 > len(data):
                break
            token, position = data[position] << 8 | data[position + 1], position + 2
            # the distance in a ring of 4096 bytes; none means the end
            back = (len(out) - (token >> 4)) % _WINDOW
            if end := back == 0:
                break
            _repeat(out, back, (token & 15) + 2)
    found = bytes(out[len(_DICTIONARY) : bound])
    return found, len(found) == size


def _repeat(out: bytearray, back: int, count: int) -> None:
    """Append `count` bytes from `back` bytes ago; what lies before the beginning is blank."""
    start = len(out) - back
    for at in range(start, start + count):
        out.append(out[at] if at >= 0 else 0x20)


class _State(NamedTuple):
    r"""What ends with a group.

    Attributes:
        shown: false in what is no text.
        charset: of the bytes that follow.
        skip: characters after ``\u`` that stand for it in older programs.
        tag: within HTML that is written out.
        rtf_only: within what only readers of RTF are to see.
        place: `fonttbl`, `fldinst` or `fldrslt`, where that means something.
    """

    shown: bool = True
    charset: str = "cp1252"
    skip: int = 1
    tag: bool = False
    rtf_only: bool = False
    place: str = ""


class _Reader:
    def __init__(self) -> None:
        self.html = False
        self._state, self._stack = _State(), list[_State]()
        self._out: list[str] = []
        self._bytes = bytearray()
        self._page = "cp1252"
        self._fonts: dict[str, str] = {}
        self._font = ""
        self._skip = 0
        self._starred = False
        self._field, self._link = "", ""

    def written(self) -> str:
        """Return what was read; halves of characters become one, or a mark."""
        self._flush()
        return "".join(self._out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def read(self, data: bytes) -> None:
        position = 0
        while (match := _TOKEN.match(data, position)) is not None:
            position = match.end()
            word, number, digits, symbol, brace, run = match.groups()
            if run is not None:
                self._said(run)
            elif digits is not None:
                self._said(bytes.fromhex(digits.decode()), 1)
            elif word is not None:
                if word == b"bin":
                    position += max(0, int(number or b"0"))
                self._word(word.decode(), number)
            elif symbol is not None:
                self._symbol(symbol)
            elif brace is not None and not self._brace(opens=brace == b"{"):
                return

    def _brace(self, *, opens: bool) -> bool:
        """Begin or end a group; false at the end of the document."""
        self._flush()
        self._skip, self._starred = 0, False
        if opens:
            if len(self._stack) >= GROUPS_MAX:
                return False
            self._stack.append(self._state)
            return True
        ended = self._state
        if self._stack:
            self._state = self._stack.pop()
        if ended.place != self._state.place:
            self._left(ended.place)
        return bool(self._stack)

    def _left(self, place: str) -> None:
        """Say where a link leads, unless its text says so."""
        if place == "fldinst":
            found, self._field = _LINK.search(self._field), ""
            self._link = found[1] if found else ""
        elif place == "fldrslt" and self._link:
            if not self.html and self._link not in "".join(self._out[-20:]):
                self._out.append(f" ({self._link})")
            self._link = ""

    def _said(self, data: bytes, count: int = 0) -> None:
        """Take text as bytes; of `count` characters, else of one per byte."""
        skipped = min(self._skip, count or len(data))
        self._skip -= skipped
        self._starred = False
        if skipped and count:
            return
        state = self._state
        if state.place == "fldinst" or (state.shown and not (self.html and state.rtf_only)):
            self._bytes += data[skipped:]

    def _flush(self) -> None:
        """Turn the bytes so far into characters: two may be one character, so not one by one."""
        if self._bytes:
            text = charsets.decode(bytes(self._bytes), self._state.charset)
            self._bytes.clear()
            self._write(text)

    def _write(self, text: str) -> None:
        state = self._state
        if state.place == "fldinst":
            self._field += text[: 4096 - len(self._field)]
        elif state.shown and not (self.html and state.rtf_only):
            self._out.append(escape(text, quote=False) if self.html and not state.tag else text)

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._starred = True
        elif symbol in b"\\{}":
            self._said(symbol, 1)  # it may be the second half of a character
        else:
            self._flush()
            self._write(_CHARACTERS.get(symbol.decode("latin-1"), ""))

    def _word(self, word: str, argument: bytes | None) -> None:
        starred, self._starred = self._starred, False
        number = int(argument) if argument is not None else None
        self._flush()
        if word == "u" and number is not None:
            self._write(chr(number % 0x10000))
            self._skip = self._state.skip
            return
        self._skip = 0
        if word in _CHARACTERS:
            self._write(_CHARACTERS[word])
        elif word == "uc":
            self._state = self._state._replace(skip=max(0, min(number or 0, 100)))
        elif word == "ansicpg" and number is not None:
            self._page = "utf-8" if number == 65001 else f"cp{number}"
            self._state = self._state._replace(charset=self._page)
        elif word in {"f", "fcharset", "plain"}:
            self._typeface(word, number)
        elif word == "fromhtml":
            self.html = number != 0
        elif word == "htmlrtf":
            self._state = self._state._replace(rtf_only=number != 0)
        else:
            self._destination(word, starred=starred)

    def _typeface(self, word: str, number: int | None) -> None:
        """Follow the font, which says what the bytes mean."""
        if self._state.place == "fonttbl":
            if word == "fcharset":
                self._fonts[self._font] = _CHARSETS.get(number or 0, "")
            self._font = str(number) if word == "f" else self._font
        else:
            found = self._fonts.get(str(number)) if word == "f" else None
            self._state = self._state._replace(charset=found or self._page)

    def _destination(self, word: str, *, starred: bool) -> None:
        """See what a group is for; what is marked as ignorable and not known is no text."""
        if word == "htmltag":
            self._state = self._state._replace(tag=True, rtf_only=False, shown=self.html and self._state.shown)
        elif word in {"fonttbl", "fldinst"}:
            self._state = self._state._replace(place=word, shown=False)
        elif word == "fldrslt":
            self._state = self._state._replace(place=word)
        elif starred or word in _UNSHOWN:
            self._state = self._state._replace(shown=False)
