"""Messages of a declarative channel: structures in, structures out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.codecs.declarative_options import Send
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.parts import AnyPart, Image, Media, Text
from normalizer.raw import Outbound, Wire

TEXT = (Text(body="hello"),)


def codec(**options: Any) -> DeclarativeCodec:
    return DeclarativeCodec(None, msgspec.convert({"path": "/send", **options}, Send))


def message(parts: tuple[AnyPart, ...] = TEXT, to: str = "+49", **changes: Any) -> Outbound:
    address = Address(scheme="tel", value=to)
    return Outbound(id="msg_1", channel=ChannelRef(id="shop", type="webhook"), to=address, parts=parts, **changes)


def wire(outbound: Outbound | None = None, **options: Any) -> Wire:
    (found,) = codec(**options).encode(outbound or message())
    return found


def body(template: Any, outbound: Outbound | None = None) -> Any:
    return json.loads(wire(outbound, body=template).body)


def test_structures_of_any_depth_are_filled():
    template = {
        "to": ["=to.value", {"scheme": "=to.scheme"}],
        "fixed": {"n": 1, "f": 1.5, "b": True, "l": [1, [2, "x"]]},
        "parts": "=parts[].{kind: type, words: body}",
    }

    assert body(template) == {
        "to": ["+49", {"scheme": "tel"}],
        "fixed": {"n": 1, "f": 1.5, "b": True, "l": [1, [2, "x"]]},
        "parts": [{"kind": "text", "words": "hello"}],
    }


def test_the_whole_body_may_be_one_expression_or_a_list():
    assert body("={to: to.value, text: text}") == {"to": "+49", "text": "hello"}
    assert body([{"text": "=text"}]) == [{"text": "hello"}]


def test_what_evaluates_to_null_is_left_out():
    assert body({"reply": "=reply_to.provider_id", "text": "=text", "list": ["=subject", "=text"]}) == {
        "text": "hello",
        "list": ["hello"],
    }
    answer = message(reply_to=MessageRef(provider_id="7"))
    assert body({"reply": "=reply_to.provider_id"}, answer) == {"reply": "7"}


def test_two_equals_signs_write_one():
    assert body({"formula": "==to.value", "empty": ""}) == {"formula": "=to.value", "empty": ""}


@given(text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_text_breaks_out_of_its_place(text):
    outbound = message((Text(body=text),))

    assert body({"text": "=text", "n": 1}, outbound) == {"text": text, "n": 1}
    form = wire(outbound, content_type="form", body={"text": "=text", "n": 1}).body
    assert parse_qsl(form.decode("ascii"), keep_blank_values=True) == [("text", text), ("n", "1")]
    assert wire(outbound, query={"q": "=text"}).url.startswith("/send?q=")


@given(to=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda to: to not in {".", ".."}))
def test_no_recipient_changes_the_path(to):
    url = wire(message(to=to), path="/v1/{to.value}/messages").url

    assert url.startswith("/v1/")
    assert url.endswith("/messages")
    assert url.count("/") == 3
    assert not set(url) & set("?#\\ @:\r\n")


@pytest.mark.parametrize("to", [".", ".."])
def test_a_recipient_made_of_dots_is_refused(to):
    with pytest.raises(Unsendable, match="would change the path"):
        wire(message(to=to), path="/v1/{to.value}/messages")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("https://evil.example/x", "must start with one slash"),
        ("//evil.example/x", "must start with one slash"),
        ("v1/send", "must start with one slash"),
        ("/\\evil.example", "must start with one slash"),
        ("=join('/', ['', to.value])", "must start with one slash"),
        ("/v1/{to.value", "unbalanced braces"),
        ("/v1?x=1", "send.query"),
        ("/v1/{to..value}", 'unexpected "."'),
    ],
)
def test_a_path_that_could_leave_the_host_fails_when_it_is_read(path, words):
    with pytest.raises(ValueError) as caught:
        codec(path=path)

    assert str(caught.value).startswith("$.send.path: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"body": {"a": [{"b": "=text..x"}]}}, "$.send.body.a[0].b: "),
        ({"query": {"q": "=nope(@)"}}, "$.send.query.q: "),
        ({"headers": {"X-A": "=a["}}, "$.send.headers.X-A: "),
        ({"headers": {"X A": "1"}}, "$.send.headers.X A: "),
        ({"headers": {"authorization": "Bearer x"}}, "$.send.headers.authorization: "),
        ({"headers": {"Host": "evil"}}, "$.send.headers.Host: "),
        ({"parts": ["txt"]}, "$.send.parts: "),
        ({"content_type": "form", "body": {"a": {"b": "c"}}}, "$.send.body.a: "),
        ({"id": "a["}, "$.send.id: "),
        ({"failed": "a["}, "$.send.failed: "),
    ],
)
def test_a_fault_is_named_with_its_exact_place_when_it_is_read(options, where):
    with pytest.raises(ValueError) as caught:
        codec(**options)

    assert str(caught.value).startswith(where)


@pytest.mark.parametrize("text", ["two\r\nX-Evil: 1", "tab\t", ""])
def test_a_header_stays_one_line(text):
    with pytest.raises(Unsendable, match=r"\$\.send\.headers\.X-Text: expected one line"):
        wire(message((Text(body="x"),), text="x", subject=text), headers={"X-Text": "=subject"})


def test_headers_and_query_leave_out_what_is_null():
    found = wire(headers={"X-Subject": "=subject", "X-Ref": "=id"}, query={"s": "=subject", "n": [1, 2], "b": True})

    assert found.headers == {"X-Ref": "msg_1"}
    assert found.url == "/send?n=1&n=2&b=true"


def test_parts_nobody_mapped_are_refused_by_name():
    image = Image(media=Media(id="med_1", status="stored"))

    with pytest.raises(Unsendable) as caught:
        wire(message((*TEXT, image)), body={"text": "=text"})

    assert (caught.value.need, caught.value.have) == ("image", ("text",))


def test_an_expression_that_fails_on_a_message_names_the_option_and_no_text():
    with pytest.raises(Unsendable) as caught:
        wire(body={"n": "=ceil(text)"})

    assert str(caught.value) == "$.send.body.n: ceil() expects number, found string"


def test_the_text_is_rendered_from_the_parts_where_the_caller_gave_none():
    assert body({"text": "=text"}, message((Text(body="a"), Text(body="b")))) == {"text": "a\nb"}


def test_a_channel_that_only_receives_says_so():
    with pytest.raises(Unsendable):
        DeclarativeCodec(None, None).encode(message())
    with pytest.raises(MalformedPayload):
        list(codec().decode(None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'{"message": {"id": 7}}', ("7", None)),
        (b'{"message": {"id": true}}', (None, None)),
        (b"{}", (None, None)),
        (b"OK", (None, None)),
        (b"\xff", (None, None)),
        (b"[" * 100_000, (None, None)),
        (b'{"error": {"text": "no credit"}}', (None, "no credit")),
        (b'{"error": {"code": 7}}', (None, "the provider gave no reason")),
    ],
)
def test_answers_are_read_and_never_make_a_sent_message_fail(answer, found):
    made = codec(id="message.id", failed="error", error="error.text")

    assert made.answer(answer) == found
    assert codec().answer(answer) == (None, None)
