"""The sync-reply bridge: a reply goes out in the answer to the HTTP request that brought the message, if it is in time.

Some providers take a reply in the HTTP answer (WeChat within 5 s), where it costs no quota. The process that holds the
request is often not the one that sends (worker 0 sends), so both meet in `connectors.api.State`, in one record per
conversation with a slot for each message that is held::

    (absent) ──open──► waiting ──offer──► answered ──take──► taken     the reply is in the HTTP answer
                         │                   └─not taken in a moment─► closed   the sender sends it by the API
                         └─deadline──────────────────────────────────► closed

Every arrow is an atomic swap, so a reply goes out in one way and not in both: what the holder has taken the sender does
not send, and what the sender has taken back the holder does not answer. A holder that died takes nothing, so the sender
sends by itself. A delivery that the provider repeats finds the slot of the first and gets the same answer. A command
that the broker hands out again finds the slot it filled (`Slot.by`) and learns whether the reply went out.

What is left: the reply is lost when the connection breaks while the answer is on it *and* the provider does not come
again; it goes out twice when the store is lost for seconds between "answered" and "taken". While the store is away
nothing is held, and replies are sent by the API at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from connectors.api import Context
from connectors.errors import StateUnavailable
from connectors.passive_slots import Desk, Held, Slot, Slots, decode, find, put, wanted
from normalizer.raw import Outbound

OPEN_SECS = 0.3
"""How long a delivery may wait for its slot before it goes on without one."""
LAST_SECS = 0.25
"""How long the last word with the store may take, after the deadline."""
PATIENCE_SECS = 2.0
"""How long a reply waits to be taken before it is sent by the API; longer than the slowest `Bridge.pause`."""
DOUBT_SECS = 8.0
"""How long a sender asks a store that went away in between whether its reply was taken."""
POLL_SECS = 0.05
READS_PER_SEC = 2000
"""Of the store, by all requests that one process holds for a channel; beyond it they ask less often."""
KEEP_SECS = 60.0
"""How long a slot outlives its deadline: longer than providers repeat a delivery (WeChat: three times within 15 s)."""
SLOTS_MAX = 16
"""Messages of one conversation that are held at once; those beyond are answered at once."""

Render = Callable[[dict[str, str]], bytes | None]
"""Makes the body of the HTTP answer from what `Held.info` says; None when the message cannot be said so."""


class Bridge:
    """Of one channel; see the module."""

    def __init__(
        self,
        context: Context,
        *,
        secs: float,
        limit: int,
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Hold at most `limit` deliveries, each for `secs` seconds; 0 holds none."""
        self.secs, self._limit, self._clock = secs, limit, clock
        self._state, self._log = context.state, context.log
        self.desk: Desk = context.hub.setdefault(f"passive:{context.channel.id}", Desk())

    async def open(self, held: Held, connected: Callable[[], bool] = lambda: True) -> Hold | None:
        """Make a slot for a delivery, or join that of its earlier try; None when it shall not be held.

        To be called before the delivery is handed over: the core may answer faster than the hand-over returns.

        Args:
            held: what can be answered.
            connected: tells whether the provider still waits; once it does not, the slot is left to its next try.
        """
        if self.secs <= 0 or self.desk.held >= self._limit:
            return None
        now, fresh = self._clock(), False
        until = asyncio.get_running_loop().time() + self.secs
        slot = Slot(message=held.message, native=held.native, info=held.info, until=now + self.secs)

        def add(slots: Slots) -> Slots:
            nonlocal fresh
            there = find(slots, held.message)
            fresh = there is None
            if there is not None:
                return put(slots, replace(there, tries=there.tries + 1))
            kept = tuple(one for one in slots if one.until + KEEP_SECS > now)
            return (*kept, slot) if len(kept) < SLOTS_MAX else slots

        try:
            async with asyncio.timeout(OPEN_SECS):
                slots = await self.change(held.conversation, add)
        except (TimeoutError, StateUnavailable):
            return None
        if find(slots, held.message) is None:
            return None
        return Hold(self, held, until, connected, fresh=fresh)

    async def offer(self, message: Outbound, render: Render) -> bool:
        """Give a reply to whoever holds a request of its conversation; tell whether it went out.

        It answers the message it says it answers (`in_response_to`, `reply_to`), else the oldest that waits.
        """
        if self.secs <= 0 or message.conversation is None:
            return False
        placed = False

        def answer(slots: Slots) -> Slots:
            nonlocal placed
            placed = False
            if any(slot.by == message.id for slot in slots):  # by an earlier try of this command
                placed = True
                return slots
            slot = wanted(slots, message)
            body = None if slot is None else render(slot.info)
            if slot is None or body is None:
                return slots
            placed = True
            return put(slots, replace(slot, state="answered", by=message.id, body=body))

        with self.desk.listen(message.conversation) as bell:
            try:
                await self.change(message.conversation, answer)
            except StateUnavailable:
                if not placed:  # else it may be there although nobody said so
                    return False
            return placed and await self._was_taken(message.conversation, message.id, bell)

    async def _was_taken(self, conversation: str, by: str, bell: asyncio.Event) -> bool:
        loop = asyncio.get_running_loop()
        patience = loop.time() + PATIENCE_SECS

        def look(slots: Slots) -> Slots:
            slot = next((one for one in slots if one.by == by), None)
            if slot is None or slot.state != "answered" or loop.time() < patience:
                return slots
            return put(slots, replace(slot, state="closed", body=b""))

        while True:
            bell.clear()
            try:
                slots = await self.change(conversation, look)
            except StateUnavailable:
                if loop.time() > patience + DOUBT_SECS:
                    self._log.warning("passive_reply_unknown")
                    return False
            else:
                state = next((slot.state for slot in slots if slot.by == by), "closed")
                if state != "answered":
                    return state == "taken"
            await self.pause(bell)

    async def change(self, conversation: str, change: Callable[[Slots], Slots]) -> Slots:
        """Apply `change` to a record in one atomic step and return the outcome; raises `StateUnavailable`."""
        key = f"passive:{conversation}"
        while True:
            stored = await self._state.get(key)
            before = decode(stored)
            after = change(before)
            if after == before:
                return before
            value = msgspec.msgpack.encode(after) if after else None
            if await self._state.swap(key, stored, value, ttl=self.secs + KEEP_SECS):
                self.desk.ring(conversation)
                return after

    async def pause(self, bell: asyncio.Event) -> None:
        """Wait for the bell, or until it is time to look whether another process changed the record."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(PATIENCE_SECS / 2, max(POLL_SECS, self.desk.held / READS_PER_SEC))):
                await bell.wait()


class Hold:
    """One request that waits for its reply."""

    def __init__(self, bridge: Bridge, held: Held, until: float, connected: Callable[[], bool], *, fresh: bool) -> None:
        """Wait in the slot of `held`, until loop time `until`; `fresh` if the slot was made for this request."""
        self._bridge, self._held, self._until, self._connected, self.fresh = bridge, held, until, connected, fresh
        self._body: bytes | None = None

    async def drop(self) -> bool:
        """Give the slot up, because the delivery was not accepted, or there is nothing to wait for.

        Returns whether it is given up: a slot that another try has found is left to it. Of two tries at the same
        instant one makes the slot and the other may be the one whose message is accepted.
        """
        dropped = self.fresh

        def remove(slots: Slots) -> Slots:
            nonlocal dropped
            slot = find(slots, self._held.message)
            dropped = slot is None or slot.tries == 1
            return tuple(one for one in slots if one is not slot) if dropped else slots

        if self.fresh:
            with suppress(TimeoutError, StateUnavailable):
                async with asyncio.timeout(LAST_SECS):
                    await self._bridge.change(self._held.conversation, remove)
        return dropped

    async def wait(self) -> bytes | None:
        """Return the reply, or None once the deadline has come without one, or somebody else ended the wait."""
        desk = self._bridge.desk
        desk.held += 1
        try:
            with suppress(TimeoutError), desk.listen(self._held.conversation) as bell:
                async with asyncio.timeout_at(self._until):
                    return await self._settled(bell)
            with suppress(TimeoutError, StateUnavailable):
                async with asyncio.timeout(LAST_SECS):
                    return _reply(await self._look(over=True))
            return self._body  # it may be marked as taken: then nobody else sends it
        finally:
            desk.held -= 1

    async def _settled(self, bell: asyncio.Event) -> bytes | None:
        while self._connected():
            bell.clear()
            with suppress(StateUnavailable):
                slot = await self._look(over=False)
                if slot is None or slot.state != "waiting":
                    return _reply(slot)
            await self._bridge.pause(bell)
        return None

    async def _look(self, *, over: bool) -> Slot | None:
        def turn(slots: Slots) -> Slots:
            slot, self._body = find(slots, self._held.message), None
            if slot is not None and slot.state == "answered":
                self._body = slot.body
                return put(slots, replace(slot, state="taken"))
            if slot is not None and slot.state == "waiting" and over:
                return put(slots, replace(slot, state="closed"))
            return slots

        return find(await self._bridge.change(self._held.conversation, turn), self._held.message)


def _reply(slot: Slot | None) -> bytes | None:
    return slot.body if slot is not None and slot.state == "taken" else None
