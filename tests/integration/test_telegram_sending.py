"""Messages through the Telegram connector to a Bot API server."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from connectors import http
from connectors.errors import ConnectorError, Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.http import TooLarge
from connectors.telegram import TelegramConnector
from normalizer import parts as p
from normalizer.model import Address
from normalizer.raw import Outbound
from tests.servers.process import free_port
from tests.servers.telegram import TOKEN, BotApi, Fault
from tests.servers.telegram_bot import PAYLOADS, message, telegram_bot, text


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
async def bot(tmp_path: Path, api: BotApi) -> AsyncIterator[TelegramConnector]:
    async with telegram_bot(tmp_path, api.url + "/") as connector:
        yield connector


@pytest.fixture
async def stranger() -> AsyncIterator[str]:
    """Serve what a proxy or a wrong address may answer."""

    async def answer(request: web.Request) -> web.Response:
        match request.match_info["kind"]:
            case "html":
                return web.Response(text="<html>Log in to the hotel's network</html>", content_type="text/html")
            case "moved":
                return web.Response(status=302, headers={"Location": f"https://elsewhere.example{request.path}"})
            case "huge":
                return web.Response(body=b" " * (http.ANSWER_BYTES + 1))
        response = web.Response(body=b"{}", headers={"Content-Length": "50"})
        response.force_close()
        return response

    app = web.Application()
    app.router.add_route("*", "/{kind}/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield str(site.name)
    await runner.cleanup()


async def test_a_sent_message_has_telegrams_id(bot: TelegramConnector, api: BotApi) -> None:
    sent = await bot.send(text("Your parcel is on its way 🚚"))

    (native,) = sent.provider_ids
    assert api.messages[5200300400, int(native)]["text"] == "Your parcel is on its way 🚚"


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.send.json")), ids=lambda path: path.name.partition(".")[0])
async def test_every_sendable_message_is_taken_by_the_bot_api(bot: TelegramConnector, api: BotApi, path: Path) -> None:
    api.topics = {-1001234567890: {12}}
    data = {**json.loads(path.read_bytes()), "channel": {"id": "tg", "type": "telegram"}}
    sent = await bot.send(msgspec.convert(data, Outbound))

    assert len(sent.provider_ids) == len(api.calls) >= 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(403, "Forbidden: bot was blocked by the user"), RecipientGone),
        (Fault(403, "Forbidden: user is deactivated"), RecipientGone),
        (Fault(403, "Forbidden: bot was kicked from the supergroup chat"), RecipientGone),
        (Fault(403, "Forbidden: bot can't initiate conversation with a user"), RecipientGone),
        (Fault(400, "Bad Request: chat not found"), RecipientGone),
        (Fault(400, "Bad Request: PEER_ID_INVALID"), RecipientGone),
        (Fault(400, "Bad Request: not enough rights to send text messages to the chat"), Refused),
        (Fault(403, "Forbidden: MESSAGE_DELETE_FORBIDDEN"), Refused),
        (Fault(401, "Unauthorized"), Misconfigured),
        (Fault(404, "Not Found"), Misconfigured),
        (Fault(409, "Conflict: terminated by other getUpdates request"), Refused),
        (Fault(500, "Internal Server Error"), Unreachable),
        (Fault(502, "Bad Gateway"), Unreachable),
    ],
    ids=lambda value: value.description if isinstance(value, Fault) else "",
)
async def test_an_error_of_the_bot_api_says_what_to_do(
    bot: TelegramConnector, api: BotApi, fault: Fault, expected: type[ConnectorError]
) -> None:
    api.faults = [fault]

    with pytest.raises(SendError) as caught:
        await bot.send(text())

    assert type(caught.value) is expected
    assert (caught.value.provider_code, caught.value.provider_text) == (str(fault.code), fault.description)


async def test_flood_control_says_how_long_to_wait(bot: TelegramConnector, api: BotApi) -> None:
    api.faults = [Fault(429, "Too Many Requests: retry after 17", retry_after=17)]

    with pytest.raises(Throttled) as caught:
        await bot.send(text())

    assert caught.value.retry_after == 17


async def test_a_wrong_token_is_a_matter_of_configuration(tmp_path: Path, api: BotApi) -> None:
    async with telegram_bot(tmp_path, api.url, token="110201543:wrong") as bot:
        with pytest.raises(Misconfigured, match="token"):
            await bot.send(text())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/html", Unreachable), ("/moved", Misconfigured), ("/huge", TooLarge), ("/cut", Unreachable)],
)
async def test_what_is_not_the_bot_api_is_noticed(
    tmp_path: Path, stranger: str, path: str, expected: type[SendError]
) -> None:
    async with telegram_bot(tmp_path, stranger + path) as bot:
        with pytest.raises(SendError) as caught:
            await bot.send(text())

    assert type(caught.value) is expected
    assert TOKEN not in f"{caught.value!r} {caught.value.provider_text}"


async def test_nobody_listening_is_unreachable_and_the_error_tells_no_token(tmp_path: Path) -> None:
    async with telegram_bot(tmp_path, f"http://127.0.0.1:{free_port()}") as bot:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1") as caught:
            await bot.send(text())

    assert TOKEN not in "".join(traceback.format_exception(caught.value))


async def test_a_group_that_became_a_supergroup_is_written_to_under_its_new_id(
    bot: TelegramConnector, api: BotApi
) -> None:
    api.migrated = {-400: -1001234567890}

    sent = await bot.send(text(to=Address(scheme="telegram", value="-400")))

    assert list(api.messages) == [(-1001234567890, int(sent.provider_ids[0]))]


async def test_markup_that_telegram_cannot_read_arrives_as_plain_text(bot: TelegramConnector, api: BotApi) -> None:
    await bot.send(message(p.Text(body="2 * 3 _is six", format="markdown")))

    assert [found["text"] for found in api.messages.values()] == ["2 * 3 _is six"]
    assert [params.get("parse_mode") for params in api.named("sendMessage")] == ["Markdown", None]


async def test_a_closed_topic_does_not_lose_the_answer(bot: TelegramConnector, api: BotApi) -> None:
    await bot.send(text(to=Address(scheme="telegram", value="-1001234567890"), thread="99"))

    assert len(api.messages) == 1


async def test_a_fault_that_stays_after_mending_is_reported(bot: TelegramConnector, api: BotApi) -> None:
    complaint = "Bad Request: can't parse entities: Unsupported start tag"
    api.faults = [Fault(400, complaint), Fault(400, complaint)]

    with pytest.raises(Refused):
        await bot.send(message(p.Text(body="<b>x</b>", format="html")))
    assert len(api.calls) == 2

    api.faults = [Fault(400, complaint)]
    with pytest.raises(Refused):
        await bot.send(text())
    assert len(api.calls) == 3


async def test_a_second_try_goes_on_after_the_part_that_was_sent(bot: TelegramConnector, api: BotApi) -> None:
    long = "word " * 1800
    api.faults = [None, Fault(429, "Too Many Requests: retry after 1", retry_after=1)]

    with pytest.raises(Throttled):
        await bot.send(text(long))
    first = list(api.messages.values())
    sent = await bot.send(text(long))

    assert len(first) == 1
    assert len(sent.provider_ids) == len(api.messages) == 3
    assert " ".join(found["text"] for found in api.messages.values()).split() == long.split()


async def test_a_try_cut_off_by_the_clock_goes_on_too(bot: TelegramConnector, api: BotApi) -> None:
    api.slow_after = 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await bot.send(text("word " * 1800))
    api.slow_after = None

    await bot.send(text("word " * 1800))

    assert len(api.messages) == 3
