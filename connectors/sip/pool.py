"""The child processes of a channel: as many as its calls need, and who has room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from structlog.typing import FilteringBoundLogger

from connectors.sip import lines
from connectors.sip.admission import HOP
from connectors.sip.config import SipConfig
from connectors.sip.owner import Owner
from connectors.sip.process import Process


class Pool:
    """See the module; how many calls a process carries is what PJSIP was compiled with, and asked of the first.

    A caller reaches the first process by the channel's address. When it is full he is sent to another (302), as long
    as `overflow` says so. Registrations are the first one's, so their calls come to it as well.
    """

    def __init__(self, config: SipConfig, owner: Owner, log: FilteringBoundLogger) -> None:
        """Prepare; `run` starts them."""
        self._config, self._owner, self._log = config, owner, log
        self.processes: list[Process] = []
        self._told: dict[int, list[str]] = {}
        self._draining = False

    def __iter__(self) -> Iterator[Process]:
        """Go through the processes."""
        return iter(self.processes)

    async def run(self, report: Callable[[str, str | None], None]) -> None:
        """Keep them alive until cancelled; raises `Misconfigured` when they cannot begin."""
        async with asyncio.TaskGroup() as group:
            first = self._make(0, self._config.max_calls)
            group.create_task(first.run(lambda reason: report("sip", reason)))
            await first.wait_up()
            for index in range(1, lines.children(self._config.max_calls, first.most)):
                most = min(first.most, self._config.max_calls - index * first.most)
                process = self._make(index, most)
                group.create_task(process.run(self._reporter(index, report)))

    @staticmethod
    def _reporter(index: int, report: Callable[[str, str | None], None]) -> Callable[[str | None], None]:
        return lambda reason: report(f"sip-{index}", reason)

    def _make(self, index: int, most: int) -> Process:
        config = lines.child_config(self._config, index, most)
        process = Process(index, config, self._owner, self._log, most=most)
        self.processes.append(process)
        return process

    @property
    def calls(self) -> int:
        """How many calls there are."""
        return sum(len(one.calls) for one in self.processes)

    def pick(self) -> Process | None:
        """Return the process that has most room, for a call of ours; None when all are full."""
        free = [one for one in self.processes if one.up and len(one.calls) < one.most]
        return max(free, key=lambda one: one.most - len(one.calls), default=None)

    def drain(self, *, on: bool) -> None:
        """Refuse new calls, or take them again."""
        self._draining = on
        for one in self.processes:
            one.order("drain", on=on)

    def changed(self) -> None:
        """Tell the processes who has room, as calls began or ended, or a process came or went."""
        if self._config.overflow != "redirect" or len(self.processes) < 2:
            return
        for one in self.processes:
            uris = [
                f"sip:omnigate@{other.address}:{port};transport={transport};{HOP}=1"
                for other in self.processes
                if other is not one and other.up and len(other.calls) < other.most
                for transport, port in list(other.ports.items())[:1]
            ]
            if one.up and self._told.get(one.index) != uris:
                self._told[one.index] = uris
                one.order("others", uris=uris)

    def started(self, process: Process) -> None:
        """A process is up (again): tell it how things are."""
        self._told.pop(process.index, None)
        if self._draining:
            process.order("drain", on=True)
        self.changed()
