"""What a message of the Cloud API consists of.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Raw, Struct, field

Id = str | int
T = TypeVar("T")


class ErrorData(Struct):
    """More about an error."""

    details: str = ""


class Error(Struct):
    """https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes."""

    code: int = 0
    title: str = ""
    message: str = ""
    error_data: ErrorData | None = None

    @property
    def text(self) -> str:
        """What it says, most exact first."""
        return (self.error_data.details if self.error_data else "") or self.message or self.title


class Product(Struct):
    """What the person was looking at."""

    catalog_id: Id = ""
    product_retailer_id: Id = ""


class Context(Struct, rename={"sender": "from"}):
    """What a message refers to."""

    id: str | None = None
    sender: str | None = None
    forwarded: bool = False
    frequently_forwarded: bool = False
    referred_product: Product | None = None


class Text(Struct):
    """See `Message`."""

    body: str


class File(Struct):
    """Media: image, audio, video, document, sticker."""

    id: Id
    mime_type: str | None = None
    sha256: str | None = None
    caption: str | None = None
    filename: str | None = None
    voice: bool = False
    animated: bool = False


class Location(Struct):
    """See `Message`."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


class Name(Struct):
    """Of a contact card."""

    formatted_name: str = ""
    first_name: str | None = None
    last_name: str | None = None


class Phone(Struct):
    """Of a contact card."""

    phone: str | None = None
    wa_id: str | None = None


class Email(Struct):
    """Of a contact card."""

    email: str | None = None


class Card(Struct):
    """A contact card."""

    name: Name = field(default_factory=Name)
    phones: tuple[Phone, ...] = ()
    emails: tuple[Email, ...] = ()
    vcard: str | None = None


class Reply(Struct):
    """A button or a row that was chosen."""

    id: str
    title: str | None = None
    description: str | None = None


class FormReply(Struct):
    """A flow, an address form."""

    name: str = "flow"
    body: str | None = None
    response_json: str = "{}"


class Interactive(Struct):
    """An answer to an interactive message."""

    type: str = ""
    button_reply: Reply | None = None
    list_reply: Reply | None = None
    nfm_reply: FormReply | None = None
    call_permission_reply: dict[str, Any] | None = None


class Button(Struct):
    """A quick reply of a template."""

    text: str | None = None
    payload: str | None = None


class Item(Struct):
    """A line of an order."""

    product_retailer_id: Id
    quantity: float = 1
    item_price: Decimal | None = None
    currency: str | None = None


class Order(Struct):
    """A shopping basket."""

    product_items: tuple[Item, ...]
    catalog_id: Id = ""
    text: str | None = None


class Reaction(Struct):
    """An emoji on a message, or its removal."""

    message_id: str
    emoji: str | None = None


class System(Struct):
    """Something about the person."""

    type: str = ""
    body: str | None = None
    wa_id: str | None = None
    new_wa_id: str | None = None
    customer: str | None = None
    user_id: str | None = None
    previous_user_id: str | None = None
    parent_user_id: str | None = None


class Unsupported(Struct):
    """What WhatsApp knows and the Cloud API does not."""

    type: str | None = None


class Referral(Struct):
    """The ad or post that brought the person here."""

    source_type: str | None = None
    source_id: Id | None = None
    source_url: str | None = None
    ctwa_clid: str | None = None
    headline: str | None = None
    body: str | None = None
    media_type: str | None = None
    image_url: str | None = None
    video_url: str | None = None
    thumbnail_url: str | None = None


class Revoke(Struct):
    """A message taken back."""

    original_message_id: str


class Edit(Struct):
    """A message changed."""

    original_message_id: str
    message: Raw


class Content(Struct, kw_only=True):
    """What a message consists of, which is also what an edit replaces."""

    type: str = "unknown"
    context: Context | None = None
    text: Text | None = None
    image: File | None = None
    audio: File | None = None
    voice: File | None = None
    video: File | None = None
    document: File | None = None
    sticker: File | None = None
    location: Location | None = None
    contacts: tuple[Card, ...] = ()
    interactive: Interactive | None = None
    button: Button | None = None
    order: Order | None = None
    system: System | None = None
    unsupported: Unsupported | None = None
    errors: tuple[Error, ...] = ()
