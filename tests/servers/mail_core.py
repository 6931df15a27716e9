"""What stands behind a gateway: reads its events by `omnigate tail`, and answers through `message.send`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.gateway import GatewayProcess
from tests.servers.process import wait_until

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))

NOT_YET = {-32001, -32012}
"""What is answered while the command queue is not there: unknown channel, busy."""
Answer = Callable[[dict[str, Any]], dict[str, Any] | None]
"""From the params of an event to those of the answer to it, if any."""


class Core:
    """A core of one channel.

    Attributes:
        events: what it has read, in order.
        answers: what `message.send` said to each of its answers, in order.
    """

    def __init__(self, gateway: GatewayProcess, channel: str, answer: Answer | None = None) -> None:
        """Start to read, from the first event on."""
        self.gateway, self.channel, self._answer = gateway, channel, answer
        self.events: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        command = [OMNIGATE, "tail", "--from-start", "--channel", channel, "--config", str(gateway.config)]
        self._tail = subprocess.Popen(command, env=gateway.env, cwd=gateway.folder, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._read, name=f"core:{channel}", daemon=True)
        self._thread.start()

    def send(self, **params: Any) -> dict[str, Any]:
        """Ask for a message; returns the whole answer. A gateway that has just started may not have its queue yet."""
        answer: dict[str, Any] = {}

        def answered() -> bool:
            answer.clear()
            answer.update(self.gateway.call("message.send", {"channel": self.channel, **params}))
            return answer.get("error", {}).get("code") not in NOT_YET

        wait_until(answered, timeout=20, what="a command queue")
        return answer

    def wait(self, method: str, count: int = 1, timeout: float = 20) -> list[dict[str, Any]]:
        """Wait for so many events of a method; returns the params of all there are."""
        wait_until(lambda: len(self.told(method)) >= count, timeout=timeout, what=f"{count} x {method}")
        return self.told(method)

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return the params of the events of a method so far."""
        return [event["params"] for event in list(self.events) if event["method"] == method]

    def close(self) -> None:
        """Stop reading."""
        self._tail.kill()
        self._tail.wait()
        self._thread.join(10)
        if self._tail.stdout is not None:
            self._tail.stdout.close()

    def _read(self) -> None:
        if self._tail.stdout is None:
            return
        for line in self._tail.stdout:
            event = json.loads(line)
            self.events.append(event)
            if self._answer is None or event["method"] != "message.received":
                continue
            params = self._answer(event["params"])
            if params is not None:
                self.answers.append(self.send(**params))
