"""What a connector is that serves HTTP pages of its own, besides provider deliveries: ``/chat/<channel>/…``."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import Struct

from connectors.api import Connector, Delivery, Reply


class Admitted(Struct, frozen=True, kw_only=True):
    """How much of a body is read.

    Attributes:
        max_bytes: beyond it the answer is 413.
        secs: it must have come by then; None is `[http] body_timeout_secs`.
    """

    max_bytes: int = 0
    secs: float | None = None


@runtime_checkable
class PageConnector(Connector, Protocol):
    """A connector with pages; any method reaches it, and no limit of the delivery gate holds for it."""

    def admit(self, head: Delivery) -> Admitted | Reply:
        """Look at a request before its body is read: say how much of it, or answer at once."""
        ...

    async def serve(self, delivery: Delivery) -> Reply:
        """Answer it; may take its time (long polling). Raises nothing but `CancelledError`."""
        ...


@runtime_checkable
class Visited(Protocol):
    """A connector whose clients stay connected, and are counted (`gateway_chat_sessions`)."""

    @property
    def visitors(self) -> int:
        """How many are here, in this process."""
        ...


@runtime_checkable
class Calling(Protocol):
    """A connector with telephone calls, which are counted (`gateway_active_calls`, `gateway_parked_recordings`)."""

    @property
    def active_calls(self) -> int:
        """How many are not over, in this process."""
        ...

    @property
    def parked_recordings(self) -> int:
        """How many recordings cannot be stored or told for now, in this process."""
        ...


@runtime_checkable
class Draining(Protocol):
    """A connector with conversations that cannot go to another node, such as telephone calls."""

    async def drained(self) -> None:
        """Wait until they have ended, at most for as long as the channel says; then end them.

        Comes after `Dismissible.dismiss`, and while everything else still works.
        """
        ...


@runtime_checkable
class Dismissible(Protocol):
    """A connector whose clients stay connected, and can go to another node."""

    def dismiss(self) -> None:
        """Send them there, and take no more: the process is about to end. Returns at once."""
        ...
