"""Frames from RabbitMQ; pamqp says what is right."""

from __future__ import annotations

import asyncio

import pamqp.frame
import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp import commands as spec
from pamqp.frame import FrameTypes
from pamqp.heartbeat import Heartbeat

from gateway.broker.receiver import Frames, Receiver

FRAMES: list[FrameTypes] = [
    spec.Basic.Ack(1),
    spec.Basic.Ack(2**63 - 1, multiple=True),
    spec.Basic.Nack(7, multiple=True, requeue=False),
    spec.Basic.Return(312, "NO_ROUTE", "gw.events", "v1.x"),
    spec.Basic.Reject(3, requeue=True),
    Heartbeat(),
    spec.Basic.Ack(3),
]


def reading(*pieces: bytes) -> Receiver:
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    receiver = Receiver(reader)
    receiver.started = True
    return receiver


@pytest.mark.parametrize("channel", [1, 65_535])
async def test_frames_are_what_pamqp_makes_of_them(channel: int) -> None:
    raw = [pamqp.frame.marshal(frame, channel) for frame in FRAMES]
    receiver = reading(*raw)
    for one in raw:
        size, number, frame = await receiver.get_frame()
        _, expected, known = pamqp.frame.unmarshal(one)
        assert (size, number, type(frame), pamqp.frame.marshal(frame, number)) == (len(one), expected, type(known), one)


async def test_the_end_of_the_connection_is_told() -> None:
    receiver = reading(pamqp.frame.marshal(spec.Basic.Ack(1), 1)[:-3])
    with pytest.raises(AMQPConnectionError):
        await receiver.get_frame()
    with pytest.raises(StopAsyncIteration):
        await receiver.get_frame()


async def test_an_ack_without_its_end_is_no_frame() -> None:
    with pytest.raises(InvalidFrameError):
        await reading(pamqp.frame.marshal(spec.Basic.Ack(1), 1)[:-1] + b"\x00").get_frame()


async def test_a_confirm_does_not_overtake_what_came_before_it() -> None:
    seen: list[int] = []
    frames = Frames(10, lambda tag, _, __: seen.append(tag))
    await frames.put((21, spec.Basic.Ack(1)))
    returned = spec.Basic.Return(312, "NO_ROUTE", "gw.events", "v1.x")
    await frames.put((30, returned))
    await frames.put((21, spec.Basic.Ack(2)))

    assert seen == [1]
    assert frames.get_nowait()[1] is returned
    assert frames.get_nowait()[1].delivery_tag == 2
    await frames.put((21, spec.Basic.Ack(3)))
    assert seen == [1, 3]
