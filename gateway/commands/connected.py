"""A broker for commands: connected as the configuration says, for as long as the command takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import logs
from gateway.broker.api import Broker
from gateway.broker.connect import make_broker
from gateway.commands.console import Failure
from gateway.settings.load import load_broker
from gateway.settings.model import LogSection
from gateway.settings.sources import find

CONNECT_SECS = 15.0


@asynccontextmanager
async def connected(config: Path | None) -> AsyncIterator[Broker]:
    """Connect to the broker of a configuration; raises `Failure`, `SettingsError`.

    Only the sections about the broker are read, so that no channel's secret has to be at hand.
    """
    gateway, section = load_broker(find(config))
    logs.configure(LogSection(level="error"), node=gateway.node)
    try:
        broker = make_broker(section, Path(gateway.data_dir), f"{gateway.node}-cli")
    except ValueError as exc:
        raise Failure(str(exc)) from exc
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(broker.run())
        try:
            await _ready(broker)
            yield broker
        except Exception as exc:  # noqa: BLE001 -- raised again below; here the group would wrap it
            failure = exc
        finally:
            await broker.close()
            running.cancel()
    if failure is not None:
        raise failure


async def _ready(broker: Broker) -> None:
    if not await broker.wait_ready(CONNECT_SECS):
        raise Failure(f"no connection to the broker: {broker.problem}")
