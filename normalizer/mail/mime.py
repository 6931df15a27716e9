"""A mail as a tree of entities (RFC 2045, RFC 2046), in time linear to its size.

Not the `email` package: that reads a mail line by line, recurses once per nested multipart, and its replacement
policies raise on hostile headers. Here a boundary is one search over the bytes, nesting and number are bounded, and
what lies beyond the bounds stays whole as one leaf.
"""

from __future__ import annotations

import binascii
import re

from normalizer.mail.headers import Fields, parameters

MAX_DEPTH = 24
MAX_PARTS = 400
MAX_DELIMITERS = 20_000
MAX_FIELDS = 2_000
MAX_HEADER = 1_048_576
MAX_PADDED = 600_000
"""Padded pieces of base64 that are joined: 30 MB, encoded line by line."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_SPACES = b" \t\r\n"


class Entity:
    """A header with a body, which is a slice of the mail.

    Attributes:
        data: the whole mail.
        fields: the header.
        start: where the body begins.
        end: where it ends.
        section: its number as in IMAP (``1.2``), empty for the mail itself.
        mime: the media type; ``text/plain`` where it is missing or unreadable.
        params: parameters of the media type.
        children: entities of a multipart; empty where it could not be split.
        partless: true for a multipart in which no part was found: what there is can still be read as text.
    """

    __slots__ = ("children", "data", "end", "fields", "mime", "params", "partless", "section", "start")

    def __init__(self, data: bytes, start: int, end: int, section: str, default: str) -> None:
        """Read the header that begins at `start`."""
        self.data = data
        self.fields, self.start = _header(data, start, end)
        self.end = end
        self.section = section
        self.children: list[Entity] = []
        self.partless = False
        self.mime, self.params = parameters(self.fields.raw("content-type"))
        if not _TYPE.fullmatch(self.mime):
            self.mime = default
        self.fields.charset = self.params.get("charset")

    @property
    def kind(self) -> str:
        """The first half of the media type."""
        return self.mime.partition("/")[0]

    def encoded(self) -> bytes:
        """The body as it stands in the mail."""
        return self.data[self.start : self.end]

    def payload(self, limit: int | None = None) -> bytes:
        """The body with its Content-Transfer-Encoding undone, or the beginning of it: at least `limit` bytes."""
        encoding = self.fields.raw("content-transfer-encoding").partition(";")[0].strip(" \t\"'").lower()
        body = self.data[self.start : self.end if limit is None else min(self.end, self.start + 3 * limit)]
        if encoding == "base64":
            return base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding in {"x-uuencode", "uuencode", "x-uue", "uue"}:
            return _uudecode(body)
        return body


class Parsed:
    """The tree, and whether the bounds of this module cut it short."""

    __slots__ = ("cut", "root")

    def __init__(self, root: Entity) -> None:
        """Start from the mail itself."""
        self.root = root
        self.cut = False


def parse(data: bytes) -> Parsed:
    """Split a mail; every byte string is a mail."""
    parsed = Parsed(Entity(data, 0, len(data), "", "text/plain"))
    waiting = [(parsed.root, 0)]
    parts, delimiters = 1, 0
    while waiting:
        entity, depth = waiting.pop()
        boundary = entity.params.get("boundary", "").rstrip()
        if entity.kind != "multipart":
            continue
        if depth >= MAX_DEPTH:
            parsed.cut = True
            continue
        slices, seen, whole = _split(entity, boundary, MAX_PARTS - parts, MAX_DELIMITERS - delimiters)
        if not slices and whole:
            entity.partless = True
        parsed.cut = parsed.cut or not whole
        parts, delimiters = parts + len(slices), delimiters + seen
        default = "message/rfc822" if entity.mime == "multipart/digest" else "text/plain"
        prefix = entity.section + "." if entity.section else ""
        entity.children = [
            Entity(data, start, end, f"{prefix}{number}", default) for number, (start, end) in enumerate(slices, 1)
        ]
        waiting.extend((child, depth + 1) for child in reversed(entity.children))
    _hint(parsed.root)
    return parsed


def _hint(root: Entity) -> None:
    """Let the header of a multipart take the charset of its first text for a hint."""
    leaf = root
    while leaf.children:
        leaf = leaf.children[0]
    root.fields.charset = leaf.params.get("charset")


def base64(body: bytes) -> bytes:
    """Decode base64 through line breaks, junk, missing padding, and padding in the middle."""
    try:
        head = binascii.a2b_base64(body)
    except binascii.Error:
        head = _sextets(re.sub(rb"[^A-Za-z0-9+/]", b"", body.partition(b"=")[0]))
    pad = body.find(b"=")
    if pad < 0 or not body[pad:].strip(b"= \t\r\n"):
        return head
    # a sender that encodes line by line pads every line; a footer that a mailing list appended is not base64
    out = [head]
    for squeezed in re.split(rb"=+", body[pad:].translate(None, _SPACES), maxsplit=MAX_PADDED)[1:]:
        if re.search(rb"[^A-Za-z0-9+/]", squeezed):
            break
        out.append(_sextets(squeezed))
    return b"".join(out)


def _sextets(text: bytes) -> bytes:
    usable = text[:-1] if len(text) % 4 == 1 else text
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def _uudecode(body: bytes) -> bytes:
    out: list[bytes] = []
    inside = False
    for line in body.splitlines():
        if not inside:
            inside = line.startswith(b"begin ")
            continue
        if line.strip() in {b"end", b"`", b""}:
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            count = (((line[0] - 32) & 63) * 4 + 5) // 3  # trailing junk, as the `uu` module allows for
            try:
                out.append(binascii.a2b_uu(line[:count]))
            except binascii.Error:
                return body
    return b"".join(out) if out else body


def _header(data: bytes, start: int, end: int) -> tuple[Fields, int]:
    """Read fields up to the empty line, or to the first line that can be no field."""
    fields: list[tuple[str, bytes]] = []
    name, value = "", bytearray()
    position = start
    while position < end:
        newline = data.find(b"\n", position, end)
        stop = end if newline < 0 else newline + 1
        line = data[position:stop]
        if line in {b"\r\n", b"\n"}:
            position = stop
            break
        if line[:1] in b" \t" and (fields or name):
            value += line
        elif match := _FIELD.match(line):
            if name:
                fields.append((name, bytes(value)))
            name, value = match[1].decode("ascii").lower(), bytearray(match[2])
        elif not line.startswith(b":") and (position > start or not line.startswith((b"From ", b">From "))):
            break  # the body; a nameless field, and the separator of a mailbox file, are stepped over
        position = stop
        if len(fields) >= MAX_FIELDS or position - start > MAX_HEADER:
            position = min(_after(data, b"\n\r\n", position, end), _after(data, b"\n\n", position, end))
            break
    if name:
        fields.append((name, bytes(value)))
    return Fields(fields), position


def _after(data: bytes, mark: bytes, start: int, end: int) -> int:
    found = data.find(mark, start - 1, end)
    return end if found < 0 else found + len(mark)


def _split(entity: Entity, boundary: str, parts: int, delimiters: int) -> tuple[list[tuple[int, int]], int, bool]:
    """Find the parts between delimiter lines.

    Returns:
        Slices of the parts, how many candidates were looked at, and whether all of the body was split.
    """
    data, end = entity.data, entity.end
    if not boundary:
        return [], 0, True
    needle = b"\n--" + boundary.encode("utf-8", "replace")
    slices: list[tuple[int, int]] = []
    begin, seen = -1, 0
    position = data.find(needle, entity.start - 1, end)  # the line break before the body belongs to the delimiter
    while position >= 0:
        seen += 1
        after = position + len(needle)
        newline = data.find(b"\n", after, end)
        stop = end if newline < 0 else newline + 1
        tail = data[after : min(stop, after + 80)].strip(_SPACES)
        if tail in {b"", b"--"}:
            if begin >= 0:
                slices.append((begin, max(begin, position - (data[position - 1 : position] == b"\r"))))
            begin = -1 if tail else stop
            if tail:
                break
            if len(slices) >= parts:
                break
        if seen >= delimiters:
            break
        position = data.find(needle, max(after, stop - 1), end)
    whole = len(slices) < parts and seen < delimiters
    if begin >= 0:
        slices.append((begin, end))
    return slices, seen, whole
