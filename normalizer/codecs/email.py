"""Internet mail: one mail is one `message.received`.

Ids: the Message-ID, or a hash of the mail where it is missing or broken (`normalizer.mail.identity`). The conversation
is what a token of ours says, or else the thread's first Message-ID *together with the sender's address*: References can
be forged or guessed, and must not carry a stranger into somebody's conversation (`normalizer.mail.threading`). A report
about a mail of ours is a second event (`normalizer.codecs.email_reports`).

Attachments are not in the event. The connector stores them before the mail is handed on and tells in `RawEvent.meta`
what it stored, so that decoding needs no storage and gives the same result at every replay:

``mail_from`` · ``rcpt_to`` (JSON array)
    the SMTP envelope; an empty ``mail_from`` is the null return path.
``raw_ref``
    reference of the mail as received.
``stored``
    what was stored of `derived`, as `stored` writes it.
``begun_by``
    Message-ID that began the thread of an answer that has nothing but a Thread-Index (`connectors.email.indexes`).
``imap`` (JSON)
    where in a mailbox the mail was: ``folder``, ``uidvalidity``, ``uid``; becomes `metadata.email.imap`.
``whole_bytes``
    size of the mail where the body is less of it than `raw_ref`.
``unreadable``
    why a mailbox reader gave up on the mail; it goes to the quarantine, and is read when it is re-driven.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from normalizer import build, ids
from normalizer.codecs import email_content, email_reports
from normalizer.codecs.email_content import VERSION, Blob, StoredPart, blobs_of, derived, stored
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.mail import crypto, dates, identity
from normalizer.mail.address import Mailbox, addresses
from normalizer.mail.content import Content
from normalizer.mail.headers import Fields
from normalizer.mail.mime import parse
from normalizer.mail.threading import SCHEME
from normalizer.mail.tokens import Tokens
from normalizer.model import Flags, Party, RawInfo, Thread
from normalizer.raw import BadItem, Decoded, Event, Outbound, RawEvent, Wire

AHEAD_BYTES, AHEAD_MAX = 65_536, 64
"""Size and number of mails whose parts are kept between `EmailCodec.derived` and `EmailCodec.decode`."""

__all__ = ["VERSION", "EmailCodec", "StoredPart", "derived", "events", "read", "stored"]


class EmailCodec:
    """Codec of the kind ``email``."""

    version = VERSION

    def __init__(self, tokens: Tokens | None = None) -> None:
        """Recognise answers by `tokens`; without them only by what any mail tells."""
        self._tokens = tokens
        self._ahead: dict[int, tuple[bytes, Content]] = {}

    def derived(self, body: bytes) -> Iterator[Blob]:
        """See `normalizer.codecs.email.derived`; a small mail need not be taken apart again when it is decoded."""
        content = Content(parse(body))
        if len(body) <= AHEAD_BYTES:
            self._ahead[id(body)] = (body, content)
            if len(self._ahead) > AHEAD_MAX:  # of deliveries that ended before they were decoded
                del self._ahead[next(iter(self._ahead))]
        return blobs_of(content)

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one mail; raises `MalformedPayload` only where there is no mail at all."""
        if "unreadable" in raw.meta and not raw.item:
            yield BadItem(body=raw.body, reason=raw.meta["unreadable"])
            return
        if not raw.body.strip():
            raise MalformedPayload("the mail is empty: neither header nor body")
        try:
            ahead = self._ahead.pop(id(raw.body), None)
            yield from events(raw, self._tokens, ahead[1] if ahead is not None else None)
        except Exception as exc:  # noqa: BLE001 -- a bug in here must cost a look into the quarantine, not a customer's mail
            yield BadItem(body=raw.body, reason=f"the mail reader failed with {type(exc).__name__}; please report it")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Refuse: mail is sent by SMTP, not as HTTP requests (`connectors.email.outgoing`)."""
        raise Unsendable("mail")


def read(raw: RawEvent, tokens: Tokens | None = None) -> Event:
    """Turn a mail into `message.received`."""
    return events(raw, tokens)[0]


def events(raw: RawEvent, tokens: Tokens | None = None, content: Content | None = None) -> list[Event]:
    """Turn a mail into its event, and one more if it reports on a mail of ours; all or nothing.

    `content` is that of the mail, if it has been taken apart before.
    """
    content = content or Content(parse(raw.body))
    root = content.root
    fields = root.fields
    own = identity.message_id(root) or identity.content_id(root)
    envelope = _recipients(raw)
    author, reply = _sender(raw, fields)
    context = email_reports.understand(raw, root, own=own, author=_key(author), envelope=envelope, tokens=tokens)
    sender = replace(author, role="system") if context.system else author
    thread = context.place.root
    message = build.message(
        raw,
        native_id=own,
        sender=sender,
        parts=email_content.of(raw, root, content),
        sent_at=dates.read(fields.raw("date")),
        to=_parties(fields, "to", envelope),
        cc=_parties(fields, "cc", envelope),
        subject=fields.text("subject") or None,
        reply_to=email_reports.reference(raw, context),
        thread=Thread(root_provider_id=thread) if thread != own else None,
        flags=_flags(context.flags, crypto.protection(root, content.body)),
    )
    conversation = context.conversation(reply.address if reply else None)
    metadata = {**_metadata(raw, envelope), **context.metadata()}
    event = build.received(
        raw, message, conversation, normalizer=VERSION, metadata={"email": metadata} if metadata else {}
    )
    about = email_reports.events(raw, context, sender, normalizer=VERSION)
    return [replace(one, params=replace(one.params, raw=_raw_info(raw))) for one in (event, *about)]


def _flags(flags: Flags | None, protection: crypto.Protection) -> Flags | None:
    if not any(protection):
        return flags
    return replace(flags or Flags(), signed=protection.signed, encrypted=protection.encrypted)


def _key(party: Party) -> str:
    return party.addresses[0].value if party.addresses else ""


def _metadata(raw: RawEvent, recipients: list[str]) -> dict[str, Any]:
    """Tell the SMTP envelope, which the header of a mail need not agree with, or the place in the mailbox."""
    place = {"imap": msgspec.json.decode(raw.meta["imap"])} if "imap" in raw.meta else {}
    if "mail_from" not in raw.meta:
        return place
    return {"mail_from": raw.meta["mail_from"], "rcpt_to": recipients, **place}


def _raw_info(raw: RawEvent) -> RawInfo:
    ref = raw.meta.get("raw_ref")
    return RawInfo(ref=ref, sha256=ref.removeprefix("sha256:") if ref else None, normalizer=VERSION)


def _recipients(raw: RawEvent) -> list[str]:
    try:
        return msgspec.json.decode(raw.meta.get("rcpt_to", "[]"), type=list[str])
    except msgspec.MsgspecError:
        return []


def _sender(raw: RawEvent, fields: Fields) -> tuple[Party, Mailbox | None]:
    """Say who wrote, and whom an answer goes to."""
    envelope = raw.meta.get("mail_from", "")
    candidates = [box for name in ("from", "sender", "reply-to") for box in addresses(fields.raw(name))[:1]]
    candidates += [Mailbox("", envelope)] if "@" in envelope else []
    replies = addresses(fields.raw("reply-to"))[:1]
    if not candidates:
        name = fields.text("from") or None
        return Party(id=ids.contact_id(SCHEME, ""), name=name, role="customer"), replies[0] if replies else None
    author = candidates[0]
    return build.party(SCHEME, author.key, name=author.name), (replies or [author])[0]


def _parties(fields: Fields, name: str, ours: list[str]) -> tuple[Party, ...]:
    known = {address.lower() for address in ours}
    boxes = {box.key: box for value in fields.every(name) for box in addresses(value)}
    return tuple(
        build.party(SCHEME, key, name=box.name, role="agent" if key in known else "customer")
        for key, box in boxes.items()
    )
