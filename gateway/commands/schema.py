"""`omnigate schema`."""

from __future__ import annotations

from typing import Literal

from gateway.commands.console import emit


def schema(document: Literal["config", "messages", "asyncapi"], /) -> None:
    """Print a generated schema as JSON.

    Args:
        document: `config` is the JSON Schema of omnigate.toml, `messages` the JSON Schema of everything on the broker,
            `asyncapi` an AsyncAPI 3 document of the same with exchanges and queues.
    """
    if document == "config":
        from connectors import registry  # noqa: PLC0415 -- the other documents need no kinds
        from gateway.settings.schema import config_schema  # noqa: PLC0415

        emit(config_schema(registry.load()))
    elif document == "messages":
        from normalizer.schema import messages  # noqa: PLC0415

        emit(messages())
    else:
        from normalizer.asyncapi import document as asyncapi  # noqa: PLC0415

        emit(asyncapi())
