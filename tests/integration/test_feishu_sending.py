"""Feishu channels against Feishu as the simulator plays it: proofs, tokens, messages, files, requests, errors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.feishu_config import FeishuConfig
from connectors.feishu_crypto import Crypto
from connectors.http import TooLarge
from connectors.secrets import Secret
from gateway.simulate.api import json_post, raw_post
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.feishu_cloud import content_of
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, ReactParams, TypingParams
from normalizer.model import Address, MessageRef
from tests.kind_lab import JPEG, Lab, events, open_lab, post, running

SECRET, TOKEN, KEY = "dskLLdkasdjlasdKKsimulated0001ab", "rvaYgkND1iWu5MHE0fsbvC0h", "kudryavka29481simulatedkey07"
OPTIONS = FeishuConfig(
    app_id="cli_9f5343c580712544",
    app_secret=Secret(SECRET),
    verification_token=Secret(TOKEN),
    encrypt_key=Secret(KEY),
)
PLAIN = FeishuConfig(app_id="cli_9f5343c580712544", app_secret=Secret(SECRET), verification_token=Secret(TOKEN))
SHOP = "oc_shop"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(OPTIONS, "feishu", tmp_path) as opened:
        yield opened


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(PLAIN, "feishu", tmp_path) as opened:
        yield opened


def said(lab: Lab, *content: p.AnyPart, **fields: Any) -> Any:
    return lab.message(*content, **{"to": SHOP, **fields})


def about(native: str, **more: Any) -> dict[str, Any]:
    to = Address(scheme="feishu", value=SHOP)
    return {"channel": "shop-feishu", "to": to, "message": MessageRef(provider_id=native), **more}


# Deliveries.


async def test_a_message_that_comes_again_under_another_event_id_is_the_same(lab: Lab) -> None:
    node, simulator = lab.node(), lab.simulator()
    first = simulator.delivery([lab.item()])
    second = raw_post(first.body.replace(b"simulated-1", b"simulated-2"))
    async with running(node) as taken:
        for one in (first, second):
            assert (await post(node, simulator.sign(one, time.time()))).status == 200
        before, after = ([event.key for event in events(node, [raw])] for raw in taken)

    assert before == after
    assert len(before) == 1


async def test_who_is_who_is_told_once(lab: Lab) -> None:
    node = lab.node()
    told = node.codec.links
    async with running(node) as taken:
        await post(node, lab.signed(lab.item(number=1)))
        await post(node, lab.signed(lab.item(number=2)))

    assert [told(raw) for raw in taken] == [[], []]
    assert [event.method for event in events(lab.node(), taken[:1])] == ["message.received", "contact.identified"]


async def test_a_press_is_answered_with_what_is_configured(lab: Lab) -> None:
    quiet, loud = lab.node(), lab.node(card_toast="Thank you")
    answers = []
    for node in (quiet, loud):
        async with running(node):
            answers += [(await post(node, lab.signed(lab.item(content)))).body for content in ("press", "text")]

    assert answers == [b"{}", b"{}", b'{"toast":{"type":"success","content":"Thank you"}}', b"{}"]


async def test_without_a_key_the_token_proves_a_delivery(plain: Lab) -> None:
    node, simulator = plain.node(), plain.simulator()
    forger = plain.simulator(verification_token=Secret("another"))
    both = [plain.item("text"), plain.item("old")]
    async with running(node) as taken:
        right = [(await post(node, simulator.sign(simulator.delivery([one]), 0))).status for one in both]
        wrong = [(await post(node, forger.sign(forger.delivery([one]), 0))).status for one in both]
        bare = (await post(node, raw_post(b"not JSON"))).status
        shaken = [await post(node, one.handshake(0).request) for one in (simulator, forger)]

    assert (right, wrong, bare, len(taken)) == ([200, 200], [401, 401], 401, 2)
    assert [reply.status for reply in shaken] == [200, 401]


async def test_with_a_key_nothing_plain_is_accepted_but_for_the_right_reason(lab: Lab) -> None:
    """The token alone is in every event, so it must not be enough."""
    node = lab.node()
    crypto = Crypto(KEY)
    handshake = {"challenge": "c", "token": TOKEN, "type": "url_verification"}
    event = lab.simulator().delivery([lab.item()]).body.replace(b'"token":"simulated"', f'"token":"{TOKEN}"'.encode())
    attempts = {
        "plain event": raw_post(event),
        "plain handshake": json_post(handshake),
        "encrypted event, unsigned": json_post({"encrypt": crypto.encrypt(event)}),
        "encrypted handshake, wrong token": json_post(
            {"encrypt": crypto.encrypt(msgspec.json.encode({**handshake, "token": "guessed"}))}
        ),
        "not encrypted at all": json_post({"encrypt": "AAAA"}),
        "large": json_post({"encrypt": crypto.encrypt(msgspec.json.encode({**handshake, "more": "x" * 5000}))}),
    }
    async with running(node) as taken:
        answers = {name: (await post(node, request)).status for name, request in attempts.items()}

    assert set(answers.values()) == {401}, answers
    assert taken == []


async def test_what_cannot_be_decrypted_is_kept_as_it_came(lab: Lab) -> None:
    node, other = lab.node(), Crypto("another key")
    request = json_post({"encrypt": other.encrypt(b"{}")})
    crypto, at = Crypto(KEY), str(int(time.time()))
    signature = crypto.signature(at, "n", request.body).hex()
    headers = {"X-Lark-Request-Timestamp": at, "X-Lark-Request-Nonce": "n", "X-Lark-Signature": signature}
    async with running(node) as taken:
        assert (await post(node, request.adding(headers=headers))).status == 200

    assert [raw.body for raw in taken] == [request.body]


# Messages.


async def test_an_expired_token_is_replaced_and_nodes_share_it(lab: Lab) -> None:
    first, second = lab.node(), lab.node()
    await first.send(said(lab, id="msg_1"))
    await second.send(said(lab, id="msg_2"))
    asked = len(lab.cloud.named("token"))
    lab.cloud.expire()
    await first.send(said(lab, id="msg_3"))

    assert (asked, len(lab.cloud.named("token")), len(lab.cloud.messages)) == (1, 2, 3)


async def test_a_wrong_secret_is_a_matter_of_settings(lab: Lab) -> None:
    with pytest.raises(Misconfigured, match="app_secret"):
        await lab.node(app_secret=Secret("wrong")).send(said(lab))

    assert lab.reports == [("access_token", False)]


async def test_a_message_whose_answer_got_lost_is_sent_once(lab: Lab) -> None:
    sent = [await lab.node().send(said(lab)) for _ in range(2)]

    assert sent[0] == sent[1]
    assert len(lab.cloud.messages) == 1


async def test_a_try_goes_on_where_the_last_was_broken_off(lab: Lab) -> None:
    node, message = lab.node(), said(lab, p.Text(body="one"), p.Text(body="two"))
    lab.cloud.pass_next(2)
    lab.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message)
    sent = await node.send(message)

    assert [content_of(lab.cloud.messages[one])["text"] for one in sent.provider_ids] == ["one", "two"]


async def test_an_answer_in_a_thread_stays_there(lab: Lab) -> None:
    (root,) = (await lab.node().send(said(lab, id="msg_root"))).provider_ids
    (native,) = (await lab.node().send(said(lab, id="msg_answer", thread=root))).provider_ids

    assert lab.cloud.messages[native]["root_id"] == root
    assert lab.cloud.messages[native]["thread_id"]
    with pytest.raises(Unsendable, match="om_"):
        await lab.node().send(said(lab, thread="omt_d4be107c616a"))


async def test_files_are_uploaded_once_and_as_what_they_are(lab: Lab) -> None:
    node = lab.node()
    picture = p.Image(media=await lab.picture())
    voice = p.Audio(media=await lab.picture(b"OggS", mime="audio/ogg", duration_ms=2000))
    song = p.Audio(media=await lab.picture(b"ID3", mime="audio/mpeg", name="song.mp3"))
    clip = p.Video(media=await lab.picture(b"....ftyp", mime="video/mp4"))
    paper = p.File(media=await lab.picture(b"%PDF", mime="application/pdf", name="报告.pdf"))
    message = said(lab, picture, voice, song, clip, paper)
    lab.cloud.pass_next(6)
    lab.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message)
    sent = await node.send(message)

    uploads = lab.cloud.named("upload_file")
    assert [call.form["file_type"] for call in uploads] == ["opus", "stream", "mp4", "pdf"]
    assert (uploads[0].form["duration"], uploads[3].files["file"][0]) == ("2000", "报告.pdf")
    assert len(lab.cloud.named("upload_image")) == 1
    kinds = [lab.cloud.messages[one]["msg_type"] for one in sent.provider_ids]
    assert kinds == ["image", "audio", "file", "media", "file"]


class Shop(Cloud):
    """Somebody who has a picture."""

    @route("GET", "/box.jpg")
    def box(self, call: Call) -> Answer:
        return Answer(body=JPEG, content_type="image/jpeg")


async def test_a_foreign_file_is_uploaded_too(lab: Lab) -> None:
    async with Shop() as shop:
        media = p.Media(id="m", status="pending", url=f"{shop.url}/box.jpg")
        (native,) = (await lab.node().send(said(lab, p.Image(media=media)))).provider_ids

    assert lab.cloud.files[content_of(lab.cloud.messages[native])["image_key"]] == (JPEG, "image")


async def test_files_beyond_the_limits_are_refused_here(lab: Lab) -> None:
    large = p.Image(media=await lab.picture(bytes(10 * 1024 * 1024 + 1)))
    empty = p.File(media=await lab.picture(b""))
    with pytest.raises(TooLarge):
        await lab.node().send(said(lab, large))
    with pytest.raises(Refused):
        await lab.node().send(said(lab, empty))

    assert lab.cloud.named("upload_image") == []


async def test_a_received_file_is_fetched_by_message_and_key(lab: Lab) -> None:
    node = lab.node()
    async with running(node) as taken:
        await post(node, lab.signed(lab.item("image")))
    media = events(node, taken)[0].params.message.parts[0].media  # type: ignore[attr-defined]
    fetched = await node.fetch_media(media, max_bytes=1000)
    called = lab.cloud.named("resource")[0]

    assert fetched.data.startswith(b"\xff\xd8")
    assert (fetched.mime, fetched.name) == ("image/jpeg", "img_simulated1")
    assert (called.query["type"], called.match["id"]) == ("image", "om_simulated1")
    with pytest.raises(TooLarge):
        await node.fetch_media(media, max_bytes=3)
    for native in ("om_1/image/img_unknown", "https://evil.example/x", "om_1/../x", ""):
        with pytest.raises(Refused):
            await node.fetch_media(p.Media(id="m", status="pending", provider_id=native), max_bytes=1000)


# Other requests.


async def test_a_text_and_a_card_are_changed_and_taken_back(lab: Lab) -> None:
    node = lab.node()
    (text,) = (await node.send(said(lab))).provider_ids
    card = p.Card(items=(p.CardItem(title="Tea", media=await lab.picture()),))
    (shown,) = (await node.send(said(lab, card, id="msg_2"))).provider_ids
    await node.perform("message.edit", EditParams(**about(text), text="changed"))
    await node.perform("message.edit", EditParams(**about(shown), parts=(p.Card(items=(p.CardItem(title="Cake"),)),)))
    contents = [content_of(lab.cloud.messages[one]) for one in (text, shown)]
    for _ in range(2):  # the second time it is gone, which is as good
        await node.perform("message.delete", DeleteParams(**about(text)))

    assert contents[0] == {"text": "changed"}
    assert contents[1]["header"]["title"]["content"] == "Cake"
    assert text not in lab.cloud.messages
    with pytest.raises(Refused):
        await node.perform("message.edit", EditParams(**about(text), text="too late"))


@pytest.mark.parametrize("parts", [(), (p.Text(body="one"), p.Text(body="two")), (p.Contact(name="ou_ada"),)])
async def test_what_no_edit_can_say_is_refused(lab: Lab, parts: tuple[p.AnyPart, ...]) -> None:
    with pytest.raises(Unsendable):
        await lab.node().perform("message.edit", EditParams(**about("om_1"), parts=parts))


async def test_reactions_are_given_and_ours_are_taken_back(lab: Lab) -> None:
    node = lab.node()
    for emoji in ("👍", "❤️", ":OKR:"):
        await node.perform("reaction.send", ReactParams(**about("om_1"), emoji=emoji))
    theirs = {"reaction_id": "r", "operator": {"operator_id": "ou_ada", "operator_type": "user"}}
    given = lab.cloud.messages["om_1"]["reactions"]
    kinds = [one["reaction_type"]["emoji_type"] for one in given.values()]
    given.update({f"r{number}": {**theirs, "reaction_id": f"r{number}"} for number in range(60)})  # a second page
    last = {"reaction_id": "z", "operator": {"operator_id": OPTIONS.app_id, "operator_type": "app"}}
    given["z"] = last
    await node.perform("reaction.send", ReactParams(**about("om_1"), emoji=""))

    assert kinds == ["THUMBSUP", "HEART", "OKR"]
    assert len(given) == 60
    assert {one["operator"]["operator_type"] for one in given.values()} == {"user"}


async def test_other_requests_are_refused_by_name(lab: Lab) -> None:
    with pytest.raises(Unsendable, match=r"typing\.send"):
        await lab.node().perform("typing.send", TypingParams(channel="c", to="oc_shop"))
    with pytest.raises(Unsendable, match=r"message\.provider_id"):
        await lab.node().perform("message.delete", DeleteParams(**about("../../bot/v3/info")))


# Errors.


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        (230002, RecipientGone, False),
        (230013, RecipientGone, False),
        (230053, RecipientGone, False),
        (232009, RecipientGone, False),
        (230006, Misconfigured, False),
        (230027, Misconfigured, False),
        (99991672, Misconfigured, False),
        (230001, Refused, False),
        (230025, Refused, False),
        (999999, Refused, False),
        (230020, Throttled, True),
        (99991400, Throttled, True),
        (230049, Unreachable, True),
    ],
)
async def test_errors_mean_what_the_table_says(lab: Lab, code: int, kind: type[SendError], *, again: bool) -> None:
    await lab.node().send(said(lab))
    lab.cloud.fail_next(json_answer({"code": code, "msg": f"told {SECRET}"}, 400))
    with pytest.raises(SendError) as caught:
        await lab.node().send(said(lab, id="msg_2"))

    assert type(caught.value) is kind
    assert (caught.value.retryable, caught.value.provider_code) == (again, str(code))
    assert SECRET not in f"{caught.value!r}{caught.value.provider_text}"


async def test_slow_down_says_for_how_long(lab: Lab) -> None:
    await lab.node().send(said(lab))
    lab.cloud.fail_next(429, retry_after=52)
    with pytest.raises(Throttled) as caught:
        await lab.node().send(said(lab, id="msg_2"))

    assert caught.value.retry_after == 52


async def test_what_answers_is_not_feishu(lab: Lab) -> None:
    lab.cloud.fail_next(Answer(body=b"<html>It works!</html>", content_type="text/html"))
    with pytest.raises(Unreachable, match="api_base"):
        await lab.node().send(said(lab))


async def test_the_doctor_tells_who_the_bot_is_and_whether_it_is_on(lab: Lab) -> None:
    sound = await lab.node().probe()
    lab.cloud.bot_status = 1
    sick = await lab.node().probe()

    assert (sound["app_name"], [check.ok for check in sound["checks"]]) == ("Simulated bot", [True, True])
    assert [check.ok for check in sick["checks"]] == [True, False]
    assert 7000 < sound["access_token"]["expires_in_secs"] <= 7200


def test_a_channel_without_a_key_is_remarked_upon() -> None:
    assert [one.path for one in PLAIN.remarks(shared=False)] == ["encrypt_key"]
    assert list(OPTIONS.remarks(shared=False)) == []
