"""What comes from RabbitMQ, read with less ado.

Nearly every frame a gateway gets is a confirm. aiormq reads each frame in three pieces through a buffer, has pamqp look
at it field by field, and wakes the channel's task with it: 50 µs, where few messages share a confirm a tenth of all
that a message costs.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import aiormq.connection
import pamqp.frame
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp import commands as spec
from pamqp import constants
from pamqp.exceptions import PAMQPException
from pamqp.frame import FrameTypes
from typing_extensions import override

_HEAD = struct.Struct(">BHI")  # type, channel, size of the payload (AMQP 0-9-1, section 2.3.5)
_ACK = struct.Struct(">IQBB")  # class and method, delivery tag, multiple, end of the frame
_IS_ACK = 60 << 16 | 80


class Receiver(FrameReceiver):
    """Reads frames; knows `basic.ack` by sight and leaves every other to pamqp."""

    @override
    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        if not self.started or self.reader.at_eof():
            return await super().get_frame()
        try:
            head = await self.reader.readexactly(_HEAD.size)
            kind, channel, size = _HEAD.unpack(head)
            rest = await self.reader.readexactly(size + 1)
        except asyncio.IncompleteReadError as exc:
            raise AMQPConnectionError("Server connection unexpectedly closed") from exc
        except OSError as exc:
            raise AMQPConnectionError(f"Server connection error: {exc!r}") from exc
        if kind == 1 and len(rest) == _ACK.size:
            method, tag, multiple, end = _ACK.unpack(rest)
            if method == _IS_ACK and end == constants.FRAME_END:
                return len(head) + len(rest), channel, spec.Basic.Ack(tag, multiple=bool(multiple))
        try:
            return pamqp.frame.unmarshal(head + rest)
        except PAMQPException as exc:
            raise InvalidFrameError(str(exc)) from exc


def use() -> None:
    """Let connections that are made from now on read in this way; aiormq has no setting for it."""
    aiormq.connection.FrameReceiver = Receiver  # type: ignore[misc]


class Frames(asyncio.Queue[Any]):
    """What came for a channel and waits for its task; confirms do not wait unless something waits before them.

    A returned message is three frames and stands before its confirm; no other frame of the channel comes between them.
    So while nothing is queued nothing that came before is unread.
    """

    def __init__(self, limit: int, confirmed: Callable[[int, bool, bool], None]) -> None:
        """Hand tag, multiple and "it is an ack" of confirms to `confirmed`; queue at most `limit` others."""
        super().__init__(limit)
        self._confirmed = confirmed

    @override
    async def put(self, item: tuple[int, FrameTypes]) -> None:
        frame = item[1]
        if isinstance(frame, spec.Basic.Ack) and self.empty():
            self._confirmed(frame.delivery_tag or 0, bool(frame.multiple), True)  # noqa: FBT003 -- the frame's fields
        else:
            await super().put(item)
