"""The web chat's own wire format: what a visitor did (`chat_types.Call`), and what he is shown.

A client chooses the ids of its messages, so they are unique in their conversation only; that is the scope of the
dedup key. Whatever a client may repeat has the same key again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs import chat_shown
from normalizer.codecs import chat_types as t
from normalizer.errors import MalformedPayload
from normalizer.model import (
    ActivityParams,
    Address,
    Conversation,
    DeletedParams,
    MessageRef,
    Party,
    ReceiptParams,
)
from normalizer.parts import AnyPart, Media
from normalizer.raw import Decoded, Event, Outbound, RawEvent, Wire

VERSION = "chat/1"
SCHEME = "chat"


class ChatCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one call."""
        call = build.parse(raw.body, t.Call)
        reader = _READERS.get(call.method)
        if reader is None:
            raise MalformedPayload("a method that is no event - at `$.method`")
        return tuple(reader(_Told(raw, call)))

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as the visitor is shown it; raises `Unsendable`."""
        return (Wire(method="PUT", url=f"/{message.to.value}/{message.id}", body=written(chat_shown.shown(message))),)


def written(value: Any) -> bytes:
    """Write JSON."""
    return msgspec.json.encode(value)


class _Told:
    """A call on its way to events."""

    def __init__(self, raw: RawEvent, call: t.Call) -> None:
        self.raw, self.call = raw, call
        self.scope = call.visitor.id

    @property
    def sender(self) -> Party:
        visitor = self.call.visitor
        return build.party(
            SCHEME, visitor.id, name=visitor.name, locale=self.call.locale, also=visitor.addresses + self._moved()
        )

    def _moved(self) -> tuple[Address, ...]:
        moved = self.call.moved_to
        return () if moved is None else (Address(scheme=SCHEME, value=moved),)

    @property
    def conversation(self) -> Conversation:
        return build.conversation(self.raw, self.scope, "session")

    @property
    def metadata(self) -> dict[str, Any]:
        call = self.call
        known = {
            "session": call.session,
            "transport": call.transport,
            "identified": call.identified or None,
            "page": call.page and msgspec.to_builtins(call.page),
            "locale": call.locale,
            "client": call.client and msgspec.to_builtins(call.client),
            "moved_to": call.moved_to,
        }
        return {SCHEME: {name: value for name, value in known.items() if value}}

    def params(self, shape: type[build.T]) -> build.T:
        """Read the call's params; raises `MalformedPayload`."""
        return build.parse(self.call.params, shape)

    def event(self, method: str, shape: type[build.E], *, native_id: str, **fields: Any) -> Event:
        """Make an event of this conversation that is no message."""
        return build.event(
            self.raw,
            method,
            shape,
            native_id=native_id,
            scope=self.scope,
            normalizer=VERSION,
            conversation=self.conversation,
            metadata=self.metadata,
            **fields,
        )

    def activity(self, method: str, native_id: str, *, reason: str | None = None) -> Event:
        """Say that the visitor did something."""
        return self.event(
            method,
            ActivityParams,
            native_id=native_id,
            revision=method,
            at=self.raw.received_at,
            sender=self.sender,
            reason=reason,
        )

    @property
    def moment(self) -> str:
        """Name of what happens once: the time at which the delivery came."""
        return self.raw.received_at.isoformat()

    def ref(self, message: str) -> MessageRef:
        """Name a message by our id and by the client's."""
        ours = message if message.startswith(t.OURS) else ids.message_id(self.raw.channel.id, self.scope, message)
        return MessageRef(id=ours, provider_id=message)

    def message(self, native_id: str, parts: Iterable[AnyPart], *, revision: int = 0, **fields: Any) -> Event:
        """Make an event of a message of the visitor's."""
        message = build.message(
            self.raw,
            native_id=native_id,
            scope=self.scope,
            sender=self.sender,
            parts=parts,
            revision=revision,
            sent_at=None,
            **fields,
        )
        return build.received(
            self.raw,
            message,
            self.conversation,
            scope=self.scope,
            revision=str(revision) if revision else "",
            updated=revision > 0,
            normalizer=VERSION,
            metadata=self.metadata,
        )


