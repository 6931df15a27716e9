"""The kinds of channel this build knows.

A kind registers itself with `@connector` in the module that `BUILT_IN` names; a third party's package names its module
in the entry-point group ``omnigate.connectors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from msgspec import Struct
from typing_extensions import override

from connectors.api import Capabilities, ChannelConfig, Connector, Context

BUILT_IN = {
    "telegram": "connectors.telegram",
    "webhook": "connectors.declarative",
    "email": "connectors.email",
    "chat": "connectors.chat",
    "sip": "connectors.sip.channel",
    "wechat": "connectors.wechat",
    "line": "connectors.line",
    "viber": "connectors.viber",
    "whatsapp": "connectors.whatsapp",
    "messenger": "connectors.messenger",
    "instagram": "connectors.instagram",
    "slack": "connectors.slack",
    "twilio": "connectors.twilio",
    "discord": "connectors.discord",
    "dingtalk": "connectors.dingtalk",
    "feishu": "connectors.feishu",
    "wecom": "connectors.wecom",
    "wecom-kf": "connectors.wecom_kf",
}
"""Kind → its module, imported when the kind is asked for: nobody pays for the libraries of channels he has not."""

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


class Kinds(Mapping[str, Spec]):
    """Every kind by name, in the order of the names; a built-in one is imported when it is looked up."""

    @override
    def __getitem__(self, kind: str) -> Spec:
        """Return what is known of a kind; raises `KeyError`."""
        if kind not in _specs and kind in BUILT_IN:
            import_module(BUILT_IN[kind])
        return _specs[kind]

    @override
    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(sorted({*BUILT_IN, *_specs}))

    @override
    def __len__(self) -> int:
        """Count the kinds."""
        return len({*BUILT_IN, *_specs})


@cache
def load() -> Kinds:
    """Return the table, with the kinds of third parties; a package of theirs that is broken is an error that names it.

    Raises:
        ImportError: an entry point cannot be loaded.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as exc:
            raise ImportError(f"the connector package {entry.name!r} ({entry.value}) cannot be loaded: {exc}") from exc
    return Kinds()
