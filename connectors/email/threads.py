"""What a reply needs to know of its conversation, remembered in the channel's state for `KEEP_SECS`.

A core that answers a conversation names nothing but the conversation. The header of the answer has to name the mails
before it (In-Reply-To, References, the subject), or the customer's mail program shows it somewhere else.

A received mail is noted before the pipeline gets it, so that no core can answer it earlier. It has to be decoded for
that, and is decoded only once: `Once` hands the pipeline what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from connectors.api import Receipt, Sink, State
from connectors.errors import StateUnavailable
from normalizer.codecs.api import Codec
from normalizer.errors import MalformedPayload
from normalizer.mail.compose import capped
from normalizer.mail.identity import message_ids
from normalizer.model import Flags, MessageParams, Party
from normalizer.parts import Email
from normalizer.raw import Decoded, Event, Outbound, RawEvent, Wire

KEEP_SECS = 180 * 86_400.0
OTHERS_MAX = 50
TRIES = 8
SUBJECT_MAX = 500


class Thread(Struct, frozen=True, array_like=True):
    """The thread of a conversation, as far as it got.

    Attributes:
        ids: Message-IDs without brackets, the oldest first.
        subject: of the newest mail.
        others: addresses of those the newest received mail went to, besides us, and of its other readers.
    """

    ids: tuple[str, ...] = ()
    subject: str = ""
    others: tuple[str, ...] = ()

    @property
    def last(self) -> str | None:
        """The newest mail."""
        return self.ids[-1] if self.ids else None

    def joined(self, ids: Iterable[str], subject: str, others: tuple[str, ...] | None = None) -> Thread:
        """Add a mail, with the ids before it; one that is known already changes nothing."""
        more = [one for one in ids if one not in self.ids]
        if not more:
            return self
        return Thread(
            capped((*self.ids, *more)), subject[:SUBJECT_MAX], self.others if others is None else others[:OTHERS_MAX]
        )


class Threads:
    """The threads of one channel."""

    def __init__(self, state: State, log: FilteringBoundLogger) -> None:
        """Remember in `state`."""
        self._state, self._log = state, log

    async def of(self, conversation: str) -> Thread:
        """Return what is known of a conversation; without the state a reply goes without it, rather than not at all."""
        try:
            return _decoded(await self._state.get(_key(conversation)))
        except StateUnavailable:
            self._log.warning("thread_unknown")
            return Thread()

    async def add(
        self, conversation: str, ids: Iterable[str], subject: str, others: tuple[str, ...] | None = None
    ) -> None:
        """Note a mail, sent or received, and those it names before it."""
        key, new = _key(conversation), tuple(ids)
        try:
            for _ in range(TRIES):
                stored = await self._state.get(key)
                known = _decoded(stored)
                thread = known.joined(new, subject, others)
                if thread is known:
                    return
                if await self._state.swap(key, stored, msgspec.msgpack.encode(thread), ttl=KEEP_SECS):
                    return
        except StateUnavailable:
            self._log.warning("thread_not_noted")

    async def received(self, event: Event) -> None:
        """Note a received mail, unless it is a report about one."""
        params = event.params
        if not isinstance(params, MessageParams) or params.conversation is None:
            return
        message = params.message
        if _is_report(message.flags):
            return
        own = [message.provider_id] if "@" in message.provider_id else []
        # whoever got hold of a token must not name those who read the next answer
        foreign = message.flags is not None and message.flags.third_party
        others = None if foreign else tuple(_addresses((*message.to, *message.cc)))
        await self.add(params.conversation.id, [*_before(message.parts), *own], message.subject or "", others)

    def watch(self, sink: Sink, codec: Once) -> Sink:
        """Note every mail before `sink` gets it; `codec` must be the one that the pipeline behind `sink` uses."""

        async def watched(raw: RawEvent) -> Receipt:
            try:
                events = codec.ahead(raw)
            except MalformedPayload:
                return await sink(raw)  # it meets the same, and knows what to do
            try:
                for event in events:
                    await self.received(event)
                return await sink(raw)
            finally:
                codec.forget(raw)

        return watched


class Once:
    """A codec whose result for a delivery can be made ahead."""

    def __init__(self, codec: Codec) -> None:
        """Decode by `codec`."""
        self._codec = codec
        self._made: dict[int, list[Decoded]] = {}

    @property
    def version(self) -> str:
        """That of the codec."""
        return self._codec.version

    def ahead(self, raw: RawEvent) -> list[Event]:
        """Decode, and keep the result for `decode` until `forget`; raises `MalformedPayload`."""
        made = self._made[id(raw)] = list(self._codec.decode(raw))
        return [one for one in made if isinstance(one, Event)]

    def forget(self, raw: RawEvent) -> None:
        """Drop what was kept for a delivery."""
        self._made.pop(id(raw), None)

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """See `Codec`."""
        made = self._made.pop(id(raw), None)
        return self._codec.decode(raw) if made is None else made

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """See `Codec`."""
        return self._codec.encode(message)


def _key(conversation: str) -> str:
    return f"thread:{conversation}"


def _decoded(stored: bytes | None) -> Thread:
    if stored is None:
        return Thread()
    try:
        return msgspec.msgpack.decode(stored, type=Thread)
    except msgspec.MsgspecError:  # of another version
        return Thread()


def _is_report(flags: Flags | None) -> bool:
    return flags is not None and (flags.bounce or flags.delayed or flags.receipt or flags.loop)


def _before(parts: Iterable[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Email):
            yield from message_ids(part.headers.get("references", ""))
            yield from message_ids(part.headers.get("in-reply-to", ""))


def _addresses(parties: Iterable[Party]) -> Iterator[str]:
    for party in parties:
        if party.addresses:
            yield party.addresses[0].value
