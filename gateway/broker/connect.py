"""From `broker.url` to a broker."""

from __future__ import annotations

from pathlib import Path

from yarl import URL

from gateway.broker.api import Broker
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
