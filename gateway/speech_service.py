"""What the primary runs for speech: recognisers, the transcriber, and a watch that tells how they are."""

from __future__ import annotations

import asyncio

from asr.pool import Stats
from connectors.api import ChannelConfig, MediaSource
from gateway import telemetry
from gateway.channels import Channels
from gateway.core import Core
from gateway.running import Running, Trouble
from gateway.speech import Hearing, make_pool
from gateway.speech_jobs import of_media
from gateway.supervisor import Supervisor
from gateway.transcriber import Tools, Transcriber
from normalizer.model import MediaParams

WATCH_SECS = 1.0
COMPONENT = "asr"


class SpeechService:
    """See the module; made before channels start, which get `core.speech` from here."""

    def __init__(self, core: Core) -> None:
        """Give the core its speech."""
        self._core, section = core, core.settings.asr
        self._pool = make_pool(section, core.data_dir)
        hearing = Hearing(self._pool, core.speech_jobs, section)
        core.speech = hearing
        if section.models:
            core.on_media_stored = self.note
        self._style = hearing.style
        self._channels: Channels
        self._before = self._pool.stats()
        self._told: dict[str, str] = {}  # channel → what was said to be wrong

    def start(self, supervisor: Supervisor, channels: Channels) -> None:
        """Run it."""
        self._channels = channels
        core = self._core
        tools = Tools(
            pool=self._pool,
            style=self._style,
            blobs=core.blobs,
            link=core.link,
            retention=core.retention,
            target=channels.target,
            max_secs=core.settings.asr.max_minutes * 60,
            clock=core.clock,
        )
        supervisor.start("asr", self._pool.run, stage="asr")
        supervisor.start("transcriber", Transcriber(core.speech_jobs, tools).run, stage="asr")
        supervisor.start("asr-watch", self._watch, stage="asr")

    async def note(self, params: MediaParams) -> None:
        """Keep a voice note that was stored for transcription; see `gateway.mediafetch.StoredHook`."""
        name = params.channel.id
        if name in self._channels:
            job = of_media(params, self._channels[name].channel.options)
            if job is not None:
                await self._core.speech_jobs.add([job])

    async def _watch(self) -> None:
        while True:
            self._measure(self._pool.stats())
            for running in self._channels.all():
                self._judge(running)
            await asyncio.sleep(WATCH_SECS)

    def _measure(self, now: Stats) -> None:
        telemetry.ASR_FACTOR.set(now.factor)
        telemetry.ASR_SESSIONS.set(now.sessions)
        telemetry.ASR_ROOM.set(now.room)
        telemetry.ASR_MISSED.inc(now.missed_ms - self._before.missed_ms)
        telemetry.ASR_RESTARTS.inc(now.restarts - self._before.restarts)
        self._before = now

    def _judge(self, running: Running) -> None:
        """Say that a channel is degraded while nothing can be recognised in its language."""
        name, language = running.channel.id, self._language(running)
        problem = self._core.speech.problem(language) if language else None
        if problem != self._told.get(name):
            if problem is None:
                del self._told[name]
            else:
                self._told[name] = problem
            self._channels.note(running, COMPONENT, None if problem is None else Trouble(problem, down=False))

    def _language(self, running: Running) -> str:
        """Return what a channel wants recognised; nothing where that is not configured, or nothing is to come."""
        options: ChannelConfig = running.channel.options
        default = next(iter(self._pool.languages), "")
        if running.paused:
            return ""
        if getattr(options, "transcribe", False):  # of a kind that has calls
            return options.language or default
        notes = isinstance(running.connector, MediaSource) and options.transcribe_media != "nothing"
        return (options.language or default) if default and notes else ""
