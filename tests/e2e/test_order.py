"""What overtakes, and what comes twice, through a whole gateway on RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.rig import empty_queue
from tests.servers.gateway import GatewayProcess, telegram_update
from tests.wechat_bench import AES_KEY, APP_ID, SECRET, TOKEN

pytestmark = pytest.mark.slow
ORDERS = """
[channels.orders]
kind = "webhook"
verify = { scheme = "token", header = "X-Token", secret = "env:ORDERS_TOKEN" }
[channels.orders.receive]
each = "items"
id = "id"
sender = "who || 'shop'"
text = "text"
status = "status"
"""
WECHAT = """
[channels.shop-wechat]
kind = "wechat"
app_id = "{app_id}"
app_secret = "env:WECHAT_APP_SECRET"
token = "env:WECHAT_TOKEN"
encoding_aes_key = "env:WECHAT_AES_KEY"
api_base = "http://127.0.0.1:9"
passive_secs = 0.0
"""
ENV = {
    "ORDERS_TOKEN": "orders-token", "WECHAT_APP_SECRET": SECRET, "WECHAT_TOKEN": TOKEN, "WECHAT_AES_KEY": AES_KEY,
}  # fmt: skip
COUNT = 30


@pytest.fixture
def gateway(make_gateway: Callable[..., GatewayProcess], rabbit_url: str) -> GatewayProcess:
    channels = ORDERS + WECHAT.format(app_id=APP_ID)
    queues = [("helpdesk", "v1.*.*.message.#")]
    made = make_gateway(workers=2, broker=rabbit_url, queues=queues, channels=channels, env=ENV)
    deadline = time.monotonic() + 30
    while made.total("gateway_broker_up") < 1:  # it is ready before: it has a spool
        assert time.monotonic() < deadline, made.logs()
        time.sleep(0.05)
    return made


async def tell(gateway: GatewayProcess, *items: dict[str, Any]) -> int:
    body = json.dumps({"items": items}).encode()
    status, _ = await asyncio.to_thread(gateway.post, "/c/orders", body, {"X-Token": "orders-token"})
    return status


def edit_of(number: int) -> dict[str, Any]:
    update = telegram_update(number, "second thoughts")
    message = {**update.pop("message"), "edit_date": 1_790_000_900}
    return {"update_id": 950_000_000 + number, "edited_message": message}


async def test_a_status_never_goes_back(gateway: GatewayProcess, rabbit_url: str) -> None:
    for status in ("read", "delivered", "sent"):
        assert await tell(gateway, {"id": "o-1", "status": status}) == 200
    one_delivery = [{"id": "o-2", "status": status} for status in ("delivered", "sent", "read")]
    assert await tell(gateway, *one_delivery) == 200

    told = await empty_queue(rabbit_url)

    seen = [(event["message"]["provider_id"], event["status"]) for event in told]
    assert seen == [("o-1", "read"), ("o-2", "delivered"), ("o-2", "read")]
    assert gateway.total("gateway_ignored_messages_total", channel="orders", code="status_went_back") == 3


async def test_an_edit_that_comes_before_its_message_is_told_after_it(gateway: GatewayProcess, rabbit_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        edits = [group.create_task(asyncio.to_thread(gateway.post_update, edit_of(number))) for number in (1, 2, 3)]
        await asyncio.sleep(0.3)
        assert not any(edit.done() for edit in edits), "nothing is promised before the message is there"
        for number in (1, 2, 3):
            assert await asyncio.to_thread(gateway.post_update, telegram_update(number, "first")) == 200
    assert [edit.result() for edit in edits] == [200, 200, 200]

    told = await empty_queue(rabbit_url)

    for number in ("1", "2", "3"):
        mine = [event for event in told if event["message"]["provider_id"] == number]
        assert [event["message"]["text"] for event in mine] == ["first", "second thoughts"]
        assert mine[0]["conversation"]["seq"] < mine[1]["conversation"]["seq"]
        assert mine[0]["message"]["id"] == mine[1]["message"]["id"]


@pytest.mark.parametrize(("kind", "channel"), [("telegram", "tg"), ("wechat", "shop-wechat"), ("webhook", "orders")])
async def test_what_the_simulator_delivers_twice_is_one_message_each(
    gateway: GatewayProcess, rabbit_url: str, kind: str, channel: str
) -> None:
    arguments = ("--count", str(COUNT), "--duplicates", "1", "--retries", "1", "--reorder", "--text", "number {n}")
    done = await asyncio.to_thread(gateway.cli, "simulate", kind, "--channel", channel, *arguments)

    told = await empty_queue(rabbit_url)

    assert done.returncode == 0, done.stderr + gateway.logs()
    assert json.loads(done.stdout)["accepted"] == 3 * COUNT
    texts = Counter(event["message"]["text"] for event in told)
    assert len(texts) == COUNT
    assert set(texts.values()) == {1}
    assert len({event["event_id"] for event in told}) == COUNT
    assert gateway.total("gateway_duplicate_messages_total", channel=channel) == 2 * COUNT
