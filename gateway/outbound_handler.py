"""One command from its bytes to everything that has to be said about it; only then may it be acknowledged."""

from __future__ import annotations

from gateway.broker.api import Delivery
from gateway.broker.topology import command_key
from gateway.outbound_actions import FLEETING, METHODS, Actions
from gateway.outbound_desk import Desk
from gateway.outbound_errors import rpc_error
from gateway.outbound_message import lane_of
from gateway.outbound_send import MessageSend
from gateway.outbound_sender import Progress
from normalizer import rpc
from normalizer.errors import OmniError
from normalizer.methods import REQUESTS
from normalizer.rpc import Request, RpcError


class Handler:
    """See the module."""

    def __init__(self, desk: Desk, actions: Actions) -> None:
        """Work at `desk`."""
        self._desk, self._actions = desk, actions
        self._send = MessageSend(desk)

    async def handle(self, delivery: Delivery, progress: Progress) -> None:
        """Do what a command asks for and report it; returns when it may be acknowledged.

        Nothing is awaited before the command has its place in the line of its recipient.
        """
        try:
            request = rpc.parse_request(delivery.body)
        except RpcError as exc:
            progress.busy = True
            await self._desk.reports.answer(delivery, rpc.error(None, exc))
            await self._desk.bury(delivery, exc, progress)
            return
        try:
            if request.method == "message.send":
                await self._send(delivery, request, progress)
            elif request.method in METHODS:
                await self._act(delivery, request, progress)
            else:
                await self._other(delivery, request, progress)
        except OmniError as exc:
            progress.busy = True
            error = rpc_error(exc)
            told = await self._desk.answer(delivery, request, rpc.error(request.id, error))
            if not told and request.method not in FLEETING:  # else nobody would ever know
                await self._desk.bury(delivery, error, progress)

    async def _act(self, delivery: Delivery, request: Request, progress: Progress) -> None:
        desk, actions, options = self._desk, self._actions, self._desk.options
        params = actions.read(request)
        desk.own(getattr(params, "channel", desk.channel.id))
        lane = lane_of(desk.channel.id, getattr(params, "to", None), getattr(params, "conversation", None))
        async with desk.lanes.hold(lane):
            value = await desk.sender.perform(
                lambda: actions.perform(request.method, params),
                timeout=options.media_timeout_secs if request.method == "media.get" else options.send_timeout_secs,
                deadline=None,
                progress=progress,
                attempts=1 if request.method in FLEETING else None,
            )
            await desk.answer(delivery, request, rpc.result(request.id, value))

    async def _other(self, delivery: Delivery, request: Request, progress: Progress) -> None:
        """Hand on what is for the gateway itself: a channel cannot pause itself while it works for somebody."""
        if request.method not in REQUESTS:
            raise RpcError(rpc.METHOD_NOT_FOUND, f"there is no method {request.method!r}")
        progress.busy = True
        await self._desk.reports.forward(delivery, command_key(request.method, None), request.method)
