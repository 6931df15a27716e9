"""`omnigate check`: the configuration, what providers say about it, or what a payload would become."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.blob_keys import FILE, missing, seal_of
from gateway.commands.console import Config, Failure, line, report, warn
from gateway.settings.load import load
from gateway.settings.model import Channel, Settings
from gateway.settings.problems import Problem, SettingsError, shown
from gateway.settings.sources import find


async def check(
    *channels: str,
    config: Config = None,
    online: Annotated[bool, Parameter(negative=())] = False,
    try_: Annotated[tuple[str, str] | None, Parameter(name="--try", negative=())] = None,
) -> int:
    """Report every problem of the configuration, one line each: file, key, what is wrong, what to do.

    With --online, go on and ask: do providers, mail servers and mailboxes let us in, when do tokens and certificates
    end, where does the mail of our domains go? One line per finding, JSON in a pipe, exit status 1 if something is
    wrong. Nothing is sent or changed. The gateway need not run; `omnigate call channel.verify` asks a running one,
    which also tries deliveries to itself.

    With --try, show what a payload would become on a channel: the notifications, what would be ignored and what would
    be put in quarantine. Nothing is sent, and no signature is checked.

    Args:
        channels: with --online, only these; by default all that are enabled.
        config: the configuration.
        online: ask providers and mail servers, too.
        try_: a channel and a file with a payload as its provider sends it; "-" is standard input.
    """
    if channels and not online:
        raise Failure(f"omnigate check {channels[0]}: channels are named with --online")
    path = find(config)
    try:
        loaded = load(path)
    except SettingsError as exc:
        report(exc.problems)
        return 1
    lost = _lost_keys(loaded.settings, path)
    if lost:
        report(lost, loaded.warnings)
        return 1
    if try_ is not None:
        from gateway.commands.attempt import attempt  # noqa: PLC0415 -- a plain check needs no codec

        return await attempt(loaded.settings, try_[0], _payload(try_[1]), try_[1])
    if online and not sys.stdout.isatty():
        for warning in loaded.warnings:  # stdout is for JSON
            warn(f"{warning} [warning]")
    else:
        report((), loaded.warnings)
        line(f"{shown(path)}: no problems, {_count(loaded.settings.channels.values())}", "green")
    if online:
        from gateway.commands.online import online as ask  # noqa: PLC0415 -- a plain check asks nobody

        return await ask(loaded.settings, channels)
    return 0


def _lost_keys(settings: Settings, path: Path) -> list[Problem]:
    """Name the keys that something in `data_dir` was sealed with and that are not configured (any more)."""
    folder = Path(settings.gateway.data_dir)
    return [
        Problem(
            file=shown(path),
            path="gateway.blob_key",
            message=f"files were sealed with the key {name}, which is not among those given: they cannot be read",
            hint=f"add that key after the others, or delete its line in {shown(folder / FILE)} to give these files up",
        )
        for name in missing(folder, seal_of(settings.gateway.blob_key))
    ]


def _count(channels: Collection[Channel]) -> str:
    off = sum(not channel.options.enabled for channel in channels)
    return f"{len(channels)} channel{'' if len(channels) == 1 else 's'}" + (f" ({off} not enabled)" if off else "")


def _payload(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
