"""What the metrics show of this moment, looked at once a second."""

from __future__ import annotations

import asyncio

from connectors.pages import Calling, Visited
from gateway import telemetry
from gateway.channels import Channels
from gateway.core import Core

GAUGE_SECS = 1.0


async def gauges(core: Core, channels: Channels) -> None:
    """Set the gauges until cancelled."""
    while True:
        telemetry.Durations.flush()
        telemetry.IN_FLIGHT.set(core.gate.taken)
        telemetry.BROKER_UP.set(core.broker.ready)
        telemetry.DEDUP_UP.set(core.pipeline.dedup_ok)
        for running in channels.all():
            connector, labels = running.connector, (running.channel.id, running.channel.kind)
            if isinstance(connector, Visited):
                telemetry.CHAT_SESSIONS.labels(*labels).set(connector.visitors)
            if isinstance(connector, Calling):
                telemetry.calls(*labels, active=connector.active_calls, parked=connector.parked_recordings)
        await asyncio.sleep(GAUGE_SECS)
