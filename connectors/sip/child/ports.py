"""Where sound enters and leaves PJSIP's conference bridge.

The frame buffer of pjsua2 is a C++ ``std::vector<unsigned char>``; through SWIG each byte of it would be a Python
object, so it is read by its begin and end pointers instead. `check_layout` proves at the start that they are there.
"""

from __future__ import annotations

import ctypes
from collections import deque
from struct import Struct
from typing import Any

import pjsua2 as pj

from connectors.sip import wire
from connectors.sip.child.link import Link

_ENDS = Struct("PP")
SILENCE = bytes(wire.FRAME)


def read(vector: Any) -> bytes:
    """Copy the content of a ByteVector."""
    begin, end = _ENDS.unpack(ctypes.string_at(int(vector.this), _ENDS.size))
    return ctypes.string_at(begin, end - begin)


def write(vector: Any, data: bytes) -> None:
    """Fill a ByteVector."""
    vector.resize(len(data))
    begin, _ = _ENDS.unpack(ctypes.string_at(int(vector.this), _ENDS.size))
    ctypes.memmove(begin, data, len(data))


def check_layout() -> None:
    """Raise `RuntimeError` when a vector is not laid out as `read` and `write` think."""
    vector = pj.ByteVector()
    write(vector, b"\x01\x02\xff")
    if read(vector) != b"\x01\x02\xff" or list(vector) != [1, 2, 255]:
        raise RuntimeError("this build of pjsua2 has another memory layout than expected")


class Tap(pj.AudioMediaPort):  # type: ignore[misc] # pjsua2 has no types
    """Both legs of one call. Taps are made at the start and never deleted: deleting one races the media clock.

    Attributes:
        call: number of the call it serves; 0 is none.
        queue: frames that wait to be played.
    """

    def __init__(self, index: int, link: Link) -> None:
        """Make the port."""
        super().__init__()
        self._link = link
        self.call = 0
        self.queue: deque[bytes] = deque()
        self._left: list[bytes] = []
        self._right: list[bytes] = []
        self._said = SILENCE
        shape = pj.MediaFormatAudio()
        shape.type = pj.PJMEDIA_TYPE_AUDIO
        shape.clockRate, shape.channelCount, shape.bitsPerSample, shape.frameTimeUsec = wire.RATE, 1, 16, 20_000
        self.createPort(f"tap{index}", shape)

    def serve(self, call: int) -> None:
        """Begin with a call."""
        self.queue.clear()
        self._left, self._right, self._said = [], [], SILENCE
        self.call = call

    def release(self) -> None:
        """End with it; what is left of a packet is sent."""
        call, self.call = self.call, 0
        left, right = self._left, self._right
        self._left, self._right = [], []
        if call and left:
            rest = [SILENCE] * (wire.FRAMES - len(left))
            self._link.sound(call, 0, b"".join([*left, *rest, *right, *rest]))
        self.queue.clear()

    def play(self, pcm: bytes) -> None:
        """Put sound into the queue."""
        self.queue.extend(
            pcm[start : start + wire.FRAME].ljust(wire.FRAME, b"\0") for start in range(0, len(pcm), wire.FRAME)
        )

    def onFrameRequested(self, frame: Any) -> None:  # noqa: N802 -- pjsua2's name
        """Give a frame, on the media clock's thread; none is silence."""
        try:
            said = self.queue.popleft()
        except IndexError:
            return
        self._said = said
        write(frame.buf, said)
        frame.type, frame.size = pj.PJMEDIA_FRAME_TYPE_AUDIO, wire.FRAME

    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802 -- pjsua2's name
        """Take a frame, on the media clock's thread; it comes after that tick's `onFrameRequested`."""
        said, self._said = self._said, SILENCE
        call = self.call
        if not call:
            return
        heard = read(frame.buf) if frame.size else SILENCE
        self._left.append(heard if len(heard) == wire.FRAME else heard.ljust(wire.FRAME, b"\0")[: wire.FRAME])
        self._right.append(said)
        if len(self._left) >= wire.FRAMES:
            left, right = self._left, self._right
            self._left, self._right = [], []
            self._link.sound(call, len(self.queue), b"".join([*left, *right]))
