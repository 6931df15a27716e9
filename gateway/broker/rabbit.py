"""RabbitMQ, 3.10 (Debian 12) to 4.x, as the gateway's broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

import structlog
from yarl import URL

from gateway.broker import consumer
from gateway.broker.api import BrokerUnavailable, Consumer, Delivery, Listener, Outcome, Publication
from gateway.broker.publisher import ConfirmPublisher
from gateway.broker.rabbit_declare import Declarer
from gateway.broker.rabbit_link import FAILURES, LOST, Link, connect, explain
from gateway.broker.topology import Queue, command_queue, entrance, lookout, queues
from gateway.broker.waiting import ask, first_outcome, ready_within, refuse, retry_delay
from gateway.settings.model import BrokerSection

log = structlog.get_logger(__name__)

DECLARE_SECS = 60.0
"""For the whole layout: a quorum queue takes tens of milliseconds, and a cluster under load more."""
STABLE_SECS = 30.0
"""A connection that lived this long starts the back-off anew."""


class RabbitBroker:
    """See `gateway.broker.api.Broker`. One connection publishes, another (opened when needed) does the rest."""

    def __init__(self, settings: BrokerSection, *, node: str) -> None:
        """Prepare; `run` connects. `node` names the connections ``omnigate:<node>``."""
        self._settings, self._url = settings, URL(settings.url)
        self._name = f"omnigate:{node}"
        self._link = Link(self._url, f"{self._name}:consume")
        self._queues: dict[str, Queue] = {q.name: q for q in queues(settings.queues, settings.history_hours)}
        self._history = settings.history_hours > 0
        self._publisher: ConfirmPublisher | None = None
        self._problem: str | None = "not connected yet"
        self._poisonous: dict[str, str] = {}
        self._faults: tuple[str, ...] = ()
        self._closing = False

    @property
    def ready(self) -> bool:
        """See `Broker.ready`."""
        return self.problem is None

    @property
    def problem(self) -> str | None:
        """See `Broker.problem`."""
        if self._publisher is None or self._closing:
            return self._problem or LOST
        return self._publisher.problem

    @property
    def faults(self) -> tuple[str, ...]:
        """See `Broker.faults`."""
        return self._faults

    async def run(self) -> None:
        """Keep connected and declared until cancelled; reconnects by itself, with back-off."""
        loop, attempt = asyncio.get_running_loop(), 0
        while not self._closing:
            began = loop.time()
            try:
                await self._session()
            except (*FAILURES, BrokerUnavailable) as exc:
                self._down(explain(exc, self._url))
            if loop.time() - began > STABLE_SECS:
                attempt = 0
            await asyncio.sleep(retry_delay(attempt))
            attempt += 1
        await asyncio.Event().wait()  # closed: nothing to do until cancelled

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 -- part of the contract
        """See `Broker.wait_ready`."""
        return await ready_within(self, timeout)

    def submit(self, batch: Sequence[Publication], listener: Listener) -> None:
        """See `Broker.submit`."""
        if self._publisher is None or self._closing:
            refuse(batch, listener)
        elif batch:
            self._publisher.submit(batch, listener)

    async def publish(self, publication: Publication) -> Outcome:
        """See `Broker.publish`."""
        return await first_outcome(self.submit, publication)

    def consume(self, queue: str, *, prefetch: int) -> AbstractAsyncContextManager[Consumer]:
        """See `Broker.consume`."""
        return consumer.subscribe(self._link, queue, prefetch=prefetch)

    async def declare_channel(self, channel_id: str) -> str:
        """See `Broker.declare_channel`; the queue is declared again at every later connect."""
        queue = command_queue(channel_id)
        self._queues[queue.name] = queue
        with self._link.explaining():
            async with asyncio.timeout(DECLARE_SECS):
                declarer = Declarer(await self._link.connection(), self._poisonous)
                await declarer.queues([queue])
                await declarer.close()
        self._note([*self._faults, *declarer.faults])
        return queue.name

    def watch(self, pattern: str, *, from_start: bool = False) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """See `Broker.watch`."""
        if from_start and not self._history:
            raise ValueError(
                "this broker keeps no history to start from; set broker.history_hours (events from then on are kept)"
            )
        return consumer.watch(self._link, pattern, source=lookout(history=self._history), from_start=from_start)

    async def call(self, routing_key: str, body: bytes, *, method: str, timeout: float) -> bytes:  # noqa: ASYNC109
        """See `Broker.call`."""
        return await ask(consumer.replies(self._link), self, routing_key, body, method=method, timeout=timeout)

    async def close(self) -> None:
        """See `Broker.close`."""
        self._closing, self._problem = True, "closed"
        if self._publisher is not None:
            await self._publisher.close()
        await self._link.close()

    async def _session(self) -> None:
        connection = await connect(self._url, self._name)
        try:
            async with asyncio.timeout(DECLARE_SECS):
                declarer = Declarer(connection, self._poisonous)
                await declarer.exchanges(history=self._history)
                await declarer.queues(list(self._queues.values()))
                await declarer.close()
                publisher = await ConfirmPublisher.open(
                    connection,
                    publish_timeout=self._settings.publish_timeout_secs,
                    max_unconfirmed=self._settings.max_unconfirmed,
                    entrance=entrance(history=self._history),
                )
            self._note(declarer.faults)
            self._publisher, self._problem = publisher, None
            log.info("broker_connected", url=f"{self._url.host}{self._url.path}")
            try:
                await publisher.closed.wait()
                self._down(LOST if publisher.reason is None else explain(publisher.reason, self._url))
            finally:
                self._publisher = None
                await publisher.close()
        finally:
            await connection.close()
            await self._link.close()

    def _note(self, faults: Sequence[str]) -> None:
        for fault in faults:
            if fault not in self._faults:
                log.error("broker_layout", fault=fault)
        self._faults = tuple(dict.fromkeys(faults))

    def _down(self, problem: str) -> None:
        if not self._closing and problem != self._problem:
            log.warning("broker_unavailable", problem=problem)
            self._problem = problem
