"""An SMTP client that sends as fast as it is answered, over several connections, in a process of its own.

``python -m tests.bench.mail.client PORT FIRST SECS CONNECTIONS SIZE`` prints figures as wrk's script does. Every mail
is a new one. Commands are sent one after the other, as most programs do, and each connection carries many mails.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop
from typing_extensions import override

from tests.bench.mail.letters import Letters

_RECIPIENT = "support@shop.example"
_TIMEOUT_SECS = 20.0


class Client(asyncio.Protocol):
    """One connection: EHLO, and then mail after mail until the time is over."""

    def __init__(self, numbers: Iterator[int], letters: Letters, ends: float) -> None:
        self.answers = self.refused = 0
        self.latencies: list[float] = []
        self.broken = False
        self.over = asyncio.get_running_loop().create_future()
        self._numbers, self._letters, self._ends = numbers, letters, ends
        self._buffer = b""
        self._step, self._began = "greeting", 0.0
        self._body = b""
        self._transport: Any = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if line[3:4] != b"-":
                self._answered(int(line[:3]))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = self._step != "quit"
        if not self.over.done():
            self.over.set_result(None)

    def _answered(self, code: int) -> None:
        if self._step == "greeting":
            self._say("hello", b"EHLO client.example\r\n")
        elif code >= 400:
            self.answers, self.refused = self.answers + 1, self.refused + 1
            self._say("hello", b"RSET\r\n")  # and begin anew
        elif self._step == "hello":
            self._begin()
        elif self._step == "mail":
            self._say("rcpt", f"RCPT TO:<{_RECIPIENT}>\r\n".encode())
        elif self._step == "rcpt":
            self._say("data", b"DATA\r\n")
        elif self._step == "data":
            self._say("body", self._body)
        elif self._step == "body":
            self.answers += 1
            self.latencies.append(time.perf_counter() - self._began)
            self._begin()

    def _begin(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._ends:
            self._say("quit", b"QUIT\r\n")
            return
        number = next(self._numbers)
        self._body = self._letters.write(number) + b"\r\n.\r\n"
        self._say("mail", f"MAIL FROM:<customer{number % 997}@customer.example>\r\n".encode())

    def _say(self, step: str, data: bytes) -> None:
        self._step = step
        self._transport.write(data)


async def send(port: int, first: int, secs: float, connections: int, size: int) -> dict[str, float]:
    """Send new mails, numbered from `first`, for so long; every mail that was begun is waited for."""
    numbers, letters = itertools.count(first), Letters(size)
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(numbers, letters, began + secs), "127.0.0.1", port)
        clients.append(client)
    _, late = await asyncio.wait([client.over for client in clients], timeout=secs + _TIMEOUT_SECS)
    passed = time.perf_counter() - began
    latencies = sorted(one for client in clients for one in client.latencies) or [0.0]
    return {
        "answers": sum(client.answers for client in clients),
        "refused": sum(client.refused for client in clients),
        "secs": passed,
        "p50_ms": 1000 * statistics.median(latencies),
        "p99_ms": 1000 * latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
        "broken": sum(client.broken for client in clients),
        "timeouts": len(late),
    }


def main() -> None:
    """Send and print."""
    port, first, secs, connections, size = map(int, sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(send(port, first, secs, connections, size))))


if __name__ == "__main__":
    main()
