"""`omnigate channels`: the channels of the running gateway and how they are, or the kinds there are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from msgspec import Struct

from connectors import registry
from connectors.registry import Spec
from gateway.broker.api import Broker
from gateway.commands.call import ask
from gateway.commands.connected import connected
from gateway.commands.console import Config, Failure, line
from gateway.commands.listing import for_people, json_line, plural, table
from gateway.commands.messages import Seconds

TIMEOUT_SECS = 5.0
RATE_SECS = 1.0
LEDGER = ("received", "published", "duplicate", "ignored", "quarantined", "spooled")
ALWAYS = {"received", "published"}
COLOURS = {"ok": "green", "degraded": "yellow", "down": "red", "paused": "yellow"}
Flag = Annotated[bool, Parameter(negative=())]


class Sending(Struct):
    """See `gateway.outbound.Outbound.state`."""

    breaker: str
    commands: int
    last_error: str | None = None
    paused_secs: float = 0.0


class Shown(Struct):
    """One channel, as `channel.list` describes it.

    Attributes:
        error: why it is down.
        rates: per second, while we looked.
    """

    id: str
    kind: str
    state: str
    error: str | None = None
    labels: dict[str, str] = {}
    ledger: dict[str, int] = {}
    sending: Sending | None = None
    rates: dict[str, float] = {}


async def channels(
    *,
    config: Config = None,
    kinds: Flag = False,
    rates: Flag = False,
    json: Flag = False,
    timeout: Seconds = TIMEOUT_SECS,  # noqa: ASYNC109 -- of the request
) -> None:
    """List the channels of the running gateway: state, counts since its start, how sending goes, the last error.

    A table on a terminal, one JSON object per line in a pipe. For example: omnigate channels --rates

    Args:
        config: the configuration.
        kinds: list the kinds of channel there are instead, and what they can do; needs no gateway.
        rates: look for a second, and show messages per second instead of counts.
        json: JSON on a terminal, too.
        timeout: seconds to wait for the gateway's answer.
    """
    if kinds:
        _show_kinds(registry.load(), people=for_people(as_json=json))
        return
    async with connected(config) as broker:
        found = await _with_rates(broker, timeout) if rates else await _list(broker, timeout)
    if not for_people(as_json=json):
        for channel in found:
            json_line(channel)
    elif found:
        _show(msgspec.convert(found, list[Shown]))
    else:
        line("no channel is enabled; add one to the configuration, and the running gateway takes it by itself")


async def _list(broker: Broker, seconds: float) -> list[dict[str, Any]]:
    try:
        answer = await ask(broker, "channel.list", "", seconds)
    except TimeoutError as exc:
        raise Failure(
            f"no gateway answered within {seconds:g} s; start it with `omnigate run`, or look into its log"
        ) from exc
    if isinstance(answer.result, msgspec.UnsetType):
        reason = answer.error.message if not isinstance(answer.error, msgspec.UnsetType) else "nothing"
        raise Failure(f"the gateway answered: {reason}")
    found: list[dict[str, Any]] = msgspec.json.decode(answer.result)["channels"]
    return found


async def _with_rates(broker: Broker, seconds: float) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    before, began = await _list(broker, seconds), loop.time()
    await asyncio.sleep(RATE_SECS)
    after, passed = await _list(broker, seconds), loop.time() - began
    earlier = {channel["id"]: channel["ledger"] for channel in before}
    for channel in after:
        old = earlier.get(channel["id"], channel["ledger"])
        channel["rates"] = {
            name: round((count - old.get(name, 0)) / passed, 1) for name, count in channel["ledger"].items()
        }
    return after


def _show(channels: list[Shown]) -> None:
    columns = [name for name in LEDGER if name in ALWAYS or any(_counts(channel).get(name) for channel in channels)]
    heads = ("channel", "kind", "state", *(f"{name}>" for name in columns), "sending; last error")
    rows = [_cells(channel, columns) for channel in channels]
    table(heads, rows, [COLOURS.get(channel.state, "") for channel in channels])


def _counts(channel: Shown) -> Mapping[str, float]:
    return channel.rates or channel.ledger


def _cells(channel: Shown, columns: Sequence[str]) -> tuple[str, ...]:
    words = (channel.error, _sending(channel.sending) if channel.sending else "")
    return (
        channel.id,
        channel.kind,
        channel.state,
        *(f"{_counts(channel).get(name, 0):.9g}" for name in columns),
        "; ".join(filter(None, words)),
    )


def _sending(sending: Sending) -> str:
    words = "ok" if sending.breaker == "closed" else f"suspended ({sending.breaker})"
    if sending.paused_secs > 0:
        words = f"slowed down for {sending.paused_secs:.0f} s"
    under_way = f"{plural(sending.commands, 'message')} under way" if sending.commands else ""
    return ", ".join(filter(None, (words, under_way, sending.last_error)))


def _show_kinds(specs: Mapping[str, Spec], *, people: bool) -> None:
    ordered = [specs[name] for name in sorted(specs)]
    if not people:
        for spec in ordered:
            json_line({"kind": spec.kind, "summary": spec.summary, "capabilities": spec.capabilities})
        return
    rows = [
        (
            spec.kind,
            spec.summary,
            ", ".join(spec.capabilities.parts) or "nothing",
            ", ".join(spec.capabilities.requests),
        )
        for spec in ordered
    ]
    table(("kind", "what it is", "can send", "also answers"), rows)
