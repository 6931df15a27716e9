"""What else the Telegram connector is asked: edits, reactions, typing, probing, media."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.api import MediaSource, Performer, Prober
from connectors.errors import Misconfigured, Refused
from connectors.http import TooLarge
from connectors.telegram import TelegramConnector
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import MessageRef
from normalizer.parts import Media
from tests.servers.telegram import BotApi
from tests.servers.telegram_bot import ANN, message, telegram_bot, text


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
async def bot(tmp_path: Path, api: BotApi) -> AsyncIterator[TelegramConnector]:
    async with telegram_bot(tmp_path, api.url + "/") as connector:
        yield connector


async def test_a_message_is_edited_reacted_to_and_deleted_once_however_often_it_is_asked(
    bot: TelegramConnector, api: BotApi
) -> None:
    (native,) = (await bot.send(text("Helo"))).provider_ids
    that: dict[str, Any] = {"channel": "tg", "to": ANN, "message": MessageRef(provider_id=native)}

    for _ in range(2):
        await bot.perform("message.edit", EditParams(**that, text="Hello"))
    await bot.perform("reaction.send", ReactParams(**that, emoji="👍"))
    edited = dict(api.messages[5200300400, int(native)])
    for _ in range(2):
        await bot.perform("message.delete", DeleteParams(**that))

    assert edited["text"] == "Hello"
    assert edited["reactions"] == [{"type": "emoji", "emoji": "👍"}]
    assert api.messages == {}


async def test_a_picture_is_exchanged(bot: TelegramConnector, api: BotApi) -> None:
    (native,) = (await bot.send(message(p.Image(media=media("F1"))))).provider_ids
    that: dict[str, Any] = {"channel": "tg", "to": ANN, "message": MessageRef(provider_id=native)}

    answer = await bot.perform("message.edit", EditParams(**that, parts=(p.Image(media=media("F2")),)))

    assert answer == {"provider_id": native}
    assert api.messages[5200300400, int(native)]["photo"][0]["file_id"] == "F2"


def media(native: str) -> p.Media:
    return p.Media(id="m", status="stored", provider_id=native)


async def test_typing_and_business_receipts_are_passed_on_and_other_receipts_refused(
    bot: TelegramConnector, api: BotApi
) -> None:
    that = MessageRef(provider_id="301")
    await bot.perform("typing.send", TypingParams(channel="tg", to=ANN))
    await bot.perform("receipt.send", ReceiptSendParams(channel="tg", to="vVr6kAcA/5200300400", message=that))
    with pytest.raises(Unsendable):
        await bot.perform("receipt.send", ReceiptSendParams(channel="tg", to=ANN, message=that))

    assert [method for method, _ in api.calls] == ["sendChatAction", "readBusinessMessage"]


async def test_an_edit_of_a_message_that_is_gone_is_refused(bot: TelegramConnector) -> None:
    params = EditParams(channel="tg", to=ANN, message=MessageRef(provider_id="1"), text="x")

    with pytest.raises(Refused):
        await bot.perform("message.edit", params)


async def test_the_probe_tells_who_the_bot_is_and_how_its_webhook_fares(
    bot: TelegramConnector, tmp_path: Path, api: BotApi
) -> None:
    found = await bot.probe()

    assert (found["id"], found["username"]) == ("110201543", "shop_bot")
    assert found["webhook"] == {"url": "https://gw.example/c/tg", "pending_update_count": 3}
    async with telegram_bot(tmp_path, api.url, token="110201543:wrong") as stranger:
        with pytest.raises(Misconfigured):
            await stranger.probe()


def _file(provider_id: str) -> Media:
    return Media(id="med_1", provider_id=provider_id, status="pending")


async def test_a_file_is_fetched_up_to_the_limit(bot: TelegramConnector, api: BotApi) -> None:
    api.files = {"VOICE": b"OggS" * 1000}

    assert (await bot.fetch_media(_file("VOICE"), max_bytes=4000)).data == b"OggS" * 1000
    with pytest.raises(TooLarge):
        await bot.fetch_media(_file("VOICE"), max_bytes=3999)
    with pytest.raises(Refused):
        await bot.fetch_media(_file("NOTHING"), max_bytes=4000)


def test_the_connector_is_what_the_gateway_looks_for(bot: TelegramConnector) -> None:
    assert isinstance(bot, Prober)
    assert isinstance(bot, Performer)
    assert isinstance(bot, MediaSource)
