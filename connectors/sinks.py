"""Where connectors hand over what they received, and what they are told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol, runtime_checkable

from connectors.errors import Busy
from normalizer.raw import RawEvent


class Receipt(Enum):
    """How a delivery ended; given only once everything in it is durable."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


Sink = Callable[[RawEvent], Awaitable[Receipt]]
"""Hands a delivery to the pipeline.

Returns once every item in it is durable (broker confirm, or fsync on local disk).

Raises:
    Busy: nothing is promised; the provider must try again.
    MalformedPayload: nothing could be made of the body, and the channel's `on_malformed` is ``reject``.
"""


@runtime_checkable
class QuickSink(Protocol):
    """A `Sink` that takes an ordinary delivery without a task of its own, which costs more than all the rest of it."""

    def __call__(self, raw: RawEvent) -> Awaitable[Receipt]:
        """Hand a delivery to the pipeline; see `Sink`."""
        ...

    def offer(self, raw: RawEvent, ended: Callable[[Receipt | Busy], None]) -> Awaitable[Receipt] | None:
        """Begin with a delivery.

        Returns:
            None: the pipeline has it, and will call `ended`, once, with what the sink would return or raise.
            Else what to await instead: something has to be waited for on the way there, such as the quarantine.

        Raises:
            Busy, MalformedPayload: as the sink does.
        """
        ...
