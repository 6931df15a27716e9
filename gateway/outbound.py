"""From commands on the broker to the provider, and the answers back.

One `Outbound` consumes ``gw.out.<channel>``. What it promises:

* a command is acknowledged only after its answer, its `message.status` and, if it failed for good, its dead letter are
  confirmed by the broker;
* messages to one recipient leave in order, also while one of them is being retried; different recipients do not wait
  for each other, up to `max_sends` at a time;
* while the provider is dead (breaker open) or throttles, messages wait; they are not used up;
* at least once: see `gateway.outbound_send` for what can double. Exactly one process may consume a channel at a time.

The parts: `outbound_handler` (one command), `outbound_send` (`message.send`), `outbound_actions` (other requests),
`outbound_sender` (tries), `outbound_memory` (same key, same answer), `outbound_reports` (publishing), `limits`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol

import structlog
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from connectors.api import Blobs, Capabilities, ChannelConfig, Connector, LinkMaker
from connectors.registry import capabilities_of
from dedup.api import Deduplicator
from gateway.broker.api import Broker, BrokerUnavailable, Consumer, Delivery
from gateway.journal import Journal
from gateway.limits import Backoff, Breaker, Gate, Lanes, State, Timing
from gateway.order import Statuses
from gateway.outbound_actions import Actions
from gateway.outbound_desk import Desk
from gateway.outbound_handler import Handler
from gateway.outbound_memory import Memory
from gateway.outbound_reports import Reports
from gateway.outbound_sender import Progress, Sender
from gateway.settings.model import Channel
from gateway.status import status_event
from gateway.telemetry import Meters
from normalizer.model import ChannelRef
from normalizer.raw import Event

PREFETCH_PER_SEND = 8
"""Commands taken per message that may be sent at once: those beyond wait for their recipient, a pause or a retry, so
that one recipient's retries do not stop the others."""
READY_SECS = 5.0
RECONNECT = Backoff(base=0.2, cap=5.0)
POLL_SECS = 0.05  # at shutdown only


class Teller(Protocol):
    """The part of `gateway.intake.Intake` that is needed here."""

    @property
    def ref(self) -> ChannelRef:
        """The channel."""
        ...

    @property
    def meters(self) -> Meters:
        """Its counters."""
        ...

    def tell(self, event: Event) -> None:
        """Publish an event about the channel, some time soon."""
        ...


class Extras(Struct, frozen=True, kw_only=True):
    """What an `Outbound` can do without.

    Attributes:
        keep_secs: how long answers are remembered, where the channel sets no window.
        drain_secs: how long a shutdown waits for calls under way.
        strict: see `Desk`.
        blobs: for `media.get`.
        link: for `media.get`.
        journal: for `omnigate why`.
        statuses: see `Desk`.
        breaker_threshold: failures in a row after which sending is suspended.
        breaker_secs: for how long, the first time; doubles up to `breaker_cap_secs`.
    """

    keep_secs: float = 604_800.0
    drain_secs: float = 10.0
    strict: bool = False
    blobs: Blobs | None = None
    link: LinkMaker | None = None
    journal: Journal | None = None
    statuses: Statuses | None = None
    breaker_threshold: int = 5
    breaker_secs: float = 5.0
    breaker_cap_secs: float = 300.0
    timing: Timing = Timing()
    backoff: Backoff = Backoff()


