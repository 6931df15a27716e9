"""Which channels of this process one app of Meta's serves: all have its secret, each has an account of its own.

A webhook belongs to the app, so a delivery to one channel may bring items for the others.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakValueDictionary

from connectors.errors import Busy
from normalizer.codecs.meta import Links
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent

TOLD_MAX = 20_000
"""Pairs of addresses a channel remembers having told; one that is forgotten is told again, and deduplicated."""


class Sibling(Protocol):
    """A channel of the app."""

    @property
    def secret(self) -> str:
        """The app's secret."""
        ...

    @property
    def ref(self) -> ChannelRef:
        """The channel."""
        ...

    @property
    def running(self) -> bool:
        """Whether it takes deliveries now."""
        ...

    async def take(self, raw: RawEvent, links: Iterable[tuple[str, str]]) -> None:
        """Take its share of a delivery; raises `Busy` where it does not run."""
        ...


class Siblings:
    """The channels of one kind that have the same app secret.

    A channel is there from when it is built until it is gone for good, also while it is paused or starts again:
    meanwhile its share is answered "try again", as a delivery to itself is.
    """

    def __init__(self, hub: dict[str, Any], kind: str, secret: str) -> None:
        """Look into what the channels of a process share."""
        self._all: WeakValueDictionary[str, Sibling] = hub.setdefault(f"meta:{kind}", WeakValueDictionary())
        self._secret = secret

    def add(self, account: str, channel: Sibling) -> None:
        """Name the channel of an account; the one that was built last counts."""
        self._all[account] = channel

    def of(self, account: str) -> Sibling | None:
        """Return the channel of an account, if it is this app's."""
        found = self._all.get(account)
        if found is None or not hmac.compare_digest(found.secret.encode(), self._secret.encode()):
            return None
        return found

    def place(self, account: str) -> ChannelRef | None:
        """Name the channel of an account, if it runs."""
        found = self.of(account)
        return found.ref if found is not None and found.running else None


class Told:
    """Pairs of addresses that `contact.identified` was durably told about; the oldest are forgotten."""

    def __init__(self, most: int = TOLD_MAX) -> None:
        """Remember `most` pairs."""
        self._pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most = most

    def __contains__(self, pair: object) -> bool:
        """Tell whether a pair is known."""
        return pair in self._pairs

    def add(self, links: Links | Iterable[tuple[str, str]]) -> None:
        """Remember pairs."""
        for pair in links:
            self._pairs[pair] = None
            if len(self._pairs) > self._most:
                self._pairs.popitem(last=False)


def not_running() -> Busy:
    """Say that the share of a channel must come again."""
    return Busy(1.0, "the channel of an item does not run")
