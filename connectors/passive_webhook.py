"""Base class of webhook kinds whose provider takes a reply in the HTTP answer (`connectors.passive`).

A kind sets the default of `passive_secs` just below its provider's limit and overrides `held`; its codec has
``passive(message, info) -> bytes | None``, or the kind overrides `say`. The receipt comes first: a request is held
only once its delivery is durable.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Protocol, TypeVar, runtime_checkable

from msgspec import Meta
from typing_extensions import override

from connectors.api import Context, Delivery, Positive, Receipt, Reply, Sent, Sink
from connectors.passive import Bridge
from connectors.passive_slots import Held
from connectors.webhook import WebhookConfig, WebhookConnector
from normalizer.raw import Outbound, RawEvent


class PassiveConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of every channel whose provider takes a reply in the HTTP answer.

    Attributes:
        passive_secs: how long a delivery is held for a reply of the core, just below the provider's deadline; a later
            reply is sent by the API. 0 answers at once.
        passive_max: deliveries held at the same time by each worker; those beyond are answered at once. Each is a
            connection: keep it below `[http] max_connections`.
    """

    passive_secs: Annotated[float, Meta(ge=0, le=60)] = 0.0
    passive_max: Positive = 1000


@runtime_checkable
class PassiveCodec(Protocol):
    """A codec that can say a message in the HTTP answer."""

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render it, with what `Held.info` says; None when it can only be said by the API."""
        ...


P = TypeVar("P", bound=PassiveConfig)


class PassiveConnector(WebhookConnector[P]):
    """Holds a delivery until its reply or the deadline comes.

    Attributes:
        passive_type: the content type of a reply in the HTTP answer.
    """

    passive_type: ClassVar[str] = "application/json"

    def __init__(self, config: P, context: Context) -> None:
        """Open the bridge."""
        super().__init__(config, context)
        self._bridge = Bridge(context, secs=config.passive_secs, limit=config.passive_max)

    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        """Say what in an authentic delivery can be answered; None: answer at once. Must not raise, on any body."""
        return None

    def say(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render the body of the HTTP answer; None when the message can only be sent by the API."""
        return self.codec.passive(message, info) if isinstance(self.codec, PassiveCodec) else None

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        held = self.held(delivery, raw) if self._bridge.secs else None
        hold = await self._bridge.open(held, delivery.connected) if held is not None else None
        if hold is None:
            return await super().deliver(delivery, raw, sink)
        try:
            receipt = await sink(raw)
        except BaseException:
            await hold.drop()
            raise
        if receipt is not Receipt.ACCEPTED and await hold.drop():
            return self.accepted
        body = await hold.wait()
        return self.accepted if body is None else Reply(body=body, content_type=self.passive_type)

    @override
    async def send(self, message: Outbound) -> Sent:
        """Answer the request that waits for this message, if one does, or else send it by the API."""
        if message.id not in self._unfinished:
            staged = await self.stage(message)
            if await self._bridge.offer(staged, lambda info: self.say(staged, info)):
                self.staging.done(message.id)
                return Sent(metadata={"passive": True})
        return await super().send(message)
