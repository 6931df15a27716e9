"""The doctor's rounds on two workers' worth of gateway: one looks, both know; what passes by itself is not told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.secrets import Secret
from connectors.telegram import TelegramConfig
from gateway.doctor.mirror import Face
from gateway.doctor.provider import Asking, examine
from gateway.doctor.rounds import Rounds
from gateway.settings.load import load
from gateway.simulate.cloud import Answer
from gateway.simulate.telegram_cloud import TelegramCloud
from tests.integration.wechat_lab import Node, open_node

CHANNEL = "tg"
TOKEN, SECRET = "7:a-token-of-the-tests", "a-secret-of-the-tests"
OLD = "Tue, 15 Nov 1994 12:45:26 GMT"
TOML = """
[gateway]
node = "ward"
data_dir = "{folder}/var"
[http]
listen = "127.0.0.1:0"
[doctor]
every_secs = 0.2
[channels.tg]
kind = "telegram"
token = "env:WARD_TOKEN"
secret = "env:WARD_SECRET"
api_base = "{api}"
"""


class Ward:
    """Workers of one gateway, each with a doctor; their only channel is a bot.

    Attributes:
        told: what was said of the channel, by `channel.status`.
        rounds: one task per node.
    """

    def __init__(self, cloud: TelegramCloud, nodes: list[Node]) -> None:
        self.cloud, self.nodes = cloud, nodes
        self.told: list[dict[str, Any]] = []
        self.rounds: list[asyncio.Task[None]] = []

    @property
    def states(self) -> list[str]:
        return [node.channels[CHANNEL].state for node in self.nodes]

    @property
    def asked(self) -> int:
        """How often the provider was asked."""
        return sum(call.match.get("method") == "getMe" for call in self.cloud.calls)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def listen(self, ready: asyncio.Event) -> None:
        async with self.nodes[0].core.broker.watch("v1.*.*.channel.status") as events:
            ready.set()
            async for delivery in events:
                self.told.append(msgspec.json.decode(delivery.body)["params"])


@asynccontextmanager
async def ward(folder: Path, monkeypatch: pytest.MonkeyPatch, *, nodes: int) -> AsyncIterator[Ward]:
    monkeypatch.setenv("WARD_TOKEN", TOKEN)
    monkeypatch.setenv("WARD_SECRET", SECRET)
    async with AsyncExitStack() as stack:
        config = TelegramConfig(token=Secret(TOKEN), secret=Secret(SECRET))
        cloud = await stack.enter_async_context(TelegramCloud(config))
        path = folder / "omnigate.toml"
        path.write_text(TOML.format(folder=folder, api=cloud.url))
        settings = load(path).settings
        it = Ward(cloud, [await stack.enter_async_context(open_node(settings, index)) for index in range(nodes)])
        group, ready = await stack.enter_async_context(asyncio.TaskGroup()), asyncio.Event()
        listening = group.create_task(it.listen(ready))
        await ready.wait()
        for node in it.nodes:
            face = Face(http=node.core.http, listener=f"http://{node.address}")
            it.rounds.append(group.create_task(Rounds(node.core, node.channels, face).run()))
        try:
            yield it
        finally:
            for task in (listening, *it.rounds):
                task.cancel()


async def test_one_node_tells_and_the_other_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ward(tmp_path, monkeypatch, nodes=2) as it:
        it.cloud.fail_often(401, 1.0)
        await it.until(lambda: it.states == ["degraded", "degraded"])
        it.cloud.fail_no_more()
        await it.until(lambda: it.states == ["ok", "ok"])
        await it.until(lambda: len(it.told) == 2)

        assert [(one["status"], one["component"]) for one in it.told] == [
            ("degraded", "doctor.credentials"),
            ("ok", "doctor.credentials"),
        ]


async def test_another_node_goes_on_when_one_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ward(tmp_path, monkeypatch, nodes=2) as it:
        await it.until(lambda: it.asked)
        for ended in it.rounds[:1]:
            ended.cancel()
            await asyncio.wait([ended])
        it.cloud.fail_often(401, 1.0)

        await it.until(lambda: it.states[1] == "degraded")


async def test_an_answer_that_fails_once_is_no_trouble_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ward(tmp_path, monkeypatch, nodes=1) as it:
        it.cloud.fail_next(503)
        await it.until(lambda: it.asked >= 2)
        assert (it.states, it.told) == (["ok"], [])

        it.cloud.fail_often(503, 1.0)
        await it.until(lambda: it.states == ["degraded"])


async def test_a_clock_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ward(tmp_path, monkeypatch, nodes=1) as it:
        it.rounds[0].cancel()
        connector, clock = it.nodes[0].channels[CHANNEL].connector, it.nodes[0].core.clock
        right = await examine(connector, Asking(clock=clock))
        behind = await examine(connector, Asking(clock=lambda: clock() - 100))
        cached = Answer(body=b'{"ok":true,"result":{}}', headers={"Date": OLD, "Age": "1000000"})
        it.cloud.fail_next(cached, times=20)
        unknown = await examine(connector, Asking(clock=clock))

    found = [[check for check in one.checks if check.name == "clock"] for one in (right, behind, unknown)]
    assert [[check.ok for check in checks] for checks in found] == [[True], [False], []]
    assert "100 s behind" in found[1][0].detail or "99 s behind" in found[1][0].detail
