"""Reports that mail systems send about a mail: the parts for machines of RFC 3464 (delivery) and RFC 8098 (reading)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from normalizer.mail import charsets
from normalizer.mail.headers import Fields
from normalizer.mail.identity import message_ids
from normalizer.mail.mime import Entity

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
ACTIONS: tuple[Action, ...] = ("failed", "delayed", "delivered", "relayed", "expanded")
RECIPIENTS_MAX = 100
"""Recipients told of one report; the others are only in the raw mail."""
TEXT_MAX = 500
"""Characters of a diagnostic."""

_GROUPS_MAX = 1_000
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.])([45])\d\d(?=[ \-])")
_ADDRESS = re.compile(r"[^\s<>\"'(),;:\[\]\\]{1,64}@[^\s<>\"'(),;:\[\]\\@]{1,255}")
STATUS_TYPES = {"message/delivery-status", "message/global-delivery-status"}
_HEADERS = {
    *("message/rfc822", "message/global", "message/partial"),
    *("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"),
}
_LEAVES_MAX = 50


class Recipient(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a mail for one recipient (RFC 3464 §2.3).

    Attributes:
        address: the recipient as the reporting system names it, in lower case.
        action: ``failed`` is final; ``delayed`` is still being tried; ``relayed`` and ``expanded`` left the world of
            delivery reports.
        status: enhanced status code (RFC 3463); ``5.0.0`` or ``4.0.0`` where only the class is known.
        diagnostic: the words of the system that refused.
    """

    address: str
    action: Action
    status: str | None = None
    diagnostic: str | None = None


class Read(Struct, frozen=True, kw_only=True):
    """What a disposition notification says (RFC 8098 §3.2.6).

    Attributes:
        disposition: ``displayed``, ``deleted``, ``dispatched``, ``processed`` …
        automatic: no human took part.
    """

    disposition: str
    automatic: bool


def leaves(entity: Entity) -> list[Entity]:
    """List what is not multipart, in order; mails inside the mail are not opened: their reports are not about ours."""
    found: list[Entity] = []
    waiting = [entity]
    while waiting and len(found) < _LEAVES_MAX:
        one = waiting.pop()
        if one.children and one.kind == "multipart":
            waiting.extend(reversed(one.children))
        else:
            found.append(one)
    return found


def groups(data: bytes) -> Iterator[Fields]:
    """Read blocks of fields separated by empty lines; a line that is no field ends only its block."""
    position, end = 0, len(data)
    for _ in range(_GROUPS_MAX):
        if position >= end:
            return
        block = Entity(data, position, end, "", "text/plain")
        if block.start > position:
            position = block.start
        else:
            newline = data.find(b"\n", position)
            position = end if newline < 0 else newline + 1
        if any(True for _ in block.fields.names()):
            yield block.fields


def recipients(status: bytes) -> list[Recipient]:
    """Read the recipients of a ``message/delivery-status``; without a readable Action the Status decides."""
    found: list[Recipient] = []
    for fields in groups(status):
        address = next((one for name in ("final-recipient", "original-recipient") if (one := _typed(fields, name))), "")
        if not address or len(found) >= RECIPIENTS_MAX:
            continue
        diagnostic = diagnosed(fields.text("diagnostic-code"))
        code = status_code(fields.raw("status")) or status_code(diagnostic or "")
        word = fields.raw("action").partition(" ")[0].strip(" ;").lower()
        by_code: Action = "delayed" if code and code[0] == "4" else "delivered" if code and code[0] == "2" else "failed"
        action = next((one for one in ACTIONS if one == word), by_code)
        found.append(Recipient(address=address, action=action, status=code, diagnostic=diagnostic))
    return found


def diagnosed(text: str) -> str | None:
    """Shorten a diagnostic to one line, without its type (``smtp;``)."""
    words = re.sub(r"^\s*[\w-]{1,20}\s*;\s*", "", text)
    return " ".join(words.split())[:TEXT_MAX] or None


def status_code(text: str) -> str | None:
    """Find an enhanced status code (RFC 3463), else derive its class from an SMTP reply code."""
    if match := _STATUS.search(text):
        return match[1]
    match = _REPLY.search(text)
    return f"{match[1]}.0.0" if match else None


def address_in(text: str) -> str | None:
    """Find the first address in a text, in lower case."""
    match = _ADDRESS.search(text)
    return match[0].strip(".").lower() if match else None


def addresses_in(text: str) -> Iterator[tuple[int, str]]:
    """Find all addresses with their places."""
    for match in _ADDRESS.finditer(text):
        yield match.start(), match[0].strip(".").lower()


def _typed(fields: Fields, name: str) -> str | None:
    """Read ``rfc822; somebody@example.net``; a local user has no domain."""
    value = fields.text(name)
    tail = value.partition(";")[2] if ";" in value else value
    return address_in(tail) or tail.strip(" <>\t\"'").lower()[:320] or None


def returned(listed: list[Entity]) -> Fields | None:
    """Find the header of the mail that came back, as a part of the report."""
    for leaf in listed:
        if leaf.mime in _HEADERS or (leaf.kind == "text" and _looks_like_header(leaf)):
            data = leaf.payload()
            return Entity(data, 0, len(data), "", "text/plain").fields
    return None


def _looks_like_header(leaf: Entity) -> bool:
    """Some systems attach the header as a text file."""
    fields = Entity(leaf.encoded(), 0, leaf.end - leaf.start, "", "text/plain").fields
    return "message-id" in fields and ("from" in fields or "received" in fields)


def original_ids(listed: list[Entity]) -> list[str]:
    """List ids a report itself names as the mail it is about (RFC 8098 §3.2.5, and what is done without a standard)."""
    found: list[str] = []
    for leaf in listed:
        if leaf.mime in {*STATUS_TYPES, "message/disposition-notification"}:
            for fields in groups(leaf.payload()):
                inside = ("message-id",) if "from" in fields else ()  # the boundary before the returned mail is broken
                for name in ("original-message-id", "x-original-message-id", *inside):
                    found += message_ids(fields.raw(name))
    return found


def answered_ids(fields: Fields) -> list[str]:
    """List the ids a report answers, the nearest first."""
    return [*message_ids(fields.raw("in-reply-to")), *reversed(message_ids(fields.raw("references")))]


def disposition(root: Entity) -> Read | None:
    """Read a message disposition notification; None for any other mail."""
    if root.mime != "multipart/report" or _report_type(root) != "disposition-notification":
        return None
    for leaf in leaves(root):
        if leaf.mime == "message/disposition-notification":
            for fields in groups(leaf.payload()):
                if value := fields.raw("disposition"):
                    mode, _, kind = value.lower().partition(";")
                    word = kind.strip().partition("/")[0].strip()
                    return Read(disposition=charsets.clean(word)[:40], automatic="automatic-action" in mode)
    return Read(disposition="", automatic=True)


def _report_type(root: Entity) -> str:
    return root.params.get("report-type", "").strip().lower()


def is_delivery_report(root: Entity) -> bool:
    """Tell by its type whether a mail is a delivery status notification (RFC 3464 §2)."""
    return root.mime == "multipart/report" and _report_type(root) == "delivery-status"
