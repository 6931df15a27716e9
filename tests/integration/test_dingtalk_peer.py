"""dingtalk-stream beside us, DingTalk's own SDK: it reads what we take for its messages, and answers beside us.

It signs nothing: the stream it is made for wants no signatures.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import dingtalk_stream
import pytest
from dingtalk_stream import ChatbotMessage

from gateway.simulate.api import Item
from gateway.simulate.dingtalk import DingTalkSimulator
from gateway.simulate.dingtalk_cloud import DingTalkCloud
from normalizer import parts as p
from normalizer.codecs.dingtalk import DingTalkCodec
from normalizer.codecs.dingtalk_send import by_session
from normalizer.model import ChannelRef
from normalizer.raw import Event, RawEvent
from tests.contract import channel_fixtures as fixtures
from tests.dingtalk_bench import config

PAYLOADS = fixtures.ROOT / "dingtalk"
CODEC = DingTalkCodec("dingrobot")


def read(body: bytes) -> Any:
    raw = RawEvent(
        channel=ChannelRef(id="shop", type="dingtalk"),
        kind="dingtalk",
        body=body,
        received_at=fixtures.Delivered().received_at,
    )
    (event,) = CODEC.decode(raw)
    assert isinstance(event, Event)
    return event.params.message  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.in.json")), ids=lambda path: path.name)
def test_the_library_reads_every_example_as_we_do(path: Path) -> None:
    theirs, ours = ChatbotMessage.from_dict(json.loads(path.read_bytes())), read(path.read_bytes())

    assert theirs.message_id == ours.provider_id
    assert theirs.session_webhook_expired_time == 1795170000000
    pictures = [part.media.provider_id for part in ours.parts if isinstance(part, p.Image)]
    if theirs.message_type in {"picture", "richText"}:
        assert theirs.get_image_list() == pictures
    if theirs.message_type == "text":
        assert theirs.get_text_list()[0].strip() == ours.text


@pytest.mark.parametrize("content", DingTalkSimulator.contents)
def test_the_library_reads_what_the_simulator_sends_and_we_read_what_it_writes(content: str) -> None:
    request = DingTalkSimulator(config(), url="").delivery([Item(number=7, at=1_795_000_000.0, content=content)])
    theirs = ChatbotMessage.from_dict(json.loads(request.body))

    assert theirs.robot_code == "dingrobot"
    assert theirs.conversation_type == ("2" if content == "group" else "1")
    assert read(json.dumps(theirs.to_dict()).encode()) == read(request.body)


async def test_the_library_answers_at_a_session_webhook_as_we_do() -> None:
    async with DingTalkCloud() as cloud:
        delivery = DingTalkSimulator(config(cloud.url), url="").delivery([Item(number=1, at=time.time())])
        incoming = ChatbotMessage.from_dict(json.loads(delivery.body))
        handler = dingtalk_stream.ChatbotHandler()
        await asyncio.to_thread(handler.reply_text, "hello", incoming)
        await asyncio.to_thread(handler.reply_markdown, "title", "**hello**", incoming)
        theirs = [body for _, body in cloud.answered]

    message = fixtures.outbound("dingtalk", PAYLOADS / "text.send.json")
    ours = [by_session(wire) for wire in CODEC.encode(message)]
    assert [one["msgtype"] for one in theirs] == ["text", "markdown"]
    assert ours[0] is not None
    assert set(theirs[0]["text"]) == set(ours[0]["text"]) == {"content"}
    assert set(theirs[1]["markdown"]) == {"title", "text"}
