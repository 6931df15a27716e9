"""A broker for commands: connected as the configuration says, for as long as the command takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway import logs
from gateway.broker.api import Broker, BrokerUnavailable
from gateway.broker.connect import open_broker
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
    folder, name = Path(gateway.data_dir), f"{gateway.node}-cli"
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(open_broker(section, folder, name, within=CONNECT_SECS))
        except ValueError as exc:
            raise Failure(str(exc)) from exc
        except BrokerUnavailable as exc:
            raise Failure(f"no connection to the broker: {exc}") from exc
        yield broker
