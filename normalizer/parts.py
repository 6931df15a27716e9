"""The content union: what a message is made of (`parts[].type`).

Readers ignore fields they do not know, and show a part type they do not know as the message's `text`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct


class Base(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Defaults of every model type: immutable, absent fields omitted, unknown fields ignored."""


class Word(Base, frozen=True, kw_only=True):
    """A recognised word; `confidence` is 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


class Segment(Base, frozen=True, kw_only=True):
    """A stretch of recognised speech; times are milliseconds from the start of the recording, or from the answer.

    Attributes:
        speaker: whose voice, where it is known (``caller``, ``gateway``).
        channel: of the recording, from 0.
        confidence: mean of the words', 0 to 1.
        words: one by one; absent where a segment was rewritten (numerals, masked digits) or is a partial.
        stable: false for a partial, which may still change.
    """

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None = None
    channel: int | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    stable: bool = True


class Media(Base, frozen=True, kw_only=True):
    """A reference to an attachment or a recording, never its bytes.

    `url` is a link of the gateway's own (signed, expiring at `expires_at`), present once `status` is ``stored``.
    """

    id: str
    mime: str | None = None
    name: str | None = None
    size: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    caption: str | None = None
    voice: bool = False
    status: Literal["pending", "stored", "expired", "too_large", "failed"]
    url: str | None = None
    expires_at: datetime | None = None
    provider_id: str | None = None
    transcript: str | None = None


class Part(Base, frozen=True, kw_only=True, tag_field="type"):
    """Base of the union."""


class Text(Part, frozen=True, kw_only=True, tag="text"):
    """A run of text."""

    body: str
    format: Literal["plain", "markdown", "html"] = "plain"


class Image(Part, frozen=True, kw_only=True, tag="image"):
    """A picture."""

    media: Media


class Audio(Part, frozen=True, kw_only=True, tag="audio"):
    """Sound; `media.voice` tells a voice note from music."""

    media: Media


class Video(Part, frozen=True, kw_only=True, tag="video"):
    """Moving pictures, animations among them."""

    media: Media


class File(Part, frozen=True, kw_only=True, tag="file"):
    """Any other attachment."""

    media: Media


class Sticker(Part, frozen=True, kw_only=True, tag="sticker"):
    """A sticker; `emoji` is what it stands for."""

    media: Media
    emoji: str | None = None


class Location(Part, frozen=True, kw_only=True, tag="location"):
    """A place in WGS 84 degrees; `live_until` when the sender shares a moving position."""

    lat: float
    lon: float
    name: str | None = None
    address: str | None = None
    live_until: datetime | None = None


class Contact(Part, frozen=True, kw_only=True, tag="contact"):
    """A contact card."""

    name: str
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    vcard: str | None = None


class ChoiceItem(Base, frozen=True, kw_only=True):
    """One thing to choose; `id` comes back in `ChoiceReply.item_id`."""

    id: str
    title: str
    description: str | None = None
    url: str | None = None


class Choice(Part, frozen=True, kw_only=True, tag="choice"):
    """A question with prepared answers (outbound)."""

    kind: Literal["buttons", "list", "quick_replies", "cta_url", "location_request", "form"]
    body: str
    items: tuple[ChoiceItem, ...] = ()


class ChoiceReply(Part, frozen=True, kw_only=True, tag="choice_reply"):
    """What the customer chose; `of` is the provider's id of the message that asked."""

    item_id: str
    title: str | None = None
    of: str | None = None


class FormReply(Part, frozen=True, kw_only=True, tag="form_reply"):
    """A filled-in form."""

    form_id: str
    data: dict[str, Any]


class Template(Part, frozen=True, kw_only=True, tag="template"):
    """A message the provider approved beforehand (outbound)."""

    name: str
    language: str
    variables: tuple[str, ...] = ()


class CardItem(Base, frozen=True, kw_only=True):
    """A card: a title, a text, a picture and choices."""

    title: str
    body: str | None = None
    media: Media | None = None
    items: tuple[ChoiceItem, ...] = ()


class Card(Part, frozen=True, kw_only=True, tag="card"):
    """One card."""

    items: tuple[CardItem, ...]


class Carousel(Part, frozen=True, kw_only=True, tag="carousel"):
    """Several cards side by side."""

    items: tuple[CardItem, ...]


class OrderItem(Base, frozen=True, kw_only=True):
    """A line of an order; `price` in the smallest unit of `currency`."""

    product_id: str
    quantity: float
    price: int | None = None
    currency: str | None = None


class Order(Part, frozen=True, kw_only=True, tag="order"):
    """A shopping basket sent by the customer."""

    items: tuple[OrderItem, ...]


class Email(Part, frozen=True, kw_only=True, tag="email"):
    """What only a mail has; attachments are parts of their own.

    `stripped_text` is `text` without what it quotes and without the signature. `html_ref` names a stored fragment of
    HTML (UTF-8) that is safe to show; its ``cid:`` links are resolved by `inline`, which maps Content-ID to media id.
    `remote_images` counts the pictures it does not fetch from elsewhere (their address is in ``data-remote-src``),
    `trackers` those of them that are invisible and were left out.
    """

    text: str
    stripped_text: str | None = None
    quoted_text: str | None = None
    html_ref: str | None = None
    remote_images: int = 0
    trackers: int = 0
    headers: dict[str, str] = {}
    list_id: str | None = None
    inline: dict[str, str] = {}


class Transcript(Part, frozen=True, kw_only=True, tag="transcript"):
    """Recognised speech."""

    language: str
    source: Literal["live", "voicenote", "voicemail"]
    segments: tuple[Segment, ...] = ()
    final: bool = True


class System(Part, frozen=True, kw_only=True, tag="system"):
    """Something the provider tells inside the conversation (member joined, title changed …)."""

    event: str
    args: dict[str, Any] = {}


class Unsupported(Part, frozen=True, kw_only=True, tag="unsupported"):
    """A content type this normaliser does not know yet; the raw delivery is kept (`raw.ref`)."""

    provider_type: str
    hint: str | None = None


type_names: tuple[str, ...] = tuple(str(cls.__struct_config__.tag) for cls in Part.__subclasses__())
"""Every `parts[].type`, in the order of this module."""

AnyPart = (
    Text
    | Image
    | Audio
    | Video
    | File
    | Sticker
    | Location
    | Contact
    | Choice
    | ChoiceReply
    | FormReply
    | Template
    | Card
    | Carousel
    | Order
    | Email
    | Transcript
    | System
    | Unsupported
)
"""The union, as annotation and as msgspec type."""

MediaPart = Image | Audio | Video | File | Sticker
"""The parts that carry one `Media`."""
