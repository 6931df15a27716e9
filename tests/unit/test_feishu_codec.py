"""Feishu's wire format beyond the examples: cryptography, names, emoji, who is who, and what the limits are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.errors import Unauthorized
from connectors.feishu_crypto import Crypto
from normalizer import parts as p
from normalizer.codecs.feishu import FeishuCodec
from normalizer.codecs.feishu_emoji import EMOJI, emoji, emoji_name
from normalizer.codecs.feishu_frame import moment
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.model import Address, ChannelRef, MessageParams
from normalizer.raw import Event, Outbound, RawEvent
from tests.contract import channel_fixtures as fixtures

REF = ChannelRef(id="team", type="feishu")
ROOT = fixtures.ROOT / "feishu"


def raw(body: Any) -> RawEvent:
    return RawEvent(channel=REF, kind="feishu", body=json.dumps(body).encode(), received_at=datetime.now(UTC))


def example(name: str) -> Any:
    return json.loads((ROOT / f"{name}.in.json").read_bytes())


def read(body: Any) -> list[Event]:
    return [one for one in FeishuCodec().decode(raw(body)) if isinstance(one, Event)]


def message(*parts: p.AnyPart, **fields: Any) -> Outbound:
    to = Address(scheme="feishu", value="oc_shop")
    return Outbound(**{"id": "msg_1", "channel": REF, "to": to, "parts": parts, **fields})


def test_the_example_of_feishus_page_is_decrypted() -> None:
    assert Crypto("test key").decrypt("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=") == b"hello world"


@given(st.binary(max_size=200), st.text(min_size=1))
def test_what_is_encrypted_can_be_read_by_whoever_has_the_key(plain: bytes, key: str) -> None:
    try:
        crypto = Crypto(key)
    except UnicodeEncodeError:
        return

    assert crypto.decrypt(crypto.encrypt(plain)) == plain


@pytest.mark.parametrize("sealed", ["", "AAAA", "not Base64!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])
def test_what_is_not_encrypted_is_named(sealed: str) -> None:
    with pytest.raises(MalformedPayload):
        Crypto("key").decrypt(sealed)


@pytest.mark.parametrize("name", ["x-lark-signature", "x-lark-request-timestamp", "x-lark-request-nonce"])
def test_each_part_of_a_signature_is_looked_at(name: str) -> None:
    crypto = Crypto("key")
    headers = {"x-lark-request-timestamp": "1", "x-lark-request-nonce": "n"}
    headers["x-lark-signature"] = crypto.signature("1", "n", b"{}").hex()

    crypto.check(headers, b"{}")
    with pytest.raises(Unauthorized):
        crypto.check({**headers, name: "0" + headers[name][1:] + "0"}, b"{}")


def test_both_schemas_name_a_message_alike() -> None:
    old, new = example("old-text"), example("text")
    new["event"]["message"]["message_id"] = old["event"]["open_message_id"]

    assert read(old)[0].key == read(new)[0].key


def test_a_recall_waits_for_its_message() -> None:
    (recalled,) = read(example("message-recalled"))
    said = example("text")
    said["event"]["message"]["message_id"] = "om_dc13264520392913993dd051dba21dcf"

    assert recalled.after == read(said)[0].key


def test_other_events_are_known_by_their_event_id() -> None:
    told = example("reaction-created")
    again = {**told, "header": {**told["header"], "event_id": "another"}}

    assert read(told)[0].key == read(told)[0].key != read(again)[0].key


def test_who_is_told_of_is_not_told_of_again() -> None:
    told = raw(example("text"))
    links = FeishuCodec().links(told)

    assert len(links) == 1
    assert [one.method for one in FeishuCodec(links).decode(told) if isinstance(one, Event)] == ["message.received"]


def test_ten_names_do_not_mix() -> None:
    told = example("text")
    told["event"]["message"]["content"] = json.dumps({"text": "@_user_1 @_user_10"})
    told["event"]["message"]["mentions"] = [{"key": f"@_user_{n}", "name": f"name {n}"} for n in (1, 10)]
    params = read(told)[0].params

    assert isinstance(params, MessageParams)
    assert params.message.text == "@name 1 @name 10"


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000])
def test_times_are_read_in_seconds_milliseconds_and_microseconds(scale: int) -> None:
    assert moment(str(1_608_725_989 * scale)) == datetime(2020, 12, 23, 12, 19, 49, tzinfo=UTC)


def test_no_time_is_none() -> None:
    assert (moment(""), moment("0"), moment(None)) == (None, None, None)


@pytest.mark.parametrize("name", EMOJI)
def test_every_reaction_has_a_name_that_leads_back_to_its_picture(name: str) -> None:
    assert emoji(emoji_name(emoji(name))) == emoji(name)


def test_an_unusual_reaction_keeps_feishus_name() -> None:
    assert emoji("OKR") == ":OKR:"
    assert emoji_name(":OKR:") == emoji_name("OKR") == "OKR"


@given(st.text(st.characters(codec="utf-8"), max_size=300).filter(str.strip))
def test_a_text_is_sent_as_it_is_written(text: str) -> None:
    """As text, or as rich text where Feishu would take a part of it for mark-up."""
    said = []
    for wire in FeishuCodec().encode(message(p.Text(body=text))):
        body = json.loads(wire.body)
        content = json.loads(body["content"])
        if body["msg_type"] == "text":
            assert "<" not in content["text"]
            said.append(content["text"])
        else:
            lines = content["zh_cn"]["content"]
            said.append("\n".join("".join(piece["text"] for piece in line) for line in lines))

    assert "".join(said) == text


def test_each_call_of_a_message_has_a_name_of_its_own_that_lasts() -> None:
    def names() -> list[str]:
        wires = FeishuCodec().encode(message(p.Text(body="one"), p.Text(body="two")))
        return [json.loads(wire.body)["uuid"] for wire in wires]

    assert names() == names()
    assert len(set(names())) == 2
    assert all(len(name) <= 50 for name in names())


@pytest.mark.parametrize(
    "to",
    [
        Address(scheme="feishu", value="shop"),
        Address(scheme="feishu", value=""),
        Address(scheme="tel", value="+4930123456"),
        Address(scheme="mailto", value="nobody"),
    ],
)
def test_an_address_that_is_none_is_refused(to: Address) -> None:
    with pytest.raises(Unsendable):
        list(FeishuCodec().encode(replace(message(p.Text(body="hi")), to=to)))


@pytest.mark.parametrize(
    "part",
    [
        p.Text(body="   "),
        p.Text(body="<b>x</b>", format="html"),
        p.Image(media=p.Media(id="m", status="pending")),
        p.Image(media=p.Media(id="m", status="pending", provider_id="om_1/image/img_1")),
        p.Choice(kind="buttons", body="", items=(p.ChoiceItem(id="y", title="Yes"),)),
        p.Choice(kind="buttons", body="Which?"),
        p.Choice(kind="buttons", body="Which?", items=(p.ChoiceItem(id="", title="Yes"),)),
        p.Choice(kind="cta_url", body="Which?", items=(p.ChoiceItem(id="y", title="Yes"),)),
        p.Choice(kind="form", body="Which?", items=(p.ChoiceItem(id="y", title="Yes"),)),
        p.Card(items=()),
        p.Card(items=(p.CardItem(title=" "),)),
        p.Card(items=(p.CardItem(title="long", body="x" * 40_000),)),
        p.Card(items=(p.CardItem(title="Tea", media=p.Media(id="m", status="pending")),)),
    ],
)
def test_what_feishu_would_refuse_is_refused_by_name(part: p.AnyPart) -> None:
    with pytest.raises(Unsendable):
        list(FeishuCodec().encode(message(part)))


def test_a_long_caption_goes_on_in_a_text() -> None:
    caption = "word " * 1200
    wires = list(
        FeishuCodec().encode(
            message(p.Image(media=p.Media(id="m", status="pending", provider_id="k", caption=caption)))
        )
    )

    assert [json.loads(wire.body)["msg_type"] for wire in wires] == ["post", "text"]
