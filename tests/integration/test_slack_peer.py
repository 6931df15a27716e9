"""slack_sdk is Slack's own: it signs and we verify, and it talks to the simulated API, so that this is like Slack's."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from connectors.secrets import Secret
from connectors.slack import SlackConnector
from connectors.slack_config import SlackConfig
from gateway.simulate.api import Item
from gateway.simulate.slack import SlackSimulator
from gateway.simulate.slack_cloud import SlackCloud
from normalizer.model import ChannelRef
from tests.contexts import make_context
from tests.contract.channel_bench import as_delivery, running

SECRET, TOKEN = "8f742231b10e8888abcd99yyyzzz85a5", "xoxb-not-a-real-token"
OPTIONS = SlackConfig(bot_token=Secret(TOKEN), signing_secret=Secret(SECRET))
verifier = SignatureVerifier(SECRET)


@pytest.fixture
async def connector(tmp_path: Path) -> AsyncIterator[SlackConnector]:
    async with aiohttp.ClientSession() as http:
        yield SlackConnector(OPTIONS, make_context(ChannelRef(id="team-slack", type="slack"), tmp_path, http))


@pytest.fixture
async def client() -> AsyncIterator[AsyncWebClient]:
    async with SlackCloud(OPTIONS) as cloud, aiohttp.ClientSession() as http:
        yield AsyncWebClient(token=TOKEN, base_url=f"{cloud.url}/api/", session=http)


@pytest.mark.parametrize("content", SlackSimulator.contents)
async def test_what_the_sdk_signs_is_accepted(connector: SlackConnector, content: str) -> None:
    plain = SlackSimulator(OPTIONS, url="").delivery([Item(number=1, at=time.time(), content=content)])
    at = str(int(time.time()))
    signature = verifier.generate_signature(timestamp=at, body=plain.body)
    assert signature is not None
    signed = plain.adding(headers={"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature})
    async with running(connector) as taken:
        reply = await connector.handle(as_delivery("team-slack", signed))

    assert reply.status == 200
    assert [raw.body for raw in taken] == [plain.body]


async def test_the_sdk_accepts_what_the_simulator_signs() -> None:
    plain = SlackSimulator(OPTIONS, url="").delivery([Item(number=1, at=time.time())])
    signed = SlackSimulator(OPTIONS, url="").sign(plain, time.time())

    assert verifier.is_valid_request(signed.body.decode(), signed.headers)


async def test_the_sdks_client_finds_the_simulated_api_to_be_slacks(client: AsyncWebClient) -> None:
    me = await client.auth_test()
    posted = await client.chat_postMessage(channel="C1SHOP", text="hello", blocks=[])
    ts = posted["ts"]
    await client.chat_update(channel="C1SHOP", ts=ts, text="changed")
    await client.reactions_add(channel="C1SHOP", timestamp=ts, name="thumbsup")
    seen = await client.reactions_get(channel="C1SHOP", timestamp=ts)
    await client.reactions_remove(channel="C1SHOP", timestamp=ts, name="thumbsup")
    await client.chat_delete(channel="C1SHOP", ts=ts)
    uploaded = await client.files_upload_v2(channel="C1SHOP", content="some text", filename="a.txt", title="A")
    direct = await client.conversations_open(users="U1ANN")
    info = await client.files_info(file=uploaded["file"]["id"])

    assert me["user_id"] == seen["message"]["reactions"][0]["users"][0]
    assert direct["channel"]["id"].startswith("D")
    assert info["file"]["size"] == len("some text")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"channel": "C1", "text": "x", "thread_ts": "yesterday"}, "invalid_thread_ts"),
        ({"channel": "nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "C1", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "C1", "text": "x", "blocks": [{"type": "hologram"}]}, "invalid_blocks"),
    ],
)
async def test_the_sdk_reads_the_simulated_errors(client: AsyncWebClient, call: dict[str, Any], error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(**call)

    assert json.loads(json.dumps(caught.value.response.data))["error"] == error
