"""ISO-2022-JP (RFC 1468) as it is really sent: with Microsoft's additional characters.

Python's ``iso2022_jp`` refuses the NEC and IBM rows (``①``, ``㈱``, ``髙``), which Outlook and phones write under this
label and the WHATWG Encoding Standard reads (https://encoding.spec.whatwg.org/#iso-2022-jp-decoder). Shift JIS has
the same rows, moved: each pair is moved there and read as ``cp932``.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\x1b(\([BHIJ]|\$[@AB]|\$\([@BCD])")
_CONTROL = re.compile(rb"([\x00-\x20]+)")
_SHIFTED = {b"$A": "gb18030", b"$(C": "cp949"}  # of ISO-2022-JP-2 (RFC 1554): the same pairs, with the high bits set


def looks_like_it(data: bytes) -> bool:
    """Tell whether unlabelled ASCII holds the escape sequences of Japanese text."""
    return b"\x1b$" in data and data.isascii() and _ESCAPE.search(data) is not None


def decode(data: bytes) -> str:
    """Decode; what has no meaning becomes U+FFFD."""
    first, *others = _ESCAPE.split(data)
    out = [first.decode("cp932", "replace")]
    for escape, piece in zip(others[::2], others[1::2], strict=True):
        if escape[:1] == b"(":
            shifted = piece.translate(_HALF_WIDTH) if escape == b"(I" else piece
            out.append(shifted.decode("cp932", "replace"))
        else:
            out.extend(_pairs(one, escape) for one in _CONTROL.split(piece))
    return "".join(out)


_HALF_WIDTH = bytes(code | 0x80 if 0x21 <= code <= 0x5F else code for code in range(256))


def _pairs(data: bytes, escape: bytes) -> str:
    if not data or data[0] <= 0x20:
        return data.decode("ascii", "replace")
    odd = "\ufffd" if len(data) % 2 else ""
    even = data[: len(data) & ~1]
    high = bytes(code | 0x80 for code in even)
    if escape in _SHIFTED:
        return high.decode(_SHIFTED[escape], "replace") + odd
    if escape == b"$(D":  # JIS X 0212, which EUC-JP holds behind 0x8F
        return b"".join(b"\x8f" + high[at : at + 2] for at in range(0, len(high), 2)).decode("euc_jp", "replace") + odd
    return b"".join(map(_shift, even[::2], even[1::2])).decode("cp932", "replace") + odd


def _shift(row: int, column: int) -> bytes:
    """Move a pair of JIS X 0208 to where Shift JIS has it."""
    lead = ((row - 0x21) >> 1) + 0x81
    lead += 0x40 if lead > 0x9F else 0
    trail = column + (0x7E if row % 2 == 0 else 0x20 if column > 0x5F else 0x1F)
    return bytes((lead & 0xFF, trail & 0xFF))
