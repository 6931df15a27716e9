"""A web chat as it is run: processes of the gateway, several workers, several nodes, kill -9."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.servers.gateway import GatewayProcess
from tests.servers.process import Process, free_port, open_ports, wait_until
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

MakeGateway = Callable[..., GatewayProcess]
OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
KEY = "a-key-of-the-tests-with-32-letters"
QUEUES = (("helpdesk", "v1.*.*.message.received"),)


def channel(port: int, **options: str) -> str:
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    return (
        f'[channels.web]\nkind = "chat"\nlisten = "127.0.0.1:{port}"\ntoken_key = "env:CHAT_TOKEN_KEY"\n'
        f"sessions_per_minute_per_ip = 0\n{lines}"
    )


class Client:
    """A visitor at one gateway."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws, self._last = ws, 0
        self.heard: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        await self.ws.send(json.dumps({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}))
        while True:
            told = await self.read()
            if told.get("id") == self._last:
                assert "result" in told, told
                result: dict[str, Any] = told["result"]
                return result

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            told: dict[str, Any] = json.loads(await self.ws.recv())
        if "method" in told:
            self.heard.append(told)
        return told

    async def message(self, text: str) -> dict[str, Any]:
        """Read until a message with this text was pushed."""
        while True:
            for told in self.heard:
                if told["method"] == "message" and told["params"]["message"]["text"] == text:
                    return dict(told["params"])
            await self.read()


Visit = Callable[..., Awaitable[tuple[Client, dict[str, Any]]]]


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """Connect visitors, who leave when the test ends."""
    async with AsyncExitStack() as stack:

        async def made(port: int, **hello: Any) -> tuple[Client, dict[str, Any]]:
            await asyncio.to_thread(
                lambda: wait_until(lambda: port in open_ports(), timeout=20, what=f"something listens on {port}")
            )
            ws = await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}/chat/web/ws", proxy=None))
            client = Client(ws)
            return client, await client.call("hello", protocol=1, **hello)

        yield made


async def ask(gateway: GatewayProcess, method: str, **params: Any) -> Any:
    """Ask for something, again while the gateway has just started: nobody may take commands of the channel yet."""
    async with asyncio.timeout(60):
        while True:
            told = await asyncio.to_thread(gateway.call, method, {"channel": "web", **params})
            if "status" not in told and told.get("error", {}).get("code") != -32001:
                assert "result" in told, told
                return told["result"]
            await asyncio.sleep(0.1)


async def send(gateway: GatewayProcess, to: str, text: str) -> Any:
    return await ask(gateway, "message.send", to=to, text=text, idempotency_key=text)


def received(gateway: GatewayProcess, count: int) -> list[str]:
    """Return the texts of the first messages the core was told."""
    told = gateway.cli("tail", "--from-start", "--method", "message.received", "--count", str(count))
    return [json.loads(line)["params"]["message"]["text"] for line in told.stdout.splitlines()]


async def test_a_visitor_at_any_worker_is_answered_by_the_one_that_sends(
    make_gateway: MakeGateway, visit: Visit
) -> None:
    port = free_port()
    gateway = make_gateway(workers=2, channels=channel(port), env={"CHAT_TOKEN_KEY": KEY})
    clients = [await visit(port) for _ in range(12)]  # spread over the workers by the kernel
    for number, (client, hello) in enumerate(clients):
        await client.call("message.send", id="c1", text=f"Hi {number}")
        await send(gateway, hello["conversation"], f"Hello {number}")
    for number, (client, _) in enumerate(clients):
        await client.message(f"Hello {number}")
        assert [one["params"]["message"]["text"] for one in client.heard if one["method"] == "message"] == [
            f"Hi {number}",
            f"Hello {number}",
        ]
    assert gateway.total("gateway_received_messages_total", channel="web") >= 12
    await asyncio.to_thread(
        lambda: wait_until(
            lambda: gateway.total("gateway_chat_sessions") == 12, timeout=20, what="sessions are counted"
        )
    )


async def test_clients_go_elsewhere_when_the_process_ends_and_it_ends_soon(
    make_gateway: MakeGateway, visit: Visit
) -> None:
    port = free_port()
    gateway = make_gateway(channels=channel(port, poll_secs="60"), env={"CHAT_TOKEN_KEY": KEY})
    client, hello = await visit(port)
    await client.call("message.send", id="c1", text="Hi")
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        headers = {"Authorization": f"Bearer {hello['session']['token']}"}
        url = f"{gateway.url}/chat/web/poll"

        async def poll() -> list[dict[str, Any]]:
            async with http.get(url, params={"after": hello["seq"] + 2**52}, headers=headers) as response:
                told: list[dict[str, Any]] = await response.json()
                return told

        held = group.create_task(poll())
        await asyncio.sleep(0.3)
        ended = group.create_task(asyncio.to_thread(gateway.term, 15))
        while (await client.read()).get("method") != "reconnect":
            pass
        await client.ws.wait_closed()
        assert client.ws.close_code == 1012
        assert [one["method"] for one in await held] == ["reconnect"]
        assert await ended == 0
    await asyncio.to_thread(gateway.restart)
    again, back = await visit(port, token=hello["session"]["token"], after=0)
    assert back["conversation"] == hello["conversation"]
    await again.message("Hi")


