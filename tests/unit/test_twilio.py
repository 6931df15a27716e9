"""Twilio's signature in all its variants, and what the codec says where files of payloads say too little."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from connectors.api import Delivery
from connectors.errors import Unauthorized
from connectors.secrets import Secret
from connectors.twilio_config import TwilioConfig
from connectors.twilio_verify import check
from normalizer import parts as p
from normalizer import rpc
from normalizer.codecs.twilio import TwilioCodec
from normalizer.codecs.twilio_errors import CODES, status_error
from normalizer.codecs.twilio_send import Sending, twiml
from normalizer.errors import Unsendable
from normalizer.model import Address, ChannelRef
from normalizer.raw import Outbound

TOKEN, URL = "12345fedcba98765abcdef0123456789", "https://gw.example/c/shop"
FIELDS = {"MessageSid": "SM1", "From": "+14017122661", "To": "+14155238886", "Body": "ä + & = %", "Empty": ""}
CHANNEL = ChannelRef(id="shop", type="twilio")
ACCOUNT = "AC" + "0" * 32
SENDING = Sending(account_sid=ACCOUNT, sender="+14155238886")


def signed(url: str, fields: dict[str, str] | None = None, **validator: str) -> str:
    made: str = RequestValidator(TOKEN).compute_signature(url, FIELDS if fields is None else fields, **validator)
    return made


def delivery(signature: str, *, url: str = "/c/shop", body: bytes | None = None, **headers: str) -> Delivery:
    query = dict(parse_qsl(url.partition("?")[2]))
    form = urlencode(FIELDS).encode() if body is None else body
    given = {"x-twilio-signature": signature, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Delivery(method="POST", path="", url=url, query=query, headers=given, body=form)


def test_the_signature_of_twilios_own_example_fits() -> None:
    """As in the tests of Twilio's SDKs (https://github.com/twilio/twilio-python, test_request_validator.py)."""
    caller = "+14158675309"
    fields = {"CallSid": "CA1234567890ABCDE", "Caller": caller, "Digits": "1234", "From": caller, "To": "+18005551212"}
    request = delivery("RSOYDt4T1cUTdK1PDd93/VVr8B8=", url="/x?foo=1&bar=2", body=urlencode(fields).encode())

    check(request, "https://mycompany.com/myapp.php", ("12345",))


@pytest.mark.parametrize("at_twilio", [URL, "https://gw.example:443/c/shop"])
@pytest.mark.parametrize("configured", [URL, "https://gw.example:443/c/shop"])
def test_the_url_may_stand_at_twilio_with_or_without_its_port(at_twilio: str, configured: str) -> None:
    check(delivery(signed(at_twilio)), configured, (TOKEN,))


def test_the_query_is_part_of_what_is_signed() -> None:
    check(delivery(signed(f"{URL}?team=eu"), url="/c/shop?team=eu"), URL, (TOKEN,))
    with pytest.raises(Unauthorized):
        check(delivery(signed(f"{URL}?team=eu"), url="/c/shop?team=us"), URL, (TOKEN,))


def test_without_a_configured_url_the_proxys_headers_say_it() -> None:
    check(delivery(signed(URL), host="gw.example"), "", (TOKEN,))
    check(
        delivery(signed(URL), host="10.0.0.7:8080", x_forwarded_host="gw.example", x_forwarded_proto="https"),
        "",
        (TOKEN,),
    )
    with pytest.raises(Unauthorized):
        check(delivery(signed(URL), host="other.example"), "", (TOKEN,))


def test_without_a_word_about_tls_the_url_may_be_either() -> None:
    plain = signed(URL.replace("https", "http"))

    check(delivery(plain, host="gw.example"), "", (TOKEN,))
    with pytest.raises(Unauthorized):
        check(delivery(plain, host="gw.example", x_forwarded_proto="https"), "", (TOKEN,))
    with pytest.raises(Unauthorized):
        check(delivery(plain, host="gw.example"), URL, (TOKEN,))


def test_headers_cannot_change_a_configured_url() -> None:
    elsewhere = delivery(signed("https://other.example/c/shop"), host="other.example", x_forwarded_host="other.example")
    with pytest.raises(Unauthorized):
        check(elsewhere, URL, (TOKEN,))


def test_a_json_body_is_covered_by_its_hash_in_the_url() -> None:
    body = b'[{"type":"com.twilio.messaging.message.sent"}]'
    path = f"/c/shop?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = signed(f"https://gw.example{path}", {})

    check(delivery(signature, url=path, body=body), URL, (TOKEN,))
    for other in (b"[]", b"", body + b" "):
        with pytest.raises(Unauthorized):
            check(delivery(signature, url=path, body=other), URL, (TOKEN,))
    for hash_ in ("", "0" * 64, "ä"):
        with pytest.raises(Unauthorized):
            check(delivery(signature, url=f"/c/shop?bodySHA256={hash_}", body=body), URL, (TOKEN,))


def test_the_old_token_is_accepted_while_it_is_changed() -> None:
    check(delivery(signed(URL)), URL, ("the new one", TOKEN))
    with pytest.raises(Unauthorized):
        check(delivery(signed(URL)), URL, ("the new one",))


def test_a_shared_key_signs_with_sha256_and_does_not_stand_in_for_the_token() -> None:
    signature, settings = signed(URL, algorithm="HMAC_SHA256"), "key=webhooks_sharedkey_1, algorithm=HMAC_SHA256"
    by_key = delivery(signature, x_twilio_webhooks_signature_settings=settings)

    check(by_key, URL, ("the token",), shared_key=TOKEN)
    with pytest.raises(Unauthorized):
        check(by_key, URL, (TOKEN,))
    with pytest.raises(Unauthorized):
        check(delivery(signature), URL, ("the token",), shared_key=TOKEN)


