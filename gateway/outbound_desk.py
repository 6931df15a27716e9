"""What the parts of one channel's sending side share, and the two ways a command ends without a message."""

from __future__ import annotations

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from connectors.api import Capabilities, ChannelConfig, Connector
from dedup.api import Deduplicator
from gateway.broker.api import Delivery
from gateway.limits import Backoff, Lanes
from gateway.order import Statuses
from gateway.outbound_memory import Memory
from gateway.outbound_reports import Reports
from gateway.outbound_sender import Progress, Sender
from gateway.telemetry import Meters
from normalizer import rpc
from normalizer.model import ChannelRef
from normalizer.rpc import Request, RpcError


class Desk(Struct, frozen=True, kw_only=True):
    """What one channel's sending side works with.

    Attributes:
        strict: without the dedup store nothing is sent (`[dedup] when_down = "refuse"`).
        statuses: what the provider has told about messages that were sent.
    """

    channel: ChannelRef
    connector: Connector
    options: ChannelConfig
    capabilities: Capabilities
    dedup: Deduplicator
    strict: bool
    sender: Sender
    memory: Memory
    reports: Reports
    lanes: Lanes
    meters: Meters
    backoff: Backoff
    log: FilteringBoundLogger
    statuses: Statuses | None = None

    def own(self, channel_id: str) -> None:
        """Refuse params that name another channel than the routing key did; raises `RpcError`."""
        if channel_id != self.channel.id:
            raise RpcError(
                rpc.INVALID_PARAMS,
                f"the routing key leads to channel {self.channel.id!r}, the params name another - at `$.channel`",
            )

    async def answer(self, delivery: Delivery, request: Request, body: bytes) -> bool:
        """Answer a request; tell whether somebody can have received it. A notification gets no answer."""
        return request.id is not None and await self.reports.answer(delivery, body)

    async def bury(self, delivery: Delivery, error: RpcError, progress: Progress) -> None:
        """Put a command that came to nothing among the dead letters."""
        self.log.warning("command_dead_lettered", code=error.code, tries=progress.tries)
        await self.reports.dead(
            delivery,
            stage="send",
            reason=error.code,
            detail=str(error),
            code=error.number,
            tries=progress.tries,
            channel_id=self.channel.id,
            channel_type=self.channel.type,
        )
