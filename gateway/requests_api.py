"""What the app lets itself be asked and told, by requests and by the admin pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from connectors.api import Capabilities
from normalizer.checks import Verification


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether deliveries can be accepted.

    Attributes:
        ready: false sends the load balancer elsewhere.
        reasons: what is wrong, in words; with `ready` it is degraded and works.
    """

    ready: bool
    reasons: tuple[str, ...] = ()


class Control(Protocol):
    """What the app lets itself be asked and told. An unknown channel is a `KeyError`."""

    def ping(self) -> dict[str, Any]:
        """Name the node, its version, its uptime in seconds."""
        ...

    def readiness(self) -> Readiness:
        """Tell whether deliveries can be accepted."""
        ...

    def overview(self) -> dict[str, Any]:
        """Return what the console shows besides channels.

        ``ledger``: channel → column → number; ``spool``: ``{rows, oldest_secs}``; ``broker``: its problem or None.
        """
        ...

    def channels(self) -> list[dict[str, Any]]:
        """Describe every channel: ``id, kind, state, error, labels, sending`` (`Outbound.state`); no secrets."""
        ...

    def channel(self, channel_id: str) -> dict[str, Any]:
        """Describe one channel."""
        ...

    def capabilities(self, channel_id: str) -> Capabilities:
        """Say what a channel can do."""
        ...

    async def verify(self, channel_id: str) -> Verification:
        """Try a channel from both sides without sending anybody a message; says what is wrong, raises nothing of it."""
        ...

    async def pause(self, channel_id: str) -> None:
        """Take a channel out of service."""
        ...

    async def resume(self, channel_id: str) -> None:
        """Put it back."""
        ...

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again and say what changed; raises `SettingsError`."""
        ...

    async def quarantine_list(self, ids: Sequence[int], channel: str | None) -> list[dict[str, Any]]:
        """List what was not understood, without its bytes; no `ids` means all."""
        ...

    async def quarantine_redrive(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        """Try again to understand it; say what came of it."""
        ...

    async def quarantine_discard(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        """Delete it; say how much it was."""
        ...
