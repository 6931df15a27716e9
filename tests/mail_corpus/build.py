"""How the mails of the corpus are put together: bytes by hand, and what must come out of them, from the same input."""

from __future__ import annotations

import base64
import binascii
import textwrap
from hashlib import sha256
from typing import Any, NamedTuple

CRLF = b"\r\n"


class Made(NamedTuple):
    """A mail, and what must come out of it; None where only "it is taken" is asked."""

    body: bytes
    expected: dict[str, Any] | None


MADE: dict[str, Made] = {}


def add(name: str, body: bytes, **expected: Any) -> None:
    """Take a mail into the corpus.

    Args:
        name: unique, a file name.
        body: as a server would receive it, without dot stuffing.
        expected: `text` (of the mail part), `subject`, `sender`, `attachments` (see `file`) and more; without any it
            is only asked that the mail is taken.
    """
    assert name not in MADE, name
    if expected:
        expected = {"subject": "A question", "sender": "ann@example.net", "attachments": [], **expected}
    MADE[name] = Made(body, expected or None)


def file(name: str | None, data: bytes, mime: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
    """Expect an attachment."""
    return {"name": name, "mime": mime, "sha256": sha256(data).hexdigest(), "size": len(data), **more}


def header(name: str, *lines: bytes | str, **fields: str | bytes | None) -> bytes:
    """Build a header: the usual fields of a mail, changed by `fields` (None leaves one out), then raw `lines`.

    Args:
        name: of the mail; the Message-ID is made of it.
        lines: added at the end, as they are.
        fields: names with ``_`` for ``-``.
    """
    usual: dict[str, str | bytes | None] = {
        "from": "Ann Mueller <ann@example.net>",
        "to": "Shop <support@shop.example>",
        "subject": "A question",
        "date": "Fri, 20 Nov 2026 10:00:00 +0100",
        "message-id": f"<{name}@corpus.example>",
        "mime-version": "1.0",
    }
    usual |= {key.lower().replace("_", "-"): value for key, value in fields.items()}
    out = [
        key.title().encode() + b": " + (value if isinstance(value, bytes) else value.encode())
        for key, value in usual.items()
        if value is not None
    ]
    out += [line if isinstance(line, bytes) else line.encode() for line in lines]
    return CRLF.join(out) + CRLF


def crlf(text: str) -> bytes:
    """Encode text in UTF-8 with the line breaks of mail."""
    return text.replace("\n", "\r\n").encode()


def mail(name: str, body: bytes | str, *lines: bytes | str, **fields: str | bytes | None) -> bytes:
    """Build a mail of a header and a body."""
    return header(name, *lines, **fields) + CRLF + (body if isinstance(body, bytes) else crlf(body))


def part(content_type: str, body: bytes | str, *lines: str, encoding: str = "") -> bytes:
    """Build a part of a multipart; `encoding` is applied to the body."""
    data = body if isinstance(body, bytes) else crlf(body)
    fields = [f"Content-Type: {content_type}"] if content_type else []
    if encoding:
        fields.append(f"Content-Transfer-Encoding: {encoding}")
        data = b64(data) if encoding == "base64" else qp(data)
    return CRLF.join([*(field.encode() for field in (*fields, *lines)), b"", data])


def multipart(boundary: str, *parts: bytes, preamble: bytes = b"", epilogue: bytes = b"", end: bool = True) -> bytes:
    """Join parts."""
    mark = b"--" + boundary.encode()
    out = preamble + b"".join(mark + CRLF + one + CRLF for one in parts)
    return out + (mark + b"--" + CRLF + epilogue if end else b"")


def mixed(name: str, *parts: bytes, subtype: str = "mixed", more: str = "", **fields: str | bytes | None) -> bytes:
    """Build a mail of parts."""
    boundary = f"=_{name}"
    kind = f'multipart/{subtype}; boundary="{boundary}"{more}'
    return mail(name, multipart(boundary, *parts), content_type=kind, **fields)


def b64(data: bytes, width: int = 76) -> bytes:
    """Encode in base64, in lines."""
    text = base64.b64encode(data).decode()
    return CRLF.join(line.encode() for line in textwrap.wrap(text, width)) + CRLF


def qp(data: bytes) -> bytes:
    """Encode as quoted-printable, line by line."""
    lines = data.split(CRLF)
    return CRLF.join(binascii.b2a_qp(line).replace(b"\n", CRLF) for line in lines)


def word(text: str | bytes, charset: str = "utf-8", encoding: str = "B") -> str:
    """Build one encoded word (RFC 2047)."""
    data = text if isinstance(text, bytes) else text.encode(charset)
    if encoding.upper() == "B":
        return f"=?{charset}?{encoding}?{base64.b64encode(data).decode()}?="
    quoted = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"={byte:02X}" for byte in data)
    return f"=?{charset}?{encoding}?{quoted}?="


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
