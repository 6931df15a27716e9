"""What the doctor remembers of a channel between two rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from connectors.api import State
from connectors.leases import Lease
from gateway.running import Running
from normalizer.checks import Check

PREFIX = "doctor."
"""What the doctor finds is a component of the channel by this prefix, such as ``doctor.credentials``."""

SAME_SECS = 90_000.0
"""Ends that are told in whole days may differ by a day and be the same."""

_KEY = "doctor:findings"


class Finding(Struct, frozen=True):
    """What is wrong, and when it gets worse by itself."""

    reason: str
    expires_at: datetime | None = None


_decode = msgspec.json.Decoder(dict[str, Finding]).decode


def findings(checks: Iterable[Check]) -> dict[str, Finding]:
    """Choose what needs attention: name of the check → finding."""
    return {
        check.name: Finding("; ".join(filter(None, (check.detail, check.hint))), check.expires_at)
        for check in checks
        if check.ok is False
    }


class Patient:
    """A channel under observation; a new one begins whenever the channel is started anew.

    Attributes:
        service: which life of the channel it is.
        state: the channel's.
        lease: of the one doctor that looks at it.
        found: what is the matter, by the name of the check.
        ends: the earliest end that is known, of whatever somebody must renew.
        doubtful: the provider did not answer the last time.
    """

    def __init__(self, service: str, state: State, *, lease_secs: float, wait: float) -> None:
        """Look at it in `wait` seconds."""
        self.service, self.state = service, state
        self.lease = Lease(state, "doctor", secs=lease_secs)
        self.found: dict[str, Finding] = {}
        self.ends: datetime | None = None
        self.doubtful = False
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + wait

    @property
    def due(self) -> bool:
        """Whether it is time to ask the provider."""
        return self._loop.time() >= self._due

    def sleep(self, secs: float) -> None:
        """Ask again in `secs`."""
        self._due = self._loop.time() + secs

    async def share(self, found: dict[str, Finding], keep_secs: float) -> None:
        """Tell the other nodes; raises `StateUnavailable`."""
        await self.state.put(_KEY, msgspec.json.encode(found), ttl=keep_secs)

    async def shared(self) -> dict[str, Finding]:
        """Return what another node found; raises `StateUnavailable`."""
        stored = await self.state.get(_KEY)
        return {} if stored is None else _decode(stored)


def told_itself(running: Running, finding: Finding) -> bool:
    """Tell whether the connector has told of the same end by itself (`Context.report`)."""
    ours = finding.expires_at
    return ours is not None and any(abs((theirs - ours).total_seconds()) < SAME_SECS for theirs in own_ends(running))


def own_ends(running: Running) -> list[datetime]:
    """List the ends that the connector has told of by itself."""
    return [
        trouble.expires_at
        for name, trouble in running.troubles.items()
        if trouble.expires_at is not None and not name.startswith(PREFIX)
    ]
