"""`omnigate simulate cloud`: the provider's API on this machine, to send to."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.commands.console import Config, Failure, line
from gateway.commands.target import choose
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate import registry
from gateway.simulate.cloud import Cloud


def cloud(
    provider: str,
    /,
    *,
    listen: str = "127.0.0.1:0",
    fail: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    channel: str | None = None,
    config: Config = None,
    seed: int | None = None,
) -> int:
    """Take the API calls of a provider, as it does, until Ctrl-C.

    Point the channel at it with the options it prints, and send: `omnigate send …`. GET /_calls shows what came.

    Args:
        provider: the kind, as in `omnigate simulate --help`.
        listen: where to listen; port 0 is any.
        fail: STATUS:SHARE, such as 429:0.1: answer a tenth of the calls with the provider's own error of that status.
        channel: check the credentials of this channel; without it any are taken.
        config: where that channel is configured.
        seed: makes the same calls fail in each run.
    """
    if provider not in registry.kinds():
        raise Failure(f"there is no simulator of {provider}; there are {', '.join(registry.kinds())}")
    made = registry.cloud_of(provider)
    if made is None:
        raise Failure(f"{provider} has no API to simulate")
    options = choose(load(find(config)).settings, provider, channel).options if channel else None
    server = made(options, seed=seed)
    for status, share in map(_failure, fail):
        server.fail_often(status, share)
    host, _, port = listen.rpartition(":")
    if not port.isdecimal():
        raise Failure(f"--listen {listen}: give HOST:PORT")
    asyncio.run(_serve(server, host or "127.0.0.1", int(port)))
    told = Counter(call.name or call.path for call in server.calls)
    line(f"{len(server.calls)} calls" + "".join(f", {count} x {name}" for name, count in told.most_common()))
    return 0


def _failure(given: str) -> tuple[int, float]:
    status, _, share = given.partition(":")
    try:
        found = int(status), float(share or "1")
    except ValueError:
        found = 0, 0.0
    if not 400 <= found[0] <= 599 or not 0 < found[1] <= 1:
        raise Failure(f"--fail {given}: give STATUS:SHARE, such as 429:0.1")
    return found


async def _serve(server: Cloud, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await server.start(host, port)
    try:
        _announce(server)
        await stop.wait()
    finally:
        await server.stop()


def _announce(server: Cloud) -> None:
    base: Any = {name: server.url + path for name, path in type(server).base.items()}
    line(f"listening on {server.url}; GET {server.url}/_calls shows what came")
    line("in the channel: " + ", ".join(f'{name} = "{url}"' for name, url in base.items()))
    sys.stdout.flush()
