"""What is told of one call, in order, each event only after the one before is durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from connectors.api import Sink
from connectors.errors import Busy
from normalizer.codecs.sip import Told
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef, Security
from normalizer.raw import RawEvent

MOST = 5000
"""Events of one call that wait while neither broker nor disk take any; further keys and holds are left out then."""
RETRY_SECS = 1.0
Step = Callable[[], Awaitable[None]]


class Outbox:
    """Tells the events of a call; `run` works until `close` and everything is told."""

    def __init__(
        self, told: Told, *, channel: ChannelRef, security: Security, sink: Sink, log: FilteringBoundLogger
    ) -> None:
        """Tell the events of the call that `told` names."""
        self.told = told
        self._channel, self._security, self._sink, self._log = channel, security, sink, log
        self._steps: deque[Step] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def tell(self, method: str, at: datetime, fields: Mapping[str, Any], *, number: int = 0, dear: bool = True) -> None:
        """Put an event behind the others; one that is not `dear` is left out when nothing gets through any more."""
        if not dear and len(self._steps) >= MOST:
            return
        raw = self.raw(method, at, number, fields)
        self.add(lambda: self._deliver(raw))

    def raw(self, method: str, at: datetime, number: int, fields: Mapping[str, Any]) -> RawEvent:
        """Write an event; fields that are None are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        told = replace(self.told, method=method, at=at, number=number, fields=given)
        return RawEvent(
            channel=self._channel,
            kind="sip",
            body=msgspec.json.encode(told),
            received_at=at,
            security=self._security,
            noted=True,  # in the journal of calls
        )

    def add(self, step: Step) -> None:
        """Put something else behind the others that must be done in order."""
        self._steps.append(step)
        self._wake.set()

    def close(self) -> None:
        """Say that nothing comes any more."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Tell, until closed."""
        while True:
            while self._steps:
                step = self._steps.popleft()
                await step()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    async def _deliver(self, raw: RawEvent) -> None:
        while True:
            try:
                await self._sink(raw)
            except Busy as exc:
                await asyncio.sleep(min(max(exc.retry_after, 0.05), RETRY_SECS))
            except MalformedPayload as exc:
                self._log.error("call_event_malformed", reason=str(exc))
                return
            else:
                return
