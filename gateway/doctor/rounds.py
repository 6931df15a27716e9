"""The doctor's rounds: each channel is looked at every hour, and what will fail soon becomes its state.

Of several nodes one looks at a channel, under a lease, and tells what it finds (`channel.status`); the others read its
findings from the channel's state, so that `channel.list` says the same everywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import structlog

from connectors.api import HttpConnector, Prober
from connectors.errors import StateUnavailable
from gateway import telemetry
from gateway.channels import Channels
from gateway.core import Core
from gateway.doctor.address import look
from gateway.doctor.mirror import Face
from gateway.doctor.patient import PREFIX, Finding, Patient, findings, own_ends, told_itself
from gateway.doctor.provider import examine
from gateway.doctor.silence import Hearing, in_words
from gateway.doctor.verify import asking
from gateway.running import Running, Trouble
from gateway.state import ChannelState
from normalizer.checks import Check

log = structlog.get_logger(__name__)

TICK_SECS = 10.0
SOON_SECS = 60.0
"""Every channel is looked at within this time after its start, and again so soon after trouble."""

AT_ONCE = 4
JITTER = 0.1
SILENCE = "silence"


class Rounds:
    """Runs in the primary of every node."""

    def __init__(self, core: Core, channels: Channels, face: Face) -> None:
        """Look after `channels`."""
        self._core, self._channels, self._face = core, channels, face
        self._every, self._clock = core.settings.doctor.every_secs, core.clock
        self._patients: dict[str, Patient] = {}
        self._hearing: dict[str, Hearing] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._certificate: tuple[float, tuple[Check, ...]] = (0.0, ())
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Go round until cancelled."""
        try:
            while True:
                await self._once()
                await asyncio.sleep(self._tick())
        finally:
            for patient in self._patients.values():
                await patient.lease.release()

    def _tick(self) -> float:
        spans = [running.channel.options.silence_secs for running in self._channels.all()]
        return max(0.1, min(TICK_SECS, *(span / 4 for span in (*spans, self._every, 4 * TICK_SECS) if span)))

    async def _once(self) -> None:
        chosen = [running for running in self._channels.all() if not running.paused and self._worth(running)]
        names = {running.channel.id for running in chosen}
        for name in self._patients.keys() - names:
            await self._patients.pop(name).lease.release()
            self._hearing.pop(name, None)
        counts = telemetry.deliveries() if any(one.channel.options.silence_secs for one in chosen) else {}
        async with asyncio.TaskGroup() as group:
            for running in chosen:
                group.create_task(self._visit(running, counts))

    def _worth(self, running: Running) -> bool:
        """Tell whether there is anything to look at."""
        asked = self._every and isinstance(running.connector, Prober | HttpConnector)
        return bool(running.channel.options.silence_secs or asked)

    async def _visit(self, running: Running, counts: Mapping[str, float]) -> None:
        patient = await self._patient(running)
        try:
            heard = await self._heard(running, patient, counts)
            if not await patient.lease.take():
                self._apply(running, patient, await patient.shared(), tell=False)
                return
            async with self._slots:
                await self._look(running, patient, heard)
        except StateUnavailable:  # who looks cannot be told; what was found before stands
            return
        except Exception as exc:  # one channel must not keep the doctor from the others
            log.exception("round_failed", channel=running.channel.id, error=type(exc).__name__)

    async def _patient(self, running: Running) -> Patient:
        name = running.channel.id
        patient = self._patients.get(name)
        if patient is None or patient.service != running.service:
            if patient is not None:
                await patient.lease.release()
            wait = random.uniform(0, min(SOON_SECS, self._every))
            state = ChannelState(self._core.dedup, name)
            patient = Patient(running.service, state, lease_secs=4 * TICK_SECS, wait=wait)
            self._patients[name], self._hearing[name] = patient, Hearing(state, self._clock())
        return patient

    async def _heard(self, running: Running, patient: Patient, counts: Mapping[str, float]) -> dict[str, Finding]:
        """Listen for deliveries, on every node: each knows only of its own."""
        limit = running.channel.options.silence_secs
        if not limit:
            return {}
        now = self._clock()
        last = await self._hearing[running.channel.id].last(counts, running.channel.id, now)
        return {SILENCE: Finding(in_words(last, limit))} if now - last > limit else {}

    async def _look(self, running: Running, patient: Patient, heard: dict[str, Finding]) -> None:
        found = {name: one for name, one in patient.found.items() if name != SILENCE}
        asked = self._every > 0 and patient.due
        if asked:
            found = await self._ask(running, patient, found)
        found |= heard
        if asked or found != patient.found:
            await patient.share(found, keep_secs=2 * self._every + SOON_SECS)
        self._apply(running, patient, found, tell=True)
        self._measure(running, patient)

    async def _ask(self, running: Running, patient: Patient, found: dict[str, Finding]) -> dict[str, Finding]:
        """Ask the provider; trouble that may pass by itself counts when it is there twice."""
        examined = await examine(running.connector, asking(self._core, self._face, running))
        checks = examined.checks
        if isinstance(running.connector, HttpConnector) and self._face.public_url is not None:
            checks += await self._public()
        if examined.sure or patient.doubtful:
            found = findings(checks)
        patient.doubtful = not examined.sure
        patient.ends = min((check.expires_at for check in checks if check.expires_at), default=None)
        wait = min(self._every, SOON_SECS) if found or patient.doubtful else self._every
        patient.sleep(wait * random.uniform(1 - JITTER, 1 + JITTER))
        return found

    async def _public(self) -> tuple[Check, ...]:
        """Look at the certificate of the public URL, once for all channels."""
        async with self._looking:
            looked_at, found = self._certificate
            if self._clock() - looked_at > min(SOON_SECS, self._every) / 2:
                checks = (await look(self._face, days=self._core.settings.doctor.expiry_days)).checks
                found = tuple(check for check in checks if check.name == "certificate")
                self._certificate = (self._clock(), found)
            return found

    def _apply(self, running: Running, patient: Patient, found: dict[str, Finding], *, tell: bool) -> None:
        for name in sorted(patient.found.keys() | found.keys()):
            one = found.get(name)
            if one is None or told_itself(running, one):
                self._channels.note(running, PREFIX + name, None, tell=tell)
            else:
                trouble = Trouble(one.reason, down=False, expires_at=one.expires_at)
                self._channels.note(running, PREFIX + name, trouble, tell=tell)
        patient.found = found

    def _measure(self, running: Running, patient: Patient) -> None:
        ends = min([*own_ends(running), *([patient.ends] if patient.ends else [])], default=None)
        telemetry.expires(running.channel.id, running.channel.kind, ends, self._clock())
