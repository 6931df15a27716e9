"""What is said in a web chat: the calls of a client, and what its visitor is shown.

`connectors/chat/PROTOCOL.md` describes all of it for people who write clients.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct, field

from normalizer.model import Address
from normalizer.parts import AnyPart, Base, Media

ID = r"^(?!msg_)[A-Za-z0-9_.:-]{1,64}\Z"
"""A message's id, as a client may choose it; those of the company's messages begin with ``msg_``."""
OURS = "msg_"
SEQ_MAX = 2**53 - 1

ChosenId = Annotated[str, Meta(pattern=ID)]
AnyId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Line = Annotated[str, Meta(max_length=300)]
Link = Annotated[str, Meta(max_length=2000)]


class Said(Struct, frozen=True, kw_only=True):
    """Base of everything a client says; members nobody knows are ignored."""


class Page(Base, frozen=True, kw_only=True):
    """Where the visitor is."""

    url: Link | None = None
    title: Line | None = None
    referrer: Link | None = None


class Client(Base, frozen=True, kw_only=True):
    """Which program speaks."""

    name: Line | None = None
    version: Line | None = None


class Hello(Said, frozen=True, kw_only=True):
    """`hello`."""

    protocol: Literal[1]
    token: Annotated[str, Meta(max_length=4096)] | None = None
    after: Seq | None = None
    jwt: Annotated[str, Meta(max_length=8192)] | None = None
    page: Page | None = None
    locale: Annotated[str, Meta(max_length=35)] | None = None
    client: Client | None = None


class SaidPart(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what a visitor's message is made of."""


class SaidText(SaidPart, frozen=True, kw_only=True, tag="text"):
    """Text."""

    body: str


class SaidFile(SaidPart, frozen=True, kw_only=True, tag="file"):
    """Something that was uploaded before; `file` is what the upload answered."""

    file: Line
    caption: str | None = None


class SaidImage(SaidFile, frozen=True, kw_only=True, tag="image"):
    """A picture."""


class SaidAudio(SaidFile, frozen=True, kw_only=True, tag="audio"):
    """Sound."""


class SaidVideo(SaidFile, frozen=True, kw_only=True, tag="video"):
    """Moving pictures."""


class SaidLocation(SaidPart, frozen=True, kw_only=True, tag="location"):
    """A place."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]
    name: Line | None = None
    address: Line | None = None


class SaidChoice(SaidPart, frozen=True, kw_only=True, tag="choice_reply"):
    """An answer to a choice; `of` is the message that asked."""

    item_id: Line
    title: Line | None = None
    of: AnyId | None = None


class SaidForm(SaidPart, frozen=True, kw_only=True, tag="form_reply"):
    """A filled-in form."""

    form_id: Line
    data: dict[str, Any]


AnySaid = SaidText | SaidFile | SaidImage | SaidAudio | SaidVideo | SaidLocation | SaidChoice | SaidForm
SaidParts = Annotated[tuple[AnySaid, ...], Meta(max_length=16)]


class Content(Said, frozen=True, kw_only=True):
    """What a message says: `text`, or `parts`."""

    id: ChosenId
    text: str | None = None
    parts: SaidParts = ()
    page: Page | None = None
    locale: Annotated[str, Meta(max_length=35)] | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing."""
        if bool(self.parts) == (self.text is not None):
            raise ValueError("give either `text` or `parts`")
        if not any(part.body.strip() if isinstance(part, SaidText) else True for part in self.content):
            raise ValueError("the message is empty")

    @property
    def content(self) -> tuple[AnySaid, ...]:
        """The parts, text alone among them."""
        return self.parts if self.text is None else (SaidText(body=self.text),)


class Send(Content, frozen=True, kw_only=True):
    """`message.send`."""

    reply_to: AnyId | None = None


class Edit(Content, frozen=True, kw_only=True):
    """`message.edit`."""

    revision: Annotated[int, Meta(ge=1, le=1_000_000)]


class Delete(Said, frozen=True, kw_only=True):
    """`message.delete`."""

    id: ChosenId


class Upto(Said, frozen=True, kw_only=True):
    """`ack` and `read`."""

    seq: Seq


class Typing(Said, frozen=True, kw_only=True):
    """`typing`."""

    active: bool


class History(Said, frozen=True, kw_only=True):
    """`history`."""

    before: Seq | None = None
    limit: Annotated[int, Meta(ge=1)] = 50


class Transcript(Said, frozen=True, kw_only=True):
    """`transcript`."""

    email: Annotated[str, Meta(max_length=254, pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+\Z")] | None = None


class Close(Said, frozen=True, kw_only=True):
    """`session.close`."""

    reason: Line | None = None
    forget: bool = False


class Nothing(Said, frozen=True, kw_only=True):
    """`ping` and `presence`."""


CALLS: dict[str, type[Said]] = {
    "hello": Hello,
    "message.send": Send,
    "message.edit": Edit,
    "message.delete": Delete,
    "ack": Upto,
    "read": Upto,
    "typing": Typing,
    "history": History,
    "transcript": Transcript,
    "session.close": Close,
    "presence": Nothing,
    "ping": Nothing,
}
"""Method → its params."""


class Visitor(Base, frozen=True, kw_only=True):
    """Who writes.

    Attributes:
        id: of the conversation, and of the visitor as a contact (``chat``).
        addresses: what else the customer's site says of him.
    """

    id: str
    name: str | None = None
    addresses: tuple[Address, ...] = ()


class Call(Base, frozen=True, kw_only=True):
    """A delivery: what a visitor did, with what the connector knows of him.

    Attributes:
        method: what was called, or ``identified``, ``delivered``.
        params: as the client sent them, checked.
        begins: nothing was said before, or not since the conversation was closed.
        number: tells one end of the conversation, or one state of it, from another.
        files: by the name the upload answered.
        messages: those a receipt is about.
        moved_to: the conversation an identified visitor goes on with.
    """

    method: str
    visitor: Visitor
    session: str
    params: Raw = Raw(b"{}")
    transport: Literal["ws", "poll"] = "ws"
    begins: bool = False
    number: int = 0
    page: Page | None = None
    locale: str | None = None
    client: Client | None = None
    identified: bool = False
    files: dict[str, Media] = {}
    messages: tuple[str, ...] = ()
    moved_to: str | None = None


class Author(Base, frozen=True, kw_only=True):
    """Who a message is from."""

    role: Literal["visitor", "agent", "bot", "system"]
    name: str | None = None
    avatar: str | None = None


class Shown(Base, frozen=True, kw_only=True):
    """A message as the visitor is shown it."""

    id: str
    revision: int
    sender: Author = field(name="from")
    at: datetime | None = None
    text: str
    parts: tuple[AnyPart, ...] = ()
    reply_to: str | None = None
    edited_at: datetime | None = None
    deleted: bool = False
