"""Discord's signature, as PyNaCl makes it, and what the codec says where files of payloads say too little."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from nacl.signing import SigningKey

from connectors.discord_verify import Verifier
from connectors.errors import Unauthorized
from normalizer import parts as p
from normalizer.codecs.discord import DiscordCodec, moment
from normalizer.codecs.discord_send import Sending, answer, emoji_name, escape
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, ReactParams, TypingParams
from normalizer.model import Address, ChannelRef, MessageParams, MessageRef
from normalizer.raw import Event, Outbound, RawEvent
from normalizer.split import utf16_length

CHANNEL = ChannelRef(id="games", type="discord")
TO = Address(scheme="discord", value="645027906669510667")
APP = "775799577604522054"
BOT, NO_BOT = Sending(application_id=APP, bot=True), Sending(application_id=APP)
KEY = SigningKey(b"k" * 32)
PUBLIC = KEY.verify_key.encode().hex()


@given(body=st.binary(max_size=200), at=st.integers(0, 2**40))
def test_what_pynacl_signs_is_accepted(body: bytes, at: int) -> None:
    signature = KEY.sign(f"{at}".encode() + body).signature.hex()

    Verifier(PUBLIC).check(signature, str(at), body)
    Verifier(PUBLIC.upper()).check(signature.upper(), str(at), body)
    with pytest.raises(Unauthorized):
        Verifier(PUBLIC).check(signature, str(at + 1), body)
    with pytest.raises(Unauthorized):
        Verifier(PUBLIC).check(signature, str(at), body + b"1")


@pytest.mark.parametrize("signature", [None, "", "00", "zz" * 64, "00" * 64, "0" * 127, "ä" * 128, "00" * 65])
def test_what_is_no_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(Unauthorized):
        Verifier(PUBLIC).check(signature, "1", b"{}")


def test_a_snowflake_has_its_time_in_it() -> None:
    """https://docs.discord.com/developers/reference#snowflakes."""
    assert moment("175928847299117063") == datetime(2016, 4, 30, 11, 18, 25, 796000, tzinfo=UTC)


def interaction(**more: Any) -> RawEvent:
    user = {"id": "53908232506183680", "username": "Mason"}
    fields = {"id": "786008729715212338", "type": 2, "token": "T", "channel_id": TO.value, "user": user,
              "data": {"name": "hello", "type": 1}, **more}  # fmt: skip
    at = datetime(2026, 11, 20, tzinfo=UTC)
    return RawEvent(channel=CHANNEL, kind="discord", body=json.dumps(fields).encode(), received_at=at)


def decode(raw: RawEvent, **how: Any) -> MessageParams:
    (event,) = DiscordCodec(BOT, **how).decode(raw)
    assert isinstance(event, Event)
    assert isinstance(event.params, MessageParams)
    return event.params


def test_events_of_the_application_itself_are_told() -> None:
    """https://docs.discord.com/developers/events/webhook-events#application-authorized."""
    body = {"version": 1, "application_id": APP, "type": 1,
            "event": {"type": "APPLICATION_AUTHORIZED", "timestamp": "2024-10-18T14:42:53.064834",
                      "data": {"integration_type": 1, "scopes": [], "user": {"id": "53908232506183680"}}}}  # fmt: skip
    params = decode(replace(interaction(), body=json.dumps(body).encode()))

    assert params.message.parts == (p.System(event="application_authorized", args={"integration_type": 1}),)
    assert params.conversation is None


def test_the_core_is_told_how_long_it_may_answer() -> None:
    window = decode(interaction(), passive_secs=2.0).message.reply_window

    assert window is not None
    assert window.mode == "passive"
    assert window.passive_deadline == datetime(2026, 11, 20, 0, 0, 2, tzinfo=UTC)
    assert window.until == moment("786008729715212338").replace(minute=33)


def test_what_can_be_answered_is_named_by_the_ids_of_its_event() -> None:
    raw = interaction()
    found, params = DiscordCodec(BOT).answerable(raw), decode(raw)

    assert found is not None
    assert params.conversation is not None
    assert (found.message_id, found.conversation_id) == (params.message.id, params.conversation.id)
    assert DiscordCodec(BOT).answerable(replace(raw, body=b"[]")) is None


def out(*parts: p.AnyPart, **more: Any) -> Outbound:
    return Outbound(**{"id": "msg_1", "channel": CHANNEL, "to": TO, "parts": parts, **more})


def bodies(message: Outbound, sending: Sending = BOT) -> list[dict[str, Any]]:
    return [json.loads(wire.body) for wire in DiscordCodec(sending).encode(message)]


MARKS = re.compile(r"\\([\\*_~`|\[<#>.-])")


@given(st.text(alphabet="ab \n*_~`|[]<>#-1.\\", max_size=60))
def test_what_is_escaped_loses_nothing(text: str) -> None:
    assert MARKS.sub(r"\1", escape(text)) == text


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("2 * 3 * 4", r"2 \* 3 \* 4"),
        ("1. first", r"1\. first"),
        ("# title", r"\# title"),
        ("a #b - c > d", "a #b - c > d"),
        ("https://a.example/x_y_z", "https://a.example/x_y_z"),
        ("<@1> [a](b)", r"\<@1> \[a](b)"),
    ],
)
def test_plain_text_is_shown_as_it_is(plain: str, written: str) -> None:
    assert escape(plain) == written


