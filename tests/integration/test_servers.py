"""The servers the other tests stand on do what they promise."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aio_pika
import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.servers.process import listening, wait_until
from tests.servers.proxy import TcpProxy
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer


async def test_redis_keeps_its_data_over_a_crash(make_redis: Callable[[], RedisServer]) -> None:
    server = make_redis()
    async with Redis.from_url(server.url) as client:
        await client.set("k", "v")
    server.kill()
    server.restart()
    async with Redis.from_url(server.url) as client:
        assert await client.get("k") == b"v"


async def test_every_test_has_an_empty_virtual_host(rabbit_url: str) -> None:
    connection = await aio_pika.connect(rabbit_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue("q", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
        assert (await queue.get(timeout=5)).body == b"x"


@pytest.mark.slow
async def test_rabbit_keeps_its_queues_over_a_crash_and_blocks_under_an_alarm(
    make_rabbit: Callable[[], RabbitServer],
) -> None:
    server = make_rabbit()
    connection = await aio_pika.connect(server.url)
    async with connection, connection.channel() as channel:
        await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
        server.settle()
        await channel.default_exchange.publish(aio_pika.Message(b"x", delivery_mode=2), "q")
        server.set_alarm(True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await channel.default_exchange.publish(aio_pika.Message(b"y", delivery_mode=2), "q")
        server.set_alarm(False)
        await channel.default_exchange.publish(aio_pika.Message(b"z", delivery_mode=2), "q")
    server.kill()
    assert not listening(server.port)
    server.restart()
    wait_until(lambda: server.ctl("list_queues", "messages").split()[-1] == "3", timeout=20, what="3 messages")


async def test_a_stalled_proxy_delays_and_a_cut_one_resets(
    redis_server: RedisServer, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy = await make_proxy(redis_server.port)
    async with Redis(port=proxy.port, retry=None) as client:
        await client.ping()
        proxy.stall()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ping()
        proxy.resume()
        await client.ping()
        proxy.cut()
        with pytest.raises(RedisConnectionError):
            await client.execute_command("PING")


def test_children_end_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import pathlib, time\nfrom tests.servers.redis import RedisServer\n"
        f"print(RedisServer(pathlib.Path({str(tmp_path)!r})).start().pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        server = psutil.Process(int(run.stdout.readline()))
        run.kill()
    server.wait(timeout=10)
