"""`omnigate tail`, `call` and `send` on every broker."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.broker.api import RPC_QUEUE, Broker, BrokerUnavailable, Outcome, Publication
from gateway.broker.connect import make_broker, open_broker
from gateway.commands.call import call, check, send
from gateway.commands.console import Failure
from gateway.commands.tail import binding, tail
from gateway.settings.model import BrokerSection
from normalizer import rpc
from normalizer.methods import routing_key
from normalizer.rpc import RpcError


@pytest.fixture(params=["embedded", "rabbitmq"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """One connected broker."""
    embedded = request.param == "embedded"
    url = "embedded:" if embedded else request.getfixturevalue("rabbit_url")
    settings = BrokerSection(url=url, history_hours=0 if embedded else 1)
    async with open_broker(settings, tmp_path, "test", within=30) as one:
        yield one


def event(method: str, channel: str = "shop") -> Publication:
    body = msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": {"text": "one\ntwo"}})
    return Publication(
        routing_key=routing_key("telegram", channel, method),
        body=msgspec.json.format(body, indent=2),
        message_id=f"evt_{method}",
        method=method,
        timestamp=1_700_000_000,
        headers={"channel_id": channel},
    )


async def tailed(broker: Broker, *events: Publication, count: int, **options: object) -> list[str]:
    """Publish while a tail runs, and return the methods it wrote."""
    out = io.StringIO()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(tail(broker, count=count, out=out, **options))  # type: ignore[arg-type]
        await asyncio.sleep(0.3)  # let it subscribe
        for one in events:
            assert await broker.publish(one) is Outcome.CONFIRMED
        await running
    lines = out.getvalue().splitlines()
    assert len(lines) == count
    return [msgspec.json.decode(line)["method"] for line in lines]


async def test_tail_writes_one_object_per_line_until_the_count(broker: Broker) -> None:
    methods = ["message.received", "receipt.read", "message.status"]

    assert await tailed(broker, *map(event, methods), count=3) == methods


async def test_tail_shows_only_methods_that_match(broker: Broker) -> None:
    methods = ["message.received", "call.transcript.partial", "call.ended", "message.status"]

    assert await tailed(broker, *map(event, methods), count=2, method="message.*") == [methods[0], methods[3]]
    assert await tailed(broker, *map(event, methods), count=2, method="call.*") == methods[1:3]
    assert await tailed(broker, *map(event, methods), count=1, method="call.ended") == ["call.ended"]


async def test_tail_shows_only_one_channel(broker: Broker) -> None:
    events = [event("message.received", "shop.de"), event("message.status", "shop-de")]

    assert await tailed(broker, *events, count=1, channel="shop-de") == ["message.status"]
    assert await tailed(broker, *events, count=1, channel="shop.de") == ["message.received"]


async def test_tail_from_start_shows_what_was_before(broker: Broker) -> None:
    await broker.publish(event("message.received"))

    assert await tailed(broker, event("message.status"), count=2, from_start=True) == [
        "message.received",
        "message.status",
    ]


async def serve(broker: Broker, queue: str, answer: object) -> list[rpc.Request]:
    """Answer one request as the gateway would, and return it."""
    async with broker.consume(queue, prefetch=1) as consumer:
        delivery = await anext(aiter(consumer))
        request = rpc.parse_request(delivery.body)
        body = rpc.error(request.id, answer) if isinstance(answer, RpcError) else rpc.result(request.id, answer)
        await broker.publish(
            Publication(
                exchange="",
                routing_key=delivery.reply_to or "",
                body=body,
                message_id="rsp_1",
                method="",
                timestamp=1_700_000_000,
                headers={},
                correlation_id=delivery.correlation_id,
            )
        )
        await consumer.ack(delivery)
    return [request]


async def test_call_prints_the_result_and_exits_with_zero(broker: Broker) -> None:
    out = io.StringIO()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        served = group.create_task(serve(broker, RPC_QUEUE, {"pong": True}))
        status = await call(broker, "gateway.ping", "", 10, out=out)

    assert (status, out.getvalue()) == (0, '{"pong":true}\n')
    assert served.result()[0].method == "gateway.ping"


async def test_send_goes_to_its_channel_and_an_error_exits_with_one(broker: Broker) -> None:
    queue, out = await broker.declare_channel("shop"), io.StringIO()
    refusal = RpcError(rpc.CONTACT_STOPPED, "the customer blocked the bot")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        served = group.create_task(serve(broker, queue, refusal))
        status = await send(broker, channel="shop", to="42", text="Hello", timeout=10, out=out)

    assert status == 1
    assert msgspec.json.decode(out.getvalue())["code"] == rpc.CONTACT_STOPPED
    [request] = served.result()
    assert msgspec.json.decode(request.params) == {"channel": "shop", "to": "42", "text": "Hello"}


async def test_request_about_a_channel_is_for_the_gateway_itself(broker: Broker) -> None:
    await broker.declare_channel("shop")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(serve(broker, RPC_QUEUE, {}))
        assert await call(broker, "channel.resume", '{"channel": "shop"}', 10, out=io.StringIO()) == 0


async def test_call_of_a_channel_nobody_serves_says_so_at_once(broker: Broker) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(Failure, match="no channel 'nobody'"):
            await send(broker, channel="nobody", to="42", text="Hello", timeout=60)


async def test_answer_that_is_no_json_rpc_is_an_error(broker: Broker) -> None:
    async def babble() -> None:
        async with broker.consume(RPC_QUEUE, prefetch=1) as consumer:
            delivery = await anext(aiter(consumer))
            reply = event("x")
            reply.exchange, reply.routing_key, reply.body = "", delivery.reply_to or "", b"hello"
            reply.correlation_id = delivery.correlation_id
            await broker.publish(reply)
            await consumer.ack(delivery)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(babble())
        with pytest.raises(Failure, match="not JSON-RPC"):
            await call(broker, "gateway.ping", "{}", 10)


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("message.sent", "{}", "did you mean message.send"),
        ("nonsense", "{}", "there are: .*gateway.ping"),
        ("message.send", "{}", "channel"),
        ("message.send", '{"channel": "a", "txt": "b"}', "txt"),
        ("message.send", '{"channel": 5}', r"\$.channel"),
        ("message.send", "{channel: a}", "not JSON"),
        ("gateway.ping", "[]", "object"),
    ],
)
def test_wrong_request_is_named_before_anything_is_sent(method: str, params: str, words: str) -> None:
    with pytest.raises(Failure, match=words):
        check(method, params)


@pytest.mark.parametrize(
    ("method", "channel", "key"),
    [
        (None, None, "v1.*.*.#"),
        ("message.*", None, "v1.*.*.message.#"),
        ("message.received", "a.b", "v1.*.a-b.message.received"),
        ("*.final", None, "v1.*.*.#"),
        ("call.trans*", "x", "v1.*.x.call.#"),
    ],
)
def test_binding_is_as_narrow_as_the_glob_allows(method: str | None, channel: str | None, key: str) -> None:
    assert binding(method, channel) == key


@pytest.mark.parametrize("url", ["redis://localhost", "amqp:///vhost", "amqp://:p4ss@host:99999/", "", "http://x"])
def test_url_of_no_known_kind_is_refused_without_showing_the_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"broker\.url must be") as caught:
        make_broker(BrokerSection(url=url), tmp_path, "test")

    assert "p4ss" not in str(caught.value)


async def test_opening_a_broker_that_is_not_there_says_why(tmp_path: Path) -> None:
    settings = BrokerSection(url="amqp://guest:guest@127.0.0.1:9/")

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9"):
        async with open_broker(settings, tmp_path, "test", within=1.0):
            pass


async def test_error_inside_an_opened_broker_comes_out_as_it_is(tmp_path: Path) -> None:
    async def fail() -> None:
        async with open_broker(BrokerSection(), tmp_path, "test") as broker:
            assert await broker.publish(event("message.received")) is Outcome.CONFIRMED
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
