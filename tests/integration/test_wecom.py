"""WeCom apps against WeCom as the simulator plays it, and against wechatpy's cryptography."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from wechatpy.enterprise import parse_message
from wechatpy.enterprise.crypto import WeChatCrypto

from connectors.errors import (
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.http import TooLarge
from connectors.secrets import Secret
from connectors.wecom import WecomConfig
from gateway.simulate.api import Request, raw_post
from gateway.simulate.cloud import json_answer
from gateway.simulate.weixin_cloud import told
from normalizer import ids
from normalizer import parts as p
from normalizer.codecs import wechat_xml
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams
from normalizer.model import Address, MessageRef
from normalizer.parts import Media
from tests.kind_lab import JPEG, Lab, events, open_lab, post, running

CORP, TOKEN, SECRET = "wx5823bf96d3bd56c7", "QDG6eK", "k4Xq7bW2mVn9sTzR5yLc8dHg1pJf6aEu0oQiBvNxMtA"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
OPTIONS = WecomConfig(
    corp_id=CORP, agent_id=218, secret=Secret(SECRET), token=Secret(TOKEN), encoding_aes_key=Secret(KEY), passive_secs=0
)
theirs = WeChatCrypto(TOKEN, KEY, CORP)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(OPTIONS, "wecom", tmp_path) as opened:
        yield opened


async def test_wechatpy_encrypts_a_delivery_and_we_take_it(lab: Lab) -> None:
    body = (
        f"<xml><ToUserName>{CORP}</ToUserName><FromUserName>ada</FromUserName><CreateTime>1795176000</CreateTime>"
        "<MsgType>text</MsgType><Content>你好</Content><MsgId>1</MsgId><AgentID>218</AgentID></xml>"
    )
    timestamp, nonce = str(int(time.time())), "1372623149"
    sealed = theirs.encrypt_message(body, nonce, timestamp)
    proof = wechat_xml.read(sealed.encode())["MsgSignature"]
    request = raw_post(sealed.encode(), "text/xml").adding(
        query={"msg_signature": proof, "timestamp": timestamp, "nonce": nonce}
    )
    node = lab.node()

    async with running(node) as taken:
        reply = await post(node, request)

    assert (reply.status, reply.body) == (200, b"success")
    (event,) = events(node, taken)
    assert event.params.message.text == "你好"  # type: ignore[attr-defined]


async def test_wechatpy_reads_what_the_simulator_sends(lab: Lab) -> None:
    request = lab.signed(lab.item(text="你好"))

    proof = (request.query["msg_signature"], request.query["timestamp"], request.query["nonce"])
    message = parse_message(theirs.decrypt_message(request.body, *proof))

    assert (message.type, message.content, message.agent) == ("text", "你好", 218)


async def test_wechatpy_shakes_hands(lab: Lab) -> None:
    timestamp, nonce = str(int(time.time())), "abc"
    sealed = wechat_xml.read(theirs.encrypt_message("4711", nonce, timestamp).encode())
    query = {
        "msg_signature": sealed["MsgSignature"],
        "timestamp": timestamp,
        "nonce": nonce,
        "echostr": sealed["Encrypt"],
    }
    node = lab.node()

    answers = [
        await post(node, Request(method="GET", query=query)),
        await post(node, Request(method="GET", query={**query, "nonce": "xyz"})),
        await post(node, Request(method="GET", query={})),
    ]

    assert [(reply.status, reply.body) for reply in answers] == [(200, b"4711"), *[(403, b"unauthorized")] * 2]


async def test_what_is_for_another_corp_is_refused(lab: Lab) -> None:
    stranger = lab.simulator(corp_id="wwanother")
    request = stranger.sign(stranger.delivery([lab.item()]), time.time())
    node = lab.node()

    async with running(node) as taken:
        assert (await post(node, request)).status == 403

    assert taken == []


async def test_a_reply_in_time_is_the_answer_and_wechatpy_reads_it(lab: Lab) -> None:
    node = lab.node(passive_secs=2.0)
    request = lab.signed(lab.item(number=9))
    conversation = ids.conversation_id(lab.channel.id, "simulated000001")
    reply = lab.message(p.Text(body="re: 你好"), to="simulated000001", conversation=conversation, in_response_to=None)
    async with running(node), asyncio.TaskGroup() as group:
        held = group.create_task(post(node, request))
        await asyncio.sleep(0.1)
        sent = await node.send(reply)

    fields = wechat_xml.read(held.result().body)
    proof = (fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"])
    said = wechat_xml.read(theirs.decrypt_message(held.result().body, *proof).encode())
    assert sent.metadata == {"passive": True}
    assert (said["Content"], said["ToUserName"], said["FromUserName"]) == ("re: 你好", "simulated000001", CORP)
    assert lab.sent() == []


@pytest.mark.parametrize(
    "part",
    [
        p.Text(body="**bold**", format="markdown"),
        p.Text(body="long " * 1000),
        p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="1", title="one"),)),
        p.File(media=Media(id="m", status="stored", provider_id="MEDIA_1")),
    ],
)
async def test_what_no_http_answer_can_carry_goes_by_the_api(lab: Lab, part: Any) -> None:
    node = lab.node(passive_secs=0.4)
    async with running(node), asyncio.TaskGroup() as group:
        held = group.create_task(post(node, lab.signed()))
        await asyncio.sleep(0.1)
        user = "simulated000001"
        await node.send(lab.message(part, to=user, conversation=ids.conversation_id(lab.channel.id, user)))

    assert held.result().body == b"success"
    assert lab.sent()


async def test_one_access_token_serves_all_nodes_and_is_renewed_once(lab: Lab) -> None:
    nodes = [lab.node() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for number, node in enumerate(nodes):
            group.create_task(node.send(lab.message(id=f"msg_{number}")))
    assert len(lab.cloud.named("token")) == 1

    lab.cloud.expire()
    await nodes[0].send(lab.message(id="msg_3"))

    assert len(lab.cloud.named("token")) == 2
    assert len(lab.sent()) == 5, "one call was refused"


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        (-1, Unreachable, True),
        (45009, Throttled, True),
        (45033, Throttled, True),
        (81013, RecipientGone, False),
        (60011, RecipientGone, False),
        (60020, Misconfigured, False),
        (48002, Misconfigured, False),
        (95001, WindowClosed, False),
        (40007, Refused, False),
        (99999, Refused, False),
    ],
)
async def test_an_error_code_has_one_meaning(lab: Lab, code: int, kind: type[SendError], *, retryable: bool) -> None:
    node = lab.node()
    await node.send(lab.message())
    lab.cloud.fail_next(told(code, f"words of {code} {SECRET}"))

    with pytest.raises(kind) as caught:
        await node.send(lab.message(id="msg_2"))

    assert (caught.value.provider_code, caught.value.retryable) == (str(code), retryable)
    assert SECRET not in f"{caught.value} {caught.value.provider_text}"


async def test_a_recipient_that_wecom_leaves_out_is_an_error_although_wecom_says_ok(lab: Lab) -> None:
    lab.cloud.unlicensed.add("ada")
    lab.cloud.gone.add("bob")
    for user in ("ada", "bob"):
        with pytest.raises(RecipientGone):
            await lab.node().send(lab.message(to=user))


async def test_wrong_credentials_are_told_as_a_state_of_the_channel(lab: Lab) -> None:
    with pytest.raises(Misconfigured, match="secret"):
        await lab.node(secret=Secret("wrong")).send(lab.message())
    await lab.node().send(lab.message())

    assert lab.reports == [("access_token", False), ("access_token", True)]


async def test_what_answers_is_not_wecom(lab: Lab) -> None:
    node = lab.node()
    await node.send(lab.message())
    lab.cloud.fail_next(replace(json_answer({}), body=b"<html>welcome</html>"))

    with pytest.raises(Unreachable, match="api_base"):
        await node.send(lab.message(id="msg_2"))


async def test_the_party_of_an_event_and_the_bare_user_id_are_the_same_address(lab: Lab) -> None:
    node = lab.node()
    for to in ("ada", f"{CORP}/ada", "1000003/ada"):
        await node.send(lab.message(to=to))

    assert [(body["touser"], body["agentid"]) for body in lab.sent()] == [("ada", 218), ("ada", 218), ("ada", 1000003)]


@pytest.mark.parametrize("to", ["@all", "@ALL", "ada|bob", "wwother/ada", "", "218/"])
async def test_nobody_writes_to_many_or_to_another_corp_by_mistake(lab: Lab, to: str) -> None:
    with pytest.raises(Unsendable):
        await lab.node().send(lab.message(to=to))


async def test_an_address_of_another_scheme_is_refused(lab: Lab) -> None:
    with pytest.raises(Unsendable):
        await lab.node().send(replace(lab.message(), to=Address(scheme="wechat", value="oAda")))


async def test_a_file_is_uploaded_once_however_often_the_message_is_tried(lab: Lab) -> None:
    node, picture = lab.node(), p.Image(media=await lab.picture())
    await node.send(lab.message())
    lab.cloud.pass_next()
    lab.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(lab.message(picture, id="msg_2"))
    await node.send(lab.message(picture, id="msg_2"))

    (upload,) = lab.cloud.named("upload")
    assert upload.query["type"] == "image"
    assert upload.files["media"] == ("image.jpg", "image/jpeg", JPEG)
    assert lab.sent()[-1]["image"] == lab.sent()[-2]["image"]
    assert lab.sent()[-1]["image"]["media_id"].startswith("MEDIA_")


async def test_a_file_keeps_its_name_and_a_foreign_file_is_uploaded(lab: Lab) -> None:
    foreign = Media(id="m", status="stored", url=f"{lab.cloud.url}/cgi-bin/media/get", name="x.jpg", mime="image/jpeg")
    report = await lab.picture(b"%PDF report", mime="application/pdf", name="报告.pdf")
    await lab.node().send(lab.message(p.File(media=report)))
    with pytest.raises(SendError):  # the URL needs a token, so what comes is an error
        await lab.node().send(lab.message(p.Image(media=replace(foreign, url=f"{lab.cloud.url}/nothing")), id="msg_2"))

    assert lab.cloud.named("upload")[0].files["media"][0] == "报告.pdf"


async def test_the_picture_of_a_card_is_linked_and_the_others_of_the_message_uploaded(lab: Lab) -> None:
    picture = await lab.picture()
    card = p.Card(items=(p.CardItem(title="New", media=picture),))
    await lab.node().send(lab.message(card, p.Image(media=picture)))

    news, image = lab.sent()
    assert news["news"]["articles"][0]["picurl"].startswith("https://gw.example/media/")
    assert image["image"] == {"media_id": "MEDIA_1"}


@pytest.mark.parametrize(
    ("mime", "data", "part"),
    [
        ("audio/mpeg", b"x" * 100, p.Audio),
        ("audio/amr", b"x" * (2 * 1024 * 1024 + 1), p.Audio),
        ("image/png", b"x", p.Image),
    ],
)
async def test_what_wecom_takes_no_file_of_is_refused_before_it_is_sent(
    lab: Lab, mime: str, data: bytes, part: Any
) -> None:
    media = await lab.picture(data, mime=mime)

    with pytest.raises(Refused, match="WeCom takes"):
        await lab.node().send(lab.message(part(media=media)))

    assert lab.cloud.named("upload") == []


async def test_media_come_down_as_file_and_as_error(lab: Lab) -> None:
    node = lab.node()
    media = Media(id="m", status="pending", provider_id="simulated-1")

    picture = await node.fetch_media(media, max_bytes=1000)
    with pytest.raises(Refused) as gone:
        await node.fetch_media(replace(media, provider_id="expired"), max_bytes=1000)
    with pytest.raises(TooLarge):
        await node.fetch_media(media, max_bytes=3)

    assert (picture.mime, picture.name) == ("image/jpeg", "simulated-1.jpg")
    assert gone.value.provider_code == "40007"


async def test_a_message_is_recalled_by_the_id_it_got(lab: Lab) -> None:
    node = lab.node()
    (native,) = (await node.send(lab.message())).provider_ids

    params = DeleteParams(channel=lab.channel.id, message=MessageRef(provider_id=native))
    await node.perform("message.delete", params)
    with pytest.raises(Refused):
        await node.perform("message.delete", params)


async def test_the_doctor_tells_token_app_and_handshake(lab: Lab) -> None:
    found = await lab.node().probe()

    assert 7000 < found["access_token"]["expires_in_secs"] <= 7200
    assert found["handshake"] == "ok"
    assert found["app"] == {"name": "Simulated app", "closed": False}


async def test_the_doctor_tells_rights_from_credentials(lab: Lab) -> None:
    node = lab.node()
    await node.send(lab.message())
    lab.cloud.fail_next(told(301002, "not allow operate agent"))
    found = await node.probe()
    lab.cloud.fail_next(told(60020, "not allow to access from your ip"))

    assert found["app"]["provider_code"] == "301002"
    with pytest.raises(Misconfigured, match="trusted IPs"):
        await node.probe()


async def test_the_same_user_id_in_two_corps_is_two_contacts(lab: Lab) -> None:
    node = lab.node()
    other = lab.simulator(corp_id="wwother")
    async with running(node) as taken:
        await post(node, lab.signed())
    raw = taken[0]
    elsewhere = replace(raw, body=other.delivery([lab.item()]).body)

    ours, theirs_ = (events(node, [one])[0].params.message.sender.id for one in (raw, elsewhere))  # type: ignore[attr-defined]

    assert ours != theirs_
