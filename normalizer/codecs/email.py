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
    JSON of `Stored`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from hashlib import sha256
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from normalizer import build, ids, parts
from normalizer.codecs import email_reports
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.mail import classify, identity, quotes
from normalizer.mail.address import Mailbox, addresses
from normalizer.mail.content import Attachment, Content
from normalizer.mail.headers import Fields, words
from normalizer.mail.mime import Entity, parse
from normalizer.mail.threading import SCHEME
from normalizer.mail.tokens import Tokens
from normalizer.model import Party, RawInfo, Thread
from normalizer.raw import BadItem, Decoded, Event, Outbound, RawEvent, Wire

VERSION = "email/1"
HEADER_MAX = 2_000
"""Characters of one header field in `email.headers`."""

_SHOWN = (
    *("date", "message-id", "in-reply-to", "references", "return-path", "delivered-to", "x-original-to", "user-agent"),
    *("x-mailer", "auto-submitted", "precedence", "x-auto-response-suppress", "list-id", "list-unsubscribe"),
    *("importance", "x-priority", "content-language", "x-spam-flag", "x-spam-status", "thread-index"),
    "disposition-notification-to",
)
_MEDIA: dict[str, type[parts.Image | parts.Audio | parts.Video]] = {
    "image": parts.Image,
    "audio": parts.Audio,
    "video": parts.Video,
}


class StoredPart(Struct, frozen=True):
    """An attachment in the blob store, under ``sha256:<sha256>``; `size` in bytes."""

    sha256: str
    size: int


class Stored(Struct, frozen=True):
    """What was stored of a mail: the codec `version` that named the sections, and section → blob."""

    version: str
    parts: dict[str, StoredPart]


def attachments(body: bytes) -> list[Attachment]:
    """List the attachments of a mail, undecoded, as `EmailCodec.decode` will reference them."""
    return Content(parse(body)).attachments


class EmailCodec:
    """Codec of the kind ``email``."""

    version = VERSION

    def __init__(self, tokens: Tokens | None = None) -> None:
        """Recognise answers by `tokens`; without them only by what any mail tells."""
        self._tokens = tokens

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one mail; raises `MalformedPayload` only where there is no mail at all."""
        if not raw.body.strip():
            raise MalformedPayload("the mail is empty: neither header nor body")
        try:
            yield from events(raw, self._tokens)
        except Exception as exc:  # noqa: BLE001 -- a bug in here must cost a look into the quarantine, not a customer's mail
            yield BadItem(body=raw.body, reason=f"the mail reader failed with {type(exc).__name__}; please report it")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Refuse: mail is not sent by HTTP, and this channel only receives."""
        raise Unsendable("mail")


def read(raw: RawEvent, tokens: Tokens | None = None) -> Event:
    """Turn a mail into `message.received`."""
    return events(raw, tokens)[0]


def events(raw: RawEvent, tokens: Tokens | None = None) -> list[Event]:
    """Turn a mail into its event, and one more if it reports on a mail of ours; all or nothing."""
    parsed = parse(raw.body)
    root, fields = parsed.root, parsed.root.fields
    content = Content(parsed)
    own = identity.message_id(root) or identity.content_id(root)
    envelope = _recipients(raw)
    author, reply = _sender(raw, fields)
    context = email_reports.understand(raw, root, own=own, author=_key(author), envelope=envelope, tokens=tokens)
    sender = replace(author, role="system") if context.system else author
    media = dict(_media(raw, content))
    thread = context.place.root
    message = build.message(
        raw,
        native_id=own,
        sender=sender,
        parts=_parts(root, content, media),
        sent_at=_date(fields.raw("date")),
        to=_parties(fields, "to", envelope),
        cc=_parties(fields, "cc", envelope),
        subject=fields.text("subject") or None,
        reply_to=email_reports.reference(raw, context),
        thread=Thread(root_provider_id=thread) if thread != own else None,
        flags=context.flags,
    )
    conversation = context.conversation(reply.address if reply else None)
    metadata = {**_metadata(raw, envelope), **context.metadata()}
    event = build.received(
        raw, message, conversation, normalizer=VERSION, metadata={"email": metadata} if metadata else {}
    )
    about = email_reports.events(raw, context, sender, normalizer=VERSION)
    return [replace(one, params=replace(one.params, raw=_raw_info(raw))) for one in (event, *about)]


def _key(party: Party) -> str:
    return party.addresses[0].value if party.addresses else ""


def _metadata(raw: RawEvent, recipients: list[str]) -> dict[str, Any]:
    """Tell the SMTP envelope, which the header of a mail need not agree with."""
    if "mail_from" not in raw.meta:
        return {}
    return {"mail_from": raw.meta["mail_from"], "rcpt_to": recipients}


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


def _date(value: str) -> datetime | None:
    """Read a Date field; None for one that is no date; no zone and ``-0000`` are taken for UTC (RFC 5322 §3.3)."""
    try:
        fields = parsedate_tz(value[:100])
        if fields is None or fields[0] < 1970:
            return None
        zone = timezone(timedelta(seconds=fields[9] or 0))
        return datetime(*fields[:5], second=min(fields[5], 59), tzinfo=zone).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parts(root: Entity, content: Content, media: dict[str, parts.Media]) -> Iterator[parts.AnyPart]:
    own, quoted = quotes.split(content.text)
    cids = [(one.content_id, media[one.section].id) for one in content.attachments]
    yield parts.Email(
        text=content.text,
        stripped_text=own or None,
        quoted_text=quoted,
        headers={name: words(value)[:HEADER_MAX] for name in _SHOWN if (value := root.fields.raw(name))},
        list_id=classify.list_id(root.fields),
        inline={cid: media_id for cid, media_id in cids if cid},
    )
    for one in content.attachments:
        shape = _MEDIA.get(one.entity.kind, parts.File)
        yield shape(media=media[one.section])
    if content.cut:
        yield parts.Unsupported(provider_type="mail structure", hint="more parts than are listed; see the raw mail")


def _media(raw: RawEvent, content: Content) -> Iterator[tuple[str, parts.Media]]:
    """Reference the attachments: from what the connector stored, else computed, for a mail that was only tried out."""
    stored = _stored(raw)
    for one in content.attachments:
        blob = stored.get(one.section)
        status: Literal["stored", "pending"] = "stored" if blob else "pending"
        if blob is None:
            data = one.data()
            blob = StoredPart(sha256=sha256(data).hexdigest(), size=len(data))
        yield (
            one.section,
            parts.Media(
                id=ids.media_id(raw.channel.id, blob.sha256),
                mime=one.mime,
                name=one.name,
                size=blob.size,
                sha256=blob.sha256,
                status=status,
            ),
        )


def _stored(raw: RawEvent) -> dict[str, StoredPart]:
    try:
        stored = msgspec.json.decode(raw.meta.get("stored", ""), type=Stored)
    except (msgspec.MsgspecError, UnicodeError):
        return {}
    return stored.parts if stored.version == VERSION else {}
