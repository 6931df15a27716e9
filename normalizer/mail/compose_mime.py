"""Entities on their way out (RFC 2045, 2046), always in 7 bits.

Quoted-printable or base64 costs some bytes and asks nothing of the servers on the way: no 8BITMIME, no line of more
than 76 characters, and no server that rewrites the body, which would break its DKIM signature (RFC 6376 §5.3).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence

from normalizer.mail import compose_fields as fields

_BREAK = re.compile(r"\r\n|\r|\n")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_MAIL = "message/rfc822"
_LINE_MAX = 998
_NO_OF = re.compile(rb"[\x00\x80-\xff]|(?<!\r)\n|\r(?!\n)")
"""What a mail inside a mail must not have to be sent as it is."""
_FROM = re.compile(rb"(\A|\n)From (?=[^\n]{0,69}\r)")
"""What mailbox files put a ``>`` before."""
BOUNDARY = "=_"
"""Begins every boundary: neither quoted-printable nor base64 has these two characters."""


class Part:
    """An entity: the fields about its content, and its content in encoded form."""

    __slots__ = ("content", "head")

    def __init__(self, head: Iterable[bytes], content: bytes) -> None:
        """Take fields and content that end in CRLF."""
        self.head, self.content = b"".join(head), content


def text(body: str, subtype: str) -> Part:
    """Encode a text; lines are told by any line break, control characters are left out."""
    data = _BREAK.sub("\r\n", _UNFIT.sub("", body)).encode()
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    encoding, content = _encoded(data)
    return Part(
        (
            fields.field("Content-Type", f'text/{subtype}; charset="utf-8"'),
            fields.field("Content-Transfer-Encoding", encoding),
        ),
        content,
    )


def _encoded(data: bytes) -> tuple[str, bytes]:
    lines = data.split(b"\r\n")
    if data.isascii() and max(map(len, lines)) <= fields.LINE and not any(_awkward(line) for line in lines):
        return "7bit", data
    foreign = sum(byte > 0x7F for byte in data)
    if foreign * 6 > len(data):  # three characters a byte are more than base64 needs
        return "base64", _base64(data)
    return "quoted-printable", _FROM.sub(rb"\1=46rom ", binascii.b2a_qp(data, istext=True))


def _awkward(line: bytes) -> bool:
    """Tell a line that somebody on the way may change, or take for a boundary."""
    return line.startswith((b"From ", b"--" + BOUNDARY.encode())) or line.endswith((b" ", b"\t"))


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def file(data: bytes, mime: str, *, name: str | None, cid: str | None = None) -> Part:
    """Attach a file; with a `cid` (without brackets) it is shown by the HTML beside it.

    A mail is attached as such where it can be, because it must not be encoded (RFC 2046 §5.2.1); else as a file.
    """
    mime = mime.lower() if _TYPE.fullmatch(mime) and not mime.lower().startswith("multipart/") else ""
    if mime == _MAIL and (_NO_OF.search(data) or max(map(len, data.split(b"\r\n"))) > _LINE_MAX):
        mime = ""
    head = [
        fields.field("Content-Type", mime or "application/octet-stream"),
        fields.field("Content-Transfer-Encoding", "7bit" if mime == _MAIL else "base64"),
        fields.field(
            "Content-Disposition",
            ("inline" if cid else "attachment") + (fields.parameter("filename", name) if name else ""),
        ),
    ]
    if cid:
        head.append(fields.field("Content-ID", f"<{cid}>"))
    ended = data if data.endswith(b"\r\n") else data + b"\r\n"
    return Part(head, ended if mime == _MAIL else _base64(data))


def multipart(subtype: str, parts: Sequence[Part], boundary: str) -> Part:
    """Join entities; one alone stays as it is."""
    if len(parts) == 1:
        return parts[0]
    line = b"--" + (BOUNDARY + boundary).encode()
    pieces = [piece for part in parts for piece in (line, b"\r\n", part.head, b"\r\n", part.content)]
    return Part(
        (fields.field("Content-Type", f'multipart/{subtype};\r\n boundary="{BOUNDARY}{boundary}"'),),
        b"".join([*pieces, line, b"--\r\n"]),
    )
