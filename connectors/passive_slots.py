"""The records in which the bridge (`connectors.passive`) keeps what is held, and the bells of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
from msgspec import Struct

from normalizer.raw import Outbound


class Held(Struct, frozen=True, kw_only=True):
    """A delivery that can be answered with a reply.

    Attributes:
        conversation: our id of the conversation (`cnv_…`).
        message: our id of the message or event (`msg_…`), what `in_response_to` names.
        native: the provider's id of the message, what `reply_to.provider_id` names.
        info: what rendering the reply needs to know of the delivery.
    """

    conversation: str
    message: str
    native: str = ""
    info: dict[str, str] = {}


class Slot(Struct, frozen=True, kw_only=True, array_like=True):
    """One held delivery, as stored.

    Attributes:
        until: seconds since the epoch, by the clock of the holder; only for forgetting it.
        by: our id of the message that is the reply (`Outbound.id`).
        body: the reply, complete.
        tries: deliveries of the message that have found the slot, the first among them.
    """

    message: str
    native: str
    info: dict[str, str]
    until: float
    state: Literal["waiting", "answered", "taken", "closed"] = "waiting"
    by: str = ""
    body: bytes = b""
    tries: int = 1


Slots = tuple[Slot, ...]
_slots = msgspec.msgpack.Decoder(Slots)


class Desk:
    """What the requests and sends of one channel share within a process: a bell per conversation, and a count."""

    def __init__(self) -> None:
        """Nobody waits."""
        self.held = 0
        self._bells: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def listen(self, key: str) -> Iterator[asyncio.Event]:
        """Have a bell that rings when this process changes the record `key`."""
        bell, there = asyncio.Event(), self._bells.setdefault(key, set())
        there.add(bell)
        try:
            yield bell
        finally:
            there.discard(bell)
            if not there:
                self._bells.pop(key, None)

    def ring(self, key: str) -> None:
        """Wake everybody who listens."""
        for bell in self._bells.get(key, ()):
            bell.set()


def decode(stored: bytes | None) -> Slots:
    """Read a record; one of another version is empty."""
    try:
        return _slots.decode(stored) if stored else ()
    except msgspec.MsgspecError:
        return ()


def find(slots: Slots, message: str) -> Slot | None:
    """Return the slot of a message."""
    return next((slot for slot in slots if slot.message == message), None)


def put(slots: Slots, changed: Slot) -> Slots:
    """Replace the slot of a message."""
    return tuple(changed if slot.message == changed.message else slot for slot in slots)


def wanted(slots: Slots, reply: Outbound) -> Slot | None:
    """Choose the waiting slot for a reply: of the message it says it answers, else the oldest."""
    waiting = [slot for slot in slots if slot.state == "waiting"]
    if reply.in_response_to is not None:
        return find(tuple(waiting), reply.in_response_to)
    native = reply.reply_to.provider_id if reply.reply_to is not None else None
    same = (slot for slot in waiting if native is not None and slot.native == native)
    return next(same, waiting[0] if waiting else None)
