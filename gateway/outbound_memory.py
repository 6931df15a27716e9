"""Answers already given: the same request gets the same answer, and the customer gets one message.

A request is known by its `idempotency_key`; without one, a *redelivered* command is known by its AMQP `message_id`.
Successes and errors that would come again are remembered in the dedup store; an error that may pass (unreachable,
throttled) is not, so that the asker can try again under the same key.

Within the process a second request waits for the first. Between processes nothing does: exactly one process may
consume a channel's command queue at a time, which order per recipient needs anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from dedup.api import Deduplicator
from gateway.broker.api import Delivery
from normalizer import ids, rpc
from normalizer.rpc import RpcError


class Ending(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request ended.

    Attributes:
        content: hash of what was asked for.
        message_id: our id of the message.
        provider_id: the provider's id of its first part.
        result: the JSON-RPC result; None for an error.
        code, message, data: the JSON-RPC error.
    """

    content: str
    message_id: str
    provider_id: str | None = None
    result: dict[str, Any] | None = None
    code: int = 0
    message: str = ""
    data: dict[str, Any] = {}

    @classmethod
    def failed(cls, content: str, message_id: str, error: RpcError) -> Ending:
        """Keep an error."""
        return cls(content=content, message_id=message_id, code=error.number, message=str(error), data=error.data)

    @property
    def error(self) -> RpcError | None:
        """The error, or None after a success."""
        return RpcError(self.code, self.message, **self.data) if self.code else None


class Identity(Struct, frozen=True, kw_only=True):
    """What makes a request the same request.

    Attributes:
        message_id: our id of the message, the same whenever the request is seen again.
        key: of the memory; None when the producer gave nothing to know the request by.
        look: whether the memory has to be asked before sending.
    """

    message_id: str
    key: str | None
    look: bool


def identity(channel_id: str, idempotency_key: str | None, delivery: Delivery, unique: str) -> Identity:
    """Derive the identity of a request; `unique` names one that has nothing of its own."""
    if idempotency_key is not None:
        native, look = f"key:{idempotency_key}", True
    elif delivery.message_id:
        native, look = f"amqp:{delivery.message_id}", delivery.redelivered
    else:
        return Identity(message_id=ids.message_id(channel_id, "gateway:out", unique), key=None, look=False)
    return Identity(
        message_id=ids.message_id(channel_id, "gateway:out", native),
        key="send:" + ids.digest(channel_id, native),
        look=look,
    )


class Flight(Struct, frozen=True, eq=False):
    """A request under way.

    Attributes:
        ending: set when everything was reported; cancelled when it came to no end.
        delivery: the AMQP `message_id` of the command.
    """

    ending: asyncio.Future[Ending]
    delivery: str | None


class Memory:
    """The answers of one channel."""

    def __init__(self, dedup: Deduplicator, *, keep_secs: float) -> None:
        """Remember in `dedup`, for `keep_secs`."""
        self._dedup, self._keep = dedup, keep_secs
        self._under_way: dict[str, Flight] = {}

    @asynccontextmanager
    async def first(self, key: str | None, delivery: str | None) -> AsyncIterator[asyncio.Future[Ending]]:
        """Enter as the first with `key`, and set the future to how it ended; leaving without doing so cancels it.

        The place is taken before any waiting. `waiting_for` tells beforehand whether somebody else is the first.
        """
        future: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        if key is not None:
            self._under_way[key] = Flight(future, delivery)
        try:
            yield future
        finally:
            if key is not None:
                del self._under_way[key]
            future.cancel()  # no effect once it is set

    def waiting_for(self, key: str | None) -> Flight | None:
        """Return the request with `key` that is under way."""
        return None if key is None else self._under_way.get(key)

    async def recall(self, key: str) -> Ending | None:
        """Return how the request ended, if it did; raises `DedupUnavailable`."""
        stored = await self._dedup.recall(key)
        if stored is None:
            return None
        try:
            return msgspec.json.decode(stored, type=Ending)
        except msgspec.MsgspecError:  # written by another version: better twice than never
            return None

    async def remember(self, key: str, ending: Ending) -> None:
        """Keep it, unless the same request may end otherwise next time; raises `DedupUnavailable`."""
        error = ending.error
        if error is None or not (error.retryable or error.number == rpc.EXPIRED):
            await self._dedup.remember(key, msgspec.json.encode(ending), keep=self._keep)


def repeated(ending: Ending, content: str) -> Ending:
    """Answer a request whose key is known: the same again, or an error when it asks for something else."""
    if ending.content == content:
        return ending
    first = {"error": {"code": ending.code, "message": ending.message}} if ending.code else ending.result
    error = RpcError(
        rpc.DUPLICATE_REQUEST,
        "this idempotency_key was used for another message; use a new key for new content",
        first_result=first,
    )
    return Ending.failed(content, ending.message_id, error)
