"""Load a configuration: every problem of every file in one go, or settings that can be used as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from connectors import registry
from connectors.registry import Spec
from gateway.settings import references
from gateway.settings.convert import INVALID, Converter
from gateway.settings.describe import show
from gateway.settings.findings import Finding
from gateway.settings.lint import has_password, lint
from gateway.settings.model import BrokerSection, Channel, GatewaySection, Section, Settings
from gateway.settings.problems import Problem, SettingsError, did_you_mean, shown
from gateway.settings.sources import Sources, Table, read

SECTIONS: dict[str, type[Section]] = {
    item.name: item.type for item in fields(Settings) if isinstance(item.type, type) and issubclass(item.type, Section)
}
CHANNEL_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Loaded(Struct, frozen=True, kw_only=True):
    """A usable configuration, and what to think about."""

    settings: Settings
    warnings: tuple[Problem, ...] = ()


def load(path: Path, kinds: Mapping[str, Spec] | None = None) -> Loaded:
    """Read, check and resolve a configuration.

    Args:
        path: the main file, see `gateway.settings.sources.find`.
        kinds: kind → what the registry knows about it; the registry's own table if None.

    Raises:
        SettingsError: with every problem of every file.
    """
    sources = read(path)
    sections = {name: _section(sources, name, shape) for name, shape in SECTIONS.items()}
    for name, table in sources.sections.items():
        if name not in SECTIONS:
            sources.note(table.file, name, "unknown section", did_you_mean(name, [*SECTIONS, "channels", "include"]))
    known = _kinds(sources) if kinds is None else kinds
    channels = [_channel(sources, name, table, known) for name, table in sources.channels.items() if known is not None]
    broken = {name for name, made in sections.items() if made is INVALID}
    usable: dict[str, Any] = {name: SECTIONS[name]() if name in broken else made for name, made in sections.items()}
    settings = Settings(
        **usable,
        channels={channel.id: channel for channel in channels if channel is not None},
        files=tuple(str(file) for file in sources.with_secrets()),
    )
    findings = [finding for finding in lint(settings) if not broken.intersection(finding.concerns)]
    problems = [_locate(finding, sources) for finding in findings if finding.fatal]
    if sources.problems or problems:
        raise SettingsError([*sources.problems, *problems])
    warnings = [_locate(finding, sources) for finding in findings if not finding.fatal]
    return Loaded(settings=settings, warnings=(*sources.warnings, *warnings))


def load_broker(path: Path) -> tuple[GatewaySection, BrokerSection]:
    """Read what a command needs to talk to a running gateway, so that no channel's secret has to be at hand.

    Raises:
        SettingsError: with every problem of the two sections and of files that could not be read.
    """
    gateway, broker = load_sections(path, "gateway", "broker")
    return gateway, broker


def load_sections(path: Path, *names: str) -> tuple[Any, ...]:
    """Read some sections and nothing else, so that no secret of the others has to be at hand.

    Raises:
        SettingsError: with every problem of these sections and of files that could not be read.
    """
    sources = read(path)
    found = tuple(_section(sources, name, SECTIONS[name]) for name in names)
    if sources.problems:
        raise SettingsError(sources.problems)
    return found


def _kinds(sources: Sources) -> Mapping[str, Spec] | None:
    try:
        return registry.load()
    except ImportError as exc:
        sources.note(sources.files[0], "", str(exc))
        return None


def _section(sources: Sources, name: str, shape: type[Section]) -> Any:
    table = sources.sections.get(name)
    if table is None:
        return shape()
    converter, value = _converter(sources, table), table.value
    if not isinstance(value, dict) or not references.is_reference(value.get("url")):
        made = converter.convert(value, shape, name)
        if has_password(getattr(made, "url", "")):
            hint = 'write url = "env:NAME" or "file:/path" and keep the whole URL there'
            sources.warnings.append(
                Problem(file=shown(table.file), path=f"{name}.url", message="holds a password in clear", hint=hint)
            )
        return made
    try:
        url = references.lookup(value["url"], table.file).reveal()
    except ValueError as exc:
        sources.note(table.file, f"{name}.url", str(exc))
        converter.convert({**value, "url": "embedded:"}, shape, name)
        return INVALID
    return converter.convert({**value, "url": url}, shape, name)


def _channel(sources: Sources, name: str, table: Table, kinds: Mapping[str, Spec]) -> Channel | None:
    path, note = f"channels.{name}", partial(sources.note, table.file)
    sound = CHANNEL_ID.fullmatch(name) is not None
    if not sound:
        note(path, "the id of a channel is 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit")
    if not isinstance(table.value, dict):
        note(path, "expected a table per channel", "such as [channels.shop]")
        return None
    kind = table.value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        message = f"{show(kind)} is not a kind of channel" if "kind" in table.value else "is missing"
        note(f"{path}.kind", message, did_you_mean(str(kind), kinds))
        return None
    options = {key: value for key, value in table.value.items() if key != "kind"}
    made = _converter(sources, table).convert(options, kinds[kind].config, path)
    return Channel(id=name, kind=kind, options=made) if sound and made is not INVALID else None


def _converter(sources: Sources, table: Table) -> Converter:
    return Converter(partial(references.lookup, file=table.file), partial(sources.note, table.file))


def _locate(finding: Finding, sources: Sources) -> Problem:
    """Name the file in which the key of a finding stands; the main file when it stands nowhere."""
    head, _, rest = finding.path.partition(".")
    table = sources.channels.get(rest.partition(".")[0]) if head == "channels" else sources.sections.get(head)
    file = table.file if table else sources.files[0]
    return Problem(file=shown(file), path=finding.path, message=finding.message, hint=finding.hint)
