"""The tokens of interactions: each answers for 15 minutes, in whichever worker or node the answer is sent.

They are kept in the channel's state under the message the interaction became, under its conversation (the newest), and
under the messages that were sent by them. While the state is away a process knows those it has received itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec import Struct

from connectors.api import State
from connectors.errors import StateUnavailable
from normalizer import ids
from normalizer.codecs.discord import Answerable
from normalizer.model import ChannelRef
from normalizer.raw import Outbound

LIFE_SECS = 15 * 60 - 10.0
"""How long a token is used: a little less than it is good for."""
STATE_SECS = 0.3
"""How long an interaction waits for its token to be noted; Discord waits for 3 s in all."""
KNOWN_MAX = 4096


class Known(Struct, frozen=True, array_like=True):
    """A token, and since when it is known, in Unix seconds."""

    token: str
    at: float


class Tokens:
    """Of one channel."""

    def __init__(
        self,
        channel: ChannelRef,
        state: State,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- other nodes compare it with theirs
    ) -> None:
        """Know none yet."""
        self._channel, self._state, self._clock = channel, state, clock
        self._here: dict[str, Known] = {}

    async def note(self, found: Answerable) -> None:
        """Remember the token of an interaction, before anybody can answer it."""
        known = Known(found.token, self._clock())
        async with asyncio.TaskGroup() as group:
            for name in (found.message_id, found.conversation_id):
                group.create_task(self._put(name, known, LIFE_SECS))

    async def sent(self, native: str, known: Known) -> None:
        """Remember by which token a message was sent, for edits and deletions."""
        left = known.at + LIFE_SECS - self._clock()
        if left > 0:
            await self._put(f"sent:{native}", known, left)

    async def of(self, message: Outbound) -> Known | None:
        """Find the token to answer by: of the message that is answered, else the newest of the conversation."""
        names = [message.in_response_to] if message.in_response_to else []
        native = message.reply_to.provider_id if message.reply_to else None
        if native:
            names.append(ids.message_id(self._channel.id, "", native))
        names.append(ids.conversation_id(self._channel.id, message.to.value))
        for name in names:
            known = await self._get(name)
            if known is not None:
                return known
        return None

    async def by(self, native: str) -> Known | None:
        """Find the token by which a message was sent."""
        return await self._get(f"sent:{native}")

    async def _put(self, name: str, known: Known, ttl: float) -> None:
        if len(self._here) >= KNOWN_MAX:
            del self._here[next(iter(self._here))]
        self._here.pop(name, None)
        self._here[name] = known
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STATE_SECS):
                await self._state.put(f"interaction:{name}", msgspec.msgpack.encode(known), ttl=ttl)

    async def _get(self, name: str) -> Known | None:
        found = self._here.get(name)
        try:
            stored = await self._state.get(f"interaction:{name}")
            found = msgspec.msgpack.decode(stored, type=Known) if stored else found
        except (StateUnavailable, msgspec.MsgspecError):
            pass  # what this process has received itself is better than nothing
        return found if found is not None and found.at + LIFE_SECS > self._clock() else None
