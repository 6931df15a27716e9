"""The DingTalk connector against the robot API as the simulator plays it, over HTTP."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from connectors.dingtalk import PAST_SECS, TOGETHER_SECS, DingTalkConnector
from connectors.dingtalk_media import secure
from connectors.errors import (
    Deferred,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate.cloud import Answer
from gateway.simulate.dingtalk_cloud import JPEG, DingTalkCloud, refused, told
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, TypingParams
from normalizer.model import MessageRef
from normalizer.parts import AnyPart, ChoiceReply, Media
from normalizer.raw import Event, Outbound, RawEvent
from tests.dingtalk_bench import ADA, CHANNEL, GROUP, OUTSIDER, SECRET, config, connector, post, running, signed, to


class Account:
    """A cloud, a store that nodes share, and nodes."""

    def __init__(self, cloud: DingTalkCloud, store: EmbeddedDeduplicator, http: aiohttp.ClientSession, folder: Path):
        self.cloud, self.store, self.http, self.folder = cloud, store, http, folder
        self.now = time.time()

    def node(self, *, store: EmbeddedDeduplicator | None = None, **changes: Any) -> DingTalkConnector:
        options = config(self.cloud.url, **changes)
        return connector(options, self.folder, self.http, store or self.store, clock=lambda: self.now)

    async def receive(self, node: DingTalkConnector, *requests: Any) -> list[RawEvent]:
        async with running(node) as taken:
            assert [(await post(node, one)).status for one in requests] == [200] * len(requests)
            return list(taken)

    def said(self, number: int = 1, content: str = "text", **fields: Any) -> Any:
        return signed(self.cloud.url, number, content, self.now, **fields)


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        cloud = await stack.enter_async_context(DingTalkCloud(config()))
        yield Account(cloud, store, http, tmp_path)


def message(*content: AnyPart, native: str = ADA, **fields: Any) -> Outbound:
    parts = content or (p.Text(body="hi"),)
    return Outbound(**{"id": "msg_1", "channel": CHANNEL, "to": to(native), "parts": parts, **fields})


async def test_a_person_and_a_group_are_written_to_by_the_api_with_one_token(account: Account) -> None:
    node = account.node()
    first = await node.send(message())
    second = await node.send(message(native=GROUP, id="msg_2"))

    assert [account.cloud.messages[key]["msgKey"] for key in (*first.provider_ids, *second.provider_ids)] == [
        "sampleText"
    ] * 2
    assert len(account.cloud.named("token")) == 1
    assert account.cloud.named("send_person")[0].json()["userIds"] == [ADA]


async def test_a_conversation_is_answered_at_its_session_webhook_on_any_node(account: Account) -> None:
    await account.receive(account.node(), account.said(1, person=1), account.said(2, "group", person=1))
    node = account.node()
    sent = await node.send(message(p.Text(body="1"), p.Text(format="markdown", body="**2**")))
    await node.send(message(p.Text(body="all"), native=GROUP, id="msg_2"))

    assert sent.provider_ids == ()
    assert [(session, body["msgtype"]) for session, body in account.cloud.answered] == [
        ("simulated1", "text"),
        ("simulated1", "markdown"),
        ("simulated1", "text"),
    ]
    assert account.cloud.named("token") == []


async def test_buttons_are_what_a_session_webhook_takes_too(account: Account) -> None:
    await account.receive(account.node(), account.said())
    links = tuple(p.ChoiceItem(id=str(n), title=f"Item {n}", url=f"https://shop.example/{n}") for n in range(3))
    await account.node().send(
        message(
            p.Choice(kind="cta_url", body="Look", items=links), p.Choice(kind="cta_url", body="One", items=links[:1])
        )
    )

    three, one = (body["actionCard"] for _, body in account.cloud.answered)
    assert [button["actionURL"] for button in three["btns"]] == [item.url for item in links]
    assert (one["singleTitle"], one["singleURL"]) == ("Item 0", "https://shop.example/0")


@pytest.mark.parametrize("how", ["ended", "clock", "elsewhere", "option", "no-store"])
async def test_where_the_session_webhook_does_not_work_the_api_does(account: Account, how: str, tmp_path: Path) -> None:
    node = account.node(session=how != "option")
    request = account.said()
    if how == "elsewhere":
        request = signed("https://evil.example", now=account.now)
    await account.receive(node, request)
    if how == "ended":
        account.cloud.ended.add("simulated1")
    if how == "clock":
        account.now += 6000
    if how == "no-store":
        node = account.node(store=EmbeddedDeduplicator(tmp_path / "never-opened.db"))
    sent = await node.send(message())

    assert account.cloud.answered == []
    assert len(sent.provider_ids) == 1
    if how == "ended":
        await node.send(message(id="msg_2"))
        assert len(account.cloud.named("answer_session")) == 1, "what has ended is not tried again"


@pytest.mark.parametrize(
    "url",
    [
        "https://oapi.dingtalk.com.evil.example/robot/sendBySession?session=1",
        "https://oapi.dingtalk.com@evil.example/robot/sendBySession?session=1",
        "https://me@oapi.dingtalk.com/robot/sendBySession?session=1",
        "http://oapi.dingtalk.com/robot/sendBySession?session=1",
        "https://oapi.dingtalk.com:8443/robot/sendBySession?session=1",
        "https://oapi.dingtalk.com/robot/send?access_token=1",
        "https://oapi.dingtalk.com/robot/sendBySession/../send?access_token=1",
        "//oapi.dingtalk.com/robot/sendBySession",
        "file:///etc/passwd",
        "http://[::1",
        "",
    ],
)
async def test_no_answer_goes_to_an_address_that_is_not_dingtalks(account: Account, url: str) -> None:
    memory = account.node(webhook_base="https://oapi.dingtalk.com")._memory

    assert not memory.ours(url)
    assert memory.ours("https://oapi.dingtalk.com/robot/sendBySession?session=1")


async def test_somebody_outside_is_answered_while_the_session_lasts_and_not_after(account: Account) -> None:
    node = account.node(session=False)
    taken = await account.receive(node, account.said(1, "outsider"))
    ref = await BlobStore(account.folder).put(JPEG)
    ours = Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/jpeg")
    (event,) = node.codec.decode(taken[0])
    await node.send(message(p.Text(body="hi"), p.Image(media=ours), native=OUTSIDER))
    account.now += 6000
    with pytest.raises(WindowClosed):
        await node.send(message(native=OUTSIDER, id="msg_2"))

    assert isinstance(event, Event)
    assert event.params.conversation is not None
    assert event.params.conversation.provider_id == OUTSIDER
    assert "https://gw.example/media/" in account.cloud.answered[1][1]["markdown"]["text"]
    assert account.cloud.named("send_person") == []


async def test_what_people_tap_is_a_choice_reply_and_what_they_type_is_text(account: Account) -> None:
    node = account.node()
    items = (p.ChoiceItem(id="yes-7", title="Yes, please "), p.ChoiceItem(id="no-7", title="No"))
    await node.send(message(p.Choice(kind="buttons", body="Shall we?", items=items)))
    tapped, typed, stranger = await account.receive(
        account.node(),
        account.said(1, text="Yes, please"),
        account.said(2, text="Perhaps"),
        account.said(3, text="No", person=2),
    )

    def parts(raw: RawEvent) -> Any:
        (event,) = node.codec.decode(raw)
        return event.params.message.parts  # type: ignore[union-attr]

    assert parts(tapped) == (ChoiceReply(item_id="yes-7", title="Yes, please"),)
    assert parts(typed) == (p.Text(body="Perhaps"),)
    assert parts(stranger) == (p.Text(body="No"),)


async def test_a_signature_serves_others_of_the_same_millisecond_and_nobody_later(account: Account) -> None:
    node = account.node()
    first, second, third = (account.said(number, person=number) for number in (1, 2, 3))
    assert first.headers == second.headers, "DingTalk signs the time alone"
    async with running(node) as taken:
        together = [(await post(node, one)).status for one in (first, second)]
        account.now += TOGETHER_SECS + 1
        later = [(await post(node, one)).status for one in (first, third)]

    assert (together, later, len(taken)) == ([200, 200], [200, 401], 3)


@pytest.mark.parametrize(("age", "status"), [(0, 200), (PAST_SECS - 10, 200), (PAST_SECS + 10, 401), (-400, 401)])
async def test_a_signature_is_good_for_an_hour(account: Account, age: float, status: int) -> None:
    node = account.node()
    request = signed(account.cloud.url, now=account.now - age)
    async with running(node):
        assert (await post(node, request)).status == status


async def test_a_message_is_signed_as_dingtalk_says() -> None:
    """The rule of https://open.dingtalk.com/document/orgapp/receive-message, computed with openssl."""
    request = signed("", now=1577262236.757)

    assert request.headers["timestamp"] == "1577262236757"
    assert request.headers["sign"] == "36gvXxi3O/o4VflyBzJ5Si+c7hrhlI0ulCNiyOL18ZY="


