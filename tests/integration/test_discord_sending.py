"""Answers to interactions: in time, as follow-ups, by the bot; and messages to Discord's simulated API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace
from nacl.signing import SigningKey

from connectors.api import Receipt, Reply
from connectors.discord import DiscordConnector
from connectors.discord_config import DiscordConfig
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable, WindowClosed
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate.api import Item, Request, raw_post
from gateway.simulate.cloud import json_answer
from gateway.simulate.discord import CHANNEL, DiscordSimulator
from gateway.simulate.discord_cloud import DiscordCloud
from normalizer import ids
from normalizer import parts as p
from normalizer.methods import DeleteParams, EditParams, ReactParams, TypingParams
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.raw import Outbound, RawEvent
from tests.contexts import make_context
from tests.contract.channel_bench import as_delivery, running

REF = ChannelRef(id="test-discord", type="discord")
KEY = SigningKey(b"d" * 32)
PUBLIC, BOT = KEY.verify_key.encode().hex(), "MTk4.not-a-real.token"
TO, TEXT = Address(scheme="discord", value=CHANNEL), p.Text(body="hi")
CONVERSATION = ids.conversation_id(REF.id, CHANNEL)


def config(**more: Any) -> DiscordConfig:
    fields: dict[str, Any] = {"application_id": "775799577604522054", "public_key": PUBLIC, "passive_secs": 0, **more}
    return DiscordConfig(**fields)


def message(*parts: p.AnyPart, **more: Any) -> Outbound:
    return Outbound(**{"id": "msg_1", "channel": REF, "to": TO, "parts": parts, "conversation": CONVERSATION, **more})


SIMULATOR = DiscordSimulator(config(), url="", extra={"private_key": (b"d" * 32).hex()})


def interaction(number: int = 1, content: str = "text") -> Request:
    """Sign as PyNaCl does."""
    plain, at = SIMULATOR.delivery([Item(number=number, at=0, content=content)]), str(int(time.time()))
    signature = KEY.sign(at.encode() + plain.body).signature.hex()
    return plain.adding(headers={"X-Signature-Ed25519": signature, "X-Signature-Timestamp": at})


def told(reply: Reply) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(reply.body)
    return decoded


class Lab:
    """Nodes of one channel, which share their state, and the cloud."""

    def __init__(self, cloud: DiscordCloud, make: Callable[..., DiscordConnector], folder: Path) -> None:
        self.cloud, self.make, self.blobs = cloud, make, BlobStore(folder)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with DiscordCloud(config(bot_token=Secret(BOT))) as cloud, aiohttp.ClientSession() as http:

        def make(clock: Callable[[], float] = time.time, **options: Any) -> DiscordConnector:
            made = config(api_base=cloud.url + "/api/v10", media_hosts=("127.0.0.1",), **options)
            return DiscordConnector(made, make_context(REF, tmp_path, http, store=store), clock=clock)

        yield Lab(cloud, make, tmp_path)
    await store.close()


async def receive(connector: DiscordConnector, request: Request) -> Reply:
    async with running(connector):
        return await connector.handle(as_delivery(REF.id, request))


@pytest.mark.parametrize(
    ("content", "answer"),
    [("text", {"type": 5}), ("press", {"type": 6}), ("select", {"type": 6}), ("form", {"type": 5})],
)
async def test_an_interaction_is_told_that_its_answer_is_to_come(
    lab: Lab, content: str, answer: dict[str, Any]
) -> None:
    assert told(await receive(lab.make(), interaction(content=content))) == answer


async def test_who_alone_shall_see_the_answer_alone_sees_us_wait(lab: Lab) -> None:
    assert told(await receive(lab.make(ephemeral=True), interaction())) == {"type": 5, "data": {"flags": 64}}


async def test_autocomplete_is_answered_empty_and_events_with_204(lab: Lab) -> None:
    connector = lab.make()
    asked = interaction().body.replace(b'"type":2', b'"type":4', 1)
    event = b'{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED","data":{}}}'
    ping = b'{"version":1,"application_id":"1","type":0}'
    replies = [await receive(connector, SIMULATOR.sign(raw_post(body), time.time())) for body in (asked, event, ping)]

    assert told(replies[0]) == {"type": 8, "data": {"choices": []}}
    assert [(reply.status, reply.body) for reply in replies[1:]] == [(204, b""), (204, b"")]


async def test_a_reply_in_time_is_the_answer(lab: Lab) -> None:
    connector, taken = lab.make(passive_secs=2.0), asyncio.Event()

    async def sink(_: RawEvent) -> Receipt:
        taken.set()
        return Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        channel = group.create_task(connector.run(sink))
        await asyncio.sleep(0.01)
        waiting = group.create_task(connector.handle(as_delivery(REF.id, interaction())))
        await taken.wait()
        sent = await lab.make(passive_secs=2.0).send(message(p.Text(body="in time")))
        reply = await waiting
        channel.cancel()

    assert sent.metadata == {"passive": True}
    assert told(reply)["type"] == 4
    assert told(reply)["data"]["content"] == "in time"
    assert not lab.cloud.calls


async def test_a_later_reply_is_a_follow_up_from_any_node(lab: Lab) -> None:
    await receive(lab.make(), interaction(7))
    sender = lab.make()  # another process, which has not seen the interaction
    sent = await sender.send(message(TEXT, TEXT))

    calls = lab.cloud.named("follow_up")
    assert {call.match["token"] for call in calls} == {"simulated-token-7"}
    assert sent.provider_ids == tuple(lab.cloud.messages)
    assert all("authorization" not in call.headers for call in calls)
    assert all(call.headers["user-agent"].startswith("DiscordBot (https://") for call in calls)


async def test_a_reply_goes_to_the_interaction_it_answers(lab: Lab) -> None:
    connector = lab.make()
    for number in (1, 2, 3):
        await receive(connector, interaction(number))
    native = msgspec.json.decode(interaction(2).body)["id"]
    await connector.send(message(TEXT, id="a", in_response_to=ids.message_id(REF.id, "", native)))
    await connector.send(message(TEXT, id="b", reply_to=MessageRef(provider_id=native)))
    await connector.send(message(TEXT, id="c"))

    tokens = [call.match["token"] for call in lab.cloud.named("follow_up")]
    assert tokens == ["simulated-token-2", "simulated-token-2", "simulated-token-3"]


async def test_after_15_minutes_only_the_bot_can_write(lab: Lab) -> None:
    await receive(lab.make(), interaction())

    def later() -> float:
        return time.time() + 15 * 60

    with pytest.raises(WindowClosed, match="bot_token"):
        await lab.make(later).send(message(TEXT))
    await lab.make(later, bot_token=Secret(BOT)).send(message(TEXT))
    with pytest.raises(WindowClosed):
        await lab.make(later, bot_token=Secret(BOT), ephemeral=True).send(message(TEXT, id="msg_2"))

    assert len(lab.cloud.named("send")) == 1
    assert lab.cloud.named("follow_up") == []


async def test_a_token_that_discord_does_not_know_is_tried_again_while_it_is_fresh(lab: Lab) -> None:
    await receive(lab.make(), interaction())
    lab.cloud.expired.add("simulated-token-1")

    def later() -> float:
        return time.time() + 60

    with pytest.raises(Unreachable):
        await lab.make().send(message(TEXT))
    with pytest.raises(WindowClosed):
        await lab.make(later).send(message(TEXT))
    assert (await lab.make(later, bot_token=Secret(BOT)).send(message(TEXT))).provider_ids
    assert len(lab.cloud.named("send")) == 1


async def test_a_file_goes_out_in_the_same_form(lab: Lab) -> None:
    ref = await lab.blobs.put(b"a picture")
    media = p.Media(
        id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/png", name="a b.png", caption="our tea"
    )
    await lab.make(bot_token=Secret(BOT)).send(message(p.Image(media=media)))

    (call,) = lab.cloud.named("send")
    assert call.files == {"files[0]": ("a b.png", "image/png", b"a picture")}
    assert msgspec.json.decode(call.form["payload_json"])["attachments"] == [{"id": 0, "filename": "a b.png"}]
    (kept,) = lab.cloud.messages.values()
    assert (kept["content"], kept["attachments"]) == ("our tea", [{"id": "0", "filename": "a b.png"}])


async def test_a_second_try_of_the_bot_makes_no_second_message(lab: Lab) -> None:
    connector = lab.make(bot_token=Secret(BOT))
    once, again = [await connector.send(message(TEXT)) for _ in range(2)]

    assert once == again
    assert len(lab.cloud.messages) == 1


async def test_answers_are_edited_and_taken_back_by_their_token(lab: Lab) -> None:
    await receive(lab.make(), interaction())
    (native,) = (await lab.make().send(message(TEXT))).provider_ids
    about: dict[str, Any] = {"channel": REF.id, "to": TO, "message": MessageRef(provider_id=native)}
    other = lab.make()
    edited = await other.perform("message.edit", EditParams(**about, text="better"))
    content = lab.cloud.messages[native]["content"]
    for _ in range(2):
        await other.perform("message.delete", DeleteParams(**about))

    assert edited == {"provider_id": native}
    assert content == "better"
    assert lab.cloud.messages == {}
    assert {call.name for call in lab.cloud.calls} == {"follow_up", "edit_follow_up", "delete_follow_up"}


async def test_the_bot_edits_reacts_and_types(lab: Lab) -> None:
    connector = lab.make(bot_token=Secret(BOT))
    (native,) = (await connector.send(message(TEXT))).provider_ids
    about: dict[str, Any] = {"channel": REF.id, "to": TO, "message": MessageRef(provider_id=native)}
    await connector.perform("message.edit", EditParams(**about, text="better"))
    await connector.perform("reaction.send", ReactParams(**about, emoji="👍"))
    await connector.perform("typing.send", TypingParams(channel=REF.id, to=TO))

    assert lab.cloud.messages[native]["content"] == "better"
    assert lab.cloud.named("react")[0].match["emoji"] == "👍"
    assert {call.headers["authorization"] for call in lab.cloud.calls} == {f"Bot {BOT}"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, 10003, RecipientGone),
        (403, 50001, RecipientGone),
        (403, 50007, RecipientGone),
        (403, 50013, RecipientGone),
        (401, 0, Misconfigured),
        (400, 50035, Refused),
        (400, 40005, Refused),
        (429, 0, Throttled),
        (400, 20028, Throttled),
        (503, 130000, Unreachable),
        (500, 0, Unreachable),
    ],
)
async def test_errors_mean_what_the_table_says(lab: Lab, status: int, code: int, kind: type[SendError]) -> None:
    lab.cloud.fail_next(json_answer({"code": code, "message": f"no, {BOT}", "retry_after": 0.7}, status))
    with pytest.raises(kind) as caught:
        await lab.make(bot_token=Secret(BOT)).send(message(TEXT))

    assert BOT not in f"{caught.value!r}{caught.value.provider_text}"
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 0.7


async def test_a_file_whose_link_has_ended_is_gone(lab: Lab) -> None:
    media = p.Media(id="m", status="pending", provider_id=f"{lab.cloud.url}/attachments/1/2/a.png?ex=1")
    lab.cloud.fail_next(json_answer({}, 403))
    with pytest.raises(Refused):
        await lab.make().fetch_media(media, max_bytes=1000)
    with pytest.raises(Refused):
        await lab.make().fetch_media(replace(media, provider_id="http://cdn.discordapp.com/a"), max_bytes=1000)


async def test_the_doctor_tells_whose_bot_it_is(lab: Lab) -> None:
    with_bot, without = lab.make(bot_token=Secret(BOT)), lab.make()
    me = await with_bot.probe()

    assert me["webhook"]["url"] == lab.cloud.hook
    assert [check.ok for check in me["checks"]] == [True]
    assert [check.ok for check in (await without.probe())["checks"]] == [None]
    lab.cloud.fail_next(json_answer({"id": "1", "verify_key": "00", "name": "Other"}))
    assert [check.ok for check in (await with_bot.probe())["checks"]] == [False]
