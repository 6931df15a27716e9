"""One row of the quarantine in full, for `omnigate quarantine show`."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from gateway.commands.console import line
from gateway.commands.listing import for_people, json_line, moment, plural, printable
from gateway.quarantine import Quarantined
from normalizer.raw import RawEvent

WIDTH = 16


def describe(row: Quarantined, delivery: RawEvent, body: bytes) -> None:
    """Show a row and its bytes: for people on a terminal, as one JSON document in a pipe."""
    text = readable(body)
    facts = _facts(row, delivery)
    if not for_people(as_json=False):
        shown = {"body": text} if text is not None else {"body_base64": base64.b64encode(body).decode()}
        json_line({**facts, **shown})
        return
    facts |= {"first_at": moment(row.first_at), "last_at": moment(row.last_at)}
    for name, value in facts.items():
        if value not in (None, "", {}):
            shown_value = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            line(f"{name + ':':<14}{printable(shown_value)}")
    line(f"\n{plural(len(body), 'byte')}{'' if text is not None else ', not text'}:", "bold")
    line(text if text is not None else hexdump(body))


def readable(body: bytes) -> str | None:
    """Return bytes as text, or None when they are not UTF-8 or could steer a terminal."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\t" for char in text.replace("\r\n", "\n")) else None


def hexdump(body: bytes) -> str:
    """Show bytes as offset, hexadecimal numbers and ASCII, sixteen per line."""
    lines = []
    for start in range(0, len(body), WIDTH):
        piece = body[start : start + WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{start:08x}  {piece.hex(' '):<{3 * WIDTH}} {text}")
    return "\n".join(lines)


def _facts(row: Quarantined, delivery: RawEvent) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(row),
        "kind": delivery.kind,
        "part": "one item of a delivery" if delivery.item else "a whole delivery",
        "received_at": delivery.received_at.isoformat(),
        "content_type": delivery.content_type,
        "verified": delivery.security.verified if delivery.security else None,
        "meta": delivery.meta,
    }