@pytest.mark.parametrize(
    ("part", "key", "kind"),
    [
        (p.Image(media=Media(id="m", status="stored", mime="image/jpeg")), "sampleImageMsg", "image"),
        (p.Audio(media=Media(id="m", status="stored", mime="audio/amr", voice=True)), "sampleAudio", "voice"),
        (p.Video(media=Media(id="m", status="stored", mime="video/mp4")), "sampleFile", "video"),
        (p.File(media=Media(id="m", status="stored", name="a.pdf")), "sampleFile", "file"),
        (p.File(media=Media(id="m", status="stored", name="a.odt")), "sampleLink", None),
        (p.Audio(media=Media(id="m", status="stored", mime="audio/flac")), "sampleLink", None),
    ],
)
async def test_a_file_of_ours_is_uploaded_or_linked_where_dingtalk_takes_no_such_files(
    account: Account, part: Any, key: str, kind: str | None
) -> None:
    data = b"\0\0\0\x18ftypmp42 a film"
    ref = await BlobStore(account.folder).put(data)
    sent = await account.node().send(
        message(replace(part, media=replace(part.media, sha256=ref.removeprefix("sha256:"))))
    )

    told_ = account.cloud.messages[sent.provider_ids[0]]
    assert told_["msgKey"] == key
    assert [call.form["type"] for call in account.cloud.named("upload")] == ([kind] if kind else [])
    if kind:
        assert [hashlib.sha256(one).hexdigest() for one in account.cloud.uploads.values()] == [ref[7:]]
        assert next(iter(account.cloud.uploads)) in told_["msgParam"]
    else:
        assert "https://gw.example/media/" in msgspec.json.decode(told_["msgParam"])["messageUrl"]


