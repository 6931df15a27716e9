"""Slack's wire format, where files of payloads say too little."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from slack_sdk.models.blocks import Block

from normalizer import parts as p
from normalizer.codecs.slack import SlackCodec
from normalizer.codecs.slack_text import EMOJI, decode, emoji, emoji_name, escape
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, ReactParams
from normalizer.model import Address, ChannelRef, MessageParams, MessageRef
from normalizer.raw import Event, Ignored, Outbound, RawEvent

CHANNEL = ChannelRef(id="team-slack", type="slack")
TO = Address(scheme="slack", value="C123ABC456")
TS = "1355517523.000005"
codec = SlackCodec()


def raw(event: dict[str, Any], **envelope: Any) -> RawEvent:
    whole = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1", "event": event}
    body = json.dumps({**whole, **envelope}).encode()
    return RawEvent(channel=CHANNEL, kind="slack", body=body, received_at=datetime(2026, 11, 20, tzinfo=UTC))


def event(found: dict[str, Any], **envelope: Any) -> Event:
    (one,) = codec.decode(raw(found, **envelope))
    assert isinstance(one, Event), one
    return one


def said(**more: Any) -> dict[str, Any]:
    return {"type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": TS, "event_ts": TS, **more}


def out(*parts: p.AnyPart, **more: Any) -> Outbound:
    return Outbound(id="msg_1", channel=CHANNEL, to=TO, parts=parts, **more)


def body(message: Outbound) -> dict[str, Any]:
    (wire,) = codec.encode(message)
    told: dict[str, Any] = json.loads(wire.body)
    return told


def test_a_mention_and_the_message_it_is_are_one_event() -> None:
    message = event(said(channel_type="channel"), event_id="Ev1")
    mention = event(said(type="app_mention"), event_id="Ev2")

    assert (mention.key, mention.params.event_id) == (message.key, message.params.event_id)


def test_the_same_ts_in_another_channel_or_workspace_is_another_message() -> None:
    keys = {event(said()).key, event(said(channel="C2")).key, event(said(), team_id="T2").key}

    assert len(keys) == 3


def test_a_shared_channel_has_the_same_ids_whichever_company_writes() -> None:
    ours = event(said(), context_team_id="T1")
    theirs = event(said(), team_id="T-PARTNER", context_team_id="T1")

    assert ours.key == theirs.key


def test_an_edit_follows_its_message_and_each_edit_is_one_event() -> None:
    def edited(at: str) -> Event:
        inner = {"type": "message", "user": "U1", "text": f"hi {at}", "ts": TS, "edited": {"user": "U1", "ts": at}}
        about = {"type": "message", "subtype": "message_changed", "channel": "C1", "ts": at, "event_ts": at}
        return event({**about, "message": inner})

    first, second = edited("1355517530.000000"), edited("1355517540.000000")
    assert first.method == "message.updated"
    assert first.after == second.after == event(said()).key
    assert first.key != second.key
    assert isinstance(first.params, MessageParams)
    assert isinstance(second.params, MessageParams)
    assert first.params.message.id == second.params.message.id
    assert first.params.message.revision < second.params.message.revision


def test_a_deletion_follows_its_message() -> None:
    deleted = event({**said(subtype="message_deleted"), "deleted_ts": TS, "ts": "1355517600.000001"})

    assert (deleted.method, deleted.after) == ("message.deleted", event(said()).key)


def test_a_reaction_that_is_given_again_after_it_was_taken_back_is_another_event() -> None:
    def reacted(kind: str, at: str) -> str:
        item = {"type": "message", "channel": "C1", "ts": TS}
        return event({"type": kind, "user": "U1", "reaction": "eyes", "item": item, "event_ts": at}).key

    keys = {
        reacted("reaction_added", "1.000001"),
        reacted("reaction_removed", "2.000001"),
        reacted("reaction_added", "3.000001"),
    }
    assert len(keys) == 3


def test_our_own_files_come_back_and_are_dropped_by_our_user() -> None:
    us = [{"user_id": "U0BOT", "is_bot": True}]
    (file,) = codec.decode(raw(said(user="U0BOT", subtype="file_share"), authorizations=us))
    joined = event(said(user="U0BOT", subtype="channel_join"), authorizations=us)

    assert file == Ignored(reason="own_echo")
    assert joined.method == "message.received"


@given(st.text())
def test_what_is_escaped_reads_as_before(text: str) -> None:
    assert decode(escape(text)) == text


@given(st.text(alphabet="<>@#!|&; abcltgm^:/", max_size=40))
def test_any_markup_can_be_read(text: str) -> None:
    assert isinstance(decode(text), str)


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("<@U1|bob>", "@bob"),
        ("<@U1>", "@U1"),
        ("<#C1>", "#C1"),
        ("<!channel>", "@channel"),
        ("<!subteam^S1>", "@subteam"),
        ("<https://a.example/?x=1&amp;y=2>", "https://a.example/?x=1&y=2"),
        ("<https://a.example|a.example>", "https://a.example"),
        ("<tel:+493012|+493012>", "+493012"),
        ("&amp;lt;", "&lt;"),
        ("2 < 3 > 1", "2 < 3 > 1"),
    ],
)
def test_markup_reads_as_people_say_it(markup: str, plain: str) -> None:
    assert decode(markup) == plain


def test_reactions_have_one_name_both_ways() -> None:
    for name, char in EMOJI.items():
        assert emoji(name) == char
        assert EMOJI[emoji_name(char)] == char
    assert emoji_name(emoji("partyparrot")) == "partyparrot"
    assert emoji_name("❤️") == "heart"
    assert emoji_name(":+1::skin-tone-2:") == "+1::skin-tone-2"


def test_all_blocks_are_ones_that_slacks_sdk_knows_and_finds_valid() -> None:
    items = tuple(p.ChoiceItem(id=f"i{n}", title=f"Item {n}", url="https://shop.example/") for n in range(3))
    media = p.Media(id="m", status="pending", url="https://shop.example/a.jpg")
    contents: list[p.AnyPart] = [
        *(p.Choice(kind=kind, body="Which?", items=items) for kind in ("buttons", "list", "quick_replies", "cta_url")),
        p.Card(items=(p.CardItem(title="Tea", body="green", media=media, items=items),)),
        p.Image(media=p.Media(id="m", status="pending", provider_id="F1ABC", caption="see")),
    ]
    for part in contents:
        told = body(out(part))["blocks"]
        parsed = [Block.parse(one) for one in told]
        assert all(parsed)
        for block in parsed:
            assert block is not None
            block.validate_json()
        assert [block.type for block in parsed if block] == [one["type"] for one in told]


@pytest.mark.parametrize(
    "choice",
    [
        p.Choice(kind="form", body="?"),
        p.Choice(kind="buttons", body="?"),
        p.Choice(kind="buttons", body=" ", items=(p.ChoiceItem(id="a", title="A"),)),
        p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="a", title="A" * 76),)),
        p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="", title="A"),)),
        p.Choice(kind="list", body="?", items=(p.ChoiceItem(id="a" * 151, title="A"),)),
        p.Choice(kind="cta_url", body="?", items=(p.ChoiceItem(id="a", title="A"),)),
        p.Choice(kind="buttons", body="?" * 3001, items=(p.ChoiceItem(id="a", title="A"),)),
    ],
)
def test_a_choice_that_slack_would_refuse_is_refused_before(choice: p.Choice) -> None:
    with pytest.raises(Unsendable):
        list(codec.encode(out(choice)))


@pytest.mark.parametrize("value", ["", "c123", "D1/2", "U1 ", "https://x", "#", "C1\n"])
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(Unsendable):
        list(codec.encode(replace(out(p.Text(body="hi")), to=Address(scheme="slack", value=value))))


def test_a_response_url_answers_where_the_bot_is_no_member() -> None:
    url = "https://hooks.slack.com/commands/1/2"
    own = {"slack": {"response_url": url, "response_type": "in_channel"}}
    (wire,) = codec.encode(out(p.Text(body="<hi>"), metadata=own))

    assert wire.url == url
    assert json.loads(wire.body) == {"response_type": "in_channel", "text": "&lt;hi&gt;", "mrkdwn": False}


@pytest.mark.parametrize(
    "url",
    ["http://hooks.slack.com/x", "https://evil.example/x", "https://hooks.slack.com.evil.example/", "https://x@evil.example/",
     "https://hooks.slack.com@evil.example/"],
)  # fmt: skip
def test_a_response_url_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Unsendable):
        list(codec.encode(out(p.Text(body="hi"), metadata={"slack": {"response_url": url}})))


def test_edits_deletions_and_reactions_name_channel_and_message() -> None:
    about: dict[str, Any] = {"channel": "team-slack", "to": TO, "message": MessageRef(provider_id=TS)}
    edit = codec.request("message.edit", EditParams(**about, text="a & b"))
    delete = codec.request("message.delete", DeleteParams(**about))
    react = codec.request("reaction.send", ReactParams(**about, emoji="👍"))

    assert (edit.url, json.loads(edit.body)) == ("/chat.update", {"channel": TO.value, "ts": TS, "text": "a &amp; b"})
    assert (delete.url, json.loads(delete.body)) == ("/chat.delete", {"channel": TO.value, "ts": TS})
    assert json.loads(react.body) == {"channel": TO.value, "timestamp": TS, "name": "+1"}


def test_requests_without_channel_or_message_say_what_is_missing() -> None:
    ref = MessageRef(provider_id=TS)
    with pytest.raises(Unsendable, match="without `to`"):
        codec.request("message.delete", DeleteParams(channel="c", message=ref))
    with pytest.raises(Unsendable, match="provider_id"):
        codec.request("message.delete", DeleteParams(channel="c", to=TO, message=MessageRef(id="msg_1")))
    with pytest.raises(Unsendable, match="exactly one"):
        codec.request("message.edit", EditParams(channel="c", to=TO, message=ref))
    with pytest.raises(Unsendable):
        list(codec.encode(out(p.Text(body="hi"), thread="yesterday")))
