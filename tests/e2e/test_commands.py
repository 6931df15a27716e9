"""The commands that look after a gateway, against one that runs, and against one that does not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.servers.gateway import GatewayProcess, telegram_update
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.telegram import TOKEN, BotApi

SHOP = """
[channels.shop]
kind = "webhook"
verify = {{ scheme = "none" }}
on_malformed = "quarantine"
[channels.shop.receive]
each = "items"
id = "id"
sender = "{sender}"
text = "text"
"""
MakeGateway = Callable[..., GatewayProcess]
Check = Callable[[], bool]


def started(make_gateway: MakeGateway, **options: Any) -> GatewayProcess:
    """Start a gateway and wait until its broker takes messages, so that none needs the spool."""
    gateway = make_gateway(**options)
    deadline = time.monotonic() + 20
    while not gateway.total("gateway_broker_up"):
        assert time.monotonic() < deadline, gateway.logs()
        time.sleep(0.05)
    return gateway


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the JSON lines of a command that went well."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def ledger(gateway: GatewayProcess, channel: str = "tg") -> dict[str, int]:
    return gateway.call("channel.get", {"channel": channel})["result"]["ledger"]


async def until(check: Check | Callable[[], Awaitable[bool]], timeout: float = 20) -> None:
    async with asyncio.timeout(timeout):
        while not await asyncio.to_thread(check):
            await asyncio.sleep(0.1)


def post_items(gateway: GatewayProcess, *items: dict[str, str]) -> int:
    return gateway.post("/c/shop", json.dumps({"items": items}).encode())[0]


def test_why_tells_that_a_repeated_update_was_published_once(make_gateway: MakeGateway) -> None:
    gateway = started(make_gateway)
    assert [gateway.post_update(telegram_update(7)) for _ in range(3)] == [200] * 3

    (told,) = lines(gateway.cli("tail", "--from-start", "--method", "message.received", "--count", "1"))
    event_id = told["params"]["event_id"]
    for wanted in ("7", event_id):
        *story, now = lines(gateway.cli("why", wanted))
        assert [(entry["event_id"], entry["verdict"]) for entry in story] == [
            (event_id, "published"),
            (event_id, "duplicate"),
            (event_id, "duplicate"),
        ]
        assert now["now"] == {"spool": [], "dedup": "done", "quarantine": None}

    unknown = gateway.cli("why", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("omnigate: nothing is known of 'nobody'")


def test_what_was_not_understood_goes_on_its_way_once_it_is_mended(make_gateway: MakeGateway) -> None:
    gateway = started(make_gateway)
    shop = gateway.folder / "channels" / "shop.toml"
    shop.write_text(SHOP.format(sender="from"))
    gateway.call("channel.reload")
    good, renamed, nobody = (
        {"id": "o-1", "from": "ada", "text": "one"},
        {"id": "o-2", "buyer": "bob", "text": "two"},
        {"id": "o-3", "text": "three"},
    )
    assert post_items(gateway, good, renamed, nobody) == 200

    newest, oldest = lines(gateway.cli("quarantine", "list"))
    assert (newest["state"], newest["channel"], oldest["reason"]) == (
        "kept",
        "shop",
        "$.receive.sender: found nothing, and it is required",
    )
    (shown,) = lines(gateway.cli("quarantine", "show", str(oldest["id"])))
    assert json.loads(shown["body"]) == renamed

    early = gateway.cli("quarantine", "redrive", str(oldest["id"]))
    assert (early.returncode, json.loads(early.stdout)["state"]) == (1, "kept")
    shop.write_text(SHOP.format(sender="from || buyer"))
    gateway.call("channel.reload")
    assert lines(gateway.cli("quarantine", "redrive", "--channel", "shop", str(oldest["id"])))[0]["state"] == "redriven"
    mended = gateway.folder / "mended.json"
    mended.write_text(json.dumps(nobody | {"from": "eve"}))
    (row,) = lines(gateway.cli("quarantine", "redrive", str(newest["id"]), "--file", str(mended)))
    assert row["state"] == "redriven"

    told = lines(gateway.cli("tail", "--from-start", "--method", "message.received", "--count", "3"))
    assert [event["params"]["message"]["text"] for event in told] == ["one", "two", "three"]
    books = ledger(gateway, "shop")
    assert books["received"] == sum(count for name, count in books.items() if name != "received"), books


@pytest.mark.slow
async def test_a_broker_that_is_away_fills_the_spool_and_a_drop_balances(
    make_gateway: MakeGateway, make_rabbit: Callable[[], RabbitServer], make_redis: Callable[[], RedisServer]
) -> None:
    rabbit, redis = make_rabbit(), make_redis()
    gateway = await asyncio.to_thread(started, make_gateway, broker=rabbit.url, dedup=redis.url)
    assert gateway.post_update(telegram_update(1)) == 200
    rabbit.settle()
    rabbit.kill()
    await until(lambda: not gateway.total("gateway_broker_up"))

    assert [gateway.post_update(telegram_update(number, chat=number)) for number in (2, 3, 4, 5)] == [200] * 4

    rows = lines(gateway.cli("spool", "list"))
    assert [row["channel"] for row in rows] == ["tg"] * 4

    dropped = gateway.cli("spool", "drop", "--id", str(rows[0]["id"]), "--id", str(rows[2]["id"]), "--yes")
    assert dropped.returncode == 0
    assert [json.loads(line)["event_id"] for line in dropped.stdout.splitlines()] == [
        rows[0]["event_id"],
        rows[2]["event_id"],
    ]
    await until(lambda: gateway.total("gateway_ignored_messages_total", channel="tg", code="dropped") == 2)
    assert gateway.total("gateway_spooled_messages", channel="tg") == 2
    assert [entry.get("verdict") for entry in lines(gateway.cli("why", rows[0]["event_id"]))] == [
        "spooled",
        "dropped",
        None,
    ]

    await asyncio.to_thread(rabbit.restart)
    await until(lambda: not gateway.total("gateway_spooled_messages"), timeout=40)
    assert lines(gateway.cli("spool", "list")) == []
    books = ledger(gateway)
    assert books == {"received": 5, "published": 3, "duplicate": 0, "ignored": 2, "quarantined": 0, "spooled": 0}
    assert [entry.get("verdict") for entry in lines(gateway.cli("why", "3"))] == ["spooled", "drained", None]
    assert rabbit.queue_length("/", "helpdesk") == 3


def test_drop_while_the_gateway_is_down_leaves_the_next_ledger_alone(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(broker="amqp://guest:guest@127.0.0.1:1/")
    assert [gateway.post_update(telegram_update(number)) for number in (1, 2)] == [200] * 2
    assert gateway.term() == 0

    first = lines(gateway.cli("spool", "list"))[0]["id"]
    assert gateway.cli("spool", "drop", "--id", str(first), "--yes").returncode == 0
    gateway.restart()

    assert gateway.total("gateway_received_messages_total", channel="tg") == 1
    assert gateway.total("gateway_spooled_messages", channel="tg") == 1
    assert gateway.total("gateway_ignored_messages_total", channel="tg") == 0


def test_channels_tell_how_they_are(make_gateway: MakeGateway) -> None:
    gateway = started(make_gateway, channels=SHOP.format(sender="from"))
    gateway.post_update(telegram_update(1))
    assert gateway.cli("call", "channel.pause", '{"channel": "shop"}').returncode == 0

    shop, tg = lines(gateway.cli("channels", "--rates"))

    assert (shop["id"], shop["kind"], shop["state"], shop["error"]) == (
        "shop",
        "webhook",
        "paused",
        "paused by an operator",
    )
    assert (tg["state"], tg["error"], tg["sending"]["breaker"], tg["ledger"]["published"]) == ("ok", None, "closed", 1)
    assert tg["rates"]["received"] == 0


async def test_send_reaches_the_provider_and_why_knows_the_message(make_gateway: MakeGateway) -> None:
    async with BotApi().serve() as api:
        api.blocked[13] = "Forbidden: bot was blocked by the user"
        gateway = await asyncio.to_thread(
            started, make_gateway, telegram=f'api_base = "{api.url}"\n', env={"TELEGRAM_TOKEN": TOKEN}
        )

        async def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(gateway.cli, *arguments)

        send = ("send", "--channel", "tg", "--text", "It is on its way")
        (first,) = lines(await cli(*send, "--to", "42", "--idempotency-key", "order-7"))
        (again,) = lines(await cli(*send, "--to", "42", "--idempotency-key", "order-7"))
        assert again["message"]["id"] == first["message"]["id"]
        (answered,) = first["message"]["provider_ids"]
        assert [(params["chat_id"], params["text"]) for params in api.named("sendMessage")] == [
            (42, "It is on its way")
        ]

        lines(await cli(*send, "--to", "42", "--reply-to", answered))
        assert str(api.named("sendMessage")[1]["reply_parameters"]["message_id"]) == answered

        refused = await cli(*send, "--to", "13")
        assert refused.returncode == 1
        assert "blocked" in refused.stdout
        story = lines(await cli("why", first["message"]["id"]))
        assert [(entry["method"], entry["detail"]) for entry in story if "method" in entry] == [
            ("message.status", "sent")
        ]


def test_without_a_gateway_every_command_says_what_to_do(make_gateway: MakeGateway) -> None:
    gateway = started(make_gateway, channels=SHOP.format(sender="from"))
    assert post_items(gateway, {"id": "o-1"}) == 200
    assert gateway.term() == 0

    asked = gateway.cli("channels", "--timeout", "0.5")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("omnigate: no gateway answered within 0.5 s; start it with `omnigate run`")
    marked = gateway.cli("quarantine", "redrive", "--all")
    assert (marked.returncode, marked.stdout) == (0, "")
    assert marked.stderr == "no running gateway took 1 row up: it will be done when the gateway runs\n"

    gateway.restart()
    gateway.call("quarantine.redrive")  # waits for what is under way
    (row,) = lines(gateway.cli("quarantine", "list"))
    assert (row["state"], row["note"]) == ("kept", "$.receive.sender: found nothing, and it is required")
    assert gateway.cli("quarantine", "discard", str(row["id"]), "--yes").stdout == "discarded 1 row\n"
