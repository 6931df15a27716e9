"""Which mail this is."""

from __future__ import annotations

import re
from hashlib import sha256

from normalizer.mail.headers import words
from normalizer.mail.mime import Entity

_ID = re.compile(r"<\s*([^<>\s]+(?:\s+[^<>\s]+)*)\s*>")
_SPACE = re.compile(r"\s+")
_ID_MAX = 998
_SIGNIFICANT = ("from", "sender", "reply-to", "to", "cc", "date", "subject", "in-reply-to", "references")


def message_ids(value: str) -> list[str]:
    """Read the ids of a Message-ID, In-Reply-To or References field, without brackets and folding space.

    Programs written with Python's `email` encode an id that is longer than a line as if it were words.
    """
    found = [_SPACE.sub("", match) for match in _ID.findall(words(value))]
    return [one for one in found if len(one) <= _ID_MAX]


def message_id(root: Entity) -> str | None:
    """The Message-ID; None where it is missing, empty or broken (no ``left@right``, unbalanced brackets)."""
    value = root.fields.raw("message-id")
    ids = message_ids(value)
    if not ids and value.count("@") == 1 and not re.search(r"[\s<>]", value):
        ids = [value[:_ID_MAX]]
    left, at, right = ids[0].partition("@") if ids else ("", "", "")
    return ids[0] if left and at and right else None


def content_id(root: Entity) -> str:
    """Name a mail that has no usable Message-ID by what it says.

    The hash covers the fields that a relay does not change, with white space squeezed, and the body with line breaks
    made equal. A form mailer may send neither Message-ID nor Date: then the oldest Received field, written by the first
    server, keeps two equal mails of one customer apart.
    """
    fields = root.fields
    pieces = [name.encode() + b":" + _squeezed(value) for name in _SIGNIFICANT for value in fields.every(name)]
    if "date" not in fields:
        pieces.append(_squeezed((fields.every("received") or [""])[-1]))
    pieces.append(root.encoded().replace(b"\r\n", b"\n").rstrip(b"\n"))
    return f"sha256:{sha256(b''.join(pieces)).hexdigest()}"


def _squeezed(value: str) -> bytes:
    data = _SPACE.sub(" ", value).strip().encode()
    return b"%d:%b" % (len(data), data)
