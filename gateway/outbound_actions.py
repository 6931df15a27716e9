"""Requests about a channel besides `message.send`: edit, delete, react, type, mark as read, fetch media."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.api import Blobs, Capabilities, ChannelConfig, Connector, LinkMaker, MediaSource, Performer
from connectors.errors import RecipientGone, Refused
from connectors.stores import PREFIX
from dedup.api import Deduplicator
from gateway.media_store import fetch, linked
from gateway.outbound_message import address_of
from normalizer import rpc
from normalizer.methods import (
    REQUESTS,
    DeleteParams,
    EditParams,
    EndParams,
    MediaGetParams,
    Params,
    PresenceParams,
    ReactParams,
    ReceiptSendParams,
    TypingParams,
)
from normalizer.model import Address
from normalizer.parts import Media
from normalizer.rpc import Request, RpcError

Addressed = EditParams | DeleteParams | ReactParams | TypingParams | ReceiptSendParams | PresenceParams | EndParams
"""Params that name a recipient."""

_NOUNS = frozenset({"message", "reaction", "typing", "receipt", "presence", "conversation", "media", "call"})
METHODS = frozenset(name for name in REQUESTS if name != "message.send" and name.partition(".")[0] in _NOUNS)
"""What goes through the command queue of a channel; everything else is `gateway.requests`."""

FLEETING = frozenset({"typing.send", "media.get"})
"""Not worth a second try, nor a place among the dead letters: the moment is over, or the asker asks again."""


class Actions:
    """Answers the requests of `METHODS` for one channel."""

    def __init__(
        self,
        connector: Connector,
        capabilities: Capabilities,
        dedup: Deduplicator,
        *,
        kind: str,
        options: ChannelConfig,
        blobs: Blobs | None = None,
        link: LinkMaker | None = None,
    ) -> None:
        """Serve a channel of `kind`; without `blobs` it fetches no media, without `link` they have no `url`."""
        self._connector, self._capabilities, self._dedup = connector, capabilities, dedup
        self._kind, self._options = kind, options
        self._blobs, self._link = blobs, link

    def read(self, request: Request) -> Params:
        """Decode the params; raises `RpcError`."""
        params = rpc.parse_params(request.params, REQUESTS[request.method])
        if isinstance(params, MediaGetParams) and params.media.sha256:
            return params  # of what is here a link can be made on every channel
        able = isinstance(self._connector, MediaSource if request.method == "media.get" else Performer)
        if not able or (request.method != "media.get" and request.method not in self._capabilities.requests):
            raise self._unable(request.method)
        return params

    def _unable(self, method: str) -> RpcError:
        have = self._capabilities.requests
        return RpcError(rpc.CAPABILITY_MISSING, f"this channel does not answer {method}", need=method, have=have)

    async def perform(self, method: str, params: Params) -> Any:
        """Do it; raises `SendError`, `Unsendable`, `DedupUnavailable`, `RpcError`."""
        if isinstance(params, MediaGetParams):
            return await self._fetch(params.media)
        if not isinstance(self._connector, Performer):
            raise TypeError("read() lets no such request pass")
        return await self._connector.perform(method, await self._addressed(params))

    async def _addressed(self, params: Params) -> Params:
        if not isinstance(params, Addressed):
            return params
        if params.to is not None:
            return replace(params, to=address_of(params.to, self._kind))
        if params.conversation is None:
            return params  # a message id may be all the provider needs
        return replace(params, to=await find(self._dedup, params.conversation, self._kind))

    async def _fetch(self, media: Media) -> Any:
        if self._blobs is None:
            raise RpcError(rpc.MEDIA_UNAVAILABLE, "this gateway keeps no media")
        if media.sha256 and await self._blobs.exists(PREFIX + media.sha256):  # only its link has expired
            return msgspec.to_builtins(linked(replace(media, status="stored"), self._link))
        if media.provider_id is None:
            raise RpcError(rpc.INVALID_PARAMS, "give the media's `provider_id` - at `$.media.provider_id`")
        if not isinstance(self._connector, MediaSource):
            raise self._unable("media.get")
        try:
            stored = await fetch(self._connector, media, self._options, self._blobs)
        except (Refused, RecipientGone) as exc:
            raise RpcError(rpc.MEDIA_UNAVAILABLE, str(exc)) from exc
        return msgspec.to_builtins(linked(stored, self._link))


async def find(dedup: Deduplicator, conversation: str, kind: str) -> Address:
    """Return what a conversation is addressed by; raises `RpcError` when nobody knows, `DedupUnavailable`."""
    value = await dedup.address_of(conversation)
    if not value:
        raise RpcError(rpc.INVALID_PARAMS, "this conversation is not known (any more); give `to` - at `$.conversation`")
    return address_of(value, kind)
