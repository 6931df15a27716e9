"""Errors as a client gets them."""

from __future__ import annotations

from typing import Literal

from connectors.errors import Busy, StateUnavailable
from normalizer import rpc
from normalizer.rpc import RpcError

UNAUTHORIZED = -32020
HELLO_FIRST = -32021
RETRY_SECS = 1.0

Reason = Literal["expired", "invalid", "revoked", "identity_expired", "jwt", "jwt_required", "missing"]


class Unauthentic(RpcError):
    """A token that is not accepted; ends the connection."""

    def __init__(self, reason: Reason) -> None:
        """Say which of the few reasons, and no more."""
        super().__init__(UNAUTHORIZED, f"not authentic: {reason}", reason=reason)


def throttled(secs: float) -> RpcError:
    """Say when to come back."""
    return RpcError(rpc.THROTTLED, "too fast", retry_after=max(0.1, round(secs, 1)))


def busy(exc: Exception | None = None) -> RpcError:
    """Say that nothing was kept, and when to try again."""
    secs = exc.retry_after if isinstance(exc, Busy) else RETRY_SECS
    return RpcError(rpc.BUSY, "busy: nothing was kept, try again", retry_after=secs)


PASSING = (Busy, StateUnavailable)
"""What becomes `busy`."""
