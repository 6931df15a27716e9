"""Viber's codec where the golden files do not reach: identity, limits, what cannot be shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import parts as p
from normalizer.codecs.viber import ViberCodec
from normalizer.codecs.viber_send import TEXT_MAX
from normalizer.errors import Unsendable
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart
from normalizer.raw import Event, Outbound, RawEvent

CHANNEL = ChannelRef(id="shop-viber", type="viber")
CODEC = ViberCodec("Shop")


def raw(event: str, token: int | str = 1, **fields: Any) -> RawEvent:
    body = json.dumps({"event": event, "timestamp": 1_795_000_000_000, "message_token": token, **fields}).encode()
    return RawEvent(channel=CHANNEL, kind="viber", body=body, received_at=datetime.now(UTC))


def one(event: str, token: int | str = 1, **fields: Any) -> Event:
    (found,) = CODEC.decode(raw(event, token, **fields))
    assert isinstance(found, Event)
    return found


def text(token: int | str = 1, user: str = "U1", **fields: Any) -> Event:
    return one("message", token, sender={"id": user}, message={"type": "text", "text": "hi"}, **fields)


def params(event: Event) -> Any:
    return event.params


def test_tokens_beyond_what_a_float_can_tell_apart_are_two_messages() -> None:
    first, second = text(2**62 + 1), text(2**62 + 2)

    assert first.key != second.key
    assert params(first).message.provider_id == str(2**62 + 1)


def test_a_token_written_as_text_is_the_same_token() -> None:
    assert text(4912661846655238145).key == text("4912661846655238145").key


def test_each_receipt_of_a_message_is_told_once_however_many_devices_tell_it() -> None:
    told = [one(event, 7, user_id="U1") for event in ("delivered", "delivered", "seen", "failed")]

    assert told[0].key == told[1].key
    assert len({event.key for event in told}) == 3
    assert [params(event).status for event in told] == ["delivered", "delivered", "read", "failed"]


@pytest.mark.parametrize("timestamp", [0, -5, 4_987_034_606_158_369_000])
def test_a_time_that_cannot_be_is_none(timestamp: int) -> None:
    assert params(text(timestamp=timestamp)).message.sent_at is None
    subscribed = one("subscribed", user={"id": "U1"}, timestamp=timestamp)
    assert abs((params(subscribed).at - datetime.now(UTC)).total_seconds()) < 60


def message(*parts: AnyPart, **fields: Any) -> Outbound:
    to = Address(scheme="viber", value="U1")
    return Outbound(**{"id": "msg_1", "channel": CHANNEL, "to": to, "parts": parts, **fields})


def sent(*parts: AnyPart, **fields: Any) -> list[dict[str, Any]]:
    return [json.loads(wire.body) for wire in CODEC.encode(message(*parts, **fields))]


@given(st.text(min_size=1, max_size=300).filter(str.strip), st.integers(1, 60))
def test_any_text_is_sent_whole_in_pieces_viber_takes(piece: str, times: int) -> None:
    texts = [found["text"] for found in sent(p.Text(body=piece * times))]

    assert all(len(found) <= TEXT_MAX for found in texts)
    assert "".join(texts).split() == (piece * times).split()


@given(st.text(min_size=1))
def test_no_title_becomes_markup(title: str) -> None:
    choice = p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="x", title=title, description="<br>"),))
    (button,) = sent(choice)[0]["keyboard"]["Buttons"]

    assert button["Text"].count("<") == 1, "our own line break"


def test_a_long_question_has_its_keyboard_under_the_last_piece() -> None:
    found = sent(p.Choice(kind="buttons", body="Why? " * 3000, items=(p.ChoiceItem(id="x", title="X"),)))

    assert ["keyboard" in body for body in found] == [False, False, True]


def items(number: int, **fields: Any) -> tuple[p.ChoiceItem, ...]:
    return tuple(p.ChoiceItem(id=f"i{index}", title=f"Item {index}", **fields) for index in range(number))


PICTURE = p.Media(id="m", status="stored", url="https://a.example/1.jpg")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6))
def test_every_card_fills_its_group(shapes: list[tuple[bool, int]]) -> None:
    made = [
        p.CardItem(title="t", media=PICTURE if pictured else None, items=items(number)) for pictured, number in shapes
    ]
    rich = sent(p.Carousel(items=tuple(made)))[0]["rich_media"]

    rows = [button["Rows"] for button in rich["Buttons"]]
    group, filled = rich["ButtonsGroupRows"], 0
    for count in rows:
        assert count >= 1
        filled += count
        assert filled % group == 0 or filled % group >= count % group, "no button is in two groups"
    assert filled == group * len(made)


@pytest.mark.parametrize(
    ("part", "need"),
    [
        (p.Choice(kind="form", body="?", items=items(1)), "kind form"),
        (p.Choice(kind="buttons", body=" ", items=items(1)), "without a question"),
        (p.Choice(kind="buttons", body="?"), "0 items"),
        (p.Choice(kind="list", body="?", items=items(25)), "25 items"),
        (p.Choice(kind="cta_url", body="?", items=items(2)), "`url`"),
        (p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id=" ", title="t"),)), "`id`"),
        (p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="x", title=""),)), "title"),
        (p.Card(items=(p.CardItem(title="t", items=items(6)),)), "too many choices"),
        (p.Card(items=(p.CardItem(title="t", media=PICTURE, items=items(3)),)), "too many choices"),
        (p.Carousel(items=()), "0 cards"),
        (p.Carousel(items=tuple(p.CardItem(title="t") for _ in range(7))), "7 cards"),
        (p.Image(media=p.Media(id="m", status="stored", provider_id="9")), "`url`"),
        (p.Video(media=PICTURE), "`size`"),
        (p.Sticker(media=p.Media(id="m", status="stored", provider_id="446/1988")), "sticker"),
        (p.Contact(name="Ada"), "phone number"),
        (p.Contact(name="Ada", phones=("1" * 19,)), "18"),
        (p.Text(body="  \n "), "blank"),
    ],
)
def test_what_viber_cannot_show_is_refused_by_name(part: AnyPart, need: str) -> None:
    with pytest.raises(Unsendable) as caught:
        sent(part)

    assert need in caught.value.need


def test_too_much_tracking_data_and_foreign_addresses_are_refused() -> None:
    with pytest.raises(Unsendable, match="tracking_data"):
        sent(p.Text(body="x"), metadata={"viber": {"tracking_data": "x" * 4097}})
    with pytest.raises(Unsendable, match="Viber user id"):
        sent(p.Text(body="x"), to=Address(scheme="tel", value="+4930"))


@pytest.mark.parametrize(
    ("reply", "user"),
    [
        (message(p.Text(body="1"), p.Text(body="2")), "U1"),
        (message(p.Text(body="1")), "U2"),
        (message(p.Text(body=" ")), "U1"),
        (message(p.System(event="x")), "U1"),
    ],
)
def test_a_greeting_is_one_message_to_whoever_opened_the_chat(reply: Outbound, user: str) -> None:
    assert CODEC.passive(reply, {"user": user}) is None


def test_a_greeting_is_written_like_any_message_without_receiver() -> None:
    greeting = message(p.Choice(kind="buttons", body="Welcome", items=items(2)))

    told = json.loads(CODEC.passive(greeting, {"user": "U1"}) or b"{}")

    assert {"receiver": "U1", **told} == sent(*greeting.parts)[0]
