"""`omnigate tail`, `call` and `send`: the running gateway, through its broker."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from gateway.commands import call as asking
from gateway.commands import tail as watching
from gateway.commands.connected import connected
from gateway.commands.console import Config, Failure

TIMEOUT_SECS = 30.0
Positive = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]


async def tail(
    *,
    config: Config = None,
    method: str | None = None,
    channel: str | None = None,
    count: Positive | None = None,
    from_start: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what the gateway tells: JSON-RPC notifications, one JSON object per line, taken from nobody.

    Args:
        config: the configuration.
        method: only methods that match this glob, such as "message.*".
        channel: only this channel.
        count: stop after so many.
        from_start: begin with the history that the broker keeps.
    """
    async with connected(config) as broker:
        try:
            await watching.tail(broker, method=method, channel=channel, count=count, from_start=from_start)
        except ValueError as exc:
            raise Failure(str(exc)) from exc
    return 0


async def call(
    method: str,
    params: str = "",
    /,
    *,
    config: Config = None,
    timeout: Seconds = TIMEOUT_SECS,  # noqa: ASYNC109 -- of the request
) -> int:
    """Ask the gateway through the broker and print the result, or the error; status 0 or 1.

    Args:
        method: such as message.send, channel.list or gateway.ping; `omnigate schema messages` has them all.
        params: a JSON object.
        config: the configuration.
        timeout: seconds to wait for the answer.
    """
    async with connected(config) as broker:
        return await asking.call(broker, method, params, timeout)
