"""What parent and worker say to each other, over a SOCK_SEQPACKET socket: each message arrives whole or not at all.

Sound goes as ``P``, the number of the session (4 bytes, big-endian) and samples; everything else as ``M`` and a
MessagePack array whose first item names the type.
"""

from __future__ import annotations

import socket
import struct

import msgspec
from msgspec import Struct

from normalizer.parts import Segment

HEAD = struct.Struct(">cI")
SOUND, MESSAGE = b"P", b"M"
PIECE_BYTES = 32_768
"""The most sound of one packet; the smallest socket buffers of Linux take it."""
BUFFER_BYTES = 4_194_304
PACKET_BYTES = 1_048_576


class Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of all."""


class Load(Message, frozen=True):
    """To the worker: load a model before somebody needs it."""

    path: str


class Open(Message, frozen=True):
    """To the worker: sound of a session follows; one that is not `live` waits for all that are."""

    session: int
    path: str
    rate: int
    phrases: tuple[str, ...] = ()
    live: bool = True


class Finish(Message, frozen=True):
    """To the worker: no more sound comes; say what is pending."""

    session: int


class Close(Message, frozen=True):
    """To the worker: forget the session."""

    session: int


class Ready(Message, frozen=True):
    """From the worker: it takes orders now."""


class Loaded(Message, frozen=True):
    """From the worker: a model is there with this real-time factor, or cannot be loaded because of `error`."""

    path: str
    factor: float = 0.0
    error: str = ""


class Heard(Message, frozen=True):
    """From the worker: a partial or a final."""

    session: int
    segment: Segment


class Progress(Message, frozen=True):
    """From the worker: so many bytes of sound are done since the last, in `busy` seconds of work."""

    session: int
    taken: int
    busy: float


class Ended(Message, frozen=True):
    """From the worker: nothing more comes of this session; because of `error`, or since it was finished."""

    session: int
    error: str = ""


Order = Load | Open | Finish | Close
Answer = Ready | Loaded | Heard | Progress | Ended

_encode = msgspec.msgpack.Encoder().encode
_order = msgspec.msgpack.Decoder(Order).decode
_answer = msgspec.msgpack.Decoder(Answer).decode


def pack(message: Message) -> bytes:
    """Encode anything but sound."""
    return MESSAGE + _encode(message)


def pack_sound(session: int, pcm: bytes) -> bytes:
    """Encode a piece of sound, at most `PIECE_BYTES`."""
    return HEAD.pack(SOUND, session) + pcm


def unpack_order(packet: bytes) -> Order | tuple[int, bytes]:
    """Decode in the worker; sound is (session, samples)."""
    if packet[:1] == SOUND:
        return HEAD.unpack_from(packet)[1], packet[HEAD.size :]
    order: Order = _order(packet[1:])
    return order


def unpack_answer(packet: bytes) -> Answer:
    """Decode in the parent."""
    answer: Answer = _answer(packet[1:])
    return answer


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return ends
