"""Marks: how a delivery that the gateway makes to itself is told from a customer's.

A mark is random, is noted in the channel's state before the delivery leaves, and stands in its body. Whichever worker
or node gets the delivery treats it as any other (signature, decryption, replay) until it has been proved authentic;
then it looks the mark up, notes that it came, and drops the delivery, counted as ignored (``doctor``). A body that
carries a mark nobody gave out is a customer's like any other.
"""

from __future__ import annotations

import re
import secrets

from connectors.api import State

PREFIX = b"omnigate-doctor-"
BODY_MAX = 16_384
"""Deliveries that the doctor makes are smaller; larger ones need not be searched."""

LIFE_SECS = 60.0
_MARK = re.compile(PREFIX + rb"[0-9a-f]{32}")
_SENT, _CAME = b"sent", b"came"


class Marks:
    """The marks of one channel; every method raises `StateUnavailable`."""

    def __init__(self, state: State) -> None:
        """Note them in `state`, which all workers and nodes share."""
        self._state = state

    async def give(self) -> str:
        """Give out a mark that is good for a minute."""
        mark = PREFIX.decode() + secrets.token_hex(16)
        await self._state.put(_key(mark), _SENT, ttl=LIFE_SECS)
        return mark

    async def came(self, mark: str) -> bool:
        """Tell whether a delivery with this mark has come."""
        return await self._state.get(_key(mark)) == _CAME

    async def take(self, body: bytes) -> bool:
        """Tell whether an authentic delivery is one of ours, and note that it came."""
        found = _MARK.search(body)
        if found is None:
            return False
        key = _key(found[0].decode())
        if await self._state.get(key) is None:
            return False
        await self._state.put(key, _CAME, ttl=LIFE_SECS)
        return True


def marked(body: bytes) -> bool:
    """Tell whether a delivery may carry a mark; asked of every delivery, so it costs next to nothing."""
    return len(body) <= BODY_MAX and PREFIX in body


def _key(mark: str) -> str:
    return f"doctor:{mark}"
