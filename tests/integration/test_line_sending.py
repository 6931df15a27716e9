"""The LINE connector against the Messaging API as the simulator plays it, over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.errors import (
    Deferred,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
)
from connectors.http import TooLarge
from connectors.line import LineConnector
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate.api import Item
from gateway.simulate.cloud import Answer, json_answer
from gateway.simulate.line import FIRST_MESSAGE
from gateway.simulate.line_cloud import JPEG, LineCloud
from normalizer import ids
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import ReceiptSendParams, TypingParams
from normalizer.model import MessageRef
from normalizer.parts import AnyPart, Media
from normalizer.raw import Event, Outbound
from tests.kind_lab import Lab, open_lab, post, running
from tests.line_bench import ADA, CHANNEL, SECRET, TOKEN, config, signed, to


class Account(Lab):
    """A lab with a clock, and with what was told in full."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.now = time.time()

    def node(self, **changes: Any) -> Any:
        return super().node(lambda: self.now, **changes)

    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        self.reports.append((component, reason, expires_at))

    def calls(self) -> list[str]:
        return [call.name for call in self.cloud.calls if call.name in {"push", "reply"}]

    async def receive(self, node: LineConnector, *items: Item, again: int = 0) -> None:
        async with running(node):
            assert (await post(node, signed(*items, again=again))).status == 200


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with open_lab(config(), "line", tmp_path, Account) as lab:
        yield lab


def message(*content: AnyPart, **fields: Any) -> Outbound:
    parts = content or (p.Text(body="hi"),)
    return Outbound(**{"id": "msg_1", "channel": CHANNEL, "to": to(), "parts": parts, **fields})


def item(number: int, **fields: Any) -> Item:
    return Item(number=number, at=time.time(), **fields)


def our_id(number: int) -> str:
    return ids.message_id(CHANNEL.id, "", str(FIRST_MESSAGE + number))


class Leaky(LineCloud):
    """Performs the next `leaks` calls and loses their answers."""

    leaks = 0

    def answer(self, call: Any) -> Answer:
        done = super().answer(call)
        if self.leaks and call.name in {"push", "reply"}:
            self.leaks -= 1
            return self.error(500)
        return done


async def test_the_first_answer_is_a_reply_and_the_second_is_pushed(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))

    first = await node.send(message())
    second = await node.send(message(id="msg_2"))

    assert account.calls() == ["reply", "push"]
    assert all(one.isdecimal() for one in (*first.provider_ids, *second.provider_ids))
    reply = account.cloud.named("reply")[0]
    assert "x-line-retry-key" not in reply.headers
    assert "to" not in reply.json()


async def test_another_node_replies_with_the_token_this_one_received(account: Account) -> None:
    await account.receive(account.node(), item(1))

    await account.node().send(message())

    assert account.calls() == ["reply"]


async def test_a_reply_uses_the_token_of_the_message_it_answers_else_the_oldest(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1), item(2), item(3))

    await node.send(message(id="msg_a", in_response_to=our_id(2)))
    await node.send(message(id="msg_b", reply_to=MessageRef(provider_id=str(FIRST_MESSAGE + 3))))
    await node.send(message(id="msg_c"))
    await node.send(message(id="msg_d"))

    tokens = [call.json()["replyToken"] for call in account.cloud.named("reply")]
    assert tokens == [f"{number:032x}" for number in (2, 3, 1)]
    assert account.calls()[-1] == "push"


async def test_a_token_of_one_chat_answers_no_other(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1, person=1))

    await node.send(message(to=to(f"U{2:032x}")))

    assert account.calls() == ["push"]


