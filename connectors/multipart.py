"""Forms with files, as providers' upload APIs take them (``multipart/form-data``, RFC 7578)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from msgspec import Struct

from connectors.api import Fetched
from normalizer.raw import Wire

UNKNOWN = "application/octet-stream"
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", "\0": "%00"})
"""What would end a quoted name (https://html.spec.whatwg.org/#multipart-form-data)."""


class Form(Struct, frozen=True):
    """A request body and its `Content-Type`."""

    body: bytes
    content_type: str


def form(fields: Mapping[str, str], files: Mapping[str, Fetched]) -> Form:
    """Encode text fields and files, in this order; a file without a name is called as its field."""
    boundary = f"omnigate-{secrets.token_hex(16)}"
    pieces = [_part(boundary, name, "", value.encode("utf-8", "replace")) for name, value in fields.items()]
    for name, file in files.items():
        mime = (file.mime or UNKNOWN).translate(_ESCAPES)
        told = f'; filename="{_escaped(file.name or name)}"\r\nContent-Type: {mime}'
        pieces.append(_part(boundary, name, told, file.data))
    body = b"".join([*pieces, f"--{boundary}--\r\n".encode()])
    return Form(body, f"multipart/form-data; boundary={boundary}")


def post_form(url: str, fields: Mapping[str, str], files: Mapping[str, Fetched]) -> Wire:
    """Describe a POST of such a form."""
    made = form(fields, files)
    return Wire(method="POST", url=url, headers={"Content-Type": made.content_type}, body=made.body)


def _part(boundary: str, name: str, told: str, content: bytes) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"{told}\r\n\r\n'
    return b"".join([head.encode("utf-8", "replace"), content, b"\r\n"])


def _escaped(name: str) -> str:
    return name.translate(_ESCAPES)
