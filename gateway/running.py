"""A channel at work, and how it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from connectors.api import Connector
from gateway.intake import Intake
from gateway.outbound import Outbound
from gateway.settings.model import Channel


class Trouble(Struct, frozen=True):
    """What is wrong with a part of a channel; see `connectors.report.Report`."""

    reason: str
    down: bool = True
    expires_at: datetime | None = None


class Running(Struct, eq=False):
    """One channel at work; `troubles` has those of its parts that are not well, by name."""

    channel: Channel
    connector: Connector
    intake: Intake
    service: str
    sender: Outbound | None
    state: Literal["ok", "degraded", "down"] = "down"
    error: str | None = None
    paused: bool = False
    troubles: dict[str, Trouble] = {}

    def note(self, component: str, trouble: Trouble | None) -> bool:
        """Take down how a part is; tell whether it is an edge: it, or the whole, was better or worse before."""
        before, was = self.troubles.get(component), self.state
        started = was == "down" and self.error is None  # until now it had not run, which is no trouble
        if trouble is None:
            self.troubles.pop(component, None)
        else:
            self.troubles[component] = trouble
        worst = [one.down for one in self.troubles.values()]
        self.state = "down" if any(worst) else "degraded" if worst else "ok"
        self.error = "; ".join(one.reason for one in self.troubles.values()) or None
        if started:
            return self.state == "degraded"
        return self.state != was or _weight(before) != _weight(trouble)


def _weight(trouble: Trouble | None) -> bool | None:
    return None if trouble is None else trouble.down


def describe(running: Running) -> dict[str, Any]:
    """Say how a channel is, without secrets."""
    return {
        "id": running.channel.id,
        "kind": running.channel.kind,
        "state": "paused" if running.paused else running.state,
        "error": running.error,
        "labels": running.channel.options.labels,
    }
