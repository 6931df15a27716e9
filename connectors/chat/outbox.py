"""From the core to a visitor: everything goes into the feed of his conversation, and from there to wherever he is.

*sent* means that it is there, on disk, for as long as `keep_secs` says; the visitor may be away. That it arrived is
told by ``receipt.delivered``. A message has its own id as uid, so one that is sent again is there once.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.api import Sent
from connectors.chat import entries
from connectors.chat.entries import fleeting
from connectors.chat.follower import EVERYBODY
from connectors.chat.front import PRESENCE
from connectors.chat.kit import Kit
from connectors.errors import Refused, StateUnavailable, Unreachable
from connectors.feeds import FeedEntry
from connectors.staging import MediaUnavailable, ref_of
from normalizer.codecs import chat_shown
from normalizer.codecs.chat_types import Shown
from normalizer.errors import Unsendable
from normalizer.methods import (
    DeleteParams,
    EditParams,
    EndParams,
    Params,
    PresenceParams,
    ReceiptSendParams,
    TypingParams,
)
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart, Card, Carousel, MediaPart, Text
from normalizer.raw import Outbound

PRESENCE_SECS = 43_200.0
"""How long it is believed that somebody is there, unless it is said again."""
_VISITOR = re.compile(r"[uv]_[A-Za-z0-9_-]{16,64}")


class Outbox:
    """See the module."""

    def __init__(self, kit: Kit) -> None:
        """Write into the feeds of `kit`."""
        self._kit = kit

    async def send(self, message: Outbound) -> Sent:
        """Put a message into its conversation; raises `SendError`, `Unsendable`."""
        feed = _feed(message.to)
        shown = replace(chat_shown.shown(message), at=self._kit.now())
        await self._check(shown.parts)
        await self._append(feed, f"g:{message.id}", entries.message_body(shown))
        return Sent(provider_ids=(message.id,))

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`."""
        match params:
            case EditParams():
                return await self._edit(params)
            case DeleteParams():
                return await self._delete(params)
            case TypingParams():
                await self._signal(_feed(params.to), fleeting("typing", active=True))
            case ReceiptSendParams():
                message = _named(params.message)
                body = entries.body(entries.RECEIPT, status="read", message=message)
                await self._append(_feed(params.to), f"r:read:{message}", body)
            case PresenceParams():
                await self._presence(params)
            case EndParams():
                await self._end(params)
            case _:
                raise Unsendable(method, chat_shown.REQUESTS)
        return {}

    async def _edit(self, params: EditParams) -> dict[str, Any]:
        feed, message = _feed(params.to), _named(params.message)
        original = await self._original(feed, message)
        parts = chat_shown.safe(params.parts or (Text(body=params.text or ""),))
        await self._check(parts)
        now = self._kit.now()
        revision = int(now.timestamp() * 1000)  # rises, whoever edits on whatever node
        shown = replace(
            entries.message_of(original), revision=revision, text=chat_shown.words(parts), parts=parts, edited_at=now
        )
        await self._again(feed, f"e:{message}:{revision}", original, shown)
        return {"provider_id": message}

    async def _delete(self, params: DeleteParams) -> dict[str, Any]:
        feed, message = _feed(params.to), _named(params.message)
        original = await self._original(feed, message)
        first = entries.message_of(original)
        gone = Shown(id=message, revision=first.revision, sender=first.sender, at=first.at, text="", deleted=True)
        await self._again(feed, f"x:{message}", original, gone)
        return {"provider_id": message}

    async def _presence(self, params: PresenceParams) -> None:
        told = {"status": params.status, "agents": msgspec.to_builtins(params.agents)}
        for agent in params.agents:
            chat_shown.author({"avatar": agent.avatar} if agent.avatar else {})
        feed = None if params.to is None else _feed(params.to)
        key = PRESENCE if feed is None else f"{PRESENCE}:{feed}"
        try:
            await self._kit.context.state.put(key, msgspec.json.encode(told), ttl=PRESENCE_SECS)
        except StateUnavailable as exc:
            raise Unreachable(str(exc)) from exc
        await self._signal(feed or EVERYBODY, fleeting("presence", **told))

    async def _end(self, params: EndParams) -> None:
        feed = _feed(params.to)
        try:
            newest = next(iter(await self._kit.feeds.before(feed, None, limit=1)), None)
        except StateUnavailable as exc:
            raise Unreachable(str(exc)) from exc
        if newest is None or entries.stored(newest).method == entries.ENDED:
            return
        body = entries.body(entries.ENDED, by="agent", reason=params.reason)
        await self._append(feed, f"z:{newest.seq}", body)

    async def _original(self, feed: str, message: str) -> FeedEntry:
        try:
            found = await self._kit.feeds.find(feed, f"g:{message}")
        except StateUnavailable as exc:
            raise Unreachable(str(exc)) from exc
        if found is None:
            raise Refused("this message is not in the conversation (any more)")
        return found

    async def _again(self, feed: str, uid: str, original: FeedEntry, message: Shown) -> None:
        before, place = entries.pos(original)
        await self._append(feed, uid, entries.message_body(message, before=before, place=place))

    async def _append(self, feed: str, uid: str, body: bytes) -> None:
        try:
            await self._kit.append(feed, uid, body)
        except StateUnavailable as exc:
            raise Unreachable(str(exc)) from exc

    async def _signal(self, feed: str, body: bytes) -> None:
        try:
            await self._kit.feeds.signal(feed, body)
        except StateUnavailable as exc:
            raise Unreachable(str(exc)) from exc

    async def _check(self, parts: tuple[AnyPart, ...]) -> None:
        """Make sure that the files of a message are there to be loaded; raises `MediaUnavailable`."""
        for part in parts:
            media = [part.media] if isinstance(part, MediaPart) else []
            if isinstance(part, Card | Carousel):
                media = [item.media for item in part.items if item.media is not None]
            for ref in filter(None, map(ref_of, media)):
                if not await self._kit.context.blobs.exists(ref):
                    raise MediaUnavailable(
                        "this gateway has no file of this `sha256` (any more): put it in by POST /api/media"
                    )


def _feed(to: Address | str | None) -> str:
    """Return the conversation an address stands for; raises `Refused`."""
    value = to.value if isinstance(to, Address) else to
    if value is None:
        raise Refused("give `to` or `conversation`")
    if not _VISITOR.fullmatch(value) or (isinstance(to, Address) and to.scheme != "chat"):
        raise Refused("`to` is no visitor of a web chat: use `conversation.provider_id` of a message of his")
    return value


def _named(message: MessageRef) -> str:
    found = chat_shown.named(message)
    if found is None:
        raise Refused("give the `provider_id` of the message")
    return found
