"""Which conversation a mail joins, and which it must not join."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids
from normalizer.codecs.email import events
from normalizer.mail.threading import Reader, conversation_for, conversation_of
from normalizer.mail.tokens import Tokens
from normalizer.model import Address, ChannelRef, Conversation, MessageParams, MessageRef
from normalizer.raw import Outbound
from tests.unit.email_helpers import raw

TOKENS = Tokens((b"0123456789abcdef",))
CHANNEL = "support"
ANN = "ann@example.net"
ROOT = "root@example.net"
ANNS = conversation_of(CHANNEL, ANN, ROOT)
MESSAGE = ids.message_id(CHANNEL, "gateway:out", "1")
OURS = TOKENS.message_id(CHANNEL, ANNS, MESSAGE, "shop.example", to=ANN)


def read(header: str, body: str = "x", *, author: str = ANN, **meta: str) -> MessageParams:
    found = events(raw(f"From: {author}\nMessage-ID: <new@example.net>\n{header}\n\n{body}", **meta), TOKENS)[0].params
    assert isinstance(found, MessageParams)
    return found


def joined(found: MessageParams) -> Conversation:
    assert found.conversation is not None
    return found.conversation


WAYS = {
    "in-reply-to": (f"In-Reply-To: {OURS}", ""),
    "references": (f"References: <{ROOT}> {OURS} <theirs@example.org>", ""),
    "in-reply-to rewritten in capitals": (f"In-Reply-To: {OURS.upper()}", ""),
    "references folded inside the id": (f"References:\n {OURS[:30]}\n {OURS[30:]}", ""),
    "to": (f"To: {TOKENS.reply_address('support@shop.example', CHANNEL, ANNS, to=ANN)}", ""),
    "delivered-to": (f"Delivered-To: {TOKENS.reply_address('support@shop.example', CHANNEL, ANNS, to=ANN)}", ""),
    "marker": ("Subject: no header left", f"> {TOKENS.marker(CHANNEL, ANNS, to=ANN)}"),
    "marker in html": ("Content-Type: text/html", f"<p hidden>{TOKENS.marker(CHANNEL, ANNS, to=ANN)}</p>"),
}


@pytest.mark.parametrize(("header", "body"), WAYS.values(), ids=WAYS)
def test_a_token_brings_the_answer_into_its_conversation(header: str, body: str) -> None:
    found = read(header, body)

    assert joined(found).id == ANNS
    assert joined(found).provider_id == ANN
    assert found.message.flags is None


@pytest.mark.parametrize(("header", "body"), WAYS.values(), ids=WAYS)
def test_somebody_else_with_the_token_joins_flagged_and_does_not_get_the_answers(header: str, body: str) -> None:
    found = read(header, body, author="bob@example.org")

    assert joined(found).id == ANNS
    assert joined(found).provider_id is None
    assert found.message.flags is not None
    assert found.message.flags.third_party


def test_a_signed_recipient_of_the_envelope_counts_like_one_of_the_header() -> None:
    address = TOKENS.reply_address("support@shop.example", CHANNEL, ANNS, to=ANN)

    assert joined(read("To: undisclosed-recipients:;", rcpt_to=f'["{address}"]')).id == ANNS


def test_with_and_without_our_answer_in_between_it_is_the_same_conversation() -> None:
    first = joined(read("", author=ANN))
    own = conversation_of(CHANNEL, ANN, "new@example.net")

    assert first.id == own
    assert joined(read(f"References: <{ROOT}>")).id == joined(read(f"References: <{ROOT}> {OURS}")).id == ANNS


def test_the_token_of_the_mail_that_is_answered_counts_more_than_older_ones() -> None:
    other = conversation_of(CHANNEL, ANN, "other@example.net")
    newer = TOKENS.message_id(CHANNEL, other, MESSAGE, "shop.example", to=ANN)

    assert joined(read(f"References: {OURS} {newer}")).id == other
    assert joined(read(f"In-Reply-To: {newer}\nReferences: {OURS} <x@y.example>")).id == other


def test_a_reply_to_ours_refers_to_our_message_by_our_id() -> None:
    assert read(f"In-Reply-To: {OURS}").message.reply_to == MessageRef(id=MESSAGE, provider_id=OURS.strip("<>"))


def test_a_token_without_correspondent_is_still_known_by_the_thread() -> None:
    silent = TOKENS.message_id(CHANNEL, ANNS, MESSAGE, "shop.example")

    assert read(f"References: <{ROOT}> {silent}").message.flags is None
    assert read(f"References: <{ROOT}> {silent}", author="eve@evil.example").message.flags is not None


forged = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=70, max_size=80).map("<m1{}@shop.example>".format),
    st.integers(4, len(OURS) - 15).map(lambda at: OURS[:at] + ("a" if OURS[at] != "a" else "b") + OURS[at + 1 :]),
    st.integers(4, len(OURS) - 15).map(lambda at: OURS[:at] + OURS[at + 1 :]),
)


@given(forged)
def test_a_forged_or_damaged_token_joins_no_conversation_of_others(token: str) -> None:
    found = read(f"In-Reply-To: {token}\nReferences: <{ROOT}> {token}", token, author="eve@evil.example")

    assert joined(found).id == conversation_of(CHANNEL, "eve@evil.example", ROOT)
    assert found.message.flags is None


def test_a_token_of_another_channel_joins_nothing() -> None:
    theirs = TOKENS.message_id("sales", ANNS, MESSAGE, "shop.example")

    assert joined(read(f"In-Reply-To: {theirs}")).id != ANNS


def index(guid: bytes, answers: int) -> str:
    return base64.b64encode(b"\x01" + b"\xdc" * 5 + guid + b"\x00\x12\x34\x56\x78" * answers).decode()


def test_answers_that_have_only_a_thread_index_come_together() -> None:
    second = joined(read(f"Thread-Index: {index(b'g' * 16, 1)}"))
    third = joined(read(f"Thread-Index: {index(b'g' * 16, 2)}"))

    assert second.id == third.id
    assert joined(read(f"Thread-Index: {index(b'h' * 16, 1)}")).id != second.id
    assert joined(read(f"Thread-Index: {index(b'g' * 16, 1)}", author="eve@evil.example")).id != second.id


@pytest.mark.parametrize("value", [index(b"g" * 16, 0), index(b"g" * 16, 1)[:-8], "x", "Ää", "=", "A" * 10_000])
def test_a_thread_index_that_is_of_a_first_mail_or_broken_says_nothing(value: str) -> None:
    assert joined(read(f"Thread-Index: {value}")).id == joined(read("")).id


def test_an_answer_with_a_thread_index_joins_what_is_remembered_of_it_and_is_the_sender_s() -> None:
    header = f"Thread-Index: {index(b'g' * 16, 1)}"
    silent = TOKENS.message_id(CHANNEL, ANNS, MESSAGE, "shop.example")

    assert joined(read(header, begun_by=ROOT)).id == ANNS
    assert joined(read(header, begun_by=OURS)).id == ANNS
    assert joined(read(f"References: <other@example.net>\n{header}", begun_by=ROOT)).id != ANNS
    for known in (ROOT, OURS, silent):
        found = read(header, author="eve@evil.example", begun_by=known)
        assert (joined(found).id == ANNS, found.message.flags) == (False, None)


def outbound(**fields: object) -> Outbound:
    given: dict[str, object] = {
        "id": MESSAGE,
        "channel": ChannelRef(id=CHANNEL, type="email"),
        "to": Address(scheme="mailto", value="Ann@example.net"),
        "parts": (),
        **fields,
    }
    return Outbound(**given)  # type: ignore[arg-type]


def test_the_answer_to_a_mail_of_ours_finds_the_conversation_we_sent_it_in() -> None:
    reader = Reader(TOKENS, CHANNEL)
    named = ids.conversation_id(CHANNEL, "something the core knows")
    by_address = ids.conversation_id(CHANNEL, "Ann@example.net")

    assert conversation_for(reader, outbound(conversation=named)) == named
    assert conversation_for(reader, outbound(thread=ROOT, conversation=by_address)) == ANNS
    assert conversation_for(reader, outbound(reply_to=MessageRef(provider_id=ROOT))) == ANNS
    assert conversation_for(reader, outbound(reply_to=MessageRef(provider_id=OURS))) == ANNS
    assert conversation_for(reader, outbound()) == conversation_of(CHANNEL, ANN, MESSAGE)


def test_two_mails_that_we_begin_are_two_conversations() -> None:
    reader = Reader(TOKENS, CHANNEL)
    other = ids.message_id(CHANNEL, "gateway:out", "2")

    assert conversation_for(reader, outbound()) != conversation_for(reader, outbound(id=other))


def test_without_tokens_mails_are_threaded_by_sender_and_root() -> None:
    found = events(raw(f"From: {ANN}\nReferences: <{ROOT}> {OURS}\n\nx"))[0].params

    assert found.conversation is not None
    assert found.conversation.id == ANNS
