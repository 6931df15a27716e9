"""LINE's tokens, remembered for all workers and nodes: to reply, to quote, to mark as read.

A reply token answers once, within a minute of its delivery, and costs nothing; so the tokens of a chat are kept in one
record, from which a message takes one by an atomic swap (`by`), the oldest that still works::

    free ──take──► taken by a message ──refused for another reason──► free
                        └─LINE does not take it (any more)─► gone, and the message is pushed

A reply whose answer got lost has used its token, or has not: the next try of the same message finds the token it took,
and when LINE does not take it within the minute, then because the try before arrived. After the minute nobody can
tell, and the message is pushed: possibly twice, never lost.

While the store is away there are no tokens: everything is pushed, nothing is quoted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import State
from connectors.errors import StateUnavailable
from normalizer import ids
from normalizer.codecs.line import Notice
from normalizer.codecs.line_frame import REPLY_SECS
from normalizer.raw import Outbound

SPARE_SECS = 5.0
"""A token that ends so soon is not used."""
KEEP_SECS = 600.0
"""How long a chat's record outlives its last token: the next try of a message looks for the token it took."""
TOKENS_MAX = 16
"""Reply tokens kept of one chat; the oldest goes."""
MESSAGE_SECS = 86_400.0
"""How long a message can be quoted and marked as read."""
GONE_MAX = 256
STORE_SECS = 0.5
"""How long a delivery, or a message to be sent, waits for the store."""


class Token(Struct, frozen=True, array_like=True):
    """A reply token; `until` in Unix seconds, `by` is our id of the message that took it."""

    message: str
    native: str
    token: str
    until: float
    by: str = ""


class Taken(Struct, frozen=True, kw_only=True):
    """A token for one message.

    Attributes:
        doubtful: an earlier try of the same message used it, or tried to.
    """

    conversation: str
    token: Token
    doubtful: bool = False


class Known(Struct, frozen=True, array_like=True):
    """What is remembered of a message besides."""

    quote: str = ""
    read: str = ""


_tokens = msgspec.msgpack.Decoder(tuple[Token, ...])
_known = msgspec.msgpack.Decoder(Known)


class Tokens:
    """Of one channel; nothing here raises."""

    def __init__(
        self,
        state: State,
        channel_id: str,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- nodes share these times
    ) -> None:
        """Keep them in `state`."""
        self._state, self._channel, self._clock = state, channel_id, clock
        self._gone: deque[str] = deque(maxlen=GONE_MAX)  # in case the store is away when one is dropped

    async def remember(self, notices: Iterable[Notice]) -> None:
        """Take note of what a delivery gives; a redelivery brings new tokens for the same events."""
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                for notice in notices:
                    if notice.reply_token:
                        await self._change(notice.conversation, partial(self._with, notice))
                    if notice.quote_token or notice.read_token:
                        known = msgspec.msgpack.encode(Known(notice.quote_token, notice.read_token))
                        await self._state.put(f"message:{notice.native}", known, ttl=MESSAGE_SECS)

    def _with(self, notice: Notice, found: tuple[Token, ...]) -> tuple[Token, ...]:
        now = self._clock()
        fresh = Token(notice.message, notice.native, notice.reply_token, now + REPLY_SECS)
        kept = [one for one in found if one.until + KEEP_SECS > now and (one.message != fresh.message or one.by)]
        return (*kept, fresh)[-TOKENS_MAX:]

    async def known(self, native: str | None) -> Known:
        """Return the tokens of a message by LINE's id; empty ones if they are not known (any more)."""
        stored = None
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                stored = await self._state.get(f"message:{native}") if native else None
        try:
            return _known.decode(stored) if stored else Known()
        except msgspec.MsgspecError:
            return Known()

    async def take(self, message: Outbound) -> Taken | None:
        """Take a reply token for a message: of the message it answers, else the oldest of the chat; None: push."""
        conversation = ids.conversation_id(self._channel, message.to.value)
        found: Taken | None = None

        def pick(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
            nonlocal found
            token = self._wanted(tokens, message)
            found = None
            if token is None:
                return tokens
            found = Taken(conversation=conversation, token=token, doubtful=token.by == message.id)
            return tuple(replace(one, by=message.id) if one is token else one for one in tokens)

        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                await self._change(conversation, pick)
                return found
        return None

    def _wanted(self, tokens: tuple[Token, ...], message: Outbound) -> Token | None:
        mine = next((one for one in tokens if one.by == message.id), None)
        if mine is not None:
            return mine
        free = [one for one in tokens if not one.by and one.until - SPARE_SECS > self._clock()]
        native = message.reply_to.provider_id if message.reply_to is not None else None
        named = (one for one in free if one.message == message.in_response_to or one.native == native)
        return next(named, free[0] if free else None)

    def arrived(self, taken: Taken) -> bool:
        """Tell, of a token LINE did not take, whether it was an earlier try of the same message that used it."""
        return taken.doubtful and self._clock() < taken.token.until and taken.token.token not in self._gone

    async def release(self, taken: Taken) -> None:
        """Give a token back: it was not used."""
        await self._settle(taken, replace(taken.token, by=""))

    async def drop(self, taken: Taken) -> None:
        """Forget a token that LINE does not take."""
        self._gone.append(taken.token.token)
        await self._settle(taken, None)

    async def _settle(self, taken: Taken, outcome: Token | None) -> None:
        def settle(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
            others = ((one, outcome if one.token == taken.token.token else one) for one in tokens)
            return tuple(after for _, after in others if after is not None)

        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                await self._change(taken.conversation, settle)

    async def _change(self, conversation: str, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
        key = f"reply:{conversation}"
        while True:
            stored = await self._state.get(key)
            before = _decode(stored)
            after = change(before)
            value = msgspec.msgpack.encode(after) if after else None
            if after == before or await self._state.swap(key, stored, value, ttl=REPLY_SECS + KEEP_SECS):
                return


def _decode(stored: bytes | None) -> tuple[Token, ...]:
    try:
        return _tokens.decode(stored) if stored else ()
    except msgspec.MsgspecError:  # of another version
        return ()