async def test_a_gateway_that_is_killed_loses_nothing_that_it_acknowledged(
    make_gateway: MakeGateway, visit: Visit
) -> None:
    port = free_port()
    gateway = make_gateway(channels=channel(port), env={"CHAT_TOKEN_KEY": KEY}, queues=QUEUES)
    client, hello = await visit(port)
    await client.call("message.send", id="c1", text="before")
    await send(gateway, hello["conversation"], "answer before")
    gateway.kill9()
    await client.ws.wait_closed()
    assert client.ws.close_code in {1006, None}
    await asyncio.to_thread(gateway.restart)
    again, _ = await visit(port, token=hello["session"]["token"], after=0)
    await again.message("answer before")
    assert (await again.call("message.send", id="c1", text="before"))["duplicate"]
    await again.call("message.send", id="c2", text="after")
    await send(gateway, hello["conversation"], "answer after")
    await again.message("answer after")
    texts = [one["params"]["message"]["text"] for one in again.heard if one["method"] == "message"]
    assert texts == ["before", "answer before", "after", "answer after"]
    story = await asyncio.to_thread(received, gateway, 2)
    assert story == ["before", "after"]


async def test_when_a_node_dies_its_visitors_go_on_at_another(
    make_gateway: MakeGateway, visit: Visit, redis_server: RedisServer, rabbit_url: str
) -> None:
    url, ports = redis_server.fresh_url(), (free_port(), free_port())
    one, two = (
        make_gateway(channels=channel(port), env={"CHAT_TOKEN_KEY": KEY}, dedup=url, broker=rabbit_url)
        for port in ports
    )
    ann, hello = await visit(ports[0])
    tab, _ = await visit(ports[1], token=hello["session"]["token"])
    await ann.call("message.send", id="c1", text="Hi")
    await tab.message("Hi")
    for number, gateway in enumerate((one, two)):  # whichever of them it is that consumes the queue
        await send(gateway, hello["conversation"], f"answer {number}")
    for client in (ann, tab):
        await client.message("answer 0")
        last = await client.message("answer 1")
    one.kill9()
    await ann.ws.wait_closed()
    await send(two, hello["conversation"], "while she was away")
    again, back = await visit(ports[1], token=hello["session"]["token"], after=last["seq"])
    assert back["session"]["resumed"]
    await again.message("while she was away")
    assert (await again.call("message.send", id="c1", text="Hi"))["duplicate"]
    await again.call("message.send", id="c2", text="and on")
    await tab.message("and on")
    first = next(told["params"]["message"]["text"] for told in again.heard if told["method"] == "message")
    assert first == "while she was away"


async def test_a_process_that_may_open_few_files_says_so_and_takes_as_many_visitors_as_it_can(
    tmp_path: Path, visit: Visit
) -> None:
    port = free_port()
    gateway = GatewayProcess(tmp_path / "gateway", channels=channel(port, max_connections_per_ip="1000"))
    command = [str(shutil.which("prlimit")), "--nofile=600:700", OMNIGATE, "run", "--config", str(gateway.config)]
    process = Process(command, env={**gateway.env, "CHAT_TOKEN_KEY": KEY}, log=tmp_path / "log")
    try:
        process.wait_until(gateway.ready, timeout=30, what="ready")
        client, hello = await visit(port)
        lines = [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]
        (said,) = [line for line in lines if line["event"] == "file_limit_too_low" and line.get("channel") == "web"]
        assert said["limit"] == 700
        assert "LimitNOFILE" in said["hint"]
        assert 0 < said["max_connections"] < 700
        for _ in range(said["max_connections"] - 1):
            await visit(port)
        with pytest.raises(InvalidStatus) as refused:
            await visit(port)
        assert refused.value.response.status_code == 503
        await client.call("message.send", id="c1", text="still served")
        await send(gateway, hello["conversation"], "and answered")
        await client.message("and answered")
    finally:
        process.kill()


async def test_what_the_core_asks_goes_through_the_queue(make_gateway: MakeGateway, visit: Visit) -> None:
    port = free_port()
    gateway = make_gateway(channels=channel(port), env={"CHAT_TOKEN_KEY": KEY})
    client, hello = await visit(port)
    await client.call("message.send", id="c1", text="Hi")
    to = {"to": hello["conversation"]}
    (sent,) = (await ask(gateway, "message.send", **to, text="Helo"))["message"]["provider_ids"]
    await ask(gateway, "message.edit", **to, message={"provider_id": sent}, text="Hello")
    await ask(gateway, "typing.send", **to)
    await ask(gateway, "presence.send", status="online", agents=[{"name": "Ben"}])
    await ask(gateway, "receipt.send", **to, message={"provider_id": "c1"})
    await ask(gateway, "conversation.end", **to, reason="solved")
    wanted = {"message", "typing", "presence", "receipt", "ended"}
    while {told["method"] for told in client.heard} != wanted:
        await client.read()
    told = await ask(gateway, "channel.capabilities")
    assert "presence.send" in json.dumps(told)
    assert "127.0.0.1" in json.dumps(await ask(gateway, "channel.verify"))
