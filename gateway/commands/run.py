"""`omnigate run`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from gateway.commands.console import Config, warn
from gateway.settings.load import load
from gateway.settings.sources import find


def run(
    *, config: Config = None, workers: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 1
) -> int:
    """Run the gateway until SIGTERM or Ctrl-C; both finish what is under way. SIGHUP reloads the configuration.

    Args:
        config: the configuration.
        workers: processes that share the port of the deliveries; each takes its share of the connections.
    """
    path = find(config)
    loaded = load(path)
    for warning in loaded.warnings:
        warn(f"{warning} [warning]")
    if workers > 1:
        from gateway.workers import run_workers  # noqa: PLC0415 -- one process does not need it

        return run_workers(path, loaded.settings, workers)
    from gateway.app import serve  # noqa: PLC0415 -- after the configuration was found to be sound

    return serve(path, loaded.settings, banner=True)
