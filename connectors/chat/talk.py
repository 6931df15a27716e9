"""What a visitor says: messages, edits, deletions, typing, the end.

A result is given only when the event is durable in the broker (or the spool) *and* the entry is in the conversation.
The event comes first: should the process die in between, the client repeats its call, the core's copy is recognised as
a duplicate, and the entry is added. Before anything, the store of the conversations is asked whether it knows the
call; when it is away nothing is told to anybody, so that what the client then repeats is not published twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from connectors.chat import entries
from connectors.chat.files import Files
from connectors.chat.follower import GONE
from connectors.chat.front import Front
from connectors.chat.kit import Kit
from connectors.chat.session import Session
from connectors.feeds import FeedEntry
from normalizer import rpc
from normalizer.codecs import chat_types as t
from normalizer.codecs.chat import parts_of
from normalizer.codecs.chat_types import Author, Shown
from normalizer.parts import AnyPart
from normalizer.rpc import RpcError
from normalizer.text import plain

TYPING_SECS = 3.0

Answer = dict[str, Any]
Handler = Callable[[Session, Any, Raw], Awaitable[Answer]]


class Talk:
    """See the module."""

    def __init__(self, kit: Kit, files: Files, front: Front) -> None:
        """Let `files` be named, and `front` forget sessions."""
        self._kit, self._files, self._front = kit, files, front

    async def send(self, session: Session, said: t.Send, params: Raw) -> Answer:
        """Answer ``message.send``."""
        self._check(said)
        feed, uid = session.feed, f"c:{said.id}"
        known = await self._kit.feeds.find(feed, uid)
        if known is not None:
            return {**_sent(known), "duplicate": True}
        files = await self._files.named(feed, said)
        before, begins = await self._place(session)
        call = session.call("message.send", params=params, files=files, begins=begins)
        at = self._kit.now()
        await self._kit.deliver(_with_page(call, said), at)
        message = Shown(
            id=said.id,
            revision=0,
            sender=_author(session),
            at=at,
            **_content(parts_of(said, files)),
            reply_to=said.reply_to,
        )
        seq = await self._kit.append(feed, uid, entries.message_body(message, before=before))
        session.said = True
        return {"id": said.id, "seq": seq, "pos": (before, seq), "at": at, "duplicate": False}

    async def edit(self, session: Session, said: t.Edit, params: Raw) -> Answer:
        """Answer ``message.edit``."""
        self._check(said)
        feed, uid = session.feed, f"e:{said.id}:{said.revision}"
        original, known = await self._own(session, said.id), await self._kit.feeds.find(feed, uid)
        if known is not None:
            if _words(said) not in {None, entries.message_of(known).text}:
                raise RpcError(rpc.REJECTED, "another edit has this `revision`: choose a higher one")
            return {"id": said.id, "seq": known.seq}
        if await self._kit.feeds.find(feed, f"x:{said.id}") is not None:
            raise RpcError(rpc.REJECTED, "this message was deleted")
        at, first = self._changeable(original), entries.message_of(original)
        files = await self._files.named(feed, said)
        await self._kit.deliver(_with_page(session.call("message.edit", params=params, files=files), said), at)
        message = replace(first, revision=said.revision, edited_at=at, **_content(parts_of(said, files)))
        return {"id": said.id, "seq": await self._again(feed, uid, original, message)}

    async def delete(self, session: Session, said: t.Delete, params: Raw) -> Answer:
        """Answer ``message.delete``."""
        feed, uid = session.feed, f"x:{said.id}"
        known = await self._kit.feeds.find(feed, uid)
        if known is not None:
            return {"id": said.id, "seq": known.seq}
        original = await self._own(session, said.id)
        at, first = self._changeable(original), entries.message_of(original)
        await self._kit.deliver(session.call("message.delete", params=params), at)
        gone = Shown(id=said.id, revision=0, sender=first.sender, at=first.at, text="", deleted=True)
        return {"id": said.id, "seq": await self._again(feed, uid, original, gone)}

    async def typing(self, session: Session, said: t.Typing, params: Raw) -> Answer:
        """Answer ``typing``; what comes too often is left out."""
        now = self._kit.clock()
        if said.active and now - session.typed_at < TYPING_SECS:
            return {}
        session.typed_at = now if said.active else 0.0
        await self._kit.deliver(session.call("typing", params=params), self._kit.now())
        return {}

    async def close(self, session: Session, said: t.Close, params: Raw) -> Answer:
        """Answer ``session.close``."""
        feed = session.feed
        newest = next(iter(await self._kit.feeds.before(feed, None, limit=1)), None)
        seq = newest.seq if newest else 0
        if newest is not None and entries.stored(newest).method != entries.ENDED:
            await self._kit.deliver(session.call("session.close", params=params, number=seq), self._kit.now())
            body = entries.body(entries.ENDED, by="visitor", reason=said.reason)
            seq = await self._kit.append(feed, f"z:{seq}", body)
        session.said = False
        if said.forget:
            await self._front.forget(session.id)
            await self._kit.feeds.signal(feed, GONE + session.id.encode())
        return {"seq": seq}

    def _check(self, said: t.Content) -> None:
        length = sum(len(part.body) for part in said.content if isinstance(part, t.SaidText))
        length += sum(len(part.caption or "") for part in said.content if isinstance(part, t.SaidFile))
        if length > self._kit.config.text_max:
            raise RpcError(rpc.INVALID_PARAMS, f"longer than {self._kit.config.text_max} characters - at `$.text`")

    async def _place(self, session: Session) -> tuple[int, bool]:
        """Return behind which entry the visitor writes, and whether the conversation begins with it."""
        if session.seq is not None and session.said is not None:
            return session.seq, not session.said
        newest = next(iter(await self._kit.feeds.before(session.feed, None, limit=1)), None)
        if newest is None:
            return 0, True
        return newest.seq, entries.stored(newest).method == entries.ENDED

    async def _own(self, session: Session, message: str) -> FeedEntry:
        found = await self._kit.feeds.find(session.feed, f"c:{message}")
        if found is None:
            raise RpcError(rpc.REJECTED, "this message is not there (any more)")
        return found

    def _changeable(self, original: FeedEntry) -> datetime:
        at = self._kit.now()
        first = entries.message_of(original).at or at
        if (at - first).total_seconds() > self._kit.config.edit_secs:
            raise RpcError(rpc.REJECTED, "it is too late to change this message")
        return at

    async def _again(self, feed: str, uid: str, original: FeedEntry, message: Shown) -> int:
        before, place = entries.pos(original)
        return await self._kit.append(feed, uid, entries.message_body(message, before=before, place=place))


def _sent(entry: FeedEntry) -> Answer:
    message = entries.message_of(entry)
    return {"id": message.id, "seq": entry.seq, "pos": entries.pos(entry), "at": message.at}


def _words(said: t.Content) -> str | None:
    """Return what a call says; None where there are files in it, which would have to be looked up."""
    if any(isinstance(part, t.SaidFile) for part in said.content):
        return None
    return plain(parts_of(said, {}))


def _author(session: Session) -> Author:
    return Author(role="visitor", name=session.visitor.name)


def _content(parts: tuple[AnyPart, ...]) -> dict[str, Any]:
    return {"text": plain(parts), "parts": parts}


def _with_page(call: t.Call, said: t.Content) -> t.Call:
    return replace(call, page=said.page or call.page, locale=said.locale or call.locale)