@given(st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=20), min_size=1, max_size=6))
def test_whatever_fields_there_are_the_sdk_and_we_agree(fields: dict[str, str]) -> None:
    check(delivery(signed(URL, fields), body=urlencode(fields).encode()), URL, (TOKEN,))


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=1&" * 400])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Unauthorized):
        check(delivery(base64.b64encode(b"x" * 20).decode(), body=body), URL, (TOKEN,))


def out(*parts: p.AnyPart, to: str = "+14017122661", **more: object) -> Outbound:
    fields = {"id": "msg_1", "channel": CHANNEL, "to": Address(scheme="twilio", value=to), "parts": parts, **more}
    return Outbound(**fields)  # type: ignore[arg-type] # as given


def form(message: Outbound, sending: Sending = SENDING) -> list[dict[str, str]]:
    return [dict(parse_qsl(wire.body.decode())) for wire in TwilioCodec(sending).encode(message)]


def test_the_sender_is_of_the_same_channel_as_the_recipient() -> None:
    both = Sending(account_sid=ACCOUNT, sender="+1555", whatsapp_sender="+1666")
    service = Sending(account_sid=ACCOUNT, service="MG1")
    text = p.Text(body="hi")

    assert [one["From"] for one in form(out(text), both)] == ["+1555"]
    assert [one["From"] for one in form(out(text, to="whatsapp:+14017122661"), both)] == ["whatsapp:+1666"]
    assert [one["From"] for one in form(out(text, to="messenger:4711"), both)] == ["messenger:+1555"]
    (by_service,) = form(out(text), service)
    assert by_service["MessagingServiceSid"] == "MG1"
    assert "From" not in by_service


def test_long_captions_go_on_in_texts() -> None:
    picture = p.Image(media=p.Media(id="m", status="pending", url="https://shop.example/1.jpg", caption="word " * 400))
    first, second = form(out(picture))

    assert "MediaUrl" in first
    assert "MediaUrl" not in second
    assert (first["Body"] + second["Body"]).split() == ["word"] * 400


@pytest.mark.parametrize(
    "message",
    [
        out(p.Text(body="hi", format="html")),
        out(p.Text(body=" ")),
        out(p.Location(lat=1, lon=2)),
        out(p.Image(media=p.Media(id="m", status="pending", provider_id="ME1"))),
        out(p.Text(body="hi"), to="who knows"),
        out(p.Text(body="hi"), to="+1\n2"),
        out(p.Choice(kind="buttons", body="?")),
    ],
)
def test_what_twilio_cannot_say_is_refused(message: Outbound) -> None:
    with pytest.raises(Unsendable):
        form(message)


def test_a_reply_in_the_answer_is_twiml_that_xml_readers_understand() -> None:
    picture = p.Image(media=p.Media(id="m", status="pending", url="https://shop.example/?a=1&b=2", caption="<&>"))
    body = twiml(
        out(p.Text(body="Tom & Jerry <3 \x00"), picture), {"them": "+14017122661"}, replace(SENDING, callback=URL)
    )

    assert body is not None
    root = ET.fromstring(body)
    assert [[(verb.tag, verb.text) for verb in message] for message in root] == [
        [("Body", "Tom & Jerry <3 ")],
        [("Body", "<&>"), ("Media", "https://shop.example/?a=1&b=2")],
    ]
    assert [message.get("action") for message in root] == [URL, URL]


@pytest.mark.parametrize(
    "message",
    [
        out(p.Text(body="hi"), to="+49301234"),
        out(p.Template(name="HX1", language="de")),
        out(p.Text(body="hi"), metadata={"twilio": {"from": "+1"}}),
        out(p.Text(body=" ")),
        out(p.Text(body="hi", format="html")),
    ],
)
def test_what_cannot_be_said_in_the_answer_goes_by_the_api(message: Outbound) -> None:
    assert twiml(message, {"them": "+14017122661"}, SENDING) is None


@pytest.mark.parametrize(
    ("code", "expected", "again"),
    [
        ("21610", rpc.CONTACT_STOPPED, False),
        ("21211", rpc.CONTACT_STOPPED, False),
        ("63016", rpc.WINDOW_CLOSED, False),
        ("20429", rpc.THROTTLED, True),
        ("30003", rpc.CONNECTION_FAILED, True),
        ("20003", rpc.CHANNEL_CONFIG, False),
        ("30007", rpc.REJECTED, False),
        ("99999", rpc.REJECTED, False),
        (None, rpc.REJECTED, False),
        ("oops", rpc.REJECTED, False),
    ],
)
def test_a_failed_status_says_why_in_our_words(code: str | None, expected: int, *, again: bool) -> None:
    error = status_error(code, "because")

    assert (error.code, error.retryable) == (expected, again)
    assert all(1000 < known < 100_000 for known in CODES)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"api_key": "SK" + "0" * 32}, "belong together"),
        ({"api_secret": Secret("x")}, "belong"),
    ],
)
def test_options_that_do_not_fit_together_are_named(wrong: dict[str, object], words: str) -> None:
    options: dict[str, object] = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), **wrong}
    with pytest.raises(ValueError, match=words):
        TwilioConfig(**options)  # type: ignore[arg-type] # as given