async def test_a_token_that_is_too_old_is_not_tried(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    account.now += 58

    await node.send(message())

    assert account.calls() == ["push"]


async def test_a_token_line_does_not_take_falls_back_to_a_push(account: Account) -> None:
    account.cloud.used.add(f"{1:032x}")
    node = account.node()
    await account.receive(node, item(1))

    sent = await node.send(message())
    await node.send(message(id="msg_2"))

    assert account.calls() == ["reply", "push", "push"]
    assert sent.provider_ids


async def test_a_redelivered_event_brings_a_token_of_its_own(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    account.now += 300
    await account.receive(node, item(1), again=1)

    await node.send(message(in_response_to=our_id(1)))

    assert account.calls() == ["reply"]


async def test_a_reply_whose_answer_was_lost_is_not_sent_again(account: Account) -> None:
    async with Leaky(config()) as leaky:
        account.cloud = leaky
        node = account.node()
        await account.receive(node, item(1))
        leaky.leaks = 1
        with pytest.raises(Unreachable):
            await node.send(message())

        await account.node().send(message())

    assert account.calls() == ["reply", "reply"]
    assert len(leaky.delivered) == 1


async def test_a_push_whose_answer_was_lost_is_not_sent_again_nor_as_a_reply(account: Account) -> None:
    async with Leaky(config()) as leaky:
        account.cloud = leaky
        node = account.node()
        leaky.leaks = 1
        with pytest.raises(Unreachable):
            await node.send(message())
        await account.receive(node, item(1))

        sent = await node.send(message())

    assert account.calls() == ["push", "push"]
    assert len(leaky.delivered) == 1
    assert len(sent.provider_ids) == 1, "LINE repeats the ids when it says that it has accepted the call before"


async def test_a_reply_that_did_not_arrive_is_sent_again_with_its_token(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message())

    await node.send(message())

    assert account.calls() == ["reply", "reply"]
    assert len(account.cloud.delivered) == 1


async def test_a_reply_nobody_knows_of_is_pushed_when_its_token_is_over(account: Account) -> None:
    """Twice rather than never."""
    node = account.node()
    await account.receive(node, item(1))
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message())
    account.now += 120
    account.cloud.used.add(f"{1:032x}")

    await node.send(message())

    assert account.calls() == ["reply", "reply", "push"]
    assert len(account.cloud.delivered) == 1


async def test_a_token_whose_push_failed_too_is_not_taken_for_a_reply_that_arrived(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    account.cloud.used.add(f"{1:032x}")
    account.cloud.pass_next()
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message())

    await node.send(message())

    assert len(account.cloud.delivered) == 1


async def test_a_reply_refused_for_another_reason_leaves_its_token_free(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    account.cloud.fail_next(429)
    with pytest.raises(Throttled):
        await node.send(message())

    await node.send(message(id="msg_2"))

    assert account.calls() == ["reply", "reply"]


async def test_a_long_message_begins_as_a_reply_and_goes_on_where_it_was_broken_off(account: Account) -> None:
    node = account.node()
    await account.receive(node, item(1))
    many = message(*(p.Text(body=str(number)) for number in range(12)))
    account.cloud.pass_next()
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(many)

    sent = await node.send(many)

    assert account.calls() == ["reply", "push", "push", "push"]
    assert [one["text"] for _, one in account.cloud.delivered] == [str(number) for number in range(12)]
    assert len(set(sent.provider_ids)) == 12


async def test_without_the_store_everything_is_pushed(account: Account, tmp_path: Path) -> None:
    node = account.node(store=EmbeddedDeduplicator(tmp_path / "never-opened.db"))
    await account.receive(node, item(1))

    await node.send(message(reply_to=MessageRef(provider_id=str(FIRST_MESSAGE + 1))))

    assert account.calls() == ["push"]
    assert "quoteToken" not in account.cloud.delivered[0][1]


async def test_replies_can_be_switched_off(account: Account) -> None:
    node = account.node(reply=False)
    await account.receive(node, item(1))

    await node.send(message())

    assert account.calls() == ["push"]


async def test_a_reply_to_a_message_quotes_it(account: Account) -> None:
    await account.receive(account.node(), item(4))

    await account.node().send(message(reply_to=MessageRef(provider_id=str(FIRST_MESSAGE + 4))))

    assert account.cloud.delivered[0][1] == {"type": "text", "text": "hi", "quoteToken": "quote-4"}


async def test_a_message_is_marked_as_read_by_its_token(account: Account) -> None:
    await account.receive(account.node(), item(4))
    read = ReceiptSendParams(channel=CHANNEL.id, message=MessageRef(provider_id=str(FIRST_MESSAGE + 4)), to=to())

    await account.node().perform("receipt.send", read)

    assert account.cloud.named("mark_as_read")[0].json() == {"markAsReadToken": "read-4"}
    with pytest.raises(Unsendable, match="more than a day ago"):
        await account.node().perform("receipt.send", replace(read, message=MessageRef(provider_id="1")))


async def test_typing_is_shown_to_a_person_and_not_to_a_group(account: Account) -> None:
    node = account.node()
    await node.perform("typing.send", TypingParams(channel=CHANNEL.id, to=to()))

    with pytest.raises(Unsendable, match="group"):
        await node.perform("typing.send", TypingParams(channel=CHANNEL.id, to=to("C1")))

    assert account.cloud.named("typing")[0].json() == {"chatId": ADA, "loadingSeconds": 20}


def told(status: int, text: str, *details: dict[str, str]) -> Answer:
    return json_answer({"message": text, **({"details": details} if details else {})}, status)


TEXT_EMPTY = {"message": "May not be empty", "property": "messages[0].text"}
TO_INVALID = {"message": "The property, 'to', in the request body is invalid", "property": "to"}


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (told(400, "Failed to send messages"), RecipientGone, False),
        (told(400, "The property, 'to', in the request body is invalid (line: -, column: -)"), RecipientGone, False),
        (told(400, "The request body has 1 error(s)", TO_INVALID), RecipientGone, False),
        (told(400, "The request body has 1 error(s)", TEXT_EMPTY), Refused, False),
        (told(401, "Authentication failed."), Misconfigured, False),
        (told(403, "Access to this API is not available for your account"), Misconfigured, False),
        (told(404, "Not found"), Refused, False),
        (told(429, "The API rate limit has been exceeded. Try again later."), Throttled, True),
        (told(429, "You have reached your monthly limit."), Throttled, False),
        (told(500, "Internal server error"), Unreachable, True),
        (Answer(status=502, body=b"<html>Bad gateway</html>", content_type="text/html"), Unreachable, True),
    ],
)  # fmt: skip
async def test_an_error_has_one_meaning_and_shows_no_secret(
    account: Account, answer: Answer, kind: type[SendError], *, retryable: bool
) -> None:
    echoed = replace(answer, body=answer.body.replace(b'"message":"', f'"message":"{TOKEN} {SECRET} '.encode(), 1))
    account.cloud.fail_next(echoed)

    with pytest.raises(kind) as caught:
        await account.node().send(message())

    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    said = f"{caught.value!r} {caught.value.provider_text}"
    assert TOKEN not in said
    assert SECRET not in said


