"""What a codec is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from normalizer.raw import Decoded, Outbound, RawEvent, Wire


class Codec(Protocol):
    """Pure translation between one provider's wire format and the model.

    A codec never does I/O, never reads the clock, keeps no state and sees no secret.
    """

    @property
    def version(self) -> str:
        """``<kind>/<number>``: raised when the meaning of the output changes; goes into `raw.normalizer`."""
        ...

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Interpret a delivery.

        One item that is not understood is yielded as `BadItem`, the others go on. Raises nothing but
        `MalformedPayload`, and that only when nothing at all could be made of the body.
        """
        ...

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as the provider's requests, in order; raises `Unsendable`."""
        ...
