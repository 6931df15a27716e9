"""A mail on its way out, from its pieces to its bytes (RFC 5322); the same pieces give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256

from msgspec import Struct

from normalizer.mail import compose_fields as fields
from normalizer.mail import compose_mime as mime
from normalizer.mail.address import Mailbox

REFERENCES_MAX = 20
"""Ids in References: the first, which names the thread, and the newest."""
REFERENCES_CHARS = 4_000

RELATED = 'related;\r\n type="text/html"'
"""The type of its first entity is required (RFC 2387 §3.1)."""

_REPLY = re.compile(
    r"(?:(?:re|aw|antw|antwort|sv|vs|odp|ynt|r|rif|res|bls|vá|отв|ответ|回复|回覆|答复|答覆)"
    r"\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[:\uff1a]\s*)+",
    re.IGNORECASE,
)
"""What programs in many languages put before the subject of an answer, once or stacked."""


class File(Struct, frozen=True, kw_only=True):
    """An attachment; with a `cid` it is an image inside the HTML."""

    data: bytes
    mime: str
    name: str | None = None
    cid: str | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """What a mail is made of; all addresses come from `compose_fields.address`.

    Attributes:
        message_id: with or without angle brackets, as are the other ids.
        references: the thread so far, the oldest first.
        automatic: the keyword of Auto-Submitted (RFC 3834 §5), for what no human wrote.
        loop_mark: by which we know the mail again when it comes back to us (`normalizer.mail.classify.LOOP_FIELD`).
    """

    message_id: str
    date: datetime
    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    reply_to: Mailbox | None = None
    subject: str = ""
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    automatic: str | None = None
    loop_mark: str | None = None
    text: str = ""
    html: str | None = None
    files: tuple[File, ...] = ()


def compose(draft: Draft) -> bytes:
    """Build the mail, with CRLF line ends and no byte beyond ASCII, except in addresses that are not ASCII."""
    content = _content(draft)
    return b"".join((*_head(draft), b"MIME-Version: 1.0\r\n", content.head, b"\r\n", content.content))


def is_international(draft: Draft) -> bool:
    """Tell whether an address needs SMTPUTF8 (RFC 6531)."""
    boxes = (draft.sender, *draft.to, *draft.cc, *filter(None, (draft.reply_to,)))
    return not all(box.address.isascii() for box in boxes)


def reply_subject(subject: str) -> str:
    """Put one ``Re:`` before a subject, in place of those that are there."""
    base = base_subject(subject)
    return f"Re: {base}" if base else "Re:"


def base_subject(subject: str) -> str:
    """Take off what answers put before a subject."""
    subject = fields.one_line(subject)
    match = _REPLY.match(subject)
    return subject[match.end() :] if match else subject


def capped(references: Iterable[str]) -> tuple[str, ...]:
    """Keep the first id, which names the thread, and as many of the newest as a header may have."""
    unique = list(dict.fromkeys(one for one in references if _is_id(one)))
    first, rest = unique[:1], unique[1:]
    kept: list[str] = []
    chars = sum(map(len, first))
    for one in reversed(rest[-(REFERENCES_MAX - 1) :]):
        chars += len(one)
        if chars > REFERENCES_CHARS:
            break
        kept.append(one)
    return (*first, *reversed(kept))


def _is_id(text: str) -> bool:
    return bool(re.fullmatch(r"[\x21-\x3b\x3d\x3f-\x7e]{1,900}", text)) and "@" in text


def _head(draft: Draft) -> Sequence[bytes]:
    head = [
        fields.field("Date", format_datetime(draft.date)),
        fields.addresses("From", [draft.sender]),
        fields.addresses("To", draft.to),
        fields.text("Subject", draft.subject),
        fields.ids("Message-ID", [draft.message_id.strip("<>")]),
    ]
    if draft.cc:
        head.insert(3, fields.addresses("Cc", draft.cc))
    if draft.reply_to is not None:
        head.append(fields.addresses("Reply-To", [draft.reply_to]))
    if draft.in_reply_to is not None and _is_id(answered := draft.in_reply_to.strip("<>")):
        head.append(fields.ids("In-Reply-To", [answered]))
    if references := capped(draft.references):
        head.append(fields.ids("References", references))
    if draft.automatic:
        head.append(fields.text("Auto-Submitted", draft.automatic))
        # Exchange asks for this one: https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxcmail
        head.append(fields.text("X-Auto-Response-Suppress", "All"))
    if draft.loop_mark is not None:
        head.append(fields.field("X-Omnigate-Loop", draft.loop_mark))
    return head


def _content(draft: Draft) -> mime.Part:
    name = sha256(draft.message_id.encode()).hexdigest()[:24]
    texts = [mime.text(draft.text, "plain")]
    if draft.html is not None:
        shown = [mime.file(one.data, one.mime, name=one.name, cid=one.cid) for one in draft.files if one.cid]
        texts.append(mime.multipart(RELATED, [mime.text(draft.html, "html"), *shown], f"r{name}"))
    attached = [
        mime.file(one.data, one.mime, name=one.name) for one in draft.files if not one.cid or draft.html is None
    ]
    return mime.multipart("mixed", [mime.multipart("alternative", texts, f"a{name}"), *attached], f"m{name}")
