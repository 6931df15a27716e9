"""What we sign must come back through everything mail systems do to it, and nobody else must be able to make it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids
from normalizer.mail.tokens import LOCAL_MAX, Token, Tokens

KEY = b"0123456789abcdef"
TOKENS = Tokens((KEY,))
CHANNEL = "support"
CONVERSATION = ids.conversation_id(CHANNEL, "x")
MESSAGE = ids.message_id(CHANNEL, "", "1")
TO = "ann@example.net"
OURS = "support@shop.example"

hexes = st.binary(min_size=16, max_size=16).map(bytes.hex)
conversations, messages = hexes.map("cnv_{}".format), hexes.map("msg_{}".format)
channels = st.text(min_size=1, max_size=20)

Make = Callable[[Tokens, str], str]
Read = Callable[[Tokens, str, str], Token | None]
PLACES: dict[str, tuple[Make, Read]] = {
    "message id": (
        lambda tokens, channel: tokens.message_id(channel, CONVERSATION, MESSAGE, "shop.example", to=TO),
        Tokens.read_message_id,
    ),
    "reply address": (
        lambda tokens, channel: tokens.reply_address(OURS, channel, CONVERSATION, to=TO),
        Tokens.read_address,
    ),
    "return path": (lambda tokens, channel: tokens.return_path(OURS, channel, MESSAGE), Tokens.read_return_path),
    "marker": (lambda tokens, channel: tokens.marker(channel, CONVERSATION, to=TO), Tokens.find_marker),
}
everywhere = pytest.mark.parametrize(("make", "read"), PLACES.values(), ids=PLACES)


@given(channels, conversations, messages)
def test_every_token_says_what_was_put_into_it(channel: str, conversation: str, message: str) -> None:
    message_id = TOKENS.message_id(channel, conversation, message, "shop.example")
    address = TOKENS.reply_address(OURS, channel, conversation)

    assert TOKENS.read_message_id(message_id, channel) == Token(conversation, message)
    assert TOKENS.read_address(address, channel) == Token(conversation, None)
    assert TOKENS.read_return_path(TOKENS.return_path(OURS, channel, message), channel) == Token(None, message)
    assert TOKENS.find_marker(TOKENS.marker(channel, conversation), channel) == Token(conversation, None)


@everywhere
def test_a_token_survives_programs_that_change_the_case(make: Make, read: Read) -> None:
    text = make(TOKENS, CHANNEL)

    assert read(TOKENS, text.upper(), CHANNEL) == read(TOKENS, text.lower(), CHANNEL) == read(TOKENS, text, CHANNEL)
    assert read(TOKENS, text, CHANNEL) is not None


@given(st.data())
def test_a_message_id_survives_folding_anywhere(data: st.DataObject) -> None:
    text = TOKENS.message_id(CHANNEL, CONVERSATION, MESSAGE, "shop.example")
    at = data.draw(st.integers(1, len(text) - 1))

    assert TOKENS.read_message_id(f"{text[:at]}\r\n {text[at:]}", CHANNEL) == Token(CONVERSATION, MESSAGE)


@given(st.data())
def test_a_marker_survives_quoting_and_wrapping_anywhere(data: st.DataObject) -> None:
    marker = TOKENS.marker(CHANNEL, CONVERSATION)
    at = data.draw(st.integers(len("[ref:k1"), len(marker) - 1))
    quote = data.draw(st.sampled_from(["\n", "\r\n", "\n> ", "\r\n>> ", "\n> > "]))
    text = f"Hello\n> [ref:k1broken] and {marker[:at]}{quote}{marker[at:]} goodbye"

    assert TOKENS.find_marker(text, CHANNEL) == Token(CONVERSATION, None)


@everywhere
def test_no_single_changed_character_passes(make: Make, read: Read) -> None:
    text = make(TOKENS, CHANNEL)
    match = re.search(r"[mrbk]1[a-z2-7]{40,}", text)
    assert match is not None
    for at in range(match.start() + 2, match.end()):
        for other in "a7":
            if text[at] != other:
                assert read(TOKENS, text[:at] + other + text[at + 1 :], CHANNEL) is None


@everywhere
def test_no_truncated_or_prolonged_token_passes(make: Make, read: Read) -> None:
    text = make(TOKENS, CHANNEL)
    match = re.search(r"[mrbk]1[a-z2-7]{40,}", text)
    assert match is not None
    begin, end = match.span()

    assert all(read(TOKENS, text[:at] + text[end:], CHANNEL) is None for at in range(begin, end))
    assert read is Tokens.find_marker or read(TOKENS, text[:end] + "a" + text[end:], CHANNEL) is None


@everywhere
def test_a_token_is_good_for_its_channel_and_key_alone(make: Make, read: Read) -> None:
    text = make(TOKENS, CHANNEL)

    assert read(TOKENS, text, CHANNEL + "2") is None
    assert read(Tokens((b"another key of 16",)), text, CHANNEL) is None


@given(conversations)
def test_a_token_of_one_place_proves_nothing_in_another(conversation: str) -> None:
    inner = TOKENS.marker(CHANNEL, conversation).removeprefix("[ref:k").removesuffix("]")

    assert TOKENS.read_address(f"support+r{inner}@shop.example", CHANNEL) is None
    assert TOKENS.read_return_path(f"support+b{inner}@shop.example", CHANNEL) is None


@everywhere
def test_after_a_change_of_keys_old_tokens_are_still_read(make: Make, read: Read) -> None:
    new = b"fedcba9876543210"
    both = Tokens((new, KEY))

    assert read(both, make(TOKENS, CHANNEL), CHANNEL) is not None
    assert read(TOKENS, make(both, CHANNEL), CHANNEL) is None
    assert read(Tokens((new,)), make(both, CHANNEL), CHANNEL) is not None


@given(st.text(max_size=200), channels)
def test_any_text_is_read_without_raising(text: str, channel: str) -> None:
    for wrapped in (text, f"m1{text}", f"<m1{text}@shop.example>", f"support+r1{text}@shop.example", f"[ref:k1{text}]"):
        assert TOKENS.read_message_id(wrapped, channel) is None
        assert TOKENS.read_address(wrapped, channel) is None
        assert TOKENS.read_return_path(wrapped, channel) is None
        assert TOKENS.find_marker(wrapped, channel) is None


def test_letters_that_become_ascii_in_lower_case_are_no_token() -> None:
    marker = TOKENS.marker(CHANNEL, CONVERSATION)

    assert TOKENS.find_marker(marker.replace("k", "\u212a"), CHANNEL) is None
    assert TOKENS.find_marker("[ref:k1" + "\u017f" * 48 + "]", CHANNEL) is None


@pytest.mark.parametrize("read", [Tokens.read_message_id, Tokens.read_address])
def test_a_token_says_whom_the_mail_went_to_and_not_who_that_is(read: Read) -> None:
    make = TOKENS.message_id(CHANNEL, CONVERSATION, MESSAGE, "shop.example", to=TO)
    text = make if read is Tokens.read_message_id else TOKENS.reply_address(OURS, CHANNEL, CONVERSATION, to=TO)
    token = read(TOKENS, text, CHANNEL)

    assert token is not None
    assert TOKENS.is_for(token, "Ann@Example.net") is True
    assert TOKENS.is_for(token, "bob@example.org") is False
    assert TOKENS.is_for(Token(CONVERSATION, MESSAGE), TO) is None


def test_a_local_part_stays_within_what_smtp_allows_or_as_it_was() -> None:
    assert len(TOKENS.reply_address("thirteenchars@shop.example", CHANNEL, CONVERSATION).partition("@")[0]) == LOCAL_MAX
    for address in ("fourteen.chars@shop.example", '"a b"@shop.example'):
        assert TOKENS.reply_address(address, CHANNEL, CONVERSATION) == address


@pytest.mark.parametrize("keys", [(), (b"short",), (KEY, b"short")])
def test_keys_that_are_missing_or_too_short_are_refused(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Tokens(keys)


@pytest.mark.parametrize("strange", ["", "cnv_1", "cnv_" + "g" * 32, "msg_" + "0" * 32])
def test_an_id_that_is_none_of_ours_is_not_signed(strange: str) -> None:
    with pytest.raises(ValueError, match="no id of ours"):
        TOKENS.marker(CHANNEL, strange)


def test_a_text_full_of_false_markers_is_given_up() -> None:
    false = "[ref:k1" + "a" * 48 + "] "

    assert TOKENS.find_marker(false * 10_000 + TOKENS.marker(CHANNEL, CONVERSATION), CHANNEL) is None
