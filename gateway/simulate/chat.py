"""Simulated visitors of a web chat: they keep the rules of the protocol, over networks that break on demand.

`connectors/chat/PROTOCOL.md` says what they speak; nothing of the connector is used here.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter
from typing_extensions import override

from gateway.simulate.chat_wire import AGAIN, Line, Poll, Refused, Socket
from gateway.simulate.report import Report

FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.5, 10.0
Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Who comes, and what he does.

    Attributes:
        count: visitors.
        messages: of each of them.
        text: of the messages; {n} becomes the number.
        rate: messages per second, of all together; 0 is as fast as it goes.
        duplicates: share of the messages that are sent again although they were taken.
        cut: share of the messages after which the connection breaks, and is resumed.
        poll: go by long polling instead of WebSocket.
        stay: seconds to stay after the last message, to hear the answers.
        attempts: of one message before it is given up.
        page: where the visitors are, as their browsers say.
        jwt: who they are, as the site says.
    """

    count: int = 1
    messages: int = 1
    text: str = "Hello from the simulator"
    rate: float = 0.0
    duplicates: float = 0.0
    cut: float = 0.0
    poll: Flag = False
    stay: float = 0.0
    attempts: int = 8
    page: str = "https://shop.example/"
    jwt: str | None = None


@dataclass(kw_only=True)
class ChatReport(Report):
    """What became of the messages; `statuses` are 200, or the codes of errors, and 0 where there was no answer.

    Attributes:
        heard: messages of the company that were shown.
        resumed: connections that went on with a session.
        wrong: what broke the promises of the protocol: out of order, twice, another conversation.
        reason: the last refusal.
    """

    heard: int = 0
    resumed: int = 0
    wrong: int = 0
    reason: str = ""

    @override
    def hints(self) -> list[str]:
        hints = [f"the chat said: {self.reason}"] if self.reason and self.failed else []
        return [*hints, f"{self.wrong} notifications broke the protocol"] if self.wrong else hints


async def visit(
    target: str, visits: Visits, *, origin: str | None = None, progress: Callable[[Report], None] = lambda _: None
) -> ChatReport:
    """Let everybody come to the chat at `target` (``http://host/chat/<channel>``), and report."""
    report, began = ChatReport(), time.monotonic()
    turns = _Turns(visits.rate)
    async with asyncio.TaskGroup() as group:
        for number in range(visits.count):
            visitor = Visitor(target, visits, report, turns, progress, origin)
            group.create_task(visitor.run(number))
    report.seconds = time.monotonic() - began
    return report


class _Turns:
    """Spreads messages over time."""

    def __init__(self, rate: float) -> None:
        self._rate, self._next = rate, time.monotonic()

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        if self._rate > 0:
            self._next += 1 / self._rate
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))


class Visitor:
    """One visitor; see the module."""

    def __init__(
        self,
        target: str,
        visits: Visits,
        report: ChatReport,
        turns: _Turns,
        progress: Callable[[Report], None],
        origin: str | None,
    ) -> None:
        """Come to `target`."""
        self._target, self._visits, self._report, self._turns = target, visits, report, turns
        self._progress, self._origin = progress, origin
        self._token: str | None = None
        self._conversation, self._seq = "", 0
        self._line: Line | None = None

    async def run(self, number: int) -> None:
        """Say everything, stay, and go."""
        try:
            for message in range(self._visits.messages):
                await self._turns.wait()
                text = self._visits.text.replace("{n}", str(number * self._visits.messages + message + 1))
                await self._say(uuid.uuid4().hex, text)
            until = time.monotonic() + self._visits.stay
            while (left := until - time.monotonic()) > 0:
                await self._listen(left)
        finally:
            await self._leave()

    async def _say(self, name: str, text: str) -> None:
        report = self._report
        taken = await self._send(name, text)
        report.sent += 1
        report.accepted += taken
        report.failed += not taken
        if taken:
            report.names.append(name)
            if random.random() < self._visits.duplicates:
                report.retried += 1
                await self._send(name, text)
        if random.random() < self._visits.cut:
            await self._leave()
        self._progress(report)

    async def _send(self, name: str, text: str) -> bool:
        """Send a message until it is taken; tell whether it was."""
        for attempt in range(self._visits.attempts):
            pause = min(FIRST_PAUSE_SECS * 2 ** max(attempt - 1, 0), LONGEST_PAUSE_SECS) if attempt else 0.0
            self._report.retried += attempt > 0
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            began = time.monotonic()
            try:
                line = await self._connected()
                await line.call("message.send", {"id": name, "text": text, "page": {"url": self._visits.page}})
            except Refused as exc:
                self._report.statuses[exc.code] += 1
                self._report.reason = str(exc)
                if not exc.retryable:
                    return False
                await asyncio.sleep(exc.retry_after)
            except AGAIN:
                self._report.statuses[0] += 1
                await self._leave()
            else:
                self._report.statuses[200] += 1
                self._report.latencies.append(time.monotonic() - began)
                return True
        return False

    async def _listen(self, secs: float) -> None:
        try:
            await (await self._connected()).listen(secs)
        except (Refused, *AGAIN):
            await self._leave()
            await asyncio.sleep(FIRST_PAUSE_SECS * random.random())

    async def _connected(self) -> Line:
        if self._line is None:
            kind = Poll if self._visits.poll else Socket
            line = await kind.open(self._target, self._heard, origin=self._origin)
            try:
                await self._hello(line)
            except BaseException:
                await line.close()
                raise
            self._line = line
        return self._line

    async def _hello(self, line: Line) -> None:
        params: dict[str, Any] = {"protocol": 1, "after": self._seq, "page": {"url": self._visits.page}}
        if self._token is not None:
            params["token"] = self._token
        elif self._visits.jwt is not None:
            params["jwt"] = self._visits.jwt
        told = await line.call("hello", params)
        known, self._conversation = self._conversation, told["conversation"]
        if known:
            self._report.resumed += 1
            self._report.wrong += known != self._conversation
        self._token = line.token = told["session"]["token"]
        line.after = self._seq

    def _heard(self, told: dict[str, Any]) -> None:
        """Take a notification, as the rules say."""
        params = told["params"]
        seq = params.get("seq")
        if seq is None:
            return
        if seq <= self._seq:
            self._report.wrong += 1
            return
        self._seq = seq
        if told["method"] == "message" and params["message"]["from"]["role"] != "visitor":
            self._report.heard += 1

    async def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()
