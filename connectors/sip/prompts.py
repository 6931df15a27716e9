"""The tone after which a caller speaks."""

from __future__ import annotations

import math
import struct

from connectors.sip import wire

_BEEP_HZ, _BEEP_SECS, _BEEP_LEVEL = 1000.0, 0.4, 8000


def beep() -> bytes:
    """Make the tone after which a caller speaks."""
    count = int(wire.RATE * _BEEP_SECS)
    wave = (int(_BEEP_LEVEL * math.sin(2 * math.pi * _BEEP_HZ * n / wire.RATE)) for n in range(count))
    return struct.pack(f"<{count}h", *wave)
