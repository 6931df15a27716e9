"""What a visitor reads: pages of the past, a transcript, and the receipts that come of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from connectors.chat import entries
from connectors.chat.front import HISTORY_MAX
from connectors.chat.kit import Kit
from connectors.chat.session import Session
from connectors.chat.talk import Answer
from normalizer.codecs import chat_types as t
from normalizer.codecs.chat_types import Shown

TRANSCRIPT_MAX = 500
PAGE = 100
REMEMBERED = 20_000
"""Conversations of which this process remembers up to where receipts were told; of others it asks the state."""


class Seen(Struct, frozen=True, array_like=True):
    """Up to where messages have arrived, and have been read."""

    delivered: int = 0
    read: int = 0


class Reading:
    """See the module."""

    def __init__(self, kit: Kit) -> None:
        """Read what `kit` knows."""
        self._kit = kit
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    async def history(self, session: Session, said: t.History, _: Raw) -> Answer:
        """Answer ``history``."""
        limit = min(said.limit, HISTORY_MAX)
        found = await self._kit.feeds.before(session.feed, said.before, limit=limit + 1)
        events = []
        for entry in reversed(found[:limit]):
            method, params = self._kit.renderer.params(entry)
            events.append({"method": method, "params": Raw(params)})
        return {"events": events, "more": len(found) > limit}

    async def transcript(self, session: Session, said: t.Transcript, params: Raw) -> Answer:
        """Answer ``transcript``."""
        if said.email is not None:
            await self._kit.deliver(session.call("transcript", params=params), self._kit.now())
            return {"requested": True}
        found = await self._kit.feeds.before(session.feed, None, limit=TRANSCRIPT_MAX + 1)
        messages: dict[str, tuple[tuple[int, int], Shown]] = {}
        for entry in found[:TRANSCRIPT_MAX]:
            if entries.stored(entry).method == entries.MESSAGE:
                message = entries.message_of(entry)
                known = messages.get(message.id)
                if known is None or _newer(message, known[1]):
                    messages[message.id] = entries.pos(entry), message
        lines = [_line(message) for _, message in sorted(messages.values(), key=lambda one: one[0])]
        return {"text": "\n".join(filter(None, lines)), "more": len(found) > TRANSCRIPT_MAX}

    async def ack(self, session: Session, said: t.Upto, _: Raw) -> Answer:
        """Answer ``ack``."""
        await self._receipts(session, "delivered", said.seq)
        return {}

    async def read(self, session: Session, said: t.Upto, _: Raw) -> Answer:
        """Answer ``read``."""
        await self._receipts(session, "delivered", said.seq)
        await self._receipts(session, "read", said.seq)
        return {}

    async def _receipts(self, session: Session, verb: Literal["delivered", "read"], upto: int) -> None:
        """Tell of each of the company's messages up to `upto` that it was not told of before.

        Who tells it from several tabs tells it again; the pipeline recognises that.
        """
        seen = await self._recall(session.feed)
        since: int = getattr(seen, verb)
        while since < upto:
            page = await self._kit.feeds.after(session.feed, since, limit=PAGE)
            mine = [entry for entry in page if entry.seq <= upto]
            ours = tuple(entry.uid[2:] for entry in mine if entry.uid.startswith("g:"))
            if ours:
                await self._kit.deliver(session.call(verb, messages=ours), self._kit.now())
            if mine:
                since = mine[-1].seq
                await self._remember(session.feed, msgspec.structs.replace(seen, **{verb: since}))
            if len(mine) < PAGE:
                return

    async def _recall(self, feed: str) -> Seen:
        seen = self._seen.get(feed)
        if seen is None:
            stored = await self._kit.context.state.get(f"seen:{feed}")
            seen = self._seen[feed] = Seen() if stored is None else msgspec.json.decode(stored, type=Seen)
        return seen

    async def _remember(self, feed: str, seen: Seen) -> None:
        self._seen[feed] = seen
        self._seen.move_to_end(feed)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        await self._kit.context.state.put(f"seen:{feed}", msgspec.json.encode(seen), ttl=self._kit.config.keep_secs)


def _newer(message: Shown, known: Shown) -> bool:
    return not known.deleted and (message.deleted or message.revision > known.revision)


def _line(message: Shown) -> str:
    if message.deleted or not message.text or message.at is None:
        return ""
    name = message.sender.name or message.sender.role
    return f"[{message.at:%Y-%m-%d %H:%M}] {name}: {message.text}"
