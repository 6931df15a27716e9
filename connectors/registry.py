"""The kinds of channel this build knows.

A kind registers itself with `@connector` in an explicitly imported module (`BUILT_IN`); a third party's package
names its module in the entry-point group ``omnigate.connectors``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from msgspec import Struct

from connectors.api import Capabilities, ChannelConfig, Connector, Context

BUILT_IN = (
    "connectors.telegram",
    "connectors.declarative",
    "connectors.email",
    "connectors.wechat",
    "connectors.line",
    "connectors.viber",
    "connectors.whatsapp",
    "connectors.messenger",
    "connectors.instagram",
    "connectors.slack",
    "connectors.twilio",
    "connectors.wecom",
    "connectors.wecom_kf",
)
ENTRY_POINTS = "omnigate.connectors"

C = TypeVar("C", bound=Callable[..., Connector])


class Spec(Struct, frozen=True, kw_only=True):
    """What the registry knows about a kind: enough to check, build and document it.

    Attributes:
        kind: as written in the configuration.
        config: the type of its options.
        build: makes the connector from its options and a `Context`.
        summary: one line.
        capabilities: what it can do.
    """

    kind: str
    config: type[ChannelConfig]
    build: Callable[[Any, Context], Connector]
    summary: str
    capabilities: Capabilities


_specs: dict[str, Spec] = {}


def connector(kind: str, config: type[ChannelConfig], capabilities: Capabilities) -> Callable[[C], C]:
    """Register a connector class; its docstring's first line is the summary."""

    def register(cls: C) -> C:
        if kind in _specs:
            raise ValueError(f"channel kind {kind!r} is registered twice")
        summary = (cls.__doc__ or kind).strip().splitlines()[0]
        _specs[kind] = Spec(kind=kind, config=config, build=cls, summary=summary, capabilities=capabilities)
        return cls

    return register


def capabilities_of(kind: str, connector: Connector) -> Capabilities:
    """Say what a channel can do: what its connector says of itself, else what its kind says."""
    own: Capabilities | None = getattr(connector, "capabilities", None)
    return own or load()[kind].capabilities


@cache
def load() -> dict[str, Spec]:
    """Import every kind once and return the table, by kind; a broken third-party package is an error that names it."""
    for module in BUILT_IN:
        import_module(module)
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as exc:
            raise ImportError(f"the connector package {entry.name!r} ({entry.value}) cannot be loaded: {exc}") from exc
    return dict(sorted(_specs.items()))  # whatever was imported first