async def test_the_words_of_a_refusal_name_the_property(account: Account) -> None:
    with pytest.raises(Refused) as caught:
        await account.node().send(message(p.Choice(kind="cta_url", body="?", items=(choice_item("javascript:1"),))))

    assert "messages[0].template.actions[0].uri" in (caught.value.provider_text or "")


def choice_item(url: str | None = None) -> p.ChoiceItem:
    return p.ChoiceItem(id="a", title="A", url=url)


async def test_a_month_without_quota_lets_replies_pass(account: Account) -> None:
    account.cloud.quota = 0
    node = account.node()
    await account.receive(node, item(1))
    await node.send(message())

    with pytest.raises(Throttled) as caught:
        await node.send(message(id="msg_2"))

    assert caught.value.retryable is False
    assert caught.value.retry_after == 0.0
    assert account.calls() == ["reply", "push"]


async def test_a_message_to_somebody_who_blocked_us_counts_as_sent(account: Account) -> None:
    """LINE does not tell; see the notes of the kind."""
    account.cloud.blocked.add(ADA)

    assert (await account.node().send(message())).provider_ids
    assert account.cloud.delivered == []


async def test_a_file_of_ours_goes_out_as_a_signed_link(account: Account) -> None:
    ref = await BlobStore(account.folder).put(JPEG)
    picture = Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/jpeg", provider_id="9")

    await account.node().send(message(p.Image(media=picture)))

    sent = account.cloud.delivered[0][1]
    assert sent["originalContentUrl"].startswith("https://gw.example/media/")
    assert sent["previewImageUrl"] == sent["originalContentUrl"]


