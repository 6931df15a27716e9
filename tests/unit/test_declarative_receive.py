"""Deliveries of a declarative channel; what ordinary ones become is in tests/payloads/webhook."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.codecs.declarative_options import Receive
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef
from normalizer.parts import Audio, File, Image, Sticker, Text, Unsupported, Video
from normalizer.raw import BadItem, Event, Ignored, RawEvent

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAIN = {"id": "id", "sender": "from", "text": "text"}


def raw(body: Any, **changes: Any) -> RawEvent:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawEvent(
        channel=ChannelRef(id="shop", type="webhook"), kind="webhook", body=data, received_at=NOW, **changes
    )


def decode(body: Any, **options: Any) -> list[Any]:
    codec = DeclarativeCodec(msgspec.convert({**PLAIN, **options}, Receive), None)
    return list(codec.decode(raw(body)))


def one(body: Any, **options: Any) -> Any:
    (found,) = decode(body, **options)
    assert isinstance(found, Event), found
    return found.params


def reason(body: Any, **options: Any) -> str:
    (found,) = decode(body, **options)
    assert isinstance(found, BadItem), found
    return found.reason


def test_ids_are_derived_from_channel_scope_id_and_revision():
    (event,) = decode({"id": 7, "from": "ada", "chat": "c", "rev": 2}, scope="chat", revision="rev")

    assert event.method == "message.updated"
    assert event.key == ids.dedup_key("shop", "message", "c", "7", "2")
    assert event.params.message.id == ids.message_id("shop", "c", "7")
    assert event.params.message.revision == 2


def test_the_same_id_as_number_and_as_string_is_one_message():
    assert one({"id": 7, "from": 1}).event_id == one({"id": "7", "from": "1"}).event_id


@pytest.mark.parametrize("value", [True, 1.5, [], ["7"], {"a": 1}])
def test_an_id_that_is_none_is_a_bad_item(value):
    assert reason({"id": value, "from": "ada"}).startswith("$.receive.id: expected a string or a whole number, found ")


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", ["id", "from"])
def test_a_missing_id_or_sender_is_a_bad_item(name, value):
    option = {"id": "id", "from": "sender"}[name]

    assert reason({"id": "1", "from": "ada", name: value}) == f"$.receive.{option}: found nothing, and it is required"


def test_large_whole_numbers_keep_every_digit():
    number = 123456789012345678901234567890

    assert one({"id": number, "from": "ada"}).message.provider_id == str(number)


def test_bad_items_harm_only_themselves_and_can_be_decoded_again():
    bad = {"id": "2", "from": "ada", "text": {"html": "private words"}}
    found = decode([{"id": "1", "from": "ada"}, bad, {"id": "3", "from": "ada"}])

    assert [type(item) for item in found] == [Event, BadItem, Event]
    assert json.loads(found[1].body) == bad
    assert "private" not in found[1].reason
    mended = DeclarativeCodec(msgspec.convert({**PLAIN, "text": "text.html"}, Receive), None)
    (event,) = mended.decode(raw(found[1].body, item=True))
    assert isinstance(event, Event)
    assert event.params.message.text == "private words"


def test_an_item_is_not_looked_for_inside_an_item():
    codec = DeclarativeCodec(msgspec.convert({**PLAIN, "each": "messages"}, Receive), None)
    (event,) = codec.decode(raw({"id": "1", "from": "ada"}, item=True))

    assert isinstance(event, Event)


def test_an_expression_that_fails_on_an_item_is_told_by_option_and_function():
    assert reason({"id": "1", "from": "ada", "lines": "x"}, text="join(' ', lines)") == (
        "$.receive.text: join() expects array-string, found string"
    )


@pytest.mark.parametrize(
    ("body", "options", "words"),
    [
        (b"", {}, ""),
        (b"[1, 2", {}, ""),
        (b'"\xff"', {}, ""),
        (b'{"id": NaN}', {}, ""),
        (b'{"id": 1e999}', {}, ""),
        (b'{"id": ' + b"9" * 5000 + b"}", {}, ""),
        (b'"\\ud800"', {}, ""),
        (b"[" * 100_000 + b"]" * 100_000, {}, ""),
        (b"{}", {"each": "messages"}, "$.receive.each: expected a list or an object, found null"),
        (b'{"messages": "x"}', {"each": "messages"}, "$.receive.each: expected a list or an object, found a string"),
        (b"7", {}, "$.receive.each: expected a list or an object, found a number"),
        (b'{"messages": 1}', {"each": "keys(messages)"}, "$.receive.each: keys() expects object, found number"),
        (b"[{}, {}, {}]", {"max_items": 2}, "$.receive.each: 3 items, more than max_items = 2"),
    ],
)
def test_what_has_no_items_is_malformed_as_a_whole(body, options, words):
    with pytest.raises(MalformedPayload) as caught:
        decode(body, **options)

    assert words in str(caught.value)


def test_an_empty_list_is_ignored_and_a_byte_order_mark_skipped():
    assert decode(b"\xef\xbb\xbf[]") == [Ignored(reason="empty")]


def test_of_repeated_keys_the_last_counts():
    assert one(b'{"id": "1", "from": "ada", "text": "a", "text": "b"}').message.text == "b"


def test_deep_items_are_bad_or_malformed_and_nothing_else():
    for depth in (40, 400, 900, 990):
        nested = b'{"id": "1", "from": "ada", "text": "x", "meta": ' + b"[" * depth + b"1" + b"]" * depth + b"}"
        with suppress(MalformedPayload):
            assert "nested deeper than 32 levels" in reason(nested, metadata={"deep": "meta"})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1763640000, "2025-11-20T12:00:00+00:00"),
        ("1763640001", "2025-11-20T12:00:01+00:00"),
        (1763640000.5, "2025-11-20T12:00:00.500000+00:00"),
        ("1763640000.000200", "2025-11-20T12:00:00.000200+00:00"),
        (1763640000123, "2025-11-20T12:00:00.123000+00:00"),
        (1763640000123456, "2025-11-20T12:00:00.123456+00:00"),
        ("2025-11-20T12:00:00Z", "2025-11-20T12:00:00+00:00"),
        ("2025-11-20T13:00:00+01:00", "2025-11-20T12:00:00+00:00"),
        ("2025-11-20 12:00:00", "2025-11-20T12:00:00+00:00"),
    ],
)
def test_times_are_read_in_every_usual_notation(written, read):
    sent_at = one({"id": "1", "from": "ada", "at": written}, sent_at="at").message.sent_at

    assert sent_at.isoformat() == read


@pytest.mark.parametrize("written", ["yesterday", True, [], 9e18, "9" * 19, "0001-01-01T00:00:00+14:00"])
def test_times_that_are_none_are_bad_items(written):
    assert reason({"id": "1", "from": "ada", "at": written}, sent_at="at").startswith("$.receive.sent_at: ")


@pytest.mark.parametrize(
    ("given_type", "part", "mime"),
    [
        ("image/jpeg", Image, "image/jpeg"),
        ("IMAGE/PNG; x=y", Image, "image/png"),
        ("image", Image, None),
        ("audio/ogg", Audio, "audio/ogg"),
        ("voice", Audio, None),
        ("video", Video, None),
        ("sticker", Sticker, None),
        ("application/pdf", File, "application/pdf"),
        (None, File, None),
    ],
)
def test_media_become_parts_by_their_type(given_type, part, mime):
    entry = {"url": "http://169.254.169.254/latest", "type": given_type}
    (found,) = one({"id": "1", "from": "ada", "files": [entry]}, media="files").message.parts

    assert type(found) is part
    assert found.media.mime == mime
    assert found.media.status == "pending"
    assert found.media.url is None
    assert found.media.provider_id == "http://169.254.169.254/latest"
    assert found.media.voice is (given_type == "voice")


def test_media_may_be_one_object_urls_or_missing_from_the_item():
    shape = "file.{url: link, type: kind}"

    assert len(one({"id": "1", "from": "ada", "file": {"link": "u"}}, media=shape).message.parts) == 1
    assert one({"id": "1", "from": "ada", "text": "x"}, media=shape).message.parts == (Text(body="x"),)
    assert len(one({"id": "1", "from": "ada", "f": ["u", "v"]}, media="f").message.parts) == 2


def test_media_with_an_id_keep_their_id_when_the_url_changes():
    first, second = (
        one({"id": "1", "from": "ada", "f": [{"id": "m", "url": url}]}, media="f").message.parts[0].media
        for url in ("https://cdn/1?sig=a", "https://cdn/1?sig=b")
    )

    assert first.id == second.id == ids.media_id("shop", "m")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([7], "$.receive.media[0]: expected an object or a URL, found a number"),
        ([{"url": ["u"]}], "$.receive.media[0].url: expected a string"),
        ([{"url": "u", "size": -1}], "$.receive.media[0].size: expected a count"),
        ([{"url": "u"}] * 101, "$.receive.media: more than 100 attachments"),
    ],
)
def test_odd_media_are_a_bad_item(files, words):
    assert reason({"id": "1", "from": "ada", "f": files}, media="f").startswith(words)


def test_content_nobody_mapped_is_unsupported_and_not_hidden():
    assert one({"id": "1", "from": "ada", "kind": "poll"}, type="kind").message.parts == (
        Unsupported(provider_type="poll"),
    )


def test_contacts_of_two_channels_are_one_only_when_the_scheme_says_so():
    assert one({"id": "1", "from": "7"}).message.sender.id == ids.contact_id("shop", "7")
    assert one({"id": "1", "from": "+49"}, scheme="tel").message.sender.id == ids.contact_id("tel", "+49")


def test_an_edit_without_revision_is_a_bad_item_and_not_a_duplicate():
    words = reason({"id": "1", "from": "ada", "what": "message.updated"}, method="what", revision="rev")

    assert words == "$.receive.revision: found nothing; without it an edit looks like a repetition"


def test_a_new_message_that_already_has_an_edit_time_is_new_where_the_provider_says_so():
    (event,) = decode(
        {"id": "1", "from": "ada", "what": "new", "rev": 5},
        method="what",
        methods={"new": "message.received"},
        revision="rev",
    )

    assert event.method == "message.received"
    assert event.params.message.revision == 0


def test_words_nobody_mapped_are_bad_items_that_do_not_show_the_word():
    options: dict[str, Any] = {"method": "what", "methods": {"new": "message.received"}}

    assert reason({"id": "1", "from": "ada", "what": "surprise"}, **options) == (
        "$.receive.method: found a word that is neither in methods nor one of ours"
    )


def test_statuses_of_one_message_are_events_of_their_own():
    body = [{"id": "o-1", "state": state} for state in ("sent", "delivered", "read", "read")]
    events = decode(body, status="state")

    assert [event.params.status for event in events] == ["sent", "delivered", "read", "read"]
    assert len({event.key for event in events}) == 3


def test_forms_are_read_as_objects_of_strings():
    body = b"id=7&from=%2B49&text=gr%C3%BCn+%26+gut&tag=a&tag=b&empty="
    message = one(body, content_type="form", metadata={"tag": "tag", "empty": "empty"})

    assert message.message.provider_id == "7"
    assert message.message.text == "grün & gut"
    assert message.metadata == {"webhook": {"tag": ["a", "b"], "empty": ""}}


@pytest.mark.parametrize("body", [b"id=%ff", b"\xff=1", b"no equals sign", b"&".join([b"a=1"] * 1001)])
def test_forms_that_are_none_are_malformed(body):
    with pytest.raises(MalformedPayload):
        decode(body, content_type="form")


def test_a_channel_that_only_sends_takes_no_delivery():
    with pytest.raises(MalformedPayload, match="only sends"):
        DeclarativeCodec(None, None).decode(raw({}))


EVERYTHING = {
    **PLAIN,
    **{name: name for name in ("scope", "revision", "sender_name", "recipient", "conversation", "group", "subject")},
    **{name: name for name in ("thread", "reply_to", "media", "location", "choice", "type", "sent_at", "method")},
    **{name: name for name in ("about", "status", "error", "emoji")},
    "metadata": {"all": "@", "part": "media"},
}
NAMES = st.sampled_from([*EVERYTHING, "from", "lat", "lon", "url", "size"])
METHODS = st.sampled_from(["message.updated", "message.status", "reaction.added", "receipt.read", "typing.started"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")) | METHODS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=30,
)
CODEC = DeclarativeCodec(msgspec.convert(EVERYTHING, Receive), None)
FORMS = DeclarativeCodec(msgspec.convert({**EVERYTHING, "content_type": "form"}, Receive), None)


@given(body=JSON.map(msgspec.json.encode) | st.binary(max_size=200))
def test_any_delivery_ends_in_events_bad_items_or_malformed_payload(body):
    for codec in (CODEC, FORMS):
        found: list[Any] = []
        with suppress(MalformedPayload):
            found = list(codec.decode(raw(body)))
            assert found
        for item in found:
            if isinstance(item, Event):
                assert msgspec.json.decode(msgspec.json.encode(item.params), type=type(item.params)) is not None
            elif isinstance(item, BadItem):
                assert list(codec.decode(raw(item.body, item=True))) == [item]
