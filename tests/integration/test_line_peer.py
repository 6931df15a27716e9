"""line-bot-sdk beside us, so that we are not alone in what we take for LINE: it verifies, parses, sends."""

from __future__ import annotations

import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from linebot.v3.exceptions import InvalidSignatureError
from linebot.v3.messaging import (
    AsyncApiClient,
    AsyncMessagingApi,
    AsyncMessagingApiBlob,
    Configuration,
    PushMessageRequest,
    ReplyMessageRequest,
    ShowLoadingAnimationRequest,
    TextMessage,
)
from linebot.v3.messaging.exceptions import ApiException
from linebot.v3.messaging.models.mark_messages_as_read_by_token_request import MarkMessagesAsReadByTokenRequest
from linebot.v3.models.events import UnknownEvent
from linebot.v3.webhook import SignatureValidator, WebhookParser

from connectors.line import LineConnector
from dedup.embedded import EmbeddedDeduplicator
from gateway.simulate.api import Item, raw_post
from gateway.simulate.line import LineSimulator
from gateway.simulate.line_cloud import BOT, JPEG, LineCloud
from normalizer.raw import Event
from tests.kind_lab import connector, post, running
from tests.line_bench import ADA, SECRET, TOKEN, config

PAYLOADS = Path(__file__).parent.parent / "payloads" / "line"
WITHOUT_MODEL = {"future-content", "future-event", "things", "batch", "verify", "signed"}
"""What LINE's SDK of today does not know, or refuses as a whole."""


def fixtures(sort: str) -> list[Path]:
    return sorted(PAYLOADS.glob(f"*.{sort}.json"))


def simulator() -> LineSimulator:
    return LineSimulator(config(), url="")


@pytest.fixture
async def cloud() -> AsyncIterator[LineCloud]:
    async with LineCloud(config()) as made:
        yield made


@pytest.fixture
async def api(cloud: LineCloud) -> AsyncIterator[AsyncMessagingApi]:
    async with AsyncApiClient(Configuration(host=cloud.url, access_token=TOKEN)) as client:
        yield AsyncMessagingApi(client)


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[LineConnector]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with aiohttp.ClientSession() as http:
        yield connector(config(), tmp_path, http, store)
    await store.close()


@pytest.mark.parametrize("content", LineSimulator.contents)
def test_the_sdk_verifies_and_reads_what_the_simulator_sends(content: str) -> None:
    items = [Item(number=number, at=1_795_000_000.5, content=content, person=number) for number in (1, 2)]
    signed = simulator().sign(simulator().delivery(items), 0)

    payload = WebhookParser(SECRET).parse(signed.body.decode(), signed.headers["x-line-signature"], as_payload=True)

    assert payload.destination == BOT
    assert [event.timestamp for event in payload.events] == [1_795_000_000_500] * 2
    assert not any(isinstance(event, UnknownEvent) for event in payload.events)


def test_the_sdk_refuses_what_somebody_else_signed() -> None:
    signed = simulator().sign(simulator().delivery([Item(number=1, at=1.0)]), 0)

    with pytest.raises(InvalidSignatureError):
        WebhookParser("another").parse(signed.body.decode(), signed.headers["x-line-signature"])


@pytest.mark.parametrize("path", fixtures("in"), ids=lambda path: path.name.partition(".")[0])
def test_the_sdk_reads_our_examples_and_finds_the_same_in_them(path: Path) -> None:
    body, out = path.read_text(), path.with_name(path.name.replace(".in.", ".out."))
    signature = simulator().sign(raw_post(body.encode()), 0).headers["x-line-signature"]
    if path.name.partition(".")[0] in WITHOUT_MODEL:
        assert SignatureValidator(SECRET).validate(body, signature)
        return

    (event,) = WebhookParser(SECRET).parse(body, signature)

    (ours,) = json.loads(out.read_bytes())
    assert not isinstance(event, UnknownEvent)
    assert ours["params"]["metadata"]["line"]["webhookEventId"] == event.webhook_event_id
    if event.type in {"message", "messageEdited"}:
        assert ours["params"]["message"]["provider_id"] == event.message.id
        assert ours["params"]["message"]["parts"][0]["type"] == event.message.type


