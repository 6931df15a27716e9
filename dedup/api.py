"""What a deduplicator is: an atomic, two-phase, batched memory of events.

A key is *absent*, *claimed* (with an owner and a lease) or *done*::

    absent ──claim──► claimed ──commit──► done ──window over──► absent
                        │  └─release─► absent
                        └─lease over, claim──► claimed again (`redelivery` + 1)

A claim that its owner neither commits nor releases (the process died) can be taken again once its lease is over:
the crash delays the event and loses nothing. Marking before the publish would lose it; checking without writing
would let two simultaneous deliveries both pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from msgspec import Struct

from normalizer.errors import OmniError


class DedupUnavailable(OmniError):
    """The store does not answer; the caller goes on unchecked or refuses, as configured."""

    code, retryable = "dedup_unavailable", True


class Claim(Enum):
    """Answer to "is this event mine to process?"."""

    NEW = "new"
    IN_FLIGHT = "in_flight"
    DUPLICATE = "duplicate"


class Take(Struct, frozen=True, array_like=True):
    """One event to claim.

    Attributes:
        key: the dedup key.
        conversation: our id of its conversation; empty for events outside any, which get no `seq`.
        address: what a reply to the conversation must be addressed to; remembered with it.
        now_us: microseconds since the epoch, the floor of the next `seq`.
        keep: seconds to remember the event once it is done; also how long an abandoned claim stays known.
    """

    key: str
    conversation: str
    address: str
    now_us: int
    keep: float


class Taken(Struct, frozen=True, array_like=True):
    """The answer to a `Take`.

    Attributes:
        claim: whose it is.
        seq: for `NEW` in a conversation: ``max(last seq + 1, now_us)``; else 0.
        redelivery: how many earlier claims of this key ran out without an outcome.
    """

    claim: Claim
    seq: int = 0
    redelivery: int = 0


class Done(Struct, frozen=True, array_like=True):
    """One claimed event that became durable; `keep` in seconds."""

    key: str
    keep: float


class Deduplicator(Protocol):
    """The store. All methods raise `DedupUnavailable` within `timeout` when it does not answer.

    Every instance is one *owner*: a claim can only be released by the owner that holds it.
    """

    async def exchange(
        self, takes: Sequence[Take], done: Sequence[Done] = (), released: Sequence[str] = (), *, lease: float
    ) -> list[Taken]:
        """Commit, release and claim, in this order, in one round trip.

        Args:
            takes: claimed in order; the same key twice in a batch is NEW, then IN_FLIGHT.
            done: turned into DUPLICATE for `keep` seconds, whoever claimed them.
            released: absent again, if this owner still holds the claim.
            lease: seconds until a claim may be taken by somebody else.

        Returns:
            One answer per take, in order.
        """
        ...

    async def address_of(self, conversation: str) -> str | None:
        """Return what replies to a conversation must be addressed to, or None when it is not known."""
        ...

    async def status(self, key: str) -> str | None:
        """Return ``claimed`` or ``done``, or None; for `omnigate why`."""
        ...

    async def recall(self, key: str) -> bytes | None:
        """Return what `remember` stored."""
        ...

    async def remember(self, key: str, value: bytes, *, keep: float | None) -> None:
        """Store a value, such as the answer of an idempotent request, for `keep` seconds; None is for ever."""
        ...

    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, keep: float | None) -> bool:
        """Replace what `recall` would return, if it is `expected`, in one atomic step; tell whether it was.

        Args:
            key: as in `remember`.
            expected: what must be there now; None: nothing.
            value: what to store instead; None: nothing.
            keep: seconds the new value stays; None is for ever.
        """
        ...

    async def open(self) -> None:
        """Connect; does not fail when the store is away."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
