"""lark_oapi is Feishu's own: it verifies and reads what the simulator sends, and talks to the simulated API.

Its calls block, so they run in threads: what answers them runs in the loop of the test.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import lark_oapi as lark
import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from lark_oapi.api.im import v1 as im
from lark_oapi.core.model import RawRequest
from msgspec.structs import replace

from connectors.feishu_config import FeishuConfig
from connectors.secrets import Secret
from gateway.simulate.api import Request, json_post
from gateway.simulate.feishu import FeishuSimulator
from gateway.simulate.feishu_cloud import FeishuCloud, content_of
from tests.contract import channel_fixtures as fixtures
from tests.kind_lab import JPEG, Lab, events, open_lab, post, running

APP, SECRET = "cli_9f5343c580712544", "dskLLdkasdjlasdKKsimulated0001ab"
TOKEN, KEY = "rvaYgkND1iWu5MHE0fsbvC0h", "kudryavka29481simulatedkey07"
OPTIONS = FeishuConfig(app_id=APP, app_secret=Secret(SECRET), verification_token=Secret(TOKEN), encrypt_key=Secret(KEY))
KNOWN = {
    "im.message.receive_v1": "p2_im_message_receive_v1",
    "im.message.message_read_v1": "p2_im_message_message_read_v1",
    "im.message.recalled_v1": "p2_im_message_recalled_v1",
    "im.message.reaction.created_v1": "p2_im_message_reaction_created_v1",
    "im.message.reaction.deleted_v1": "p2_im_message_reaction_deleted_v1",
    "im.chat.member.bot.added_v1": "p2_im_chat_member_bot_added_v1",
    "im.chat.member.bot.deleted_v1": "p2_im_chat_member_bot_deleted_v1",
    "im.chat.member.user.added_v1": "p2_im_chat_member_user_added_v1",
    "im.chat.member.user.deleted_v1": "p2_im_chat_member_user_deleted_v1",
    "im.chat.member.user.withdrawn_v1": "p2_im_chat_member_user_withdrawn_v1",
    "im.chat.updated_v1": "p2_im_chat_updated_v1",
    "im.chat.disbanded_v1": "p2_im_chat_disbanded_v1",
    "im.chat.access_event.bot_p2p_chat_entered_v1": "p2_im_chat_access_event_bot_p2p_chat_entered_v1",
    "application.bot.menu_v6": "p2_application_bot_menu_v6",
    "contact.user.updated_v3": "p2_contact_user_updated_v3",
    "card.action.trigger": "p2_card_action_trigger",
    "url.preview.get": "p2_url_preview_get",
}
OLD = ("message", "message_read", "p2p_chat_create", "add_bot", "remove_bot", "add_user_to_chat", "approval_instance")


def handler(token: str = "simulated") -> tuple[Any, list[Any]]:
    """Build their receiver, and a list of what it reads; `token` is that of the simulator's events."""
    seen: list[Any] = []

    def take(data: Any) -> dict[str, Any]:
        seen.append(data)
        return {}

    builder = lark.EventDispatcherHandler.builder(KEY, token)
    for name in KNOWN.values():
        getattr(builder, f"register_{name}")(take)
    for name in OLD:
        builder.register_p1_customized_event(name, take)
    return builder.build(), seen


def card_handler() -> tuple[Any, list[Any]]:
    """Build their receiver of the older callbacks of cards."""
    seen: list[Any] = []
    return lark.CardActionHandler.builder(KEY, TOKEN).register(seen.append).build(), seen


