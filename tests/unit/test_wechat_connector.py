"""Who may deliver to a WeChat channel, in each of its modes; the contract suite plays the plain one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace
from wechatpy.crypto import WeChatCrypto

from connectors.errors import Busy
from connectors.nonces import Nonces
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from gateway.simulate.api import Item, Request
from gateway.state import ChannelState
from normalizer.codecs import wechat_xml
from normalizer.codecs.wechat import WechatCodec
from normalizer.raw import Event, RawEvent
from tests.contract import channel_fixtures as fixtures
from tests.kind_lab import connector, post, running
from tests.wechat_bench import AES_KEY, APP_ID, CHANNEL, TOKEN, config, signed


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedDeduplicator]:
    made = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await made.open()
    yield made
    await made.close()


async def test_an_encrypted_delivery_is_handed_over_decrypted(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    options = config()
    channel = connector(options, tmp_path, http, store)
    async with running(channel) as taken:
        reply = await post(channel, signed(options, Item(number=7, at=time.time(), text="你好")))

    assert (reply.status, reply.body) == (200, b"success")
    assert taken[0].security is not None
    assert taken[0].security.verified == "hmac"
    (event,) = channel.codec.decode(taken[0])
    assert isinstance(event, Event)
    assert event.params.message.text == "你好"  # type: ignore[attr-defined]


async def test_wechatpy_encrypts_a_delivery_and_we_take_it(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    timestamp, nonce = str(int(time.time())), "1372623149"
    body = "<xml><FromUserName>o</FromUserName><MsgType>text</MsgType><Content>hi</Content><MsgId>1</MsgId></xml>"
    sealed = WeChatCrypto(TOKEN, AES_KEY, APP_ID).encrypt_message(body, nonce, timestamp)
    proof = wechat_xml.read(sealed.encode())["MsgSignature"]
    query = {"msg_signature": proof, "timestamp": timestamp, "nonce": nonce, "encrypt_type": "aes"}
    channel = connector(config(), tmp_path, http, store)

    async with running(channel) as taken:
        reply = await post(channel, Request(query=query, headers={"Content-Type": "text/xml"}, body=sealed.encode()))

    assert reply.status == 200
    assert [raw.body for raw in taken] == [body.encode()]


def tampered(request: Request) -> dict[str, Request]:
    made = {"empty body": replace(request, body=b""), "no XML": replace(request, body=b"<xml><Encrypt>")}
    middle = len(request.body) // 2
    flipped = request.body[:middle] + bytes([request.body[middle] ^ 1]) + request.body[middle + 1 :]
    made["changed body"] = replace(request, body=flipped)
    made["plain body"] = replace(request, body=b"<xml><FromUserName>o</FromUserName></xml>")
    for name in ("msg_signature", "timestamp", "nonce"):
        query = {key: value for key, value in request.query.items() if key != name}
        made[f"without {name}"] = replace(request, query=query)
        made[f"another {name}"] = replace(request, query={**request.query, name: f"1{request.query[name][1:]}0"})
    return made


async def test_in_safe_mode_nothing_that_was_tampered_with_passes(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    options = config()
    channel = connector(options, tmp_path, http, store)
    requests = tampered(signed(options))
    requests["an hour old"] = signed(options, now=time.time() - 3600)
    requests["an hour early"] = signed(options, now=time.time() + 3600)
    requests["of another token"] = signed(config(token=Secret("another")))
    requests["for another app"] = signed(config(app_id="wxanotherapp"))
    requests["signed as if plain"] = signed(config(aes=False))

    async with running(channel) as taken:
        answers = {name: (await post(channel, request)).status for name, request in requests.items()}

    assert set(answers.values()) == {403}, answers
    assert taken == []


async def test_what_cannot_be_decrypted_is_kept_as_it_came(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    wrong = signed(config(encoding_aes_key=Secret(AES_KEY[::-1].replace("G", "E", 1))))
    channel = connector(config(), tmp_path, http, store)

    async with running(channel) as taken:
        reply = await post(channel, wrong)

    assert reply.status in {200, 403}  # 403 where the padding fits by chance, and the app id then does not
    assert [raw.body for raw in taken] == [wrong.body][: len(taken)]


@pytest.mark.parametrize("plain", [True, False])
async def test_compatible_mode_takes_both(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path, *, plain: bool
) -> None:
    channel = connector(config(mode="compatible"), tmp_path, http, store)
    request = signed(config(mode="plain" if plain else "aes"))
    async with running(channel) as taken:
        accepted = await post(channel, request)
        forged = await post(channel, replace(request, query={**request.query, "nonce": "other"}))

    assert (accepted.status, forged.status) == (200, 403)
    assert b"<Content>" in taken[0].body


async def test_of_a_delivery_in_compatible_mode_only_the_encrypted_part_counts(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    request = signed(config(), Item(number=1, at=time.time(), text="the truth"))
    forged = request.body.replace(b"<xml>", b"<xml><MsgType>text</MsgType><Content>a lie</Content>")
    channel = connector(config(mode="compatible"), tmp_path, http, store)

    async with running(channel) as taken:
        await post(channel, replace(request, body=forged))

    assert b"the truth" in taken[0].body
    assert b"a lie" not in taken[0].body


async def test_a_plain_signature_serves_one_body_on_all_nodes(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    options = config(aes=False)
    nodes = [connector(options, tmp_path, http, store) for _ in range(2)]
    first = signed(options, Item(number=1, at=time.time()))
    stolen = replace(first, body=first.body.replace(b"Hello", b"Goodbye"))

    statuses = []
    for channel in nodes:
        async with running(channel):
            statuses += [(await post(channel, one)).status for one in (first, stolen, first)]

    assert statuses == [200, 403, 200] * 2


async def test_without_the_store_a_node_still_knows_its_own_nonces(tmp_path: Path) -> None:
    away = ChannelState(EmbeddedDeduplicator(tmp_path / "never-opened.db"), "shop")
    nonces = Nonces(away, keep_secs=60)

    await nonces.check("1:n", b"body")
    await nonces.check("1:n", b"body")
    with pytest.raises(Exception, match="another body"):
        await nonces.check("1:n", b"other")


async def test_a_nonce_is_forgotten_after_its_time(tmp_path: Path) -> None:
    now = 0.0
    away = ChannelState(EmbeddedDeduplicator(tmp_path / "never-opened.db"), "shop")
    nonces = Nonces(away, keep_secs=60, clock=lambda: now)
    await nonces.check("1:n", b"body")

    now = 61.0

    await nonces.check("1:n", b"other")


async def test_the_handshake_wants_the_echo_back(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    channel = connector(config(), tmp_path, http)
    request = signed(config(aes=False))
    ask = replace(request, method="GET", body=b"", query={**request.query, "echostr": "7139<b>"})

    reply = await post(channel, ask)
    refused = await post(channel, replace(ask, query={**ask.query, "nonce": "other"}))
    bare = await post(channel, Request(method="GET"))

    assert (reply.status, reply.body, reply.content_type) == (200, b"7139<b>", "text/plain")
    assert (refused.status, bare.status) == (403, 403)


async def test_a_busy_gateway_asks_wechat_to_come_again(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    async def busy(_: RawEvent) -> Any:
        raise Busy(2.0)

    options = config(passive_secs=4.5)
    channel = connector(options, tmp_path, http, store)
    async with running(channel, busy):
        began = time.monotonic()
        reply = await post(channel, signed(options))

    assert reply.status == 503
    assert time.monotonic() - began < 3, "what was not accepted is not held"


@pytest.mark.parametrize("content", ["unsubscribe", "template"])
async def test_what_nobody_answers_is_not_held(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path, content: str
) -> None:
    options = config(passive_secs=4.5, identify=False)
    channel = connector(options, tmp_path, http, store)
    async with running(channel):
        began = time.monotonic()
        reply = await post(channel, signed(options, Item(number=1, at=time.time(), content=content)))

    assert reply.body == b"success"
    assert time.monotonic() - began < 3


async def test_a_mini_program_is_answered_at_once_and_sends_what_it_can(
    http: aiohttp.ClientSession, store: EmbeddedDeduplicator, tmp_path: Path
) -> None:
    options = config(aes=False, passive_secs=4.5, mini_program=True)
    channel = connector(options, tmp_path, http, store)
    body = {"ToUserName": "gh", "FromUserName": "o", "CreateTime": 1, "MsgType": "text", "Content": "x", "MsgId": 9}
    request = replace(signed(options), body=msgspec.json.encode(body))
    async with running(channel) as taken:
        began = time.monotonic()
        reply = await post(channel, request)

    assert reply.body == b"success"
    assert time.monotonic() - began < 3
    assert channel.capabilities.parts == ("text", "image", "card")
    (event,) = channel.codec.decode(taken[0])
    assert isinstance(event, Event)
    assert event.params.message.reply_window.mode == "session"  # type: ignore[attr-defined]


def test_a_message_says_until_when_its_reply_is_free(tmp_path: Path) -> None:
    codec = connector(config(passive_secs=4.5), tmp_path, None).codec  # type: ignore[arg-type]
    raw = make_raw(
        b"<xml><FromUserName>o</FromUserName><CreateTime>1795176000</CreateTime><MsgType>text</MsgType>"
        b"<Content>x</Content><MsgId>1</MsgId></xml>"
    )
    (event,) = codec.decode(raw)
    assert isinstance(event, Event)
    window = event.params.message.reply_window  # type: ignore[attr-defined]

    assert window.mode == "passive"
    assert (window.passive_deadline - raw.received_at).total_seconds() == 4.5
    assert (window.until - event.params.message.sent_at).total_seconds() == 48 * 3600  # type: ignore[attr-defined]


def make_raw(body: bytes) -> RawEvent:
    return RawEvent(channel=CHANNEL, kind="wechat", body=body, received_at=datetime.now(UTC), content_type="text/xml")


@pytest.mark.parametrize("mode", ["compatible", "aes"])
def test_encryption_without_a_key_is_a_clear_error(mode: str) -> None:
    with pytest.raises(ValueError, match="encoding_aes_key"):
        config(aes=False, mode=mode)


def test_the_same_message_id_of_two_people_is_two_messages(tmp_path: Path) -> None:
    codec = connector(config(aes=False), tmp_path, None).codec  # type: ignore[arg-type]
    text = "<xml><FromUserName>{}</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType><MsgId>1</MsgId></xml>"
    keys = set()
    for user in ("oAda", "oBob", "oAda"):
        (event,) = codec.decode(make_raw(text.format(user).encode()))
        assert isinstance(event, Event)
        keys.add(event.key)

    assert len(keys) == 2


def test_two_notifications_to_one_person_in_one_second_are_two_statuses() -> None:
    sent = (fixtures.ROOT / "wechat" / "notification-sent.in.xml").read_bytes()
    raw = fixtures.raw_event("wechat", fixtures.ROOT / "wechat" / "notification-sent.in.xml")
    other = replace(raw, body=sent.replace(b"1700827132819554304", b"1700827132819554305"))

    first, second = (next(iter(WechatCodec().decode(one))) for one in (raw, other))

    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert first.key != second.key
