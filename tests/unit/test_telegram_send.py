"""What the Telegram codec writes; the cases themselves are files in ``tests/payloads/telegram``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import InlineKeyboardMarkup, ReactionTypeEmoji, ReplyParameters

from normalizer import parts as p
from normalizer.codecs.telegram import TelegramCodec
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.raw import Outbound, Wire
from normalizer.split import utf16_length

PAYLOADS = Path(__file__).parent.parent / "payloads" / "telegram"
ANN = Address(scheme="telegram", value="5200300400")
THAT = MessageRef(provider_id="1001")


def encode(*parts: p.AnyPart, to: Address = ANN, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    message = Outbound(id="msg_1", channel=ChannelRef(id="tg", type="telegram"), to=to, parts=parts, **fields)
    return [call(wire) for wire in TelegramCodec().encode(message)]


def call(wire: Wire) -> tuple[str, dict[str, Any]]:
    return wire.url, json.loads(wire.body)


def request(method: str, params: Params) -> tuple[str, dict[str, Any]]:
    return call(TelegramCodec().request(method, params))


def button(item_id: str, url: str | None = None) -> p.Choice:
    return p.Choice(kind="buttons", body="Well?", items=(p.ChoiceItem(id=item_id, title="Yes", url=url),))


@given(st.lists(st.sampled_from(["word ", "line\n", "👨‍👩‍👧‍👦", "x" * 600, "é"]), min_size=1, max_size=60).map("".join))
def test_a_long_text_becomes_messages_that_fit_and_together_say_the_same(text: str) -> None:
    bodies = [body["text"] for _, body in encode(p.Text(body="." + text))]

    assert "".join(bodies).split() == ("." + text).split()
    assert all(0 < utf16_length(body) <= 4096 for body in bodies)


def test_a_text_of_exactly_the_limit_in_utf16_units_is_one_message() -> None:
    assert len(encode(p.Text(body="😀" * 2048))) == 1
    assert len(encode(p.Text(body="😀" * 2049))) == 2


def test_the_keyboard_stands_under_the_last_piece_of_a_long_question() -> None:
    choice = p.Choice(kind="buttons", body="why? " * 2000, items=(p.ChoiceItem(id="a", title="A"),))
    calls = encode(choice, reply_to=THAT)

    assert ["reply_markup" in body for _, body in calls] == [False, False, True]
    assert ["reply_parameters" in body for _, body in calls] == [True, False, False]


def test_an_independent_library_reads_the_keyboard_and_the_reply() -> None:
    (_, body), *_ = encode(button("yes"), reply_to=THAT)

    markup = InlineKeyboardMarkup.de_json(body["reply_markup"], None)
    assert markup.inline_keyboard[0][0].callback_data == "yes"
    assert ReplyParameters.de_json(body["reply_parameters"], None).message_id == 1001


def test_a_caption_as_long_as_allowed_stays_with_its_picture() -> None:
    media = p.Media(id="m", status="stored", provider_id="F1", caption="x" * 1024)
    longer = p.Media(id="m", status="stored", provider_id="F1", caption="x" * 1025)

    assert [url for url, _ in encode(p.Image(media=media))] == ["/sendPhoto"]
    assert [url for url, _ in encode(p.Image(media=longer))] == ["/sendPhoto", "/sendMessage"]


@pytest.mark.parametrize(
    ("part", "need"),
    [
        (p.System(event="x"), "system"),
        (p.Text(body=" \n "), "blank text"),
        (p.Image(media=p.Media(id="m", status="pending")), "image without `provider_id` or `url`"),
        (p.Contact(name="Bob"), "contact without a phone number"),
        (button("x" * 65), "choice item id of more than 64 bytes, or none"),
        (button("€" * 22), "choice item id of more than 64 bytes, or none"),
        (p.Choice(kind="buttons", body="Well?"), "choice without items"),
        (p.Choice(kind="form", body="Well?"), "choice of kind form"),
        (
            p.Choice(kind="cta_url", body="Well?", items=(p.ChoiceItem(id="a", title="A"),)),
            "choice of kind cta_url with an item without `url`",
        ),
    ],
)
def test_what_telegram_cannot_show_is_refused_by_name(part: p.AnyPart, need: str) -> None:
    with pytest.raises(Unsendable) as caught:
        encode(part)

    assert caught.value.need == need
    assert caught.value.have


def test_a_callback_of_64_bytes_and_a_link_with_a_long_id_pass() -> None:
    assert encode(button("x" * 64))
    assert encode(button("x" * 65, "https://shop.example"))


@pytest.mark.parametrize("value", ["", "Ann", "+4930123456", "12 34", "a/b/12", "12/", "\uff11\uff12"])
def test_an_address_that_is_no_chat_is_refused(value: str) -> None:
    with pytest.raises(Unsendable):
        encode(p.Text(body="x"), to=Address(scheme="telegram", value=value))


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(Unsendable):
        encode(p.Text(body="x"), to=Address(scheme="tel", value="5200300400"))


def test_edits_replace_text_keyboards_and_media() -> None:
    where = {"channel": "tg", "to": ANN, "message": THAT}
    picture = p.Image(media=p.Media(id="m", status="stored", provider_id="F2", caption="New"))

    assert request("message.edit", EditParams(**where, text="New")) == (
        "/editMessageText",
        {"chat_id": 5200300400, "message_id": 1001, "text": "New"},
    )
    url, body = request("message.edit", EditParams(**where, parts=(button("yes"),)))
    assert (url, "inline_keyboard" in body["reply_markup"]) == ("/editMessageText", True)
    assert request("message.edit", EditParams(**where, parts=(picture,))) == (
        "/editMessageMedia",
        {"chat_id": 5200300400, "message_id": 1001, "media": {"type": "photo", "media": "F2", "caption": "New"}},
    )


@pytest.mark.parametrize("parts", [(), (p.Text(body="x" * 5000),), (p.Text(body="a"), p.Text(body="b"))])
def test_an_edit_is_one_message_or_refused(parts: tuple[p.AnyPart, ...]) -> None:
    with pytest.raises(Unsendable):
        request("message.edit", EditParams(channel="tg", to=ANN, message=THAT, parts=parts))


def test_other_requests_become_their_calls() -> None:
    where = {"channel": "tg", "to": "5200300400", "message": THAT}

    assert request("message.delete", DeleteParams(**where))[0] == "/deleteMessage"
    url, body = request("reaction.send", ReactParams(**where, emoji="👍"))
    assert url == "/setMessageReaction"
    assert ReactionTypeEmoji.de_json(body["reaction"][0], None).emoji == "👍"
    assert request("reaction.send", ReactParams(**where))[1]["reaction"] == []
    assert request("typing.send", TypingParams(channel="tg", to=ANN)) == (
        "/sendChatAction",
        {"chat_id": 5200300400, "action": "typing"},
    )


def test_business_chats_have_calls_of_their_own() -> None:
    business = Address(scheme="telegram", value="vVr6kAcA/5200300400")

    assert request("message.delete", DeleteParams(channel="tg", to=business, message=THAT)) == (
        "/deleteBusinessMessages",
        {"business_connection_id": "vVr6kAcA", "message_ids": [1001]},
    )
    assert request("receipt.send", ReceiptSendParams(channel="tg", to=business, message=THAT))[0] == (
        "/readBusinessMessage"
    )
    with pytest.raises(Unsendable, match="outside a business chat"):
        request("receipt.send", ReceiptSendParams(channel="tg", to=ANN, message=THAT))


@pytest.mark.parametrize(
    "params",
    [
        DeleteParams(channel="tg", message=THAT),
        DeleteParams(channel="tg", to=ANN, message=MessageRef(id="msg_1")),
        DeleteParams(channel="tg", to=ANN, message=MessageRef(provider_id="callback:1")),
    ],
)
def test_a_request_about_a_message_needs_the_chat_and_telegrams_id(params: DeleteParams) -> None:
    with pytest.raises(Unsendable, match="without"):
        request("message.delete", params)
