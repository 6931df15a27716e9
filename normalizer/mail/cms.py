"""The content of an S/MIME mail that is signed and not encrypted (CMS SignedData, RFC 5652): a MIME entity in ASN.1.

Nothing is verified here; the signature stays in the attachment. Read without recursion, in one pass, because BER
nests as deep as its sender likes.
"""

from __future__ import annotations

SIGNED = bytes.fromhex("06092a864886f70d010702")
ENVELOPED = bytes.fromhex("06092a864886f70d010703")
AUTHENTICATED = bytes.fromhex("060b2a864886f70d0109100117")

_OCTETS, _OCTETS_OF_PARTS, _END = 0x04, 0x24, 0x00


class _NotThis(Exception):
    """The bytes are no SignedData."""


def kind(data: bytes) -> str:
    """Tell what CMS bytes are, by the type at their beginning: ``signed``, ``encrypted`` or empty."""
    head = data[:64]
    if SIGNED in head:
        return "signed"
    return "encrypted" if ENVELOPED in head or AUTHENTICATED in head else ""


def content(data: bytes) -> bytes | None:
    """Take out what was signed; None where `data` is something else, or the content stands elsewhere."""
    try:
        return _content(data)
    except (_NotThis, IndexError):
        return None


def _content(data: bytes) -> bytes | None:
    position = _enter(data, 0, 0x30)
    if not data.startswith(SIGNED, position):
        return None
    position = _enter(data, position + len(SIGNED), 0xA0)
    position = _enter(data, position, 0x30)
    for _ in range(3):  # the version and the digest algorithms; then the type of the content, inside its sequence
        if data[position] == 0x30:
            break
        position = _after(data, position)
    position = _after(data, _enter(data, position, 0x30))
    if position >= len(data) or data[position] != 0xA0:
        return None
    return _octets(data, _enter(data, position, 0xA0))


def _octets(data: bytes, position: int) -> bytes:
    """Join an octet string, in one piece or many."""
    tag, start, stop = _header(data, position)
    if tag == _OCTETS and stop is not None:
        return data[start:stop]
    if tag != _OCTETS_OF_PARTS:
        raise _NotThis
    end = len(data) if stop is None else stop
    pieces: list[bytes] = []
    position = start
    while position < end:
        tag, start, stop = _header(data, position)
        if tag == _END:
            break
        if tag == _OCTETS and stop is not None:
            pieces.append(data[start:stop])
            position = stop
        elif tag == _OCTETS_OF_PARTS:
            position = start
        else:
            raise _NotThis
    return b"".join(pieces)


def _header(data: bytes, position: int) -> tuple[int, int, int | None]:
    """Read tag and length; returns the tag, where the value begins, and where it ends (None: at an end mark)."""
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length == 0x80:
        return tag, start, None
    if length > 0x80:
        count = length & 0x7F
        if count > 8:
            raise _NotThis
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    return tag, start, min(start + length, len(data))


def _enter(data: bytes, position: int, expected: int) -> int:
    tag, start, _ = _header(data, position)
    if tag != expected:
        raise _NotThis
    return start


def _after(data: bytes, position: int) -> int:
    """Step over one element, whatever is nested in it."""
    depth = 0
    while position < len(data):
        tag, start, stop = _header(data, position)
        if tag == _END and stop == start:
            depth -= 1
            position = start
        elif stop is None:
            depth += 1
            position = start
        else:
            position = stop
        if depth <= 0:
            return position
    raise _NotThis
