"""`omnigate check`: the configuration, or what a payload would become."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.commands.console import Config, line, report
from gateway.settings.load import load
from gateway.settings.problems import SettingsError, shown
from gateway.settings.sources import find


async def check(
    *,
    config: Config = None,
    try_: Annotated[tuple[str, str] | None, Parameter(name="--try", negative=())] = None,
) -> int:
    """Report every problem of the configuration, one line each: file, key, what is wrong, what to do.

    With --try, show what a payload would become on a channel: the notifications, what would be ignored and what would
    be put in quarantine. Nothing is sent, and no signature is checked.

    Args:
        config: the configuration.
        try_: a channel and a file with a payload as its provider sends it; "-" is standard input.
    """
    path = find(config)
    try:
        loaded = load(path)
    except SettingsError as exc:
        report(exc.problems)
        return 1
    if try_ is not None:
        from gateway.commands.attempt import attempt  # noqa: PLC0415 -- a plain check needs no codec

        return await attempt(loaded.settings, try_[0], _payload(try_[1]), try_[1])
    report((), loaded.warnings)
    channels = loaded.settings.channels.values()
    off = sum(not channel.options.enabled for channel in channels)
    count = f"{len(channels)} channel{'' if len(channels) == 1 else 's'}" + (f" ({off} not enabled)" if off else "")
    line(f"{shown(path)}: no problems, {count}", "green")
    return 0


def _payload(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