def raw(request: Request) -> RawRequest:
    made = RawRequest()
    made.uri, made.headers, made.body = "/", request.headers, request.body
    return made


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(OPTIONS, "feishu", tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("content", FeishuSimulator.contents)
async def test_the_sdk_verifies_decrypts_and_reads_what_the_simulator_sends(lab: Lab, content: str) -> None:
    theirs, seen = card_handler() if content == "old-press" else handler()

    answer = theirs.do(raw(lab.signed(lab.item(content))))

    assert (answer.status_code, len(seen)) == (200, 1), answer.content


def old_card(body: bytes, *, token: str = TOKEN, ago: float = 0.0) -> Request:
    """Sign as their SDK checks it (`lark_oapi.card`)."""
    at, nonce = str(int(time.time() - ago)), "nonce"
    signature = hashlib.sha1((at + nonce + token).encode() + body).hexdigest()
    proof = {"X-Lark-Request-Timestamp": at, "X-Lark-Request-Nonce": nonce, "X-Lark-Signature": signature}
    return Request(body=body, headers={"Content-Type": "application/json", **proof})


@pytest.mark.parametrize("key", [Secret(KEY), None])
async def test_an_older_callback_of_a_card_is_a_choice_and_once(lab: Lab, key: Secret | None) -> None:
    node, simulator = lab.node(encrypt_key=key), lab.simulator(encrypt_key=key)
    plain = (fixtures.ROOT / "feishu" / "old-card.in.json").read_bytes()
    presses = [simulator.delivery([lab.item("old-press", number)]) for number in (1, 2)]

    async with running(node) as taken:
        replies = [await post(node, simulator.sign(one, time.time())) for one in (*presses, presses[0])]
        replies.append(await post(node, old_card(plain)))
    found = [one for one in events(node, taken) if one.method == "message.received"]

    assert [(one.status, one.body) for one in replies] == [(200, b"{}")] * 4
    assert [one.params.message.parts[0].item_id for one in found] == ["yes"] * 3 + ['{"key":"value"}']  # type: ignore[attr-defined]
    assert (found[0].key != found[1].key, found[0].key) == (True, found[2].key)


async def test_the_older_signature_is_good_for_older_callbacks_only(lab: Lab) -> None:
    card, event = ((fixtures.ROOT / "feishu" / f"{name}.in.json").read_bytes() for name in ("old-card", "text"))
    node = lab.node()

    async with running(node) as taken:
        forged = [old_card(event), old_card(card, token="another"), old_card(card, ago=9 * 3600), old_card(b"")]
        forged.append(replace(old_card(card), body=card.replace(b'"value"', b'"other"')))
        statuses = [(await post(node, one)).status for one in forged]

    assert (statuses, taken) == ([401] * 5, [])


async def test_the_sdk_refuses_what_is_signed_with_another_key(lab: Lab) -> None:
    theirs, seen = handler()
    simulator = lab.simulator(encrypt_key=Secret("another"))

    answer = theirs.do(raw(simulator.sign(simulator.delivery([lab.item()]), time.time())))

    assert (answer.status_code, seen) == (500, [])


async def test_the_sdk_answers_the_simulated_handshake(lab: Lab) -> None:
    theirs, _ = handler(TOKEN)
    handshake = lab.simulator().handshake(time.time())
    assert handshake is not None

    answer = theirs.do(raw(handshake.request))

    assert handshake.complaint(answer.status_code, answer.content) is None


def sealed(body: bytes) -> Request:
    """Encrypt and sign as Feishu's page says, with other people's cryptography."""
    vector = os.urandom(16)
    cipher = AES.new(hashlib.sha256(KEY.encode()).digest(), AES.MODE_CBC, vector)
    encrypted = base64.b64encode(vector + cipher.encrypt(pad(body, 16))).decode()
    request = json_post({"encrypt": encrypted})
    at, nonce = str(int(time.time())), "nonce"
    signature = hashlib.sha256((at + nonce + KEY).encode() + request.body).hexdigest()
    return request.adding(
        headers={"X-Lark-Request-Timestamp": at, "X-Lark-Request-Nonce": nonce, "X-Lark-Signature": signature}
    )


async def test_what_others_encrypt_and_sign_is_accepted(lab: Lab) -> None:
    body = (fixtures.ROOT / "feishu" / "mention.in.json").read_bytes()
    node = lab.node()

    async with running(node) as taken:
        reply = await post(node, sealed(body))

    assert (reply.status, [one.body for one in taken]) == (200, [body])
    assert events(node, taken)[0].params.message.text == "@Tom 文本消息 @_all"  # type: ignore[attr-defined]


UNREAD = {"card-text-value"}
"""A card's value may be text, says Feishu's page; the SDK wants an object."""
EXAMPLES = [
    path for kind, path in fixtures.files("in") if kind == "feishu" and path.name.partition(".")[0] not in UNREAD
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_sdk_reads_every_example(path: Path) -> None:
    theirs, seen = handler()
    told = json.loads(path.read_bytes())
    kind = told.get("header", {}).get("event_type") or told.get("event", {}).get("type")
    if kind not in {*KNOWN, *OLD}:
        assert "future" in path.name or kind is None, "an event the SDK has another name for"
        return

    theirs._do_without_validation(path.read_bytes())

    assert len(seen) == 1


class Sdk:
    """Their client, each call in a thread."""

    def __init__(self, url: str) -> None:
        made = (
            lark.Client.builder().app_id(APP).app_secret(SECRET).domain(url).log_level(lark.LogLevel.CRITICAL).build()
        )
        assert made.im is not None
        self.im = made.im.v1

    async def call(self, of: Any, request: Any) -> Any:
        return await asyncio.to_thread(of, request)

    async def create(self, kind: str, content: dict[str, Any], to: str = "oc_shop", uuid: str = "") -> Any:
        body = im.CreateMessageRequestBody.builder().receive_id(to).msg_type(kind).content(json.dumps(content))
        request = im.CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.uuid(uuid).build())
        return await self.call(self.im.message.create, request.build())


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FeishuCloud]:
    monkeypatch.setattr(lark.core.token.manager.TokenManager, "cache", lark.core.cache.LocalCache())
    async with FeishuCloud(OPTIONS) as opened:
        yield opened


