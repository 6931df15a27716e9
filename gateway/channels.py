"""The running channels: start, stop, swap at a reload, and say how they are."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import structlog

from connectors.api import HttpConnector, MediaSource
from connectors.pages import Dismissible, Draining, PageConnector
from connectors.registry import load as load_kinds
from gateway.core import Core
from gateway.doctor.marks import Marks
from gateway.intake import Intake
from gateway.mediafetch import Source
from gateway.order import PATIENCE_SECS, Precedence, Statuses
from gateway.running import Running, Trouble
from gateway.settings.diff import Changes
from gateway.settings.model import Channel, Settings
from gateway.status import status_event
from gateway.supervisor import Supervisor
from gateway.transcriber import Target
from gateway.web.public import Endpoint
from gateway.wiring import context_of, sender_of
from normalizer.raw import Event

log = structlog.get_logger(__name__)

PAUSED = "paused by an operator"
PAUSE_SECS = 0.5  # how soon other workers follow


class Channels:
    """All channels of this process; `endpoints` and `pages` are what the public server looks into."""

    def __init__(self, core: Core, supervisor: Supervisor, *, sends: bool) -> None:
        """Run channels under `supervisor`; only one process of a node `sends`."""
        self._core, self._supervisor, self._sends = core, supervisor, sends
        self._running: dict[str, Running] = {}
        self._generation = 0
        self.endpoints: dict[str, Endpoint] = {}
        self.pages: dict[str, PageConnector] = {}

    def __getitem__(self, channel_id: str) -> Running:
        """Return a running channel; raises `KeyError`."""
        return self._running[channel_id]

    def __contains__(self, channel_id: object) -> bool:
        """Tell whether a channel runs."""
        return channel_id in self._running

    def all(self) -> list[Running]:
        """Return the running channels by id."""
        return [self._running[name] for name in sorted(self._running)]

    def media_sources(self) -> list[Source]:
        """Return the channels whose media can be fetched; paused ones, too: their media expire as well."""
        return [
            Source(ref=one.intake.ref, options=one.channel.options, connector=one.connector, publish=one.intake.publish)
            for one in self._running.values()
            if isinstance(one.connector, MediaSource)
        ]

    def target(self, channel_id: str) -> Target | None:
        """Return how to tell an event of a channel that runs."""
        running = self._running.get(channel_id)
        return None if running is None else Target(running.intake.ref, running.intake.publish)

    async def start(self, settings: Settings) -> None:
        """Start every enabled channel."""
        for channel in settings.channels.values():
            if channel.options.enabled:
                await self._add(channel)

    async def apply(self, diff: Changes, new: Settings) -> None:
        """Make the running channels match `new`; those that are not in `diff` are not touched.

        Raises:
            ExceptionGroup: of channels that could not be built; they are as they were, and the others are as in `new`.
        """
        failed = []
        for name in diff.removed:
            await self._remove(name)
        for name in [*diff.added, *diff.changed]:
            try:
                await self._match(new.channels[name])
            except Exception as exc:  # noqa: BLE001 -- raised below, after the other channels
                exc.add_note(f"channel {name}")
                failed.append(exc)
        if failed:
            raise ExceptionGroup("channels could not be started", failed)

    async def _match(self, channel: Channel) -> None:
        if not channel.options.enabled:
            await self._remove(channel.id)
        elif channel.id in self._running:
            await self._swap(channel)
        else:
            await self._add(channel)

    async def stop(self) -> None:
        """Stop receiving and sending on every channel."""
        for name in list(self._running):
            await self._remove(name, quiet=True)

    def dismiss(self) -> None:
        """Send clients that stay connected to another process: this one is about to end."""
        for running in self._running.values():
            if isinstance(running.connector, Dismissible):
                running.connector.dismiss()

    async def drained(self) -> None:
        """Wait for conversations that cannot go elsewhere; each channel says how long it lets them."""
        async with asyncio.TaskGroup() as group:
            for running in self._running.values():
                if isinstance(running.connector, Draining):
                    group.create_task(running.connector.drained())

    async def pause(self, channel_id: str) -> None:
        """Take a channel out of service, in every worker and over restarts, until `resume`; raises `KeyError`."""
        running, mark = self._running[channel_id], self._mark(channel_id)
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        await self._follow(running)

    async def resume(self, channel_id: str) -> None:
        """Put a paused channel back; raises `KeyError`."""
        running = self._running[channel_id]
        self._mark(channel_id).unlink(missing_ok=True)
        await self._follow(running)

    async def follow_pauses(self) -> None:
        """Do what `pause` and `resume` were told in another worker, until cancelled."""
        while True:
            for running in self.all():
                await self._follow(running)
            await asyncio.sleep(PAUSE_SECS)

    def _mark(self, channel_id: str) -> Path:
        return self._core.data_dir / "paused" / channel_id

    async def _follow(self, running: Running) -> None:
        wanted = self._mark(running.channel.id).exists()
        if wanted and not running.paused:
            running.paused = True
            await self._halt(running)
            self._report(running, PAUSED)
        elif running.paused and not wanted:
            await self._match(running.channel)

    async def _add(self, channel: Channel) -> None:
        running = self._build(channel)
        self._running[channel.id] = running
        await self._launch(running)

    async def _swap(self, channel: Channel) -> None:
        old = self._running[channel.id]
        new = self._build(channel)
        http = isinstance(new.connector, HttpConnector)
        if not http:  # it may own a port or a login: the old one lets go first
            self._hide(channel.id)
            await self._halt(old)
        else:  # one consumer per channel, or order per recipient would break
            await self._supervisor.stop(f"{old.service}:out")
        self._running[channel.id] = new
        await self._launch(new)
        if http:
            await self._halt(old)

    async def _remove(self, name: str, *, quiet: bool = False) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            self._hide(name)
            await self._halt(running)
            running.intake.meters.up.set(0)
            if not quiet:
                log.info("channel_removed", channel=name)

    def _build(self, channel: Channel) -> Running:
        core, options = self._core, channel.options
        built: list[Running] = []

        def report(
            component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
        ) -> None:
            for running in built:
                trouble = None if reason is None else Trouble(reason, down, expires_at)
                self.note(running, component, trouble)

        async def publish(event: Event) -> bool:
            return bool(built) and await built[0].intake.publish(event)

        context = context_of(core, channel, report=report, publish=publish, primary=self._sends)
        connector = load_kinds()[channel.kind].build(options, context)
        statuses = Statuses(context.state, keep_secs=options.dedup_window_secs or core.settings.dedup.window_secs)
        intake = Intake(
            ref=context.channel,
            codec=connector.codec,
            config=options,
            window_secs=core.settings.dedup.window_secs,
            pipeline=core.pipeline,
            quarantine=core.quarantine,
            blobs=core.blobs,
            gate=core.gate,
            statuses=statuses,
            precedence=Precedence(
                core.dedup,
                under_way=core.pipeline.under_way,
                patience_secs=min(PATIENCE_SECS, options.ack_deadline_secs / 2),
            ),
            marks=Marks(context.state),
            media=core.media if options.fetch_media and isinstance(connector, MediaSource) else None,
            speech=core.speech_jobs if core.settings.asr.models else None,
        )
        self._generation += 1
        service = f"channel:{channel.id}:{self._generation}"
        sender = sender_of(core, channel, connector, intake, statuses) if self._sends else None
        built.append(Running(channel=channel, connector=connector, intake=intake, service=service, sender=sender))
        return built[0]

    async def _launch(self, running: Running) -> None:
        if self._mark(running.channel.id).exists():
            running.paused = True
            self._report(running, PAUSED)
            self._expose(running)
            return

        async def receive() -> None:
            await running.connector.run(running.intake)

        self._supervisor.start(
            running.service, receive, stage="receive", report=lambda reason: self._report(running, reason)
        )
        await asyncio.sleep(0)  # the service takes its sink before the first delivery reaches it
        self._expose(running)
        if running.sender is not None:
            self._supervisor.start(f"{running.service}:out", running.sender.run, stage="send")

    def _expose(self, running: Running) -> None:
        if isinstance(running.connector, HttpConnector):
            self.endpoints[running.channel.id] = Endpoint(running.connector, running.channel.options.max_bytes)
        if isinstance(running.connector, PageConnector):
            self.pages[running.channel.id] = running.connector

    def _hide(self, channel_id: str) -> None:
        self.endpoints.pop(channel_id, None)
        self.pages.pop(channel_id, None)

    async def _halt(self, running: Running) -> None:
        await self._supervisor.stop(running.service)
        await self._supervisor.stop(f"{running.service}:out")

    def _report(self, running: Running, reason: str | None) -> None:
        tell = self._sends or reason != PAUSED  # one worker of a node is enough
        self.note(running, "receive", None if reason is None else Trouble(reason), tell=tell)

    def note(self, running: Running, component: str, trouble: Trouble | None, *, tell: bool = True) -> None:
        """Take down how a part of a channel is, and `tell` it on edges."""
        edge = running.note(component, trouble)
        running.intake.meters.up.set(running.state != "down")
        if edge and tell:
            event = status_event(
                running.intake.ref,
                running.state,
                at=self._core.clock(),
                component=component,
                reasons=[one.reason for one in running.troubles.values()],
                expires_at=trouble.expires_at if trouble else None,
            )
            running.intake.tell(event)
