"""Requests to the gateway itself: about channels, the quarantine, its own health. Served on ``gw.rpc`` and over HTTP.

Requests that are for a provider (`message.send`, `message.edit` …) belong into the command queue of their channel,
where they are durable and in order; those that come here are forwarded to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from msgspec import Struct, to_builtins

from gateway.broker.api import (
    RPC_QUEUE,
    Broker,
    BrokerUnavailable,
    Consumer,
    Delivery,
    NoSuchQueue,
)
from gateway.broker.topology import command_key
from gateway.limits import Backoff, Timing
from gateway.outbound_actions import METHODS
from gateway.outbound_errors import rpc_error
from gateway.outbound_reports import Reports
from gateway.requests_api import Control, Readiness
from gateway.settings.problems import SettingsError
from normalizer import rpc
from normalizer.errors import OmniError
from normalizer.methods import REQUESTS, ChannelParams, Params, QuarantineParams
from normalizer.rpc import Request, RpcError

__all__ = ["Control", "Readiness", "Requests"]

log = structlog.get_logger(__name__)

PREFETCH = 16
READY_SECS = 5.0
RECONNECT = Backoff(base=0.2, cap=5.0)
FOR_PROVIDERS = METHODS | {"message.send"}
READING = frozenset(
    {"gateway.ping", "channel.list", "channel.get", "channel.capabilities", "channel.verify", "quarantine.list"}
)
"""Methods that change nothing; every other one leaves a line in the audit log when it comes over HTTP."""


class Requests:
    """Answers requests, from wherever they come."""

    def __init__(self, control: Control, broker: Broker, *, timing: Timing | None = None) -> None:
        """Serve the gateway that `control` stands for."""
        self._control, self._broker, self._timing = control, broker, timing or Timing()
        self._reports = Reports(broker, timing=self._timing, log=log)
        self._plain: dict[str, Callable[[], Awaitable[Any]]] = {
            "gateway.ping": self._ping,
            "channel.list": self._list,
            "channel.reload": self._reload,
        }
        self._about_channel: dict[str, Callable[[str], Awaitable[Any]]] = {
            "channel.get": self._get,
            "channel.capabilities": self._capabilities,
            "channel.verify": self._verify,
            "channel.pause": self._pause,
            "channel.resume": self._resume,
        }
        self._quarantine: dict[str, Callable[[Sequence[int], str | None], Awaitable[Any]]] = {
            "quarantine.list": control.quarantine_list,
            "quarantine.redrive": control.quarantine_redrive,
            "quarantine.discard": control.quarantine_discard,
        }

    async def run(self) -> None:
        """Serve ``gw.rpc`` until cancelled."""
        failures = 0
        while True:
            with suppress(BrokerUnavailable):
                if await self._broker.wait_ready(READY_SECS):
                    async with self._broker.consume(RPC_QUEUE, prefetch=PREFETCH) as consumer:
                        failures = 0
                        await self._consume(consumer)
            failures += 1
            await asyncio.sleep(RECONNECT.delay(failures))

    async def dispatch(self, request: Request) -> Any:
        """Answer a request to the gateway itself; raises `RpcError`."""
        shape = REQUESTS.get(request.method)
        if shape is None or request.method in FOR_PROVIDERS:
            raise RpcError(rpc.METHOD_NOT_FOUND, f"there is no method {request.method!r}")
        return await self._perform(request.method, rpc.parse_params(request.params, shape))

    async def call(self, request: Request, *, timeout: float) -> bytes:  # noqa: ASYNC109 -- handed to the broker
        """Answer any request; those for a provider take the way through the broker. Raises nothing but cancellation."""
        try:
            if request.method not in FOR_PROVIDERS:
                return rpc.result(request.id, await self.dispatch(request))
            key = command_key(request.method, self._known_channel(request))
            body = rpc.request(request.method, request.params, 0 if request.id is None else request.id)
            return await self._broker.call(key, body, method=request.method, timeout=timeout)
        except TimeoutError:
            reason = "no answer in time; it may still happen: ask again with the same `idempotency_key`"
            return rpc.error(request.id, RpcError(rpc.BUSY, reason))
        except OmniError as exc:
            return rpc.error(request.id, _error(exc))
        except Exception as exc:
            log.exception("request_failed", method=request.method, error=type(exc).__name__)
            return rpc.error(request.id, rpc_error(exc))

    async def _consume(self, consumer: Consumer) -> None:
        async with asyncio.TaskGroup() as group:
            try:
                async for delivery in consumer:
                    group.create_task(self._serve(consumer, delivery))
            except BrokerUnavailable:  # those under way go on: what they do does not need the consumer
                return

    async def _serve(self, consumer: Consumer, delivery: Delivery) -> None:
        try:
            request = rpc.parse_request(delivery.body)
        except RpcError as exc:
            await self._reports.answer(delivery, rpc.error(None, exc))
            await self._reports.dead(delivery, stage="send", reason=exc.code, detail=str(exc))
        else:
            await self._respond(delivery, request)
        with suppress(BrokerUnavailable):
            await consumer.ack(delivery)

    async def _respond(self, delivery: Delivery, request: Request) -> None:
        try:
            if request.method in FOR_PROVIDERS:
                channel = self._known_channel(request)
                await self._reports.forward(delivery, command_key(request.method, channel), request.method)
                return
            body = rpc.result(request.id, await self.dispatch(request))
            error = None
        except Exception as exc:
            if not isinstance(exc, OmniError):
                log.exception("request_failed", method=request.method, error=type(exc).__name__)
            error = _error(exc)
            body = rpc.error(request.id, error)
        told = request.id is not None and await self._reports.answer(delivery, body)
        if error is not None and not told:
            await self._reports.dead(delivery, stage="send", reason=error.code, detail=str(error))

    def _known_channel(self, request: Request) -> str:
        # Only the channel is looked at here: the rest is checked where the request is carried out.
        channel = rpc.parse_params(request.params, _Addressed).channel
        self._control_channel(channel)
        return channel

    def _control_channel(self, channel: str) -> dict[str, Any]:
        try:
            return self._control.channel(channel)
        except KeyError:
            known = ", ".join(repr(item["id"]) for item in self._control.channels()) or "none"
            raise RpcError(rpc.CHANNEL_UNKNOWN, f"there is no channel {channel!r}; there are: {known}") from None

    async def _perform(self, method: str, params: Params) -> Any:
        if isinstance(params, ChannelParams):
            self._control_channel(params.channel)
            return await self._about_channel[method](params.channel)
        if isinstance(params, QuarantineParams):
            if method == "quarantine.discard" and not params.ids and params.channel is None:
                raise RpcError(rpc.INVALID_PARAMS, "say which: give `ids` or a `channel` - at `$.ids`")
            return await self._quarantine[method](params.ids, params.channel)
        return await self._plain[method]()

    async def _ping(self) -> Any:
        ready = self._control.readiness()
        return {**self._control.ping(), "ready": ready.ready, "reasons": list(ready.reasons)}

    async def _list(self) -> Any:
        return {"channels": self._control.channels()}

    async def _get(self, channel: str) -> Any:
        return self._control.channel(channel)

    async def _capabilities(self, channel: str) -> Any:
        return to_builtins(self._control.capabilities(channel))

    async def _verify(self, channel: str) -> Any:
        return to_builtins(await self._control.verify(channel))

    async def _pause(self, channel: str) -> Any:
        await self._control.pause(channel)
        return self._control.channel(channel)

    async def _resume(self, channel: str) -> Any:
        await self._control.resume(channel)
        return self._control.channel(channel)

    async def _reload(self) -> Any:
        return await self._control.reload()


class _Addressed(Struct, frozen=True):
    channel: str


def _error(exc: Exception) -> RpcError:
    if isinstance(exc, NoSuchQueue):
        return RpcError(rpc.CHANNEL_UNKNOWN, "this channel has no command queue: its gateway has never run")
    if isinstance(exc, SettingsError):
        problems = [str(problem) for problem in exc.problems]
        return RpcError(rpc.CHANNEL_CONFIG, "the configuration is refused; the old one goes on", problems=problems)
    return rpc_error(exc)
