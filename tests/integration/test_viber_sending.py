"""The Viber connector against the bot API as the simulator plays it, over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.api import Reply
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.http import TooLarge
from connectors.secrets import Secret
from connectors.viber import ViberConnector
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.settings.model import HttpSection
from gateway.simulate.cloud import Answer
from gateway.simulate.viber import FIRST_TOKEN
from gateway.simulate.viber_cloud import JPEG, told
from gateway.web.media import media_mount
from gateway.web.public import PublicServer
from normalizer import ids
from normalizer import parts as p
from normalizer.parts import AnyPart, Media
from normalizer.raw import Event, Ignored, Outbound
from tests.kind_lab import Lab, open_lab, post, running, until
from tests.viber_bench import ADA, CHANNEL, TOKEN, config, signed, to

FILM = b"\0\0\0\x18ftypmp42 a film"


class Account(Lab):
    def sent(self, name: str = "") -> list[dict[str, Any]]:
        return [body for _, body in self.cloud.delivered]


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with open_lab(config(), "viber", tmp_path, Account) as lab:
        yield lab


def message(*content: AnyPart, **fields: Any) -> Outbound:
    parts = content or (p.Text(body="hi"),)
    conversation = ids.conversation_id(CHANNEL.id, ADA)
    given = {"id": "msg_1", "channel": CHANNEL, "to": to(), "parts": parts, "conversation": conversation}
    return Outbound(**{**given, **fields})


async def test_a_message_is_known_by_its_token_to_the_last_digit(account: Account) -> None:
    sent = await account.node().send(message(p.Text(body="1"), p.Text(body="2")))

    assert sent.provider_ids == ("5741311803571721088", "5741311803571721089")
    assert account.cloud.calls[0].headers["x-viber-auth-token"] == TOKEN
    assert TOKEN not in account.cloud.calls[0].body.decode()


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        (-1, Unreachable, True),
        (1, Refused, False),
        (2, Misconfigured, False),
        (3, Refused, False),
        (4, Refused, False),
        (5, RecipientGone, False),
        (6, RecipientGone, False),
        (7, Misconfigured, False),
        (8, Misconfigured, False),
        (9, Misconfigured, False),
        (10, Misconfigured, False),
        (11, RecipientGone, False),
        (12, Throttled, True),
        (13, Refused, False),
        (14, Refused, False),
        (15, Misconfigured, False),
        (16, Refused, False),
        (23, Throttled, False),
        (24, Misconfigured, False),
        (99, Refused, False),
    ],
)
async def test_a_status_code_in_a_200_has_one_meaning_and_shows_no_secret(
    account: Account, code: int, kind: type[SendError], *, retryable: bool
) -> None:
    account.cloud.fail_next(told(code, f"words of {code} {TOKEN}"))

    with pytest.raises(kind) as caught:
        await account.node().send(message())

    assert type(caught.value) is kind
    assert caught.value.provider_code == str(code)
    assert caught.value.retryable is retryable
    assert TOKEN not in f"{caught.value!r} {caught.value.provider_text}"


async def test_what_answers_is_not_viber(account: Account) -> None:
    account.cloud.fail_next(Answer(body=b"<html>welcome</html>", content_type="text/html"))

    with pytest.raises(Unreachable, match="api_base"):
        await account.node().send(message())


async def test_strangers_people_who_left_and_a_wrong_token_are_told_apart(account: Account) -> None:
    account.cloud.strangers.add("stranger")
    account.cloud.gone.add("gone")
    codes = {}
    for user in ("stranger", "gone"):
        with pytest.raises(RecipientGone) as caught:
            await account.node().send(message(to=to(user)))
        codes[user] = caught.value.provider_code
    with pytest.raises(Misconfigured, match="token"):
        await account.node(token=Secret("another")).send(message())

    assert codes == {"stranger": "6", "gone": "5"}


async def test_a_message_of_many_calls_goes_on_where_it_was_broken_off(account: Account) -> None:
    node = account.node()
    many = message(*(p.Text(body=str(number)) for number in range(3)))
    account.cloud.pass_next()
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(many)

    sent = await node.send(many)

    assert [body["text"] for body in account.sent()] == ["0", "1", "2"]
    assert len(set(sent.provider_ids)) == 3


async def test_a_file_of_ours_is_linked_with_its_size_and_an_address_viber_takes(account: Account) -> None:
    blobs = BlobStore(account.folder)
    ref = await blobs.put(FILM)
    film = Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="video/mp4", provider_id="9")
    await account.node().send(message(p.Video(media=film)))

    (body,) = account.sent()
    assert (body["type"], body["size"]) == ("video", len(FILM))
    public = "https://gw.example"
    assert body["media"].startswith(f"{public}/media/")
    assert body["media"].partition("?")[0].endswith("/file.mp4")
    server = PublicServer(HttpSection(listen="127.0.0.1:0"), {}, {"/media/": media_mount(blobs)})
    await server.start()
    try:
        address = body["media"].replace(public, f"http://{server.address}")
        async with account.http.get(address) as answer:
            served = (answer.status, answer.content_type, await answer.read())
        async with account.http.get(address.replace("mp4?", "exe?")) as answer:
            same = answer.content_type
        async with account.http.get(address[:-2] + "00") as answer:
            forged = answer.status
    finally:
        await server.close(1.0)

    assert served == (200, "video/mp4", FILM)
    assert same == "video/mp4", "the name in the address says nothing about how it is served"
    assert forged == 403


@pytest.mark.parametrize(
    ("part", "ending"),
    [
        (p.Image(media=Media(id="m", status="stored", mime="image/png")), ".png"),
        (p.Image(media=Media(id="m", status="stored", name="menu.JPEG", mime="image/jpeg")), ".JPEG"),
        (p.Image(media=Media(id="m", status="stored")), ".jpg"),
        (p.File(media=Media(id="m", status="stored", name="offer.pdf")), ".pdf"),
        (p.File(media=Media(id="m", status="stored", name="a/../b.p%df?x", mime="application/pdf")), ".pdf"),
        (p.File(media=Media(id="m", status="stored", name="README")), "/file"),
        (p.Audio(media=Media(id="m", status="stored", voice=True)), ".m4a"),
    ],
)
async def test_an_address_ends_as_the_file_does(account: Account, part: Any, ending: str) -> None:
    ref = await BlobStore(account.folder).put(FILM)

    await account.node().send(message(replace(part, media=replace(part.media, sha256=ref.removeprefix("sha256:")))))

    assert account.sent()[0]["media"].partition("?")[0].endswith(ending)


async def test_the_size_of_a_file_of_somebody_else_is_found_out(account: Account) -> None:
    url = f"{account.cloud.url}/media/1.pdf"

    await account.node().send(message(p.File(media=Media(id="m", status="stored", url=url, name="1.pdf"))))

    (body,) = account.sent()
    assert body["size"] == len(JPEG)
    assert body["media"] == url


async def test_a_file_too_large_for_the_channel_is_not_sent(account: Account) -> None:
    url = f"{account.cloud.url}/media/1.pdf"

    with pytest.raises(TooLarge):
        await account.node(media_max_bytes=10).send(message(p.File(media=Media(id="m", status="stored", url=url))))

    assert account.sent() == []


async def test_what_a_person_sent_is_fetched_by_its_address_without_our_token(account: Account) -> None:
    node = account.node()

    async def fetch(native: str, max_bytes: int = 1000) -> Any:
        return await node.fetch_media(Media(id="m", status="pending", provider_id=native), max_bytes=max_bytes)

    found = await fetch(f"{account.cloud.url}/media/1.jpg")
    with pytest.raises(TooLarge):
        await fetch(f"{account.cloud.url}/media/1.jpg", 3)
    with pytest.raises(SendError):
        await fetch("http://169.254.169.254/latest/meta-data")
    with pytest.raises(Refused, match="no picture"):
        await fetch("40100")

    assert found.mime == "image/jpeg"
    assert "x-viber-auth-token" not in account.cloud.calls[-1].headers


async def test_a_receipt_of_what_the_person_sent_is_no_status_of_ours(account: Account) -> None:
    node = account.node()
    async with running(node) as taken:
        for content in ("text", "delivered", "seen"):
            await post(node, signed(1, content))
        await post(node, signed(2, "delivered"))

    outcomes = [next(iter(node.codec.decode(raw))) for raw in taken]
    assert [type(one) for one in outcomes] == [Event, Ignored, Ignored, Event]
    assert isinstance(outcomes[3], Event)
    assert outcomes[3].params.message.provider_id == str(FIRST_TOKEN + 2)  # type: ignore[attr-defined]


async def test_another_node_knows_what_the_person_sent(account: Account) -> None:
    async with running(first := account.node()):
        await post(first, signed(1, "text"))
    async with running(second := account.node()) as taken:
        await post(second, signed(1, "delivered"))

    assert isinstance(next(iter(second.codec.decode(taken[0]))), Ignored)


async def test_without_the_store_messages_and_receipts_come_all_the_same(account: Account, tmp_path: Path) -> None:
    node = account.node(store=EmbeddedDeduplicator(tmp_path / "never-opened.db"))
    async with running(node) as taken:
        replies = [await post(node, signed(1, content)) for content in ("text", "delivered")]

    assert [reply.status for reply in replies] == [200, 200]
    assert all(isinstance(next(iter(node.codec.decode(raw))), Event) for raw in taken)


async def opened(node: ViberConnector, number: int = 1) -> Reply:
    return await post(node, signed(number, "conversation_started"))


async def test_who_opens_the_chat_is_greeted_in_the_http_answer(account: Account) -> None:
    account.cloud.strangers.add(ADA)
    node = account.node(passive_secs=5)
    async with running(node) as taken, asyncio.TaskGroup() as group:
        answer = group.create_task(opened(node))
        await until(lambda: taken)  # a slot is made before the delivery is handed over
        sent = await node.send(message(p.Text(body="Welcome!")))

    reply = answer.result()
    assert sent.metadata == {"passive": True}
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert json.loads(reply.body) == {
        "min_api_version": 1,
        "sender": {"name": "Shop"},
        "type": "text",
        "text": "Welcome!",
    }
    assert account.sent() == []


async def test_a_greeting_that_comes_too_late_goes_by_the_api(account: Account) -> None:
    node = account.node(passive_secs=0.1)
    async with running(node):
        reply = await opened(node)
        await node.send(message())

    assert (reply.status, reply.body) == (200, b"")
    assert len(account.sent()) == 1


async def test_a_greeting_of_two_messages_goes_by_the_api(account: Account) -> None:
    node = account.node(passive_secs=0.3)
    async with running(node) as taken, asyncio.TaskGroup() as group:
        answer = group.create_task(opened(node))
        await until(lambda: taken)  # a slot is made before the delivery is handed over
        await node.send(message(p.Text(body="1"), p.Text(body="2")))

    assert answer.result().body == b""
    assert len(account.sent()) == 2


@pytest.mark.parametrize("content", ["text", "delivered", "subscribed", "unsubscribed"])
async def test_nothing_but_the_opening_of_a_chat_is_held(account: Account, content: str) -> None:
    node = account.node(passive_secs=20)
    async with running(node):
        began = time.monotonic()
        reply = await post(node, signed(1, content))

    assert reply.status == 200
    assert time.monotonic() - began < 5


async def test_the_doctor_tells_bot_and_webhook(account: Account) -> None:
    found = await account.node().probe()

    assert (found["uri"], found["webhook"]) == ("simulatedbot", "https://gateway.example/c/shop-viber")
    assert "conversation_started" in found["event_types"]
    with pytest.raises(Misconfigured):
        await account.node(token=Secret("another")).probe()