async def test_a_link_without_tls_is_refused_before_it_is_sent(account: Account) -> None:
    with pytest.raises(Unsendable, match="https"):
        await account.node().send(
            message(p.Image(media=Media(id="m", status="stored", url="http://example.com/a.jpg")))
        )

    assert account.calls() == []


async def fetched(account: Account, native: str, max_bytes: int = 1000) -> Any:
    return await account.node().fetch_media(Media(id="m", status="pending", provider_id=native), max_bytes=max_bytes)


async def test_files_come_down_with_the_token_and_stickers_without(account: Account) -> None:
    account.cloud.files["325710"] = (b"sound", "audio/x-m4a")

    sound, sticker = await fetched(account, "325710"), await fetched(account, "446/1988")
    with pytest.raises(TooLarge):
        await fetched(account, "325710", max_bytes=3)

    assert (sound.data, sound.mime) == (b"sound", "audio/x-m4a")
    assert sticker.mime == "image/png"
    assert account.cloud.named("content")[0].bearer == TOKEN
    assert account.cloud.named("sticker")[0].bearer == ""


async def test_what_line_still_prepares_is_asked_for_again_and_what_it_cannot_prepare_is_not(account: Account) -> None:
    account.cloud.preparing.add("1")
    account.cloud.broken.add("2")

    with pytest.raises(Deferred) as waiting:
        await fetched(account, "1")
    with pytest.raises(Refused, match="could not prepare"):
        await fetched(account, "2")

    assert waiting.value.retry_after == 5.0


async def test_what_line_has_no_more_is_refused(account: Account) -> None:
    account.cloud.fail_next(told(410, "Gone"))

    with pytest.raises(Refused):
        await fetched(account, "325710")


async def test_content_of_others_is_fetched_through_the_guard_and_without_our_token(account: Account) -> None:
    found = await fetched(account, f"{account.cloud.url}/sticker/1/android/sticker.png")
    with pytest.raises(SendError):
        await fetched(account, "http://169.254.169.254/latest/meta-data")
    with pytest.raises(SendError):
        await fetched(account, "../../oauth2/v2.1/verify")

    assert found.mime == "image/png"
    assert account.cloud.calls[-1].bearer == ""


async def test_names_are_asked_for_once_and_go_with_the_message(account: Account) -> None:
    node = account.node(profiles=True)
    async with running(node) as taken:
        for number in (1, 2):
            await post(node, signed(item(number)))

    events = [next(iter(node.codec.decode(raw))) for raw in taken]
    for event in events:
        assert isinstance(event, Event)
        sender = event.params.message.sender  # type: ignore[attr-defined]
        assert (sender.name, sender.locale) == ("Person 0001", "ja")
    assert len(account.cloud.named("profile")) == 1


async def test_a_name_line_does_not_tell_keeps_no_message_waiting(account: Account) -> None:
    account.cloud.unknown.add(ADA)
    node = account.node(profiles=True)
    async with running(node) as taken:
        reply = await post(node, signed(item(1)))

    assert reply.status == 200
    (event,) = node.codec.decode(taken[0])
    assert isinstance(event, Event)
    assert event.params.message.sender.name is None  # type: ignore[attr-defined]


async def test_the_doctor_tells_bot_webhook_quota_and_token(account: Account) -> None:
    found = await account.node().probe()

    assert (found["basic_id"], found["chat"]) == ("@216ru", True)
    assert found["webhook"]["active"] is True
    assert found["webhook_test"]["success"] is True
    assert found["quota"] == {"type": "none"}
    assert found["token_expires_in_secs"] == 2_591_977
    assert account.reports == [("channel_access_token", None, None)]


async def test_a_token_that_ends_soon_degrades_the_channel(account: Account) -> None:
    account.cloud.expires_in = 3600

    await account.node().probe()

    ((component, reason, until),) = account.reports
    assert component == "channel_access_token"
    assert reason
    assert until is not None


async def test_the_doctor_tells_what_it_may_not_ask_and_fails_without_a_right_token(account: Account) -> None:
    account.cloud.pass_next()
    account.cloud.fail_next(403)
    assert (await account.node().probe())["webhook"]["error"] == "misconfigured"

    account.cloud.options = replace(config(), channel_access_token=Secret("another"))
    with pytest.raises(Misconfigured, match="channel_access_token"):
        await account.node().probe()