@given(st.text(alphabet="a*_ 😀\n", min_size=2001, max_size=4500).filter(str.strip))
@settings(max_examples=15)
def test_long_texts_are_cut_by_what_they_become(text: str) -> None:
    for body in bodies(out(p.Text(body=text))):
        assert utf16_length(body["content"]) <= 2000


def test_a_second_try_has_the_same_nonce_and_another_message_another() -> None:
    message = out(p.Text(body="one"), p.Text(body="two"))
    first, again = ([body["nonce"] for body in bodies(message)] for _ in range(2))
    other = [body["nonce"] for body in bodies(replace(message, id="msg_2"))]

    assert first == again
    assert len({*first, *other}) == 4
    assert all(len(nonce) == 25 for nonce in first)


def test_nobody_is_woken_unless_asked() -> None:
    (quiet,) = bodies(out(p.Text(body="@everyone", format="markdown")))
    (loud,) = bodies(out(p.Text(body="@everyone"), metadata={"discord": {"mentions": "everyone,users,nonsense"}}))

    assert quiet["allowed_mentions"] == {"parse": []}
    assert loud["allowed_mentions"] == {"parse": ["everyone", "users"]}


def test_messages_of_the_bot_are_never_for_one_person() -> None:
    own = {"discord": {"ephemeral": "true"}}
    (by_bot,) = bodies(out(p.Text(body="x"), metadata=own))
    (by_token,) = bodies(out(p.Text(body="x"), metadata={"discord": {**own["discord"], "interaction_token": "T"}}))

    assert "flags" not in by_bot
    assert by_token["flags"] == 64


def test_an_answer_is_one_message_without_files() -> None:
    text = p.Text(body="hi")
    told = answer(out(text), replace(NO_BOT, ephemeral=True))
    assert told is not None
    assert json.loads(told) == {"type": 4, "data": {"allowed_mentions": {"parse": []}, "flags": 64, "content": "hi"}}

    file = p.File(media=p.Media(id="m", status="stored", url="attach://00?name=a", name="a"))
    for message in (
        out(text, text),
        out(file),
        out(p.Text(body="x" * 2001)),
        out(text, metadata={"discord": {"via": "channel"}}),
        out(p.Sticker(media=p.Media(id="m", status="pending"))),
    ):
        assert answer(message, NO_BOT) is None


@pytest.mark.parametrize(
    "message",
    [
        out(p.Text(body=" ")),
        out(p.Text(body="x", format="html")),
        out(p.Text(body="x"), thread="general"),
        replace(out(p.Text(body="x")), to=Address(scheme="discord", value="#general")),
        replace(out(p.Text(body="x")), to=Address(scheme="tel", value="1")),
        out(p.Choice(kind="buttons", body=" ", items=(p.ChoiceItem(id="a", title="A"),))),
        out(p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="a", title="A"),) * 2)),
        out(p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="a" * 101, title="A"),))),
        out(p.Choice(kind="list", body="?", items=(p.ChoiceItem(id="a", title=""),))),
        out(p.Choice(kind="form", body="?")),
        out(p.Image(media=p.Media(id="m", status="pending", provider_id="F1"))),
        out(p.Card(items=(p.CardItem(title="A" * 257),))),
    ],
)
def test_what_discord_would_refuse_is_refused_before(message: Outbound) -> None:
    with pytest.raises(Unsendable):
        bodies(message)


def test_requests_go_by_the_token_or_by_the_bot() -> None:
    about: dict[str, Any] = {"channel": "games", "to": TO, "message": MessageRef(provider_id="42")}
    codec, edit, delete = DiscordCodec(BOT), EditParams(**about, text="a_b"), DeleteParams(**about)
    by_token, by_bot = codec.request("message.edit", edit, "T/1"), codec.request("message.edit", edit)

    assert (by_token.method, by_token.url) == ("PATCH", f"/webhooks/{APP}/T%2F1/messages/42")
    assert (by_bot.url, json.loads(by_bot.body)["content"]) == (f"/channels/{TO.value}/messages/42", r"a\_b")
    assert codec.request("message.delete", delete).method == "DELETE"
    react = codec.request("reaction.send", ReactParams(**about, emoji="👍"))
    assert (react.method, react.url) == ("PUT", f"/channels/{TO.value}/messages/42/reactions/%F0%9F%91%8D/@me")
    assert codec.request("typing.send", TypingParams(channel="games", to=TO)).url == f"/channels/{TO.value}/typing"
    incomplete: tuple[Callable[[], object], ...] = (
        lambda: DiscordCodec(NO_BOT).request("message.edit", edit),
        lambda: codec.request("message.edit", replace(edit, to=None)),
        lambda: codec.request("message.edit", replace(edit, text=None)),
        lambda: codec.request("message.edit", replace(edit, message=MessageRef(id="msg_1"))),
        lambda: codec.request("reaction.send", ReactParams(**about)),
    )
    for missing in incomplete:
        with pytest.raises(Unsendable):
            missing()


@pytest.mark.parametrize(("told", "name"), [("👍", "👍"), ("<:shop:123>", "shop:123"), ("<a:shop:123>", "shop:123")])
def test_custom_emoji_are_named_as_the_url_wants_them(told: str, name: str) -> None:
    assert emoji_name(told) == name
