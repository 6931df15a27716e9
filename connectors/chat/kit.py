"""What everything of a channel is made with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from connectors.api import Context, Receipt, Sink
from connectors.chat.config import ChatConfig
from connectors.chat.entries import Renderer
from connectors.chat.faults import PASSING, busy
from connectors.feeds import Feeds
from normalizer import rpc
from normalizer.codecs.chat_types import Call
from normalizer.errors import MalformedPayload
from normalizer.model import Security
from normalizer.raw import RawEvent
from normalizer.rpc import RpcError

PROVED, UNPROVED = Security(verified="token"), Security(verified="none")
_encode = msgspec.json.Encoder().encode


class Kit:
    """See the module.

    Attributes:
        sink: hands deliveries over while the channel runs.
    """

    def __init__(self, config: ChatConfig, context: Context, clock: Callable[[], float]) -> None:
        """Keep the options and the shared resources; `clock` in seconds since the epoch."""
        self.config, self.context, self.clock = config, context, clock
        self.feeds: Feeds = context.feeds
        self.renderer = Renderer(context.link)
        self.sink: Sink | None = None

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    async def deliver(self, call: Call, at: datetime) -> Receipt:
        """Hand over what a visitor did; returns once it is durable.

        Raises:
            RpcError: busy, or the params make no sense.
        """
        if self.sink is None:
            raise busy()
        channel = self.context.channel
        raw = RawEvent(
            channel=channel,
            kind=channel.type,
            body=_encode(call),
            received_at=at,
            security=PROVED if call.identified else UNPROVED,
            on_malformed="reject",
            noted=True,  # in the conversation's feed, before the visitor hears of it
        )
        try:
            return await self.sink(raw)
        except MalformedPayload as exc:
            raise RpcError(rpc.INVALID_PARAMS, str(exc)) from exc
        except PASSING as exc:
            raise busy(exc) from exc

    async def append(self, feed: str, uid: str, body: bytes) -> int:
        """Add an entry and return its `seq`; raises `StateUnavailable`."""
        seq, _ = await self.feeds.append(feed, uid, body, keep=self.config.keep_secs)
        return seq
