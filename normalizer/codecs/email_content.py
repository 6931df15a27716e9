"""What a mail says and carries, as parts of a message; and what the connector stores of it beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from normalizer import ids, parts
from normalizer.mail import classify, crypto, page, quotes
from normalizer.mail.attachment import Attachment
from normalizer.mail.content import Content
from normalizer.mail.headers import words
from normalizer.mail.mime import Entity, parse
from normalizer.raw import RawEvent

VERSION = "email/2"
HEADER_MAX = 2_000
"""Characters of one header field in `email.headers`."""
PAGE = "html"
"""Section of the page in `Stored.parts`; the others are numbers."""

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


class StoredPart(Struct, frozen=True, omit_defaults=True):
    """An attachment or the page in the blob store, under ``sha256:<sha256>``; `size` in bytes, `notes` as in `Blob`."""

    sha256: str
    size: int
    notes: dict[str, int] = {}


class Stored(Struct, frozen=True):
    """What was stored of a mail: the codec `version` that named the sections, and section → blob."""

    version: str
    parts: dict[str, StoredPart]


class Blob(Protocol):
    """Bytes to be stored before a mail is handed on.

    Attributes:
        section: its key in `Stored.parts`.
        notes: numbers to be kept with it, because they are expensive to find again.
    """

    section: str
    notes: dict[str, int]

    def data(self) -> bytes:
        """Decode the bytes."""
        ...


class _Page:
    """The sanitised HTML of a mail (`normalizer.mail.page`)."""

    def __init__(self, content: Content) -> None:
        made = page.build(content.page)
        counts = {"remote_images": made.remote_images, "trackers": made.trackers}
        self.section = PAGE
        self.notes = {name: count for name, count in counts.items() if count}
        self._html = made.html

    def data(self) -> bytes:
        return self._html.encode()


def derived(body: bytes) -> Iterator[Blob]:
    """List what `EmailCodec.decode` will refer to: the attachments, and the page of a mail that has HTML.

    Each is decoded when its `data` is called, so that only one need be in memory at a time.
    """
    yield from blobs_of(Content(parse(body)))


def blobs_of(content: Content) -> Iterator[Blob]:
    """See `derived`."""
    yield from content.attachments
    if content.page:
        with suppress(Exception):  # a bug there costs the page, and not the attachments
            yield _Page(content)


def stored(found: dict[str, StoredPart]) -> str:
    """Write ``RawEvent.meta["stored"]``."""
    return msgspec.json.encode(Stored(version=VERSION, parts=found)).decode()


def of(raw: RawEvent, root: Entity, content: Content) -> Iterator[parts.AnyPart]:
    """Describe a mail: the mail part, then its attachments in order."""
    blobs = _stored(raw)
    media = {one.section: _media(raw, one, blobs.get(one.section)) for one in content.attachments}
    cids = [(one.content_id, media[one.section].id) for one in content.attachments]
    own, quoted = quotes.split(crypto.clear(content.body))
    made = blobs.get(PAGE)
    yield parts.Email(
        text=content.text,
        stripped_text="\n\n".join(filter(None, [own, *content.invites])) or None,
        quoted_text=quoted,
        html_ref=f"sha256:{made.sha256}" if made else None,
        remote_images=made.notes.get("remote_images", 0) if made else 0,
        trackers=made.notes.get("trackers", 0) if made else 0,
        headers={name: words(value)[:HEADER_MAX] for name in _SHOWN if (value := root.fields.raw(name))},
        list_id=classify.list_id(root.fields),
        inline={cid: media_id for cid, media_id in cids if cid},
    )
    for one in content.attachments:
        yield _MEDIA.get(one.mime.partition("/")[0], parts.File)(media=media[one.section])
    if content.cut:
        yield parts.Unsupported(provider_type="mail structure", hint="more parts than are listed; see the raw mail")
    if (size := raw.meta.get("whole_bytes")) is not None:
        hint = f"the mail has {size} bytes, more than are read; see the raw mail"
        yield parts.Unsupported(provider_type="large mail", hint=hint)


def _media(raw: RawEvent, one: Attachment, blob: StoredPart | None) -> parts.Media:
    """Refer to an attachment: as the connector stored it, else computed, for a mail that was only tried out."""
    status: Literal["stored", "pending"] = "stored" if blob else "pending"
    if blob is None:
        data = one.data()
        blob = StoredPart(sha256=sha256(data).hexdigest(), size=len(data))
    return parts.Media(
        id=ids.media_id(raw.channel.id, blob.sha256),
        mime=one.mime,
        name=one.name,
        size=blob.size,
        sha256=blob.sha256,
        status=status,
    )


def _stored(raw: RawEvent) -> dict[str, StoredPart]:
    try:
        found = msgspec.json.decode(raw.meta.get("stored", ""), type=Stored)
    except (msgspec.MsgspecError, UnicodeError):
        return {}
    return found.parts if found.version == VERSION else {}
