"""What the broker is told about commands: answers, `message.status`, dead letters.

Nothing is reported "probably": a report is sent until the broker confirms it. The exception is an answer nobody can
receive any more, because its queue is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from structlog.typing import FilteringBoundLogger

from gateway.broker.api import COMMANDS, DEAD, Broker, Delivery, Outcome, Publication
from gateway.journal import Entry, Journal
from gateway.limits import Backoff, Timing
from gateway.outbound_memory import Ending
from normalizer import ids, rpc
from normalizer.methods import routing_key, topic_word
from normalizer.model import (
    SCHEMA_VERSION,
    ChannelRef,
    EventParams,
    MessageRef,
    StatusError,
    StatusParams,
)
from normalizer.rpc import RpcError

ANSWER_TRIES = 3
"""Refusals by a broker that is ready, after which the asker's queue counts as gone."""
READY_SECS = 5.0
DETAIL_CHARS = 200


class Reports:
    """Publishes for one channel, or for `gw.rpc`."""

    def __init__(
        self,
        broker: Broker,
        *,
        timing: Timing,
        log: FilteringBoundLogger,
        backoff: Backoff | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Publish through `broker`; note every `message.status` in `journal`."""
        self._broker, self._timing, self._log, self._journal = broker, timing, log, journal
        self._backoff = backoff or Backoff(base=0.2, cap=10.0)

    async def answer(self, delivery: Delivery, body: bytes) -> bool:
        """Send an answer to `reply_to`; tell whether somebody can have received it."""
        if not delivery.reply_to:
            return False
        publication = Publication(
            exchange="",
            routing_key=delivery.reply_to,
            body=body,
            message_id="rsp_" + ids.digest(delivery.reply_to, delivery.correlation_id or "", delivery.message_id or ""),
            method=delivery.method or "response",
            timestamp=int(self._timing.wall()),
            headers={},
            correlation_id=delivery.correlation_id,
        )
        if await self.settle(publication, refusals=ANSWER_TRIES):
            return True
        self._log.warning("answer_undeliverable", method=delivery.method)
        return False

    async def forward(self, delivery: Delivery, key: str, method: str) -> None:
        """Put a request where it should have gone; raises `RpcError` when nothing takes it there."""
        publication = Publication(
            exchange=COMMANDS,
            routing_key=key,
            body=delivery.body,
            message_id=delivery.message_id or _derived_id(delivery),
            method=method,
            timestamp=int(self._timing.wall()),
            headers={},
            reply_to=delivery.reply_to,
            correlation_id=delivery.correlation_id,
        )
        if not await self.settle(publication, refusals=ANSWER_TRIES):
            raise RpcError(rpc.BUSY, f"no queue takes {key!r}")

    async def dead(self, delivery: Delivery, *, stage: str, reason: str, detail: str, **headers: str | int) -> None:
        """Keep a request that came to nothing, as it was, in ``gw.dead.<stage>``, with the reason in its headers."""
        await self.settle(
            Publication(
                exchange=DEAD,
                routing_key=f"{stage}.{topic_word(str(headers.get('channel_id', 'gateway')))}",
                body=delivery.body,
                message_id=delivery.message_id or _derived_id(delivery),
                method=delivery.method or "unknown",
                timestamp=int(self._timing.wall()),
                headers={
                    **headers,
                    "reason": reason,
                    "detail": detail[:DETAIL_CHARS],
                    "queue": delivery.queue,
                    "command": delivery.routing_key,
                },
            )
        )

    async def event(self, method: str, params: EventParams, key: str, **headers: str | int) -> None:
        """Publish an event."""
        channel = params.channel
        await self.settle(
            Publication(
                routing_key=routing_key(channel.type, channel.id, method),
                body=rpc.notification(method, params),
                message_id=params.event_id,
                method=method,
                timestamp=int(self._timing.wall()),
                headers={
                    "channel_id": channel.id,
                    "channel_type": channel.type,
                    "dedup_key": key,
                    "schema": SCHEMA_VERSION,
                    **headers,
                },
            )
        )

    async def message_status(
        self,
        channel: ChannelRef,
        ending: Ending,
        status: Literal["sent", "failed", "expired"],
        *,
        conversation: str,
        idempotency_key: str | None,
    ) -> None:
        """Publish `message.status`; its id depends on the message and the status only."""
        key = ids.dedup_key(channel.id, "status", "gateway", ending.message_id, status)
        error = ending.error
        params = StatusParams(
            event_id=ids.event_id(key),
            channel=channel,
            schema=SCHEMA_VERSION,
            message=MessageRef(id=ending.message_id, provider_id=ending.provider_id),
            status=status,
            at=self._now(),
            error=None if error is None else _status_error(error),
            idempotency_key=idempotency_key,
            metadata={channel.type: told} if (told := (ending.result or {}).get("metadata")) else {},
        )
        await self.event("message.status", params, key, conversation_id=conversation)
        if self._journal is not None:
            detail = status if error is None else f"{status}: {error.code}"
            self._journal.append([_entry(params, detail, self._timing.wall())])

    async def settle(self, publication: Publication, *, refusals: int | None = None) -> bool:
        """Publish until the broker confirms; False after so many `refusals` by a broker that is ready."""
        attempt = refused = 0
        while True:
            outcome = await self._final(publication)
            if outcome is Outcome.CONFIRMED:
                return True
            attempt += 1
            if outcome is Outcome.REFUSED and self._broker.ready:
                refused += 1
                if refusals is not None and refused >= refusals:
                    return False
                self._log.warning("report_refused", exchange=publication.exchange, method=publication.method)
            await self._timing.sleep(self._backoff.delay(attempt))
            await self._broker.wait_ready(READY_SECS)

    async def _final(self, publication: Publication) -> Outcome:
        # Not `publish`: what is unknown under an alarm of the broker is confirmed later, and asking again would double.
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def listen(_: Sequence[Publication], outcome: Outcome) -> None:
            if outcome is not Outcome.UNKNOWN and not future.done():
                future.set_result(outcome)

        self._broker.submit([publication], listen)
        return await future

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._timing.wall(), UTC)


def _entry(params: StatusParams, detail: str, now: float) -> Entry:
    return Entry(
        ts=now,
        channel=params.channel.id,
        event_id=params.event_id,
        message_id=params.message.id or "",
        provider_id=params.message.provider_id or "",
        method="message.status",
        verdict="published",
        detail=detail,
    )


def _status_error(error: RpcError) -> StatusError:
    return StatusError(code=error.number, message=str(error), retryable=error.retryable)


def _derived_id(delivery: Delivery) -> str:
    return "cmd_" + ids.digest(delivery.correlation_id or "", delivery.body.decode("utf-8", "replace"))
