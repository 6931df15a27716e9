"""Deliveries to the Telegram connector, as the gateway hands them over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.api import Receipt, Reply
from connectors.errors import Busy
from connectors.telegram import TelegramConnector
from normalizer.errors import MalformedPayload
from tests.servers.telegram import BotApi, Fault
from tests.servers.telegram_bot import SECRET, Pipeline, delivery, payload, running, telegram_bot, until


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
async def bot(tmp_path: Path, api: BotApi) -> AsyncIterator[TelegramConnector]:
    async with telegram_bot(tmp_path, api.url + "/") as connector:
        yield connector


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET[:-1], SECRET + "x", "\xff", "s3cret-Tökén"])
async def test_a_delivery_without_the_secret_token_gets_401_and_goes_no_further(
    bot: TelegramConnector, secret: str | None
) -> None:
    pipeline = Pipeline()

    async with running(bot, pipeline):
        reply = await bot.handle(delivery(payload("text"), secret))

    assert reply.status == 401
    assert pipeline.taken == []


async def test_the_answer_comes_after_the_sink_is_done(bot: TelegramConnector) -> None:
    pipeline = Pipeline()
    pipeline.durable.clear()

    async with running(bot, pipeline), asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(bot.handle(delivery(payload("text"))))
        await asyncio.sleep(0.02)
        assert not reply.done()
        pipeline.durable.set()

    assert reply.result().status == 200


@pytest.mark.parametrize("receipt", list(Receipt))
async def test_whatever_is_durable_is_answered_200(bot: TelegramConnector, receipt: Receipt) -> None:
    async with running(bot, Pipeline(receipt=receipt)):
        assert (await bot.handle(delivery(payload("text")))).status == 200


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (Busy(2.6), 503, "3"),
        (Busy(0.0), 503, "1"),
        (MalformedPayload("$.message.text: hunter2"), 400, None),
        (RuntimeError("hunter2"), 500, None),
    ],
)
async def test_what_is_not_durable_is_answered_with_a_code_and_no_reason(
    bot: TelegramConnector, error: Exception, status: int, wait: str | None
) -> None:
    async with running(bot, Pipeline(error=error)):
        reply = await bot.handle(delivery(payload("text")))

    assert (reply.status, reply.headers.get("Retry-After")) == (status, wait)
    assert b"hunter2" not in reply.body


async def test_only_post_is_allowed(bot: TelegramConnector) -> None:
    async with running(bot, Pipeline()):
        reply = await bot.handle(delivery(b"", method="GET"))

    assert reply == Reply(status=405, body=b"method_not_allowed", headers={"Allow": "POST"})


async def test_a_delivery_under_way_ends_well_although_the_connector_is_stopped(bot: TelegramConnector) -> None:
    pipeline = Pipeline()
    pipeline.durable.clear()

    async with asyncio.TaskGroup() as tasks:
        async with running(bot, pipeline):
            reply = tasks.create_task(bot.handle(delivery(payload("text"))))
            await asyncio.sleep(0.02)
        after = await bot.handle(delivery(payload("text")))
        pipeline.durable.set()

    assert reply.result().status == 200
    assert (after.status, after.headers) == (503, {"Retry-After": "1"})


async def test_a_press_is_acknowledged_only_once_it_is_durable(bot: TelegramConnector, api: BotApi) -> None:
    async with running(bot, Pipeline(error=Busy())):
        await bot.handle(delivery(payload("callback")))
        await asyncio.sleep(0.05)
    assert api.named("answerCallbackQuery") == []

    async with running(bot, Pipeline()):
        await bot.handle(delivery(payload("callback")))
        await until(lambda: api.named("answerCallbackQuery"))
    assert api.named("answerCallbackQuery") == [{"callback_query_id": "5476834598347583495"}]


async def test_an_acknowledgement_telegram_refuses_stops_neither_the_channel_nor_the_next_one(
    bot: TelegramConnector, api: BotApi
) -> None:
    api.faults = [Fault(400, "Bad Request: query is too old"), Fault(500, "Internal Server Error")]

    async with running(bot, Pipeline()):
        for name in ("callback", "callback-game", "callback-old-message", "text"):
            assert (await bot.handle(delivery(payload(name)))).status == 200
        await until(lambda: len(api.named("answerCallbackQuery")) == 3)


async def test_more_presses_than_the_queue_holds_are_accepted_all_the_same(bot: TelegramConnector) -> None:
    async with running(bot, Pipeline()):
        replies = [await bot.handle(delivery(payload("callback"))) for _ in range(1100)]

    assert {reply.status for reply in replies} == {200}