class Outbound:
    """The sending side of one channel; see the module."""

    def __init__(
        self,
        *,
        channel: Channel,
        connector: Connector,
        broker: Broker,
        dedup: Deduplicator,
        intake: Teller,
        capabilities: Capabilities | None = None,
        extras: Extras | None = None,
    ) -> None:
        """Wire the parts; `capabilities` are those of the connector unless given."""
        self._extras = extras or Extras()
        self._id, self._broker, self._intake = channel.id, broker, intake
        self._prefetch = channel.options.max_sends * PREFETCH_PER_SEND
        self._log: FilteringBoundLogger = structlog.get_logger("gateway.outbound").bind(channel=channel.id)
        self._jobs: dict[asyncio.Task[None], Progress] = {}
        self._draining = self._down = False
        self.breaker = Breaker(
            threshold=self._extras.breaker_threshold,
            base=self._extras.breaker_secs,
            cap=self._extras.breaker_cap_secs,
            steady=self._extras.timing.steady,
            on_change=self._on_breaker,
        )
        self._sender = self._make_sender(channel.options)
        capabilities = capabilities or capabilities_of(channel.kind, connector)
        self._handler = self._make_handler(channel, connector, capabilities, dedup)

    def _make_sender(self, options: ChannelConfig) -> Sender:
        extras = self._extras
        return Sender(
            Gate(self.breaker, rate_per_sec=options.rate_per_sec, timing=extras.timing),
            max_sends=options.max_sends,
            attempts=options.send_attempts,
            backoff=extras.backoff,
            timing=extras.timing,
            meters=self._intake.meters,
            log=self._log,
        )

    def _make_handler(
        self, channel: Channel, connector: Connector, capabilities: Capabilities, dedup: Deduplicator
    ) -> Handler:
        extras, options = self._extras, channel.options
        desk = Desk(
            channel=self._intake.ref,
            connector=connector,
            options=options,
            capabilities=capabilities,
            dedup=dedup,
            strict=extras.strict,
            sender=self._sender,
            memory=Memory(dedup, keep_secs=options.dedup_window_secs or extras.keep_secs),
            reports=Reports(self._broker, timing=extras.timing, log=self._log, journal=extras.journal),
            lanes=Lanes(),
            meters=self._intake.meters,
            backoff=extras.backoff,
            log=self._log,
            statuses=extras.statuses,
        )
        actions = Actions(
            connector,
            capabilities,
            dedup,
            kind=channel.kind,
            options=options,
            blobs=extras.blobs,
            link=extras.link,
        )
        return Handler(desk, actions)

    async def run(self) -> None:
        """Send until cancelled; then finish what is under way, within `drain_secs`, and give the rest back."""
        self._draining = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(group), name=f"take:{self._id}")
            try:
                await asyncio.Event().wait()
            finally:
                await self._drain()

    @property
    def state(self) -> dict[str, Any]:
        """How sending goes, for `channel.get` and the console: no customer data."""
        return {
            "breaker": self.breaker.state.value,
            "paused_secs": round(self._sender.gate.paused_secs, 1),
            "commands": len(self._jobs),
            "last_error": self._sender.last_error,
        }

    async def _take(self, group: asyncio.TaskGroup) -> None:
        failures = 0
        while True:
            try:
                if await self._broker.wait_ready(READY_SECS):
                    queue = await self._broker.declare_channel(self._id)
                    async with self._broker.consume(queue, prefetch=self._prefetch) as consumer:
                        failures = 0
                        await self._consume(consumer, group)
            except BrokerUnavailable as exc:
                self._log.debug("commands_interrupted", reason=str(exc))
            failures += 1
            await asyncio.sleep(RECONNECT.delay(failures))

    async def _consume(self, consumer: Consumer, group: asyncio.TaskGroup) -> None:
        async for delivery in consumer:
            if self._draining:
                continue  # not acknowledged, so the broker has it back when the consumer closes
            progress = Progress()
            task = group.create_task(self._job(consumer, delivery, progress))
            self._jobs[task] = progress
            task.add_done_callback(self._jobs.pop)

    async def _job(self, consumer: Consumer, delivery: Delivery, progress: Progress) -> None:
        try:
            await self._handler.handle(delivery, progress)
        except Exception as exc:  # noqa: BLE001 -- one bad command harms only itself
            self._log.exception("command_failed", error=type(exc).__name__, method=delivery.method)
            with suppress(BrokerUnavailable):
                await consumer.nack(delivery, requeue=False)  # to gw.dead.send, by the broker
            return
        # Where the connection was lost, the command comes again and finds its answer remembered.
        with suppress(BrokerUnavailable):
            await consumer.ack(delivery)

    async def _drain(self) -> None:
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._extras.drain_secs):
                while self._jobs:
                    for task, progress in self._jobs.items():
                        if not progress.busy:  # waits for its turn or for another try
                            task.cancel()
                    await asyncio.wait(self._jobs, timeout=POLL_SECS)
        if self._jobs:
            self._log.warning("sends_cut_off", commands=len(self._jobs))

    def _on_breaker(self, state: State) -> None:
        self._intake.meters.breaker(is_open=state is not State.CLOSED)
        if state is State.HALF_OPEN or (state is State.OPEN) is self._down:
            return  # a probe, or its failure: no news
        self._down = state is State.OPEN
        reason = self._sender.last_error
        self._log.warning("sending_suspended" if self._down else "sending_resumed", reason=reason)
        status = status_event(
            self._intake.ref,
            "down" if self._down else "ok",
            at=self._extras.timing.wall(),
            component="send",
            reasons=[reason] if self._down and reason else [],
        )
        self._intake.tell(status)
