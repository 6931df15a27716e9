"""No mail may break the codec: a corpus, mutations of it, noise, size."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normalizer.codecs.email import EmailCodec, derived, read
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.model import Address, MessageParams
from normalizer.parts import File, Text
from normalizer.raw import Event, Outbound
from tests.unit.email_helpers import corpus, message, raw

MAILS = corpus()
PAYLOADS = sorted((Path(__file__).parents[1] / "payloads" / "email").glob("*.in.eml"))


def check(body: bytes) -> None:
    """Read twice: valid JSON, the same both times, and the connector finds the same attachments as the codec."""
    event = read(raw(body))
    encoded = msgspec.json.encode(event.params)

    assert msgspec.json.decode(encoded, type=MessageParams) == event.params
    assert read(raw(body)) == event
    assert isinstance(event.params, MessageParams)
    assert len(list(derived(body))) <= len(event.params.message.parts) + 1


@pytest.mark.skipif(not MAILS, reason="neither the shared mail corpus nor Python's own test mails are here")
@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.name)
def test_every_mail_of_the_corpus_is_read(path: Path) -> None:
    body = path.read_bytes()
    check(body)
    check(body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_noise_is_read(body: bytes) -> None:
    check(body)


FRAGMENTS = [
    *(
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: text/html\r\n",
        b"Content-Type: ",
        b"boundary=",
    ),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"begin 644 x\r\n",
        b"--b",
    ),
    *(b"\r\n--b\r\n", b"\r\n--b--\r\n", b"From: ", b"Subject: ", b"Message-ID: <", b"References: ", b"Date: ", b"To: "),
    *(
        b"=?utf-8?b?",
        b"=?",
        b"?=",
        b"<",
        b">",
        b"@",
        b'"',
        b"(",
        b";",
        b"*0*=",
        b"''",
        b"%",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
    ),
    *(b"charset=utf-16", b"charset=iso-2022-kr", b"\x00", b"\xff\xfe", b"&#", b"> ", b"-- \r\n", b"On 1 wrote:\r\n"),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=60))
def test_heaps_of_mail_syntax_are_read(pieces: list[bytes]) -> None:
    check(b"".join(pieces))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_mutated_mails_are_read(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(PAYLOADS)).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 30)))
        body[start:end] = data.draw(st.binary(max_size=8) | st.sampled_from(FRAGMENTS))
    check(bytes(body))


@pytest.mark.parametrize("body", [b"", b"\r\n", b" \t\r\n\r\n"])
def test_only_an_empty_mail_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedPayload, match="empty"):
        list(EmailCodec().decode(raw(body)))


def test_thirty_megabytes_are_read_in_well_under_a_second_when_the_attachment_is_stored() -> None:
    data = base64.encodebytes(bytes(range(256)) * 100_000)
    head = b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\n"
    body = (
        head + b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    stored = '{"version":"email/2","parts":{"2":{"sha256":"00","size":25600000}}}'

    started = time.perf_counter()
    found = message(body, stored=stored)
    seconds = time.perf_counter() - started

    assert isinstance(found.parts[1], File)
    assert found.parts[1].media.size == 25_600_000
    assert seconds < 5  # some 50 ms; the bound only tells linear from quadratic


def test_what_was_stored_by_another_version_is_not_believed() -> None:
    mail = b"Content-Type: application/zip\r\n\r\nx"
    stored = '{"version":"email/0","parts":{"0":{"sha256":"00","size":5}}}'
    (_, part) = message(mail, stored=stored).parts

    assert isinstance(part, File)
    assert (part.media.size, part.media.status) == (1, "pending")


@pytest.mark.parametrize("meta", [{"stored": "{"}, {"stored": "\ud800"}, {"rcpt_to": "nonsense"}, {"stored": "[]"}])
def test_damaged_envelope_data_is_ignored(meta: dict[str, str]) -> None:
    (event,) = EmailCodec().decode(raw(b"Subject: x\r\n\r\ny", **meta))

    assert isinstance(event, Event)


def test_the_channel_cannot_express_any_message() -> None:
    channel = raw(b"x").channel
    outbound = Outbound(
        id="msg_1", channel=channel, to=Address(scheme="mailto", value="a@b.c"), parts=(Text(body="x"),)
    )

    with pytest.raises(Unsendable):
        list(EmailCodec().encode(outbound))
