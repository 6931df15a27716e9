"""python-telegram-bot talks to the test's Bot API server, so that we are not alone in taking it for Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter

from connectors.telegram import TelegramConnector
from normalizer import parts as p
from tests.servers.telegram import TOKEN, BotApi, Fault
from tests.servers.telegram_bot import message, telegram_bot

ANN = 5200300400


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
async def peer(api: BotApi, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    async with Bot(TOKEN, base_url=f"{api.url}/bot", base_file_url=f"{api.url}/file/bot") as bot:
        yield bot


@pytest.fixture
async def ours(tmp_path: Path, api: BotApi) -> AsyncIterator[TelegramConnector]:
    async with telegram_bot(tmp_path, api.url) as connector:
        yield connector


async def test_the_library_accepts_the_answers_to_everything_we_call(peer: Bot, api: BotApi) -> None:
    api.files = {"F1": b"content"}
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes")]])

    sent = await peer.send_message(ANN, "Well?", reply_markup=keyboard)
    assert sent.reply_markup == keyboard
    assert (await peer.edit_message_text("Well??", ANN, sent.message_id)).text == "Well??"  # type: ignore[union-attr]
    assert await peer.set_message_reaction(ANN, sent.message_id, "👍")
    assert await peer.send_chat_action(ANN, "typing")
    assert await peer.answer_callback_query("1")
    picture = await peer.send_photo(ANN, "F1", caption="New")
    assert picture.photo[0].file_id == "F1"
    assert await peer.edit_message_media(InputMediaPhoto("F2"), ANN, picture.message_id)
    assert (await peer.send_voice(ANN, "V1")).voice.file_id == "V1"  # type: ignore[union-attr]
    assert (await peer.send_video(ANN, "V2")).video.file_id == "V2"  # type: ignore[union-attr]
    assert (await peer.send_audio(ANN, "A1")).audio.file_id == "A1"  # type: ignore[union-attr]
    assert (await peer.send_document(ANN, "D1")).document.file_id == "D1"  # type: ignore[union-attr]
    assert (await peer.send_sticker(ANN, "S1")).sticker.file_id == "S1"  # type: ignore[union-attr]
    assert (await peer.send_venue(ANN, 52.5, 13.4, "Shop", "Street 1")).venue.title == "Shop"  # type: ignore[union-attr]
    assert (await peer.send_contact(ANN, "+49301", "Desk")).contact.first_name == "Desk"  # type: ignore[union-attr]
    assert await (await peer.get_file("F1")).download_as_bytearray() == b"content"
    assert await peer.delete_message(ANN, sent.message_id)
    assert (await peer.get_webhook_info()).pending_update_count == 3


async def test_the_library_takes_the_servers_errors_for_telegrams(peer: Bot, api: BotApi) -> None:
    api.blocked, api.migrated = {1: "Forbidden: bot was blocked by the user"}, {-400: -1001}

    with pytest.raises(Forbidden):
        await peer.send_message(1, "x")
    with pytest.raises(ChatMigrated):
        await peer.send_message(-400, "x")
    with pytest.raises(BadRequest, match="too long"):
        await peer.send_message(ANN, "x" * 4097)
    api.faults = [Fault(429, "Too Many Requests: retry after 3", retry_after=3)]
    with pytest.raises(RetryAfter):
        await peer.send_message(ANN, "x")
    stranger = Bot("1:x", base_url=f"{api.url}/bot")
    with pytest.raises(InvalidToken):
        await stranger.initialize()
    await stranger.shutdown()


async def test_what_we_send_and_what_the_library_sends_leave_the_same_message(
    ours: TelegramConnector, peer: Bot, api: BotApi
) -> None:
    def stripped() -> list[dict[str, object]]:
        return [{key: value for key, value in one.items() if key != "message_id"} for one in api.messages.values()]

    item = p.ChoiceItem(id="yes", title="Yes")
    media = p.Media(id="m", status="stored", provider_id="F1", caption="*New*")
    await ours.send(message(p.Choice(kind="buttons", body="Well?", items=(item,)), p.Image(media=media)))
    mine = stripped()
    api.messages.clear()

    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes")]])
    await peer.send_message(ANN, "Well?", reply_markup=keyboard)
    await peer.send_photo(ANN, "F1", caption="*New*")

    assert mine == stripped()
