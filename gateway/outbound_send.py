"""`message.send`: at most one message per key, in the order of its recipient, and every outcome reported.

What can double: a message that the provider took just before this process, or the broker, died. It is sent again when
the broker hands the command out again, because nobody knows that it arrived; at least once is what is promised. The
answer is remembered before the command is acknowledged, so the gap is the moment between the provider's answer and one
write to the dedup store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar
from uuid import uuid4

from connectors.api import Sent
from dedup.api import DedupUnavailable
from gateway.broker.api import Delivery
from gateway.limits import Overdue
from gateway.outbound_actions import find
from gateway.outbound_desk import Desk
from gateway.outbound_errors import Expired, rpc_error
from gateway.outbound_memory import Ending, Identity, identity, repeated
from gateway.outbound_message import address_of, check, content_of, in_words, lane_of, message_of
from gateway.outbound_sender import Progress
from normalizer import rpc
from normalizer.errors import OmniError, Unsendable
from normalizer.methods import SendParams
from normalizer.model import Address
from normalizer.raw import Outbound
from normalizer.rpc import Request, RpcError

T = TypeVar("T")


class MessageSend:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        """Work at `desk`."""
        self._desk = desk

    async def __call__(self, delivery: Delivery, request: Request, progress: Progress) -> None:
        """Send it, or answer as before, and report; raises `RpcError` when the params make no sense."""
        desk = self._desk
        params = rpc.parse_params(request.params, SendParams)
        desk.own(params.channel)
        check(params)
        content = content_of(params)
        who = identity(desk.channel.id, params.idempotency_key, delivery, uuid4().hex)
        while (earlier := desk.memory.waiting_for(who.key)) is not None:
            await asyncio.wait([earlier.ending])
            if not earlier.ending.cancelled():
                progress.busy = True
                if earlier.delivery != delivery.message_id or not delivery.redelivered:  # else all was said already
                    await self._reply(delivery, request, repeated(earlier.ending.result(), content))
                return
        lane = lane_of(desk.channel.id, params.to, params.conversation)
        async with desk.memory.first(who.key, delivery.message_id) as ending, desk.lanes.hold(lane):
            known = await self._recall(params, who)
            progress.busy = known is not None or progress.busy
            if known is None:
                known = await self._attempt(params, who, content, progress)
            elif not delivery.redelivered or known.content != content:
                await self._reply(delivery, request, repeated(known, content))
                ending.set_result(known)
                return
            await self._report(delivery, request, params, known, progress)
            ending.set_result(known)

    async def _attempt(self, params: SendParams, who: Identity, content: str, progress: Progress) -> Ending:
        desk = self._desk
        try:
            to = await self._address(params)
            message = message_of(
                params, to, message_id=who.message_id, channel=desk.channel, capabilities=desk.capabilities
            )
            sent = await desk.sender.perform(
                lambda: self._send(message, degrade=params.fallback == "degrade"),
                # A connector limits each of its requests; this is for one that does not.
                timeout=desk.options.send_timeout_secs * (len(message.parts) + 1),
                deadline=_deadline(params),
                progress=progress,
            )
        except OmniError as exc:
            progress.busy = True
            desk.meters.sent(exc.code)
            ending = Ending.failed(content, who.message_id, rpc_error(exc))
        else:
            desk.meters.sent("ok")
            ending = _success(sent, who.message_id, content)
        if who.key is not None:
            try:
                await desk.memory.remember(who.key, ending)
            except DedupUnavailable:
                desk.log.warning("answer_not_remembered", message_id=who.message_id)
        return ending

    async def _send(self, message: Outbound, *, degrade: bool) -> Sent:
        try:
            return await self._desk.connector.send(message)
        except Unsendable:
            if not degrade or not message.text:
                raise
            return await self._desk.connector.send(in_words(message))

    async def _recall(self, params: SendParams, who: Identity) -> Ending | None:
        key, memory = who.key, self._desk.memory
        if key is None or not who.look:
            return None
        if self._desk.strict:
            return await self._persist(lambda: memory.recall(key), _deadline(params))
        try:
            return await memory.recall(key)
        except DedupUnavailable:
            self._desk.log.warning("answer_unchecked", message_id=who.message_id)
            return None

    async def _address(self, params: SendParams) -> Address:
        kind, conversation = self._desk.channel.type, params.conversation
        if params.to is not None:
            return address_of(params.to, kind)
        return await self._persist(lambda: find(self._desk.dedup, conversation or "", kind), _deadline(params))

    async def _persist(self, ask: Callable[[], Awaitable[T]], deadline: float | None) -> T:
        attempt = 0
        while True:
            try:
                return await ask()
            except DedupUnavailable:
                attempt += 1
                if attempt >= self._desk.options.send_attempts:
                    raise
            try:
                await self._desk.sender.gate.rest(self._desk.backoff.delay(attempt), deadline)
            except Overdue:
                raise Expired from None

    async def _report(
        self, delivery: Delivery, request: Request, params: SendParams, ending: Ending, progress: Progress
    ) -> None:
        error = ending.error
        if error is not None and error.number != rpc.EXPIRED:
            await self._desk.bury(delivery, error, progress)
        if error is not None or await self._is_news(ending, params.idempotency_key):
            await self._desk.reports.message_status(
                self._desk.channel,
                ending,
                _status(error),
                conversation=lane_of(self._desk.channel.id, params.to, params.conversation),
                idempotency_key=params.idempotency_key,
            )
        await self._reply(delivery, request, ending)

    async def _is_news(self, ending: Ending, idempotency_key: str | None) -> bool:
        """Tell whether the provider has not told more than "sent" before we could."""
        if self._desk.statuses is None:
            return True
        provider_ids = ending.result["message"]["provider_ids"] if ending.result else []
        return await self._desk.statuses.sent(provider_ids, ending.message_id, idempotency_key)

    async def _reply(self, delivery: Delivery, request: Request, ending: Ending) -> None:
        error = ending.error
        body = rpc.result(request.id, ending.result) if error is None else rpc.error(request.id, error)
        await self._desk.answer(delivery, request, body)


def _deadline(params: SendParams) -> float | None:
    return None if params.not_after is None else params.not_after.timestamp()


def _success(sent: Sent, message_id: str, content: str) -> Ending:
    result = {"message": {"id": message_id, "provider_ids": list(sent.provider_ids)}, "status": "sent"}
    return Ending(
        content=content,
        message_id=message_id,
        provider_id=sent.provider_ids[0] if sent.provider_ids else None,
        result={**result, "metadata": sent.metadata} if sent.metadata else result,
    )


def _status(error: RpcError | None) -> Literal["sent", "failed", "expired"]:
    if error is None:
        return "sent"
    return "expired" if error.number == rpc.EXPIRED else "failed"
