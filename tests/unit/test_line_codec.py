"""LINE's codec where the golden files do not reach: identity, limits, what cannot be shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import parts as p
from normalizer.codecs.line import LineCodec
from normalizer.codecs.line_send import PER_CALL, TEXT_MAX, retry_key
from normalizer.codecs.line_template import short
from normalizer.errors import Unsendable
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart
from normalizer.raw import BadItem, Event, Outbound, RawEvent
from normalizer.split import utf16_length

CHANNEL = ChannelRef(id="shop-line", type="line")
GROUP = {"type": "group", "groupId": "C1", "userId": "U1"}


def raw(*events: dict[str, Any], **fields: Any) -> RawEvent:
    body = json.dumps({"destination": "U0", "events": events}).encode()
    return RawEvent(channel=CHANNEL, kind="line", body=body, received_at=datetime.now(UTC), **fields)


def told(kind: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    common = {"timestamp": 1_795_000_000_000 + number, "mode": "active", "source": GROUP}
    return {"type": kind, "webhookEventId": f"01{number:024}", **common, **fields}


def text(number: int = 1, native: str = "100", kind: str = "message", **fields: Any) -> dict[str, Any]:
    return told(kind, number, message={"type": "text", "id": native, "text": "hi", "quoteToken": "q"}, **fields)


def one(*events: dict[str, Any], **fields: Any) -> Event:
    (event,) = LineCodec().decode(raw(*events, **fields))
    assert isinstance(event, Event)
    return event


def params(event: Event) -> Any:
    return event.params


def test_an_unsend_and_an_edit_wait_for_the_message_they_are_about() -> None:
    received, edited = one(text()), one(text(2, kind="messageEdited"))
    unsent = one(told("unsend", 3, unsend={"messageId": "100"}))

    assert edited.after == unsent.after == received.key
    assert params(unsent).message.id == params(edited).message.id == params(received).message.id
    assert len({received.key, edited.key, unsent.key}) == 3


def test_edits_in_any_order_are_ordered_by_their_time() -> None:
    later, sooner = one(text(9, kind="messageEdited")), one(text(2, kind="messageEdited"))

    assert params(later).message.revision > params(sooner).message.revision > 0
    assert later.key != sooner.key


@pytest.mark.parametrize("kind", ["message", "follow", "postback", "beacon"])
def test_a_redelivery_with_another_reply_token_is_the_same_event(kind: str) -> None:
    fields = {"postback": {"data": "x"}} if kind == "postback" else {}
    build = text if kind == "message" else lambda **more: told(kind, **fields, **more)
    first = one(build(replyToken="a", deliveryContext={"isRedelivery": False}))
    again = one(build(replyToken="b", deliveryContext={"isRedelivery": True}))

    assert (first.key, params(first).event_id) == (again.key, params(again).event_id)
    assert params(again).metadata["line"]["isRedelivery"] is True
    assert "isRedelivery" not in params(first).metadata["line"]


@pytest.mark.parametrize(
    ("source", "kind", "native"),
    [
        ({"type": "user", "userId": "U1"}, "direct", "U1"),
        ({"type": "group", "groupId": "C1", "userId": "U1"}, "group", "C1"),
        ({"type": "room", "roomId": "R1"}, "group", "R1"),
    ],
)
def test_an_answer_goes_to_the_place_the_message_came_from(source: dict[str, str], kind: str, native: str) -> None:
    codec, delivery = LineCodec(), raw(text(source=source, replyToken="t"))
    (event,) = codec.decode(delivery)
    (notice,) = codec.notices(delivery)

    assert isinstance(event, Event)
    conversation = params(event).conversation
    assert (conversation.kind, conversation.provider_id) == (kind, native)
    assert (notice.conversation, notice.message) == (conversation.id, params(event).message.id)


def test_an_event_of_nobody_is_lines_own() -> None:
    event = one(told("botSuspended", source=None))

    assert params(event).conversation is None
    assert params(event).message.sender.role == "system"
    assert LineCodec().notices(raw(told("botSuspended", source=None, replyToken="t"))) == []


def test_what_nobody_can_read_gives_no_tokens_and_harms_no_other() -> None:
    codec = LineCodec()
    batch = raw(text(1, "1", replyToken="a"), {"type": 5}, text(2, "2", replyToken="b"))

    assert [notice.reply_token for notice in codec.notices(batch)] == ["a", "b"]
    assert [type(found) for found in codec.decode(batch)] == [Event, BadItem, Event]
    assert codec.notices(RawEvent(channel=CHANNEL, kind="line", body=b"[", received_at=datetime.now(UTC))) == []


def test_profiles_the_connector_found_name_the_sender() -> None:
    event = one(text(), meta={"people": '{"U1": ["Ada", "en"], "U2": ["Bob", null]}'})

    assert (params(event).message.sender.name, params(event).message.sender.locale) == ("Ada", "en")
    assert params(one(text(), meta={"people": "[]"})).message.sender.name is None


def message(*parts: AnyPart, **fields: Any) -> Outbound:
    to = Address(scheme="line", value="U1")
    return Outbound(**{"id": "msg_1", "channel": CHANNEL, "to": to, "parts": parts, **fields})


def sent(*parts: AnyPart, **fields: Any) -> list[dict[str, Any]]:
    calls = [json.loads(wire.body) for wire in LineCodec().encode(message(*parts, **fields))]
    assert all(1 <= len(call["messages"]) <= PER_CALL for call in calls)
    return [one for call in calls for one in call["messages"]]


@given(st.text(min_size=1, max_size=300).filter(str.strip), st.integers(1, 60))
def test_any_text_is_sent_whole_in_pieces_line_takes(piece: str, times: int) -> None:
    body = piece * times
    texts = [found["text"] for found in sent(p.Text(body=body))]

    assert all(utf16_length(found) <= TEXT_MAX for found in texts)
    assert "".join(texts).split() == body.split()


@given(st.text(), st.integers(3, 50))
def test_what_is_cut_fits_and_shows_that_it_was_cut(body: str, limit: int) -> None:
    found = short(body, limit)

    assert utf16_length(found) <= limit
    assert found == body or found.endswith("…")


def test_a_call_has_one_key_and_every_call_another() -> None:
    keys = [retry_key("msg_1", 0), retry_key("msg_1", 1), retry_key("msg_2", 0)]

    assert keys == [retry_key("msg_1", 0), retry_key("msg_1", 1), retry_key("msg_2", 0)]
    assert len(set(keys)) == 3


def items(number: int, **fields: Any) -> tuple[p.ChoiceItem, ...]:
    return tuple(p.ChoiceItem(id=f"i{index}", title=f"Item {index}", **fields) for index in range(number))


@pytest.mark.parametrize(
    ("choice", "shape"),
    [
        (p.Choice(kind="buttons", body="?", items=items(1)), "buttons"),
        (p.Choice(kind="buttons", body="?", items=items(2)), "confirm"),
        (p.Choice(kind="buttons", body="?" * 200, items=items(2)), "confirm"),
        (p.Choice(kind="buttons", body="?" * 241, items=items(2)), "quick"),
        (p.Choice(kind="buttons", body="?", items=items(4)), "buttons"),
        (p.Choice(kind="buttons", body="?" * 161, items=items(4)), "quick"),
        (p.Choice(kind="buttons", body="?", items=items(5)), "quick"),
        (p.Choice(kind="list", body="?", items=items(3)), "quick"),
        (p.Choice(kind="list", body="?", items=items(10, description="d")), "carousel"),
        (p.Choice(kind="list", body="?", items=items(11, description="d")), "quick"),
        (p.Choice(kind="list", body="?", items=items(3, description="d" * 61)), "quick"),
        (p.Choice(kind="cta_url", body="?", items=items(3, url="https://a.example")), "buttons"),
        (p.Choice(kind="location_request", body="Where?"), "quick"),
    ],
)
def test_a_choice_is_shown_as_what_it_fits_into(choice: p.Choice, shape: str) -> None:
    (found,) = sent(choice)

    assert shape == ("quick" if "quickReply" in found else found["template"]["type"])


def test_a_question_longer_than_a_text_comes_in_pieces_with_the_replies_under_the_last() -> None:
    found = sent(p.Choice(kind="quick_replies", body="Why? " * 2500, items=items(2)))

    assert ["quickReply" in one for one in found] == [False, False, True]


PICTURE = p.Media(id="m", status="stored", url="https://a.example/1.jpg")


@pytest.mark.parametrize(
    ("part", "need"),
    [
        (p.Choice(kind="form", body="?", items=items(1)), "kind form"),
        (p.Choice(kind="buttons", body=" ", items=items(1)), "without a question"),
        (p.Choice(kind="buttons", body="?"), "0 items"),
        (p.Choice(kind="list", body="?", items=items(14)), "14 items"),
        (p.Choice(kind="cta_url", body="?", items=items(2)), "`url`"),
        (p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="x" * 301, title="t"),)), "300"),
        (p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="x", title=""),)), "title"),
        (p.Card(items=(p.CardItem(title="t"),)), "0 choices"),
        (p.Card(items=(p.CardItem(title="t" * 161, items=items(1)),)), "160"),
        (p.Carousel(items=()), "0 cards"),
        (p.Carousel(items=(p.CardItem(title="a", items=items(1)), p.CardItem(title="b", items=items(2)))), "actions"),
        (
            p.Carousel(
                items=(p.CardItem(title="a", items=items(1), media=PICTURE), p.CardItem(title="b", items=items(1)))
            ),
            "thumbnailImageUrl",
        ),
        (p.Image(media=p.Media(id="m", status="stored", provider_id="325708")), "https"),
        (p.Video(media=p.Media(id="m", status="stored", url="https://a.example/" + "x" * 2000)), "2000"),
        (p.Sticker(media=p.Media(id="m", status="stored", provider_id="CAADBAAD")), "sticker"),
        (p.Text(body="  \n "), "blank"),
        (p.File(media=PICTURE), "file"),
    ],
)
def test_what_line_cannot_show_is_refused_by_name(part: AnyPart, need: str) -> None:
    with pytest.raises(Unsendable) as caught:
        sent(part)

    assert need in caught.value.need


def test_only_line_ids_are_addresses() -> None:
    with pytest.raises(Unsendable, match="LINE id"):
        sent(p.Text(body="x"), to=Address(scheme="tel", value="+4930"))
