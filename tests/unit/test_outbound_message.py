"""From the params of `message.send` to a message, and from errors to answers."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api import Capabilities
from connectors.errors import (
    Busy,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from dedup.api import DedupUnavailable
from gateway.broker.api import BrokerUnavailable, Delivery
from gateway.outbound_errors import Expired, SendFault, rpc_error
from gateway.outbound_memory import Ending, identity, repeated
from gateway.outbound_message import address_of, content_of, lane_of, message_of
from normalizer import ids
from normalizer.errors import Unsendable
from normalizer.methods import SendParams
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.parts import Contact, Text
from normalizer.rpc import RpcError

REF = ChannelRef(id="shop", type="testchat")
TEXT_ONLY = Capabilities(parts=("text",))


def make_delivery(message_id: str | None = "m1", *, redelivered: bool = False) -> Delivery:
    return Delivery(
        queue="q",
        routing_key="k",
        body=b"",
        message_id=message_id,
        method=None,
        headers={},
        reply_to=None,
        correlation_id=None,
        redelivered=redelivered,
        token=None,
    )


@pytest.mark.parametrize(
    ("kind", "scheme"), [("telegram", "telegram"), ("email", "mailto"), ("sip", "sip"), ("webhook", "webhook")]
)
def test_a_bare_string_is_an_address_of_the_channels_own_scheme(kind: str, scheme: str) -> None:
    assert address_of("x", kind) == Address(scheme=scheme, value="x")


def test_a_full_address_is_taken_as_it_is() -> None:
    assert address_of(Address(scheme="tel", value="+49"), "telegram") == Address(scheme="tel", value="+49")


def test_a_recipient_has_one_lane_however_it_is_named() -> None:
    conversation = ids.conversation_id("shop", "anna")

    assert lane_of("shop", "anna", None) == conversation
    assert lane_of("shop", Address(scheme="x", value="anna"), None) == conversation
    assert lane_of("shop", None, conversation) == conversation


def test_text_is_short_for_one_text_part() -> None:
    params = SendParams(channel="shop", to="anna", text="hello", reply_to=MessageRef(provider_id="p9"), subject="s")

    message = message_of(
        params, address_of("anna", "testchat"), message_id="msg_1", channel=REF, capabilities=TEXT_ONLY
    )

    assert message.parts == (Text(body="hello"),)
    assert message.text == "hello"
    assert message.reply_to == MessageRef(provider_id="p9")
    assert message.subject == "s"


def test_nothing_degrades_on_a_channel_without_text() -> None:
    params = SendParams(channel="shop", to="anna", parts=(Contact(name="Bert"),), fallback="degrade")

    with pytest.raises(Unsendable) as caught:
        message_of(params, address_of("a", "x"), message_id="m", channel=REF, capabilities=Capabilities())
    assert caught.value.need == "contact"


@given(st.text(min_size=1), st.text(min_size=1))
def test_content_is_the_same_whatever_the_deadline_and_differs_with_the_text(one: str, two: str) -> None:
    def content(text: str, hour: int) -> str:
        not_after = datetime(2026, 1, 1, hour, tzinfo=UTC)
        return content_of(SendParams(channel="shop", to="anna", text=text, not_after=not_after))

    assert content(one, 1) == content(one, 2)
    assert (content(one, 1) == content(two, 1)) is (one == two)


def test_the_idempotency_key_names_a_message_before_the_delivery_does() -> None:
    by_key = identity("shop", "k", make_delivery("m1"), "u")

    assert by_key == identity("shop", "k", make_delivery("m2"), "v")
    assert by_key.look
    assert by_key.key != identity("other", "k", make_delivery("m1"), "u").key


def test_a_delivery_is_looked_up_only_when_it_comes_again() -> None:
    first, again = (
        identity("shop", None, make_delivery(), "u"),
        identity("shop", None, make_delivery(redelivered=True), "v"),
    )

    assert first.key == again.key
    assert first.message_id == again.message_id
    assert (first.look, again.look) == (False, True)


def test_a_delivery_without_any_id_is_never_taken_for_another() -> None:
    one, two = identity("shop", None, make_delivery(None), "u"), identity("shop", None, make_delivery(None), "v")

    assert one.key is None
    assert one.message_id != two.message_id


def test_an_ending_survives_the_store() -> None:
    ending = Ending.failed("c", "msg_1", RpcError(-32007, "no", provider_code="400"))

    again = msgspec.json.decode(msgspec.json.encode(ending), type=Ending)

    assert again == ending
    assert again.error is not None
    assert again.error.data == {"retryable": False, "provider_code": "400"}


def test_other_content_under_a_used_key_is_told_the_first_outcome() -> None:
    failed = Ending.failed("c", "msg_1", RpcError(-32007, "no"))

    error = repeated(failed, "d").error

    assert error is not None
    assert error.number == -32010
    assert error.data["first_result"] == {"error": {"code": -32007, "message": "no"}}
    assert repeated(failed, "c") is failed


@pytest.mark.parametrize(
    ("raised", "code", "data"),
    [
        (Unreachable("x", provider_code="502"), -32006, {"retryable": True, "provider_code": "502"}),
        (Throttled("x", retry_after=7.0), -32005, {"retryable": True, "retry_after": 7.0, "provider_code": "429"}),
        (Throttled("x"), -32005, {"retryable": True, "provider_code": "429"}),
        (Refused("x", provider_code="9", provider_text="no"), -32007, None),
        (RecipientGone("x"), -32008, {"retryable": False}),
        (WindowClosed("x"), -32004, {"retryable": False, "template_required": True}),
        (Misconfigured("x"), -32002, {"retryable": False}),
        (SendError("x"), -32007, {"retryable": False}),
        (SendFault("x"), -32603, {"retryable": True}),
        (Unsendable("card", ("text",)), -32003, {"retryable": False, "need": "card", "have": ["text"]}),
        (Expired(), -32011, {"retryable": False}),
        (Busy(2.0), -32012, {"retryable": True, "retry_after": 2.0}),
        (DedupUnavailable("x"), -32012, {"retryable": True}),
        (BrokerUnavailable("x"), -32012, {"retryable": True}),
        (ValueError("secret"), -32603, {"retryable": True}),
    ],
)
def test_every_error_has_its_code(raised: Exception, code: int, data: dict[str, object] | None) -> None:
    error = rpc_error(raised)

    assert error.number == code
    assert "secret" not in str(error)
    assert data is None or error.data == data
