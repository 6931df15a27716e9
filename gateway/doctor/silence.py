"""When the last delivery of a channel came, on whichever worker or node."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from connectors.api import State

KEY = "doctor:heard"


class Hearing:
    """One channel's deliveries, as the primary of one node sees them.

    A gateway that has just started cannot know how long nobody delivered while it was away, so silence begins no
    earlier than its start.
    """

    def __init__(self, state: State, now: float) -> None:
        """Share what is heard in `state`; `now` is Unix time."""
        self._state, self._since, self._counted = state, now, 0.0

    async def last(self, counts: Mapping[str, float], channel: str, now: float) -> float:
        """Say when a delivery last came, Unix time; raises `StateUnavailable`.

        Args:
            counts: deliveries so far of every channel on this node.
            channel: its id.
            now: Unix time.
        """
        count = counts.get(channel, 0.0)
        if count != self._counted:
            self._counted, self._since = count, now
            await self._state.put(KEY, repr(now).encode())
            return now
        stored = await self._state.get(KEY)
        return max(self._since, float(stored) if stored else 0.0)


def in_words(last: float, limit: float) -> str:
    """Say that nothing came for longer than `limit` seconds."""
    since = datetime.fromtimestamp(int(last), UTC)
    return (
        f"nothing was delivered since {since:%Y-%m-%d %H:%M} UTC, longer than {limit:g} s (silence_secs): "
        "look at the provider's side, and try `omnigate call channel.verify`"
    )
