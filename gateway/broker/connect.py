"""From `broker.url` to a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from yarl import URL

from gateway.broker.api import Broker, BrokerUnavailable
from gateway.broker.embedded import EmbeddedBroker
from gateway.broker.rabbit import RabbitBroker
from gateway.settings.model import BrokerSection


def make_broker(settings: BrokerSection, data_dir: Path, node: str) -> Broker:
    """Build the broker of `settings.url`, not connected yet; run its `run`.

    Args:
        settings: the section `[broker]`, its `url` with secrets already resolved.
        data_dir: where the embedded broker keeps its file.
        node: name of this node and process, shown in RabbitMQ's tools.

    Raises:
        ValueError: the URL is of no known kind; the text names the setting and never the password.
    """
    url = settings.url
    if url in {"embedded:", "embedded"}:
        return EmbeddedBroker(settings, data_dir=data_dir, node=node)
    try:
        parsed = URL(url)
        known = parsed.scheme in {"amqp", "amqps"} and bool(parsed.host) and parsed.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError('broker.url must be "embedded:" or like "amqp://user:password@host:5672/vhost" (or amqps://)')
    return RabbitBroker(settings, node=node)


@asynccontextmanager
async def open_broker(
    settings: BrokerSection, data_dir: Path, node: str, *, within: float = 10.0
) -> AsyncIterator[Broker]:
    """Run a broker while the context is open, for commands.

    Args:
        settings: see `make_broker`.
        data_dir: see `make_broker`.
        node: see `make_broker`.
        within: seconds it may take to connect.

    Raises:
        BrokerUnavailable: it is not ready in time; the text says why.
        ValueError: see `make_broker`.
    """
    broker = make_broker(settings, data_dir, node)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(broker.run())
        try:
            await _ready(broker, within)
            yield broker
        except Exception as exc:  # noqa: BLE001 -- raised again outside, so that no task group wraps it
            failure = exc
        finally:
            await broker.close()
            running.cancel()
    if failure is not None:
        raise failure


async def _ready(broker: Broker, within: float) -> None:
    if not await broker.wait_ready(within):
        raise BrokerUnavailable(broker.problem or "the broker does not become ready")
