"""Whatever happens on the way: what was acknowledged is in the broker once, and what the core says is shown once."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.errors import Unreachable
from connectors.secrets import Secret
from tests.integration.chat.helpers import Office, office
from tests.integration.chat.patient import Patient
from tests.rig import empty_queue
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

KEY = Secret("a-key-of-the-tests-with-32-letters")
STEPS = st.lists(
    st.sampled_from(["say", "say", "answer", "answer", "cut", "move", "poll", "restart", "redis", "wait"]),
    min_size=5,
    max_size=14,
)


class World:
    """Two nodes on one Redis and one RabbitMQ, a visitor and the core."""

    def __init__(self, stack: AsyncExitStack, folder: Path, redis: RedisServer, rabbit_url: str) -> None:
        self.stack, self.folder, self.redis, self.rabbit_url = stack, folder, redis, rabbit_url
        self.redis_url = redis.fresh_url()
        self.nodes: list[Office | None] = [None, None]
        self._exits: list[AsyncExitStack] = [AsyncExitStack(), AsyncExitStack()]
        self.visitor = Patient(self.nodes)
        self.said: list[str] = []
        self.answers: list[str] = []
        self.unsent: asyncio.Queue[str] = asyncio.Queue()
        self.sent: list[str] = []

    async def start(self, number: int) -> None:
        made = office(
            self.folder / f"node{number}",
            redis_url=self.redis_url,
            broker_url=self.rabbit_url,
            when_down="refuse",
            lease=2.0,
            token_key=KEY,
            messages_per_minute=10_000,
            calls_per_minute=100_000,
        )
        self.nodes[number] = await self._exits[number].enter_async_context(made)

    async def stop(self, number: int) -> None:
        self.nodes[number] = None
        await self._exits[number].aclose()

    async def answering(self) -> None:
        """Send what the core has to say, in order, again until it is taken."""
        while True:
            message = await self.unsent.get()
            while True:
                try:
                    node = next(one for one in random.sample(self.nodes, 2) if one is not None)
                    await node.send(self.visitor.visitor, f"text of {message}", id_=message)
                except (Unreachable, StopIteration, RuntimeError):
                    await asyncio.sleep(0.05)
                else:
                    break
            self.sent.append(message)

    async def step(self, word: str) -> None:
        """Let one thing happen."""
        match word:
            case "say":
                self.said.append(f"c{len(self.said)}")
                self.visitor.pending.append(self.said[-1])
            case "answer":
                self.answers.append(f"msg_{len(self.answers):032x}")
                self.unsent.put_nowait(self.answers[-1])
            case "cut":
                self.visitor.cut()
            case "move":
                self.visitor.node = 1 - self.visitor.node
                self.visitor.cut()
            case "poll":
                self.visitor.polling = not self.visitor.polling
                self.visitor.cut()
            case "restart":
                number = self.visitor.node
                await self.stop(number)
                await self.start(number)
            case "redis":
                self.redis.kill()
                await asyncio.sleep(0.05)
                await asyncio.to_thread(self.redis.restart)
            case _:
                await asyncio.sleep(0.2)

    async def settled(self) -> None:
        async with asyncio.timeout(40):
            while self.visitor.pending or len(self.visitor.shown) < len(self.answers):
                await asyncio.sleep(0.02)


async def live(folder: Path, plan: list[str], redis: RedisServer, rabbit_url: str) -> None:
    async with AsyncExitStack() as stack:
        world = World(stack, folder, redis, rabbit_url)
        await world.start(0)
        await world.start(1)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.visitor.run())]
            async with asyncio.timeout(20):
                while not world.visitor.visitor:
                    await asyncio.sleep(0.01)
            tasks.append(group.create_task(world.answering()))
            for word in plan:
                await world.step(word)
            try:
                await world.settled()
            finally:
                for task in tasks:
                    task.cancel()
        visitor = world.visitor
        await world.stop(0)
        await world.stop(1)
    received = [told["message"]["provider_id"] for told in await empty_queue(rabbit_url) if "message" in told]
    assert visitor.acknowledged == world.said
    assert received == world.said
    assert visitor.shown == world.answers
    assert visitor.seqs == sorted(set(visitor.seqs))


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example takes seconds
    suppress_health_check=list(HealthCheck),
)
@given(plan=STEPS)
@pytest.mark.timeout(300)
def test_what_is_acknowledged_is_there_once_and_what_is_said_is_shown_once_in_order(
    plan: list[str], make_redis: Callable[[], RedisServer], rabbit_server: RabbitServer
) -> None:
    name = f"chat-{random.randrange(1 << 60):x}"
    url = rabbit_server.add_vhost(name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(live(Path(folder), plan, _redis(make_redis), url))
    finally:
        rabbit_server.delete_vhost(name)


_servers: list[RedisServer] = []


def _redis(make: Callable[[], RedisServer]) -> RedisServer:
    """One server for all examples; each has a database of its own."""
    if not _servers:
        _servers.append(make())
    return _servers[0].start()
