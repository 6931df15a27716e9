"""viberbot beside us, so that we are not alone in what we take for Viber: it verifies, parses, sends.

viberbot 1.0.12 is old and installs all the same; it knows all but rich media's silence and ``client_status``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from viberbot import Api, BotConfiguration
from viberbot.api import messages
from viberbot.api.messages.data_types.contact import Contact
from viberbot.api.messages.data_types.location import Location
from viberbot.api.viber_requests import EVENT_TYPE_TO_CLASS

from connectors.viber import ViberConnector
from dedup.embedded import EmbeddedDeduplicator
from gateway.simulate.api import Item, raw_post
from gateway.simulate.viber import FIRST_TOKEN, ViberSimulator
from gateway.simulate.viber_cloud import ViberCloud
from normalizer.raw import Event
from tests.kind_lab import connector, post, running
from tests.viber_bench import ADA, TOKEN, config

PAYLOADS = Path(__file__).parent.parent / "payloads" / "viber"
WITHOUT_TOKEN = {"subscribed", "unsubscribed"}
"""Requests of which the library does not keep the token."""
UNKNOWN = {"future-content", "future-event", "future-event-of-nobody"}


def fixtures(sort: str) -> list[Path]:
    return sorted(PAYLOADS.glob(f"*.{sort}.json"))


def simulator() -> ViberSimulator:
    return ViberSimulator(config(), url="")


@pytest.fixture
def bot() -> Api:
    return Api(BotConfiguration(name="Shop", avatar="https://shop.example/a.jpg", auth_token=TOKEN))


@pytest.fixture
async def cloud(bot: Api) -> AsyncIterator[ViberCloud]:
    """Let the bot talk to the simulated Viber; the library has no option for that."""
    async with ViberCloud(config()) as made:
        bot._request_sender._viber_bot_api_url = f"{made.url}/pa"
        yield made


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[ViberConnector]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with aiohttp.ClientSession() as http:
        yield connector(config(), tmp_path, http, store)
    await store.close()


@pytest.mark.parametrize("content", ViberSimulator.contents)
def test_the_library_verifies_and_reads_what_the_simulator_sends(bot: Api, content: str) -> None:
    signed = simulator().sign(simulator().delivery([Item(number=7, at=1_795_000_000.0, content=content)]), 0)

    assert bot.verify_signature(signed.body, signed.headers["X-Viber-Content-Signature"])
    request = bot.parse_request(signed.body)
    assert type(request) in EVENT_TYPE_TO_CLASS.values()
    if content not in WITHOUT_TOKEN:
        assert request.message_token == FIRST_TOKEN + 7
    assert request.timestamp == 1_795_000_000_000


@pytest.mark.parametrize("content", ["text", "conversation_started"])
async def test_what_the_library_signs_is_accepted(bot: Api, channel: ViberConnector, content: str) -> None:
    plain = simulator().delivery([Item(number=7, at=1_795_000_000.0, content=content)])
    signature = bot._calculate_message_signature(plain.body)
    other = bot._calculate_message_signature(plain.body + b" ")

    async with running(channel) as taken:
        accepted = await post(channel, plain.adding(headers={"X-Viber-Content-Signature": signature}))
        refused = await post(channel, plain.adding(headers={"X-Viber-Content-Signature": other}))

    assert (accepted.status, refused.status, len(taken)) == (200, 401, 1)
    assert isinstance(next(iter(channel.codec.decode(taken[0]))), Event)


@pytest.mark.parametrize("path", fixtures("in"), ids=lambda path: path.name.partition(".")[0])
def test_the_library_reads_our_examples_and_finds_the_same_in_them(bot: Api, path: Path) -> None:
    if path.name.partition(".")[0] in UNKNOWN:
        with pytest.raises(Exception, match="not supported"):
            bot.parse_request(path.read_bytes())
        return

    request = bot.parse_request(path.read_bytes())

    (ours,) = json.loads(path.with_name(path.name.replace(".in.", ".out.")).read_bytes())
    if "ignored" in ours or request.event_type != "message":
        return
    told = ours["params"]["message"]
    assert told["provider_id"] == str(request.message_token)
    assert told["from"]["name"] == request.sender.name
    if request.message.to_dict()["type"] == "text":
        assert told["text"] == request.message.text
        assert (told["parts"][0]["type"] == "choice_reply") is bool(request.silent)


@pytest.mark.parametrize("path", fixtures("request"), ids=lambda path: path.name.partition(".")[0])
def test_the_library_takes_our_messages_for_valid_ones(path: Path) -> None:
    for wire in json.loads(path.read_bytes()):
        body = wire["body"]
        found = messages.get_message(body)

        assert found.validate()
        again = {key: value for key, value in plain(found.to_dict()).items() if value is not None}
        assert {key: again[key] for key in again} == {key: body[key] for key in again}


def plain(value: Any) -> Any:
    """Leave out what the library adds as null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return value


async def test_the_simulated_viber_takes_every_message_of_the_library(bot: Api, cloud: ViberCloud) -> None:
    keyboard = {"Type": "keyboard", "Buttons": [{"ActionType": "reply", "ActionBody": "yes", "Text": "Yes"}]}
    parts = [
        messages.TextMessage(text="Hello", keyboard=keyboard, tracking_data="t"),
        messages.PictureMessage(text="Look", media="https://shop.example/a.jpg"),
        messages.VideoMessage(media="https://shop.example/a.mp4", size=1000),
        messages.FileMessage(media="https://shop.example/a.pdf", size=1000, file_name="a.pdf"),
        messages.ContactMessage(contact=Contact(name="Ada", phone_number="+4930123456", avatar="")),
        messages.LocationMessage(location=Location(lat=52.5, lon=13.4)),
        messages.URLMessage(media="https://shop.example/"),
        messages.StickerMessage(sticker_id=46105),
    ]

    tokens = await asyncio.to_thread(bot.send_messages, ADA, parts)

    assert len(set(tokens)) == len(parts)
    assert [body["type"] for _, body in cloud.delivered][:3] == ["text", "picture", "video"]


async def test_the_library_is_told_what_went_wrong(bot: Api, cloud: ViberCloud) -> None:
    cloud.strangers.add(ADA)

    with pytest.raises(Exception, match="status: 6, message: receiverNotSubscribed"):
        await asyncio.to_thread(bot.send_messages, ADA, [messages.TextMessage(text="Hello")])


async def test_the_library_gets_along_with_the_rest_of_the_simulated_api(bot: Api, cloud: ViberCloud) -> None:
    events = await asyncio.to_thread(bot.set_webhook, "https://gateway.example/c/x")
    account = await asyncio.to_thread(bot.get_account_info)
    user = await asyncio.to_thread(bot.get_user_details, ADA)
    with pytest.raises(Exception, match="invalidUrl"):
        await asyncio.to_thread(bot.set_webhook, "http://gateway.example/c/x")

    assert "delivered" in events
    assert account["webhook"] == cloud.webhook == "https://gateway.example/c/x"
    assert user["id"] == ADA


def test_the_handshake_of_set_webhook_is_read_by_the_library(bot: Api) -> None:
    request = simulator().handshake(1_795_000_000.0).request

    assert bot.verify_signature(request.body, request.headers["X-Viber-Content-Signature"])
    assert bot.parse_request(raw_post(request.body).body).event_type == "webhook"
