"""Header fields as text: folding, raw 8-bit bytes, encoded words (RFC 2047) and parameters (RFC 2231)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from normalizer.mail import charsets

VALUE_MAX = 65_536
"""Bytes of one field that are looked at; the rest of a longer one is only in the raw mail."""

_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_PARAM = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))', re.DOTALL)
_BASE64_JUNK = re.compile(r"[^A-Za-z0-9+/]")


class Fields:
    """The header of one entity: names in lower case, values as received."""

    __slots__ = ("_charset", "_fields", "_first")

    def __init__(self, fields: Iterable[tuple[str, bytes]]) -> None:
        """Keep the fields in their order."""
        self._charset: str | None = None
        self._first: dict[str, str] = {}
        self._fields: dict[str, list[bytes]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def charset(self) -> str | None:
        """That of the body, a hint for raw 8-bit values."""
        return self._charset

    @charset.setter
    def charset(self, charset: str | None) -> None:
        self._charset = charset
        self._first.clear()

    def names(self) -> Iterator[str]:
        """Every name once, in the order of first appearance."""
        return iter(self._fields)

    def raw(self, name: str) -> str:
        """The first field of that name, unfolded and as text, its encoded words untouched; empty where absent."""
        if name not in self._fields:
            return ""
        found = self._first.get(name)
        if found is None:  # many ask for the same fields
            found = self._first[name] = unfold(self._fields[name][0], self._charset)
        return found

    def every(self, name: str) -> list[str]:
        """All fields of that name, as `raw` gives them."""
        return [unfold(value, self._charset) for value in self._fields.get(name, ())]

    def text(self, name: str) -> str:
        """The first field of that name for a human: encoded words decoded."""
        return words(self.raw(name))


def unfold(value: bytes, hint: str | None = None) -> str:
    """Join folded lines and decode; a field that is not ASCII is UTF-8 (RFC 6532), or in charset `hint`, or Latin."""
    if len(value) <= VALUE_MAX and value.isascii() and b"\x1b" not in value and b"\0" not in value:
        return _FOLD.sub(" ", value.decode("ascii")).strip()  # as nearly all are
    return _FOLD.sub(" ", charsets.decode(value[:VALUE_MAX], hint=hint)).strip()


def words(text: str) -> str:
    """Decode RFC 2047 encoded words wherever they stand, inside quotes and in the middle of words too.

    Neighbours of one charset are joined as bytes first, because senders cut inside a multi-byte character.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    pending: tuple[str, bytes] | None = None
    end = 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        charset, data = match[1].lower(), _word_bytes(match[2], match[3])
        end = match.end()
        if pending and not between.strip():
            if pending[0] == charset:
                pending = (charset, pending[1] + data)
                continue
            between = ""
        if pending:
            out.append(charsets.decode(pending[1], pending[0]))
        out.append(between)
        pending = (charset, data)
    if pending:
        out.append(charsets.decode(pending[1], pending[0]))
    out.append(text[end:])
    return " ".join("".join(out).split("\n")).replace("\r", " ")


def _word_bytes(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
    sextets = _BASE64_JUNK.sub("", text)
    if len(sextets) % 4 == 1:
        sextets = sextets[:-1]
    return binascii.a2b_base64(sextets + "=" * (-len(sextets) % 4))


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split ``type/subtype; name=value`` into the value in lower case and its decoded parameters."""
    head, _, _ = value.partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in _PARAM.finditer(value, len(head)):
        name = match[1].lower()
        text = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else (match[3] or "").strip()
        base, star, index = name.partition("*")
        if not star:
            plain.setdefault(name, words(text))
            continue
        number = index.rstrip("*")
        if not number or (number.isascii() and number.isdigit() and len(number) < 5):
            pieces.setdefault(base, {}).setdefault(int(number or 0), (text, name.endswith("*")))
    for base, numbered in pieces.items():
        plain[base] = _continued([numbered[number] for number in sorted(numbered)])
    return head.strip().lower(), plain


def _continued(pieces: list[tuple[str, bool]]) -> str:
    """Join RFC 2231 continuations; the charset stands in the first piece."""
    charset: str | None = None
    data = b""
    for number, (text, encoded) in enumerate(pieces):
        piece = text
        if number == 0 and encoded and piece.count("'") >= 2:
            charset, _, piece = piece.split("'", 2)
        raw = piece.encode("utf-8", "replace")
        data += unquote_to_bytes(raw) if encoded else raw
    return charsets.decode(data, charset or None)
