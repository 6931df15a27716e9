"""What a child process and its parent say to each other, over a SOCK_SEQPACKET socket: whole messages, in order.

A message is a letter, the number of a call (0: none) and the content: ``J`` is a JSON object, ``P`` sound. Sound is
16-bit little-endian, mono, 8000 Hz. From the child it comes in packets of 60 ms with both legs of the same three ticks
of the media clock; to the child it goes in pieces of up to a second.
"""

from __future__ import annotations

import json
import socket
from struct import Struct
from typing import Any

RATE = 8000
FRAME = RATE // 50 * 2
"""Bytes of 20 ms."""
FRAMES = 3
"""In a packet from the child."""
PACKET_MS = 60
MOST = 1 << 16
"""Bytes of the largest message."""
BUFFER = 1 << 22

HEAD = Struct("<cI")
SOUND = Struct("<Id")
"""Before the sound of a packet from the child: how many frames of ours still wait to be played, and when the media
clock had it ready (`time.monotonic`, which the processes of a machine share)."""


def event(call: int, content: dict[str, Any]) -> bytes:
    """Write a ``J`` message."""
    return HEAD.pack(b"J", call) + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def sound(call: int, pcm: bytes) -> bytes:
    """Write a ``P`` message to the child."""
    return HEAD.pack(b"P", call) + pcm


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ends