async def test_the_sdks_client_finds_the_simulated_api_to_be_feishus(cloud: FeishuCloud) -> None:
    sdk = Sdk(cloud.url)
    sent = await sdk.create("text", {"text": "hello"}, uuid="u-1")
    again = await sdk.create("text", {"text": "hello"}, uuid="u-1")
    native = sent.data.message_id
    reply_body = im.ReplyMessageRequestBody.builder().msg_type("text").content('{"text":"yes"}')
    reply_body = reply_body.reply_in_thread(reply_in_thread=True)
    reply = im.ReplyMessageRequest.builder().message_id(native).request_body(reply_body.build()).build()
    replied = await sdk.call(sdk.im.message.reply, reply)
    edit_body = im.UpdateMessageRequestBody.builder().msg_type("text").content('{"text":"changed"}').build()
    edit = im.UpdateMessageRequest.builder().message_id(native).request_body(edit_body).build()
    edited = await sdk.call(sdk.im.message.update, edit)

    assert (sent.success(), native == again.data.message_id) == (True, True)
    assert (replied.data.parent_id, bool(replied.data.thread_id)) == (native, True)
    assert (edited.success(), content_of(cloud.messages[native])) == (True, {"text": "changed"})

    gone = await sdk.call(sdk.im.message.delete, im.DeleteMessageRequest.builder().message_id(native).build())
    assert (gone.success(), native in cloud.messages) == (True, False)


async def test_the_sdk_reacts_and_lists_reactions(cloud: FeishuCloud) -> None:
    sdk = Sdk(cloud.url)
    emoji = im.Emoji.builder().emoji_type("THUMBSUP").build()
    body = im.CreateMessageReactionRequestBody.builder().reaction_type(emoji).build()
    create = im.CreateMessageReactionRequest.builder().message_id("om_1").request_body(body).build()
    made = await sdk.call(sdk.im.message_reaction.create, create)
    listing = im.ListMessageReactionRequest.builder().message_id("om_1").build()
    listed = await sdk.call(sdk.im.message_reaction.list, listing)
    undo = im.DeleteMessageReactionRequest.builder().message_id("om_1").reaction_id(made.data.reaction_id).build()
    undone = await sdk.call(sdk.im.message_reaction.delete, undo)

    assert listed.data.items[0].operator.operator_id == APP
    assert (made.success(), undone.success()) == (True, True)


async def test_the_sdk_uploads_and_downloads(cloud: FeishuCloud) -> None:
    sdk = Sdk(cloud.url)
    image = im.CreateImageRequestBody.builder().image_type("message").image(("a.jpg", JPEG, "image/jpeg")).build()
    shown = await sdk.call(sdk.im.image.create, im.CreateImageRequest.builder().request_body(image).build())
    file = im.CreateFileRequestBody.builder().file_type("pdf").file_name("a.pdf").file(("a.pdf", b"%PDF", "text/plain"))
    kept = await sdk.call(sdk.im.file.create, im.CreateFileRequest.builder().request_body(file.build()).build())
    fetch = im.GetMessageResourceRequest.builder().message_id("om_1").file_key(shown.data.image_key).type("image")
    fetched = await sdk.call(sdk.im.message_resource.get, fetch.build())
    sent = await sdk.create("file", {"file_key": kept.data.file_key})

    assert fetched.file.read() == JPEG
    assert (fetched.file_name, sent.success()) == (shown.data.image_key, True)


async def test_the_sdk_reads_the_simulated_errors(cloud: FeishuCloud) -> None:
    cloud.outside["oc_closed"] = 230002
    sdk = Sdk(cloud.url)
    answers = [
        await sdk.create("text", {"text": "x"}, to="oc_closed"),
        await sdk.create("text", {"text": "x"}, to="nobody"),
        await sdk.create("text", {"text": "x"}, uuid="u" * 51),
        await sdk.create("hologram", {}),
        await sdk.create("image", {"image_key": "img_of_somebody"}),
        await sdk.create("text", {"text": "x" * 160_000}),
    ]

    assert [answer.code for answer in answers] == [230002, 230001, 230001, 230001, 230001, 230025]