def _sent(told: _Told) -> Iterable[Decoded]:
    said = told.params(t.Send)
    if told.call.begins:
        yield told.activity("conversation.started", said.id)
    reply_to = None if said.reply_to is None else told.ref(said.reply_to)
    yield told.message(said.id, parts_of(said, told.call.files), reply_to=reply_to)


def _edited(told: _Told) -> Iterable[Decoded]:
    said = told.params(t.Edit)
    yield told.message(said.id, parts_of(said, told.call.files), revision=said.revision)


def _deleted(told: _Told) -> Iterable[Decoded]:
    said = told.params(t.Delete)
    yield told.event(
        "message.deleted",
        DeletedParams,
        native_id=said.id,
        revision="deleted",
        message=told.ref(said.id),
        at=told.raw.received_at,
        by=told.sender,
        after=build.original(told.raw, said.id, told.scope),
    )


def _typing(told: _Told) -> Iterable[Decoded]:
    verb = "started" if told.params(t.Typing).active else "stopped"
    yield told.activity(f"typing.{verb}", told.moment)


def _receipts(told: _Told) -> Iterable[Decoded]:
    verb = told.call.method
    for message in told.call.messages:
        yield told.event(
            f"receipt.{verb}",
            ReceiptParams,
            native_id=message,
            revision=verb,
            message=told.ref(message),
            at=told.raw.received_at,
            sender=told.sender,
        )


def _closed(told: _Told) -> Iterable[Decoded]:
    reason = told.params(t.Close).reason
    yield told.activity("conversation.ended", f"{told.call.number}", reason=reason)


def _identified(told: _Told) -> Iterable[Decoded]:
    visitor = told.call.visitor
    known = [visitor.name or "", told.call.moved_to or ""]
    known += [word for address in visitor.addresses for word in (address.scheme, address.value)]
    yield told.activity("contact.identified", ids.digest(*known))


def _asked(told: _Told) -> Iterable[Decoded]:
    email = told.params(t.Transcript).email
    part = p.System(event="transcript_requested", args={"email": email} if email else {})
    yield told.message(f"transcript:{told.moment}", (part,))


_READERS: Mapping[str, Callable[[_Told], Iterable[Decoded]]] = {
    "message.send": _sent,
    "message.edit": _edited,
    "message.delete": _deleted,
    "typing": _typing,
    "delivered": _receipts,
    "read": _receipts,
    "session.close": _closed,
    "identified": _identified,
    "transcript": _asked,
}


def parts_of(said: t.Content, files: Mapping[str, Media]) -> tuple[AnyPart, ...]:
    """Turn what a visitor wrote into parts; raises `MalformedPayload` for a file that nobody uploaded."""
    return tuple(_part(part, files) for part in said.content)


def _part(part: t.AnySaid, files: Mapping[str, Media]) -> AnyPart:
    match part:
        case t.SaidText(body=body):
            return p.Text(body=body)
        case t.SaidLocation(lat=lat, lon=lon, name=name, address=address):
            return p.Location(lat=lat, lon=lon, name=name, address=address)
        case t.SaidChoice(item_id=item_id, title=title, of=of):
            return p.ChoiceReply(item_id=item_id, title=title, of=of)
        case t.SaidForm(form_id=form_id, data=data):
            return p.FormReply(form_id=form_id, data=build.bounded(data))
        case t.SaidFile(file=name, caption=caption):
            media = files.get(name)
            if media is None:
                raise MalformedPayload("a file that was not uploaded - at `$.params.parts[…].file`")
            return _file(part, msgspec.structs.replace(media, caption=caption))


def _file(part: t.SaidFile, media: Media) -> AnyPart:
    """Believe what a client calls a file only as far as the file is it."""
    kind = (media.mime or "").partition("/")[0]
    if isinstance(part, t.SaidImage) and kind == "image":
        return p.Image(media=media)
    if isinstance(part, t.SaidAudio) and kind == "audio":
        return p.Audio(media=media)
    if isinstance(part, t.SaidVideo) and kind == "video":
        return p.Video(media=media)
    return p.File(media=media)
