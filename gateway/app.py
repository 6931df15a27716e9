"""The process: opens the parts in order, runs them, and closes them in reverse.

Order at the end (SIGTERM): listeners → telephone calls (up to each channel's `drain_secs`) → deliveries under way
(up to `gateway.drain_secs`) → outbound consumers → publisher → files. A delivery that is still not durable by then is
answered "try again", never "ok".
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from gateway import logs, telemetry
from gateway.channels import Channels
from gateway.control import Control
from gateway.core import Core, open_core, settled
from gateway.doctor.service import Doctor
from gateway.gauges import gauges
from gateway.housekeeping import housekeeping
from gateway.mediafetch import MediaFetcher
from gateway.redrive import Redrive
from gateway.requests import Requests
from gateway.settings.diff import Changes, changes
from gateway.settings.load import load
from gateway.settings.model import Settings
from gateway.settings.problems import SettingsError
from gateway.settings.watch import watch
from gateway.speech_service import SpeechService
from gateway.supervisor import Supervisor
from gateway.tuning import allow_files, calm_gc, large_pages
from gateway.web.admin import AdminServer
from gateway.web.door import Shared
from gateway.web.guard import admin_token
from gateway.web.media import media_mount
from gateway.web.public import PublicServer

log = structlog.get_logger(__name__)


class App:
    """One process of the gateway: the only one, or worker `index` of several.

    Worker 0 is the *primary*: it alone drains the spool, sends, answers requests and serves the admin port.
    """

    def __init__(self, path: Path, settings: Settings, *, shared: Shared | None = None) -> None:
        """Take a checked configuration and the file it came from; `shared` makes it one worker of several."""
        self._path, self.settings, self._shared = path, settings, shared
        self._index = 0 if shared is None else shared.index
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._applying = asyncio.Lock()
        self.channels: Channels
        self.core: Core

    @property
    def primary(self) -> bool:
        """Whether this process does what only one may do."""
        return self._index == 0

    def stop(self) -> None:
        """Begin the orderly end."""
        self._stop.set()

    async def run(self, started: Callable[[PublicServer], None] | None = None) -> None:
        """Serve until `stop`; raises `OSError` when an address or a file cannot be used."""
        loop = asyncio.get_running_loop()
        for number, action in (
            (signal.SIGTERM, self.stop),
            (signal.SIGINT, self.stop),
            (signal.SIGHUP, self._reload.set),
        ):
            loop.add_signal_handler(number, action)
        async with open_core(self.settings, worker=self._index) as core, asyncio.TaskGroup() as group:
            self.core = core
            supervisor, channels_supervisor = Supervisor(group), Supervisor(group)
            self.channels = Channels(core, channels_supervisor, sends=self.primary)
            if self.primary:
                SpeechService(core).start(supervisor, self.channels)
            public = PublicServer(
                self.settings.http,
                self.channels.endpoints,
                {"/media/": media_mount(core.blobs)},
                pages=self.channels.pages,
                shared=self._shared,
            )
            public.bind()
            supervisor.start("broker", core.broker.run, stage="broker")
            supervisor.start("pipeline", core.pipeline.run, stage="pipeline")
            supervisor.start("media-jobs", core.media.run, stage="media")
            supervisor.start("speech-jobs", core.speech_jobs.run, stage="asr")
            supervisor.start("feeds", core.feeds.run, stage="feeds")
            admin = await self._start_primary(supervisor, public.address) if self.primary else None
            await self.channels.start(self.settings)
            await public.start()  # not before its channels are there: a provider may take a 404 for the last word
            supervisor.start("reload", self._watch, stage="reload")
            supervisor.start("gauges", lambda: gauges(self.core, self.channels), stage="gauges")
            supervisor.start("pauses", self.channels.follow_pauses, stage="pauses")
            if started is not None:
                started(public)
            large_pages()
            calm_gc()
            log.info("gateway_ready", http=public.address, channels=len(self.channels.all()))
            await self._stop.wait()
            await self._shut_down(public, admin, supervisor)

    async def _start_primary(self, supervisor: Supervisor, address: str) -> AdminServer:
        redrive = Redrive(self.core.quarantine, self.channels)
        doctor = Doctor(self.core, self.channels, address)
        control = Control(self, redrive, doctor)
        requests = Requests(control, self.core.broker)
        section = self.settings.admin
        token = admin_token(section, self.core.data_dir)
        admin = AdminServer(
            section,
            token=token,
            control=control,
            requests=requests,
            metrics=telemetry.exposition,
            blobs=self.core.blobs,
            watch=self.core.broker.watch,
        )
        await admin.start()
        supervisor.start("drain", self.core.drain.run, stage="drain")
        supervisor.start("requests", requests.run, stage="requests")
        supervisor.start("redrive", redrive.run, stage="redrive")
        supervisor.start("doctor", doctor.run, stage="doctor")
        core = self.core
        fetcher = MediaFetcher(
            core.media, self.channels.media_sources, core.blobs, core.link, on_stored=core.on_media_stored
        )
        supervisor.start("media", fetcher.run, stage="media")
        supervisor.start("housekeeping", lambda: housekeeping(self.core), stage="housekeeping")
        return admin

    async def _shut_down(self, public: PublicServer, admin: AdminServer | None, supervisor: Supervisor) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.gateway.drain_secs
        log.info("gateway_draining", deliveries=self.core.gate.taken)
        public.stop_listening()
        self.channels.dismiss()
        await supervisor.stop("reload")
        await self.channels.drained()
        deadline = max(deadline, loop.time() + 1.0)
        if not await settled(self.core, deadline):
            log.warning("drain_deadline_passed", deliveries=self.core.gate.taken)
        self.core.gate.open = False
        await public.close(max(0.1, deadline - loop.time()))
        async with self._applying:
            await self.channels.stop()
        await settled(self.core, loop.time() + 2.0)
        if admin is not None:
            await admin.close()
        await supervisor.stop_all()
        log.info("gateway_stopped")

    async def reload(self) -> Changes:
        """Read the configuration again and apply what changed in `[channels]`.

        Raises:
            SettingsError: the new configuration is refused; the old one goes on.
            ExceptionGroup: channels that could not be started; the others have been changed.
        """
        async with self._applying:
            if self._stop.is_set():
                return Changes()
            new = load(self._path).settings
            diff = changes(self.settings, new)
            await self.channels.apply(diff, new)
            # What needs a restart keeps its old value, so that the next reload tells it again.
            self.settings = _merge(self.settings, new)
            if diff.restart_needed:
                log.warning("reload_needs_restart", sections=diff.restart_needed)
            if diff:
                log.info("configuration_reloaded", added=diff.added, changed=diff.changed, removed=diff.removed)
            return diff

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._on_signal())
            async for _ in watch(self._path, at_once=True):  # it may have changed while the gateway started
                await self._try_reload("file")

    async def _on_signal(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._try_reload("signal")

    async def _try_reload(self, cause: str) -> None:
        try:
            await self.reload()
        except SettingsError as exc:
            log.error("reload_refused", cause=cause, problems=[str(problem) for problem in exc.problems])  # noqa: TRY400
        except Exception:
            log.exception("reload_failed", cause=cause)


def _merge(old: Settings, new: Settings) -> Settings:
    """Take the channels of `new`, and of the rest what has been in force since the start."""
    kept = {name: getattr(old, name) for name in Settings.__struct_fields__}
    return Settings(**{**kept, "channels": new.channels, "files": new.files})


def serve(
    path: Path,
    settings: Settings,
    *,
    banner: bool,
    shared: Shared | None = None,
    ready: Callable[[], None] | None = None,
) -> int:
    """Run one process until it is told to stop; returns its exit status. `ready` is told when it can take deliveries.

    With `shared` it is one worker of several, and ends with their parent.

    What ends it before its time, if it is a fault of the machine and not of the program, is one line on stderr.
    """
    logs.configure(settings.log, node=settings.gateway.node, worker=None if shared is None else shared.index)
    allow_files(settings.http.max_connections)

    def started(public: PublicServer) -> None:
        if ready is not None:
            ready()
        if banner:
            _banner(settings, public)

    async def main() -> None:
        app = App(path, settings, shared=shared)
        if shared is not None:
            _end_with_parent(app)
        await app.run(started)

    factory = None
    if settings.gateway.uvloop:
        import uvloop  # noqa: PLC0415 -- a process that does not want it does not load it

        factory = uvloop.new_event_loop
    status = 0
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    except* (OSError, sqlite3.Error) as group:
        reasons = dict.fromkeys(_reason(exc, settings) for exc in _leaves(group))
        print("\n".join(f"omnigate: {reason}" for reason in reasons), file=sys.stderr)  # noqa: T201 -- the last words
        status = 1
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _leaves(exc)
        else:
            yield exc


def _reason(exc: BaseException, settings: Settings) -> str:
    if isinstance(exc, sqlite3.Error):
        return f"cannot use the files in {settings.gateway.data_dir} (gateway.data_dir): {exc}"
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    return str(exc)


def _end_with_parent(app: App) -> None:
    """Stop when the parent is gone: it holds the other end of our standard input."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        with suppress(BlockingIOError):
            if not os.read(0, 1):
                loop.remove_reader(0)
                app.stop()

    os.set_blocking(0, False)
    loop.add_reader(0, gone)


def _banner(settings: Settings, public: PublicServer) -> None:
    lines = [f"  deliveries  http://{public.address}/c/<channel>", f"  console     http://{settings.admin.listen}/"]
    for channel in settings.channels.values():
        lines.append(f"  channel     {channel.id} ({channel.kind})")
        if getattr(channel.options, "demo", False):
            lines.append(f"  try it      http://{public.address}/chat/{channel.id}/")
            lines.append(f"  answer it   http://{settings.admin.listen}/chat")
    print("\n".join(["Omnigate is up. Ctrl-C stops it.", *lines]), file=sys.stderr)  # noqa: T201
