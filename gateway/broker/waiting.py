"""What both brokers do alike: wait to be ready, publish a single message, ask and wait for the answer."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from gateway.broker.api import (
    COMMANDS,
    Broker,
    BrokerUnavailable,
    Consumer,
    Listener,
    NoSuchQueue,
    Outcome,
    Publication,
)

POLL_SECS = 0.02
FIRST_RETRY_SECS = 0.2
LAST_RETRY_SECS = 5.0


async def ready_within(broker: Broker, timeout: float) -> bool:  # noqa: ASYNC109 -- the contract's own parameter
    """Wait until `broker.ready`, at most `timeout` seconds; tell whether it came."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not broker.ready and loop.time() < deadline:  # noqa: ASYNC110 -- an alarm or a backlog ends without an event
        await asyncio.sleep(POLL_SECS)
    return broker.ready


def refuse(batch: Sequence[Publication], listener: Listener) -> None:
    """Report REFUSED from the next turn of the event loop, so that a listener is never called inside `submit`."""
    if batch:
        asyncio.get_running_loop().call_soon(listener, batch, Outcome.REFUSED)


async def first_outcome(submit: Callable[[Sequence[Publication], Listener], None], item: Publication) -> Outcome:
    """Submit one publication and return the first outcome it is reported with."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(_: Sequence[Publication], outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    submit([item], settle)
    return await future


def request(
    routing_key: str,
    body: bytes,
    *,
    method: str,
    reply_to: str,
    timeout: float,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge
) -> Publication:
    """Build a request that expires with its caller's patience (`timeout`, seconds)."""
    id_ = "req_" + secrets.token_hex(16)
    return Publication(
        exchange=COMMANDS,
        routing_key=routing_key,
        body=body,
        message_id=id_,
        correlation_id=id_,
        method=method,
        timestamp=int(clock()),
        headers={},
        reply_to=reply_to,
        expiration_ms=max(1, round(timeout * 1000)),
    )


async def ask(
    replies: AbstractAsyncContextManager[tuple[str, Consumer]],
    broker: Broker,
    routing_key: str,
    body: bytes,
    *,
    method: str,
    timeout: float,  # noqa: ASYNC109 -- the contract's own parameter
) -> bytes:
    """Send a request and return the answer; see `Broker.call`. `replies` opens a queue for the answer."""
    async with asyncio.timeout(timeout), replies as (reply_to, answers):
        item = request(routing_key, body, method=method, reply_to=reply_to, timeout=timeout)
        check_sent(await broker.publish(item), routing_key, broker.problem)
        async for answer in answers:
            await answers.ack(answer)
            if answer.correlation_id == item.correlation_id:
                return answer.body
    raise BrokerUnavailable("the subscription ended")


def check_sent(outcome: Outcome, routing_key: str, problem: str | None) -> None:
    """Raise `NoSuchQueue` or `BrokerUnavailable` unless a request is on its way."""
    if outcome is Outcome.CONFIRMED:
        return
    if outcome is Outcome.REFUSED and problem is None:
        raise NoSuchQueue(f"no queue takes requests with the routing key {routing_key!r}")
    raise BrokerUnavailable(problem or f"the request may not have been sent ({outcome.value})")


def retry_delay(attempt: int) -> float:
    """Seconds before connection attempt `attempt` (0, 1 …): doubling, capped, with jitter of a half."""
    return min(LAST_RETRY_SECS, FIRST_RETRY_SECS * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)