async def test_what_a_person_sent_is_fetched_by_its_code_without_our_token(account: Account) -> None:
    node = account.node()
    found = await node.fetch_media(Media(id="m", status="pending", provider_id="simulated-1"), max_bytes=1000)
    with pytest.raises(SendError):
        await node.fetch_media(Media(id="m", status="pending", provider_id="wrong"), max_bytes=1000)
    account.cloud.fail_next(Answer(body=b'{"downloadUrl":"http://169.254.169.254/latest"}'))
    with pytest.raises(Refused):
        await account.node().fetch_media(Media(id="m", status="pending", provider_id="x"), max_bytes=1000)

    assert (found.data, found.mime) == (JPEG, "image/jpeg")
    assert "x-acs-dingtalk-access-token" not in account.cloud.named("file")[0].headers


@pytest.mark.parametrize(
    ("told_", "asked"),
    [
        ("http://oss.example/a%2Fb?Signature=x%2By%3D&a=1", "https://oss.example/a%2Fb?Signature=x%2By%3D&a=1"),
        ("https://oss.example/a", "https://oss.example/a"),
        ("http://files.internal/a", "http://files.internal/a"),
        ("http://oss.example:8080/a", "http://oss.example:8080/a"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_a_file_is_asked_for_by_https_and_its_signed_address_stays(told_: str, asked: str) -> None:
    assert secure(told_, ("files.internal",)) == asked


async def test_another_token_is_fetched_when_this_one_is_refused(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.tokens.clear()
    sent = await node.send(message(id="msg_2"))

    assert len(sent.provider_ids) == 1
    assert len(account.cloud.named("token")) == 2


async def test_a_wrong_secret_is_our_mistake_and_shows_nowhere(account: Account) -> None:
    with pytest.raises(Misconfigured) as caught:
        await account.node(app_secret=Secret("another-secret")).send(message())

    assert "another-secret" not in f"{caught.value!r} {caught.value.provider_text}"


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (refused("Forbidden.AccessDenied.QpsLimitForApi", status=403), Throttled, True),
        (refused("Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", status=403), Throttled, True),
        (refused("send.too.fast"), Throttled, True),
        (refused("Forbidden.AccessDenied.AccessTokenPermissionDenied", status=403), Misconfigured, False),
        (refused("Forbidden.AccessDenied.IpNotInWhiteList", status=403), Misconfigured, False),
        (refused("invalidParameter.robotCode.auth"), Misconfigured, False),
        (refused("resource.not.found", status=404), Misconfigured, False),
        (refused("staffId.notExisted"), RecipientGone, False),
        (refused("invalid.openConversationId"), RecipientGone, False),
        (refused("invalidParameter.msgParam.invalid"), Refused, False),
        (refused("ServiceUnavailable", status=503), Unreachable, True),
        (refused("unknownError", status=500), Unreachable, True),
        (refused(f"of.the.future {SECRET}", status=418), Refused, False),
        (told(-1, "busy"), Unreachable, True),
        (told(90018, "too many"), Throttled, True),
        (told(310000, f"no {SECRET}"), Refused, False),
        (Answer(body=b"<html>", content_type="text/html"), Unreachable, True),
        (Answer(status=502, body=b"<html>", content_type="text/html"), Unreachable, True),
    ],
)
async def test_an_error_has_one_meaning(
    account: Account, answer: Answer, kind: type[SendError], *, retryable: bool
) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(answer)
    with pytest.raises(kind) as caught:
        await node.send(message(id="msg_2"))

    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert SECRET not in (caught.value.provider_text or "")


async def test_who_is_left_out_of_a_batch_of_one_got_nothing(account: Account) -> None:
    account.cloud.unlisted.add("nobody")
    account.cloud.limited.add("busy")
    for native, kind in (("nobody", RecipientGone), ("busy", Deferred)):
        with pytest.raises(kind):
            await account.node().send(message(native=native))


async def test_a_message_of_many_calls_goes_on_where_it_was_broken_off(account: Account) -> None:
    node = account.node()
    many = message(*(p.Text(body=str(number)) for number in range(3)))
    account.cloud.pass_next(2)
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(many)
    sent = await node.send(many)

    contents = [msgspec.json.decode(one["msgParam"])["content"] for one in account.cloud.messages.values()]
    assert contents == ["0", "1", "2"]
    assert len(set(sent.provider_ids)) == 3


async def test_a_message_is_recalled_once_and_one_without_id_never(account: Account) -> None:
    node = account.node()
    for native in (ADA, GROUP):
        sent = await node.send(message(native=native, id=f"msg_{native}"))
        asked = DeleteParams(channel=CHANNEL.id, message=MessageRef(provider_id=sent.provider_ids[0]), to=to(native))
        assert await node.perform("message.delete", asked) == {}
        with pytest.raises(Refused):
            await node.perform("message.delete", asked)
    with pytest.raises(Unsendable):
        await node.perform("message.delete", DeleteParams(channel=CHANNEL.id, message=MessageRef(id="x"), to=to()))
    with pytest.raises(Unsendable):
        await node.perform("typing.send", TypingParams(channel=CHANNEL.id, to=to()))

    assert account.cloud.messages == {}


async def test_no_session_webhook_gets_into_an_event(account: Account) -> None:
    node = account.node()
    taken = await account.receive(node, account.said(), account.said(2, "group"), account.said(3, "outsider"))

    for raw in taken:
        (event,) = node.codec.decode(raw)
        assert isinstance(event, Event)
        assert b"sendBySession" not in msgspec.json.encode(event.params)


async def test_the_doctor_tells_how_long_the_token_lasts(account: Account) -> None:
    assert (await account.node().probe())["access_token"]["expires_in_secs"] > 7000
