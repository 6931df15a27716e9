"""What speaking to Redis takes, shared by those who do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from redis.exceptions import RedisError

AWAY = (RedisError, OSError, RuntimeError, EOFError, msgspec.DecodeError)
"""What a store that does not answer looks like. RuntimeError: uvloop, writing to a transport that was just closed."""

Word = bytes | str | int


def pack(words: Sequence[Word]) -> list[bytes]:
    """Pack a command in RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return [b"".join(out)]
