"""Files of ours on their way to Telegram, which takes them in the call that uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.errors import Unreachable
from connectors.secrets import Secret
from connectors.staging import MediaUnavailable
from connectors.telegram import TelegramConfig, TelegramConnector
from gateway.blobs import BlobStore
from normalizer import parts as p
from normalizer.methods import EditParams
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.parts import Media
from tests.contexts import make_context
from tests.servers.telegram import TOKEN, BotApi, Fault
from tests.servers.telegram_bot import ANN, message

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
async def bot(tmp_path: Path, api: BotApi) -> AsyncIterator[TelegramConnector]:
    async with aiohttp.ClientSession() as http:
        context = make_context(ChannelRef(id="tg", type="telegram"), tmp_path, http)
        options = TelegramConfig(token=Secret(TOKEN), secret=Secret("a-secret-token"), api_base=api.url)
        yield TelegramConnector(options, context)


async def kept(tmp_path: Path, data: bytes = PNG, **fields: Any) -> Media:
    ref = await BlobStore(tmp_path).put(data)
    return Media(id="med_1", status="stored", sha256=ref.removeprefix("sha256:"), **fields)


async def test_a_file_of_ours_goes_with_the_call(bot: TelegramConnector, api: BotApi, tmp_path: Path) -> None:
    media = await kept(tmp_path, mime="image/png", name="Grüße.png", caption="Look, 5 > 4", provider_id="of-whatsapp")

    sent = await bot.send(message(p.Image(media=media), metadata={"telegram": {"disable_notification": "true"}}))

    assert sent.provider_ids == ("2001",)
    assert api.uploads == [("Grüße.png", "image/png", PNG)]
    assert api.named("sendPhoto") == [
        {"chat_id": 5200300400, "disable_notification": True, "photo": "attach://file0", "caption": "Look, 5 > 4"}
    ]


@pytest.mark.parametrize(
    ("part", "method", "field"),
    [
        (p.File, "sendDocument", "document"),
        (p.Video, "sendVideo", "video"),
        (p.Audio, "sendAudio", "audio"),
        (p.Sticker, "sendSticker", "sticker"),
    ],
)
async def test_every_kind_of_file_is_sent_as_what_it_is(
    bot: TelegramConnector, api: BotApi, tmp_path: Path, part: type[p.File], method: str, field: str
) -> None:
    await bot.send(message(part(media=await kept(tmp_path))))

    assert api.named(method)[0][field] == "attach://file0"
    assert [content for _, _, content in api.uploads] == [PNG]


async def test_a_voice_note_is_one(bot: TelegramConnector, api: BotApi, tmp_path: Path) -> None:
    await bot.send(message(p.Audio(media=await kept(tmp_path, voice=True))))

    assert api.named("sendVoice")[0]["voice"] == "attach://file0"


async def test_what_telegram_has_or_can_fetch_is_not_uploaded(bot: TelegramConnector, api: BotApi) -> None:
    known = p.Image(media=Media(id="1", status="stored", provider_id="AgAC"))
    foreign = p.Image(media=Media(id="2", status="pending", url="https://cdn.example/cat.png"))

    await bot.send(message(known, foreign))

    assert [call["photo"] for call in api.named("sendPhoto")] == ["AgAC", "https://cdn.example/cat.png"]
    assert api.uploads == []


async def test_text_that_looks_like_a_file_stays_text(bot: TelegramConnector, api: BotApi, tmp_path: Path) -> None:
    digest = (await kept(tmp_path)).sha256

    await bot.send(message(p.Text(body=f"attach://{digest}")))

    assert api.named("sendMessage")[0]["text"] == f"attach://{digest}"
    assert api.uploads == []


async def test_a_second_try_goes_on_after_the_file_that_was_sent(
    bot: TelegramConnector, api: BotApi, tmp_path: Path
) -> None:
    two = message(p.Image(media=await kept(tmp_path)), p.Text(body="and a text"))
    api.faults = [None, Fault(500, "Internal")]

    with pytest.raises(Unreachable):
        await bot.send(two)
    await bot.send(two)

    assert len(api.uploads) == 1
    assert len(api.named("sendMessage")) == 2


async def test_a_group_that_moved_gets_the_file_at_its_new_address(
    bot: TelegramConnector, api: BotApi, tmp_path: Path
) -> None:
    api.migrated = {-4001: -1001234567890}

    await bot.send(message(p.Image(media=await kept(tmp_path)), to=Address(scheme="telegram", value="-4001")))

    assert [call["chat_id"] for call in api.named("sendPhoto")] == [-4001, -1001234567890]
    assert len(api.uploads) == 2


async def test_a_message_can_be_edited_to_a_file_of_ours(bot: TelegramConnector, api: BotApi, tmp_path: Path) -> None:
    sent = await bot.send(message(p.Image(media=Media(id="1", status="stored", provider_id="AgAC"))))
    part = p.Image(media=await kept(tmp_path, mime="image/png"))

    await bot.perform(
        "message.edit",
        EditParams(channel="tg", to=ANN, message=MessageRef(provider_id=sent.provider_ids[0]), parts=(part,)),
    )

    assert api.named("editMessageMedia")[0]["media"] == {"type": "photo", "media": "attach://file0"}
    assert [content for _, _, content in api.uploads] == [PNG]


async def test_a_file_that_is_not_there_is_an_error_and_no_message(bot: TelegramConnector, api: BotApi) -> None:
    with pytest.raises(MediaUnavailable):
        await bot.send(message(p.Image(media=Media(id="1", status="stored", sha256="0" * 64))))

    assert api.calls == []
