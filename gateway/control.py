"""What the running gateway lets itself be asked and told; implements `gateway.requests.Control`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from connectors.api import Capabilities
from connectors.registry import capabilities_of
from gateway import telemetry
from gateway.doctor.service import Doctor
from gateway.quarantine import Quarantined
from gateway.redrive import MOST, Redrive
from gateway.requests import Readiness
from gateway.running import Running, describe
from normalizer.checks import Verification

if TYPE_CHECKING:
    from gateway.app import App


class Control:
    """See the module."""

    def __init__(self, app: App, redrive: Redrive, doctor: Doctor) -> None:
        """Speak for `app`."""
        self._app, self._core, self._channels, self._redrive = app, app.core, app.channels, redrive
        self._doctor = doctor
        self._started = self._core.clock()

    def ping(self) -> dict[str, Any]:
        """Name the node, its version and its uptime."""
        return {
            "node": self._app.settings.gateway.node,
            "version": version("omnigate"),
            "uptime_secs": round(self._core.clock() - self._started, 1),
        }

    def readiness(self) -> Readiness:
        """Tell whether deliveries can be accepted: the broker takes them, or the spool does."""
        broker, full = self._core.broker.problem, self._core.pipeline.spool_full
        reasons = []
        if broker is not None:
            reasons.append(f"broker: {broker}")
        if full:
            reasons.append("the spool is full")
        if not self._core.pipeline.dedup_ok:
            reasons.append("the dedup store does not answer")
        if not self._core.gate.open:
            reasons.append("shutting down")
        ready = self._core.gate.open and not (broker is not None and full)
        return Readiness(ready=ready, reasons=tuple(reasons))

    def overview(self) -> dict[str, Any]:
        """Return ledger, spool and broker for the console."""
        stats = self._core.spool.stats()
        return {
            "ledger": telemetry.ledger(),
            "spool": {"rows": stats.rows, "oldest_secs": round(stats.oldest_age_secs, 1)},
            "broker": self._core.broker.problem,
        }

    def channels(self) -> list[dict[str, Any]]:
        """Describe every channel."""
        books = telemetry.ledger()
        return [self._describe(running, books) for running in self._channels.all()]

    def channel(self, channel_id: str) -> dict[str, Any]:
        """Describe one channel; raises `KeyError`."""
        return self._describe(self._channels[channel_id], telemetry.ledger())

    def capabilities(self, channel_id: str) -> Capabilities:
        """Say what a channel can do; raises `KeyError`."""
        running = self._channels[channel_id]
        return capabilities_of(running.channel.kind, running.connector)

    async def verify(self, channel_id: str) -> Verification:
        """Look at a channel from both sides; raises `KeyError`."""
        return await self._doctor.verify(channel_id)

    async def pause(self, channel_id: str) -> None:
        """Take a channel out of service; raises `KeyError`."""
        await self._channels.pause(channel_id)

    async def resume(self, channel_id: str) -> None:
        """Put it back; raises `KeyError`."""
        await self._channels.resume(channel_id)

    async def reload(self) -> dict[str, Any]:
        """Apply the configuration on disk; raises `SettingsError`."""
        return asdict(await self._app.reload())

    async def quarantine_list(self, ids: Sequence[int], channel: str | None) -> list[dict[str, Any]]:
        """List what was not understood, without its bytes."""
        return [asdict(row) for row in await self._rows(ids, channel)]

    async def quarantine_redrive(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        """Try again to understand it; say what came of it."""
        rows = await self._redrive.now([row for row in await self._rows(ids, channel) if row.state == "kept"])
        failed = {str(row.id): row.note for row in rows if row.state != "redriven"}
        return {"redriven": len(rows) - len(failed), "failed": failed}

    async def quarantine_discard(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        """Give it up."""
        rows = await self._rows(ids, channel)
        return {"discarded": await self._core.quarantine.discard([row.id for row in rows])}

    async def _rows(self, ids: Sequence[int], channel: str | None) -> list[Quarantined]:
        rows = await self._core.quarantine.list(MOST, channel=channel)
        return [row for row in rows if not ids or row.id in ids]

    @staticmethod
    def _describe(running: Running, books: dict[str, dict[str, int]]) -> dict[str, Any]:
        sending = running.sender.state if running.sender is not None else None
        return {**describe(running), "sending": sending, "ledger": books.get(running.channel.id, {})}