async def test_a_delivery_of_the_sdks_own_validator_is_accepted(channel: LineConnector) -> None:
    """The signature is found by asking the SDK, not by our own code."""
    plain = simulator().delivery([Item(number=1, at=1_795_000_000.0)])
    signature = base64.b64encode(sdk_digest(plain.body)).decode()
    assert SignatureValidator(SECRET).validate(plain.body.decode(), signature)

    async with running(channel) as taken:
        reply = await post(channel, plain.adding(headers={"x-line-signature": signature}))

    assert reply.status == 200
    (event,) = channel.codec.decode(taken[0])
    assert isinstance(event, Event)


def sdk_digest(body: bytes) -> bytes:
    """Compute the signature with the parts the SDK is made of."""
    from linebot.v3 import webhook  # noqa: PLC0415 -- its own hmac and hashlib

    return webhook.hmac.new(SECRET.encode(), body, webhook.hashlib.sha256).digest()


@pytest.mark.parametrize("path", fixtures("request"), ids=lambda path: path.name.partition(".")[0])
def test_the_sdk_takes_our_messages_for_valid_ones(path: Path) -> None:
    for wire in json.loads(path.read_bytes()):
        request = PushMessageRequest.from_dict(wire["body"])

        assert uuid.UUID(wire["headers"]["X-Line-Retry-Key"])
        told = json.loads(request.to_json())
        assert without_defaults(told) == without_defaults(wire["body"])


def without_defaults(value: Any) -> Any:
    """Leave out what the SDK adds by itself."""
    if isinstance(value, dict):
        added = {"notificationDisabled": False}
        return {
            key: without_defaults(inner)
            for key, inner in value.items()
            if inner is not None and added.get(key, ...) is not inner
        }
    return [without_defaults(inner) for inner in value] if isinstance(value, list) else value


async def test_the_sdk_pushes_replies_and_is_told_what_went_wrong(cloud: LineCloud, api: AsyncMessagingApi) -> None:
    key, text = str(uuid.uuid4()), TextMessage(text="Hello")
    request = PushMessageRequest(to=ADA, messages=[text])

    sent = await api.push_message(request, x_line_retry_key=key)
    replied = await api.reply_message(ReplyMessageRequest(replyToken="a", messages=[text, text]))
    errors = []
    for call in (
        api.push_message(request, x_line_retry_key=key),
        api.reply_message(ReplyMessageRequest(replyToken="a", messages=[text])),
        api.push_message(PushMessageRequest(to="nobody", messages=[text])),
    ):
        with pytest.raises(ApiException) as caught:
            await call
        errors.append(caught.value.status)

    assert len(sent.sent_messages) == 1
    assert len(replied.sent_messages) == 2
    assert errors == [409, 400, 400]
    assert len(cloud.delivered) == 3


async def test_the_sdk_gets_along_with_the_rest_of_the_simulated_api(cloud: LineCloud, api: AsyncMessagingApi) -> None:
    logging.getLogger("linebot").setLevel(logging.WARNING)
    cloud.preparing.add("7")
    blob = AsyncMessagingApiBlob(api.api_client)

    await api.show_loading_animation(ShowLoadingAnimationRequest(chatId=ADA, loadingSeconds=5))
    await api.mark_messages_as_read_by_token(MarkMessagesAsReadByTokenRequest(markAsReadToken="read-1"))

    assert (await api.get_bot_info()).user_id == BOT
    assert (await api.get_profile(ADA)).language == "ja"
    assert (await api.get_group_member_profile("C1", ADA)).user_id == ADA
    assert (await api.get_webhook_endpoint()).active
    assert (await api.test_webhook_endpoint()).status_code == 200
    assert (await api.get_message_quota()).type == "none"
    assert (await api.get_message_quota_consumption()).total_usage == 0
    assert bytes(await blob.get_message_content("325708")) == JPEG
    assert (await blob.get_message_content_transcoding_by_message_id("7")).status == "processing"


async def test_a_wrong_token_is_told_to_the_sdk(cloud: LineCloud) -> None:
    async with AsyncApiClient(Configuration(host=cloud.url, access_token="wrong")) as client:
        with pytest.raises(ApiException) as caught:
            await AsyncMessagingApi(client).get_bot_info()

    assert caught.value.status == 401
