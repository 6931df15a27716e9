"""`omnigate check --online`: ask every provider, mail server and mailbox whether it accepts our settings."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import structlog

from connectors import registry
from connectors.api import Context, HttpConnector
from connectors.errors import ConnectorError
from dedup.api import Deduplicator
from gateway import logs
from gateway.blob_keys import seal_of
from gateway.blobs import BlobStore
from gateway.commands.console import Failure, line
from gateway.commands.listing import for_people, json_line
from gateway.commands.target import named
from gateway.core import make_dedup
from gateway.doctor.provider import Asking, examine
from gateway.settings.model import Channel, LogSection, Settings
from gateway.state import ChannelState
from gateway.web.media import media_link
from normalizer.checks import Check
from normalizer.model import ChannelRef

WORDS = {True: ("ok", "green"), None: ("unknown", "yellow"), False: ("wrong", "red")}


async def online(settings: Settings, chosen: Iterable[str]) -> int:
    """Look at the enabled channels, or at the `chosen`; returns 0, or 1 where something is wrong.

    Tokens and cursors are those of the gateway (its dedup store and its data directory), so that a running one is not
    disturbed; nothing is sent and no delivery is made.
    """
    logs.configure(LogSection(level="error"), node=settings.gateway.node)
    channels = [named(settings, name) for name in chosen]
    channels = channels or [one for one in settings.channels.values() if one.options.enabled]
    people, wrong = for_people(as_json=False), 0
    async with _parts(settings) as parts, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_examined(settings, channel, *parts)) for channel in channels]
        for channel, task in zip(channels, tasks, strict=True):
            for check in await task:
                wrong += check.ok is False
                if people:
                    _show(channel.id, check)
                else:
                    json_line({"channel": channel.id, **msgspec.to_builtins(check)})
    if people:
        count = f"{len(channels)} channel{'' if len(channels) == 1 else 's'} asked"
        line(f"{count}: {wrong or 'nothing'} wrong", "red" if wrong else "green")
    return int(wrong > 0)


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[tuple[Path, Deduplicator, aiohttp.ClientSession]]:
    """Open what channels need; where no gateway has run yet, in a folder that is thrown away."""
    folder = Path(settings.gateway.data_dir)
    async with AsyncExitStack() as stack:
        if not folder.is_dir():  # noqa: ASYNC240 -- a command waits for its disk
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dedup = make_dedup(settings.dedup, folder)
        try:
            await dedup.open()
        except (OSError, sqlite3.Error) as exc:
            raise Failure(f"{folder} cannot be used ({exc}): run this as the user that runs the gateway") from exc
        stack.push_async_callback(dedup.close)
        jar = aiohttp.DummyCookieJar()
        yield folder, dedup, await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))


async def _examined(
    settings: Settings, channel: Channel, folder: Path, dedup: Deduplicator, http: aiohttp.ClientSession
) -> tuple[Check, ...]:
    """Ask about one channel; what its connector reports by itself meanwhile counts as well."""
    reported: dict[str, Check] = {}

    def report(component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None) -> None:  # noqa: ARG001 -- as connectors call it
        if reason is None:
            reported.pop(component, None)
        else:
            reported[component] = Check(name=component, ok=False, detail=reason, expires_at=expires_at)

    ref = ChannelRef(id=channel.id, type=channel.kind, account=channel.options.account, labels=channel.options.labels)
    blobs = BlobStore(folder, seal=seal_of(settings.gateway.blob_key))
    context = Context(
        channel=ref,
        log=structlog.get_logger("connectors").bind(channel=channel.id),
        http=http,
        blobs=blobs,
        data_dir=folder,
        hub={},
        state=ChannelState(dedup, channel.id),
        link=media_link(blobs, settings.http.public_url or f"http://{settings.http.listen}", _now),
        report=report,
    )
    try:
        connector: Any = registry.load()[channel.kind].build(channel.options, context)
    except ConnectorError as exc:
        return (Check(name="options", ok=False, detail=str(exc)),)
    public = settings.http.public_url if isinstance(connector, HttpConnector) else None
    url = f"{public.rstrip('/')}/c/{channel.id}" if public else None
    examined = await examine(connector, Asking(url=url, days=settings.doctor.expiry_days, clock=_now))
    told = {check.detail for check in examined.checks}
    return (*examined.checks, *(one for one in reported.values() if one.detail not in told))


def _now() -> float:
    return time.time()  # noqa: TID251 -- the edge


def _show(channel: str, check: Check) -> None:
    word, style = WORDS[check.ok]
    hint = f" ({check.hint})" if check.hint and not check.ok else ""
    line(f"{channel}: {word}: {check.name}: {check.detail}{hint}", style)
