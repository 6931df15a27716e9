"""The options of a declarative channel: what is wrong is found before anything runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectors.declarative import DeclarativeConfig
from connectors.secrets import Secret

RECEIVE = {"id": "id", "sender": "from"}
SEND = {"path": "/send"}
NONE = {"scheme": "none"}


def config(**options: Any) -> DeclarativeConfig:
    return msgspec.convert(options, DeclarativeConfig, dec_hook=lambda shape, value: shape(value))


def fault(**options: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        config(**options)
    return str(caught.value)


def test_a_typo_is_reported_with_the_path_of_the_option():
    words = fault(verify=NONE, receive={**RECEIVE, "text": "text..body"})

    assert words == '$.receive.text: unexpected "." at column 5: text..body'


def test_all_faults_of_a_channel_are_reported_together():
    words = fault(
        receive={"id": "a[", "sender": "from", "text": "nope(@)", "metadata": {"n": "b["}},
        send={"path": "send", "id": "c["},
        handshake={"field": "d["},
        token="t",
        auth={"scheme": "bearer", "token": "t"},
    )

    for where in ("verify", "receive.id", "receive.text", "receive.metadata.n", "send.path", "send.id"):
        assert f"$.{where}: " in words
    for where in ("handshake.field", "token", "base_url"):
        assert f"$.{where}: " in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "$.receive: a webhook channel needs receive, send or both"),
        ({"receive": RECEIVE}, "$.verify: say who may deliver"),
        ({"send": SEND}, "$.base_url: is missing"),
        ({"send": SEND, "base_url": "https://a.example", "api_base": "https://b.example"}, "$.base_url: api_base"),
        ({"send": SEND, "base_url": "ftp://a.example"}, "$.base_url: must start with https://"),
        ({"send": SEND, "base_url": "a.example"}, "$.base_url: must start with https://"),
        ({"send": SEND, "base_url": "https://a.example:port"}, "$.base_url: is not a URL"),
        ({"send": SEND, "base_url": "https://user:word@a.example"}, "$.base_url: credentials do not belong here"),
        ({"send": SEND, "base_url": "https://a.example/?x=1"}, "$.base_url: ends before the query"),
        ({"send": SEND, "base_url": "https://a.example", "token": "a\nb"}, "$.auth: holds a character"),
        ({"receive": {**RECEIVE, "methods": {"x": "message.sent"}}, "verify": NONE}, "$.receive.methods.x: "),
        (
            {"receive": {**RECEIVE, "statuses": {"x": "lost"}}, "verify": NONE},
            "$.receive.statuses.x: 'lost' is none of",
        ),
        ({"receive": {**RECEIVE, "txt": "x"}, "verify": NONE}, "unknown field `txt` - at `$.receive`"),
        ({"receive": RECEIVE, "verify": {"scheme": "hmac", "header": "X", "secret": ""}}, "secret: is empty"),
        ({"receive": RECEIVE, "verify": {"scheme": "token", "header": "X", "secret": ""}}, "secret: is empty"),
        ({"receive": RECEIVE, "verify": {"scheme": "basic", "user": "u", "password": ""}}, "password: is empty"),
        ({"receive": RECEIVE, "verify": {"scheme": "jwt"}}, "jwt"),
        ({"receive": RECEIVE, "verify": NONE, "handshake": {}}, "give query"),
        ({"receive": RECEIVE, "verify": NONE, "handshake": {"query": "c", "token_query": "t"}}, "go together"),
    ],
)
def test_contradictions_say_what_to_do(options, words):
    assert words in fault(**options)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payload": "{timestamp}"}, "without {body}"),
        ({"payload": "{timestamp}.{body}"}, "go together"),
        ({"timestamp_header": "X-Time"}, "go together"),
        ({"payload": "{nonce}.{body}"}, "known are {body}"),
        ({"secret": "not hex", "secret_encoding": "hex"}, "is not hex"),
        ({"secret": "***", "secret_encoding": "base64"}, "is not base64"),
        ({"previous": ""}, "previous: is empty"),
        ({"algorithm": "md5"}, "md5"),
        ({"max_age_secs": 0}, "max_age_secs"),
    ],
)
def test_a_signature_that_would_prove_less_than_it_seems_is_refused(changes, words):
    verify = {"scheme": "hmac", "header": "X-Signature", "secret": "s3cr3t", **changes}
    text = fault(receive=RECEIVE, verify=verify)

    assert words in text
    assert "s3cr3t" not in text
    assert "***" not in text


def test_secrets_are_not_shown():
    made = config(
        receive=RECEIVE,
        verify={"scheme": "hmac", "header": "X", "secret": "word-1", "previous": "word-2"},
        handshake={"query": "c", "token_query": "t", "token": "word-3"},
        auth={"scheme": "header", "header": "X-Key", "value": "word-4"},
    )

    assert "word" not in repr(made)
    assert made.verify is not None
    assert Secret("word-1") == made.verify.secret  # type: ignore[union-attr]
