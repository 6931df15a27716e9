from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.broker import api
from normalizer import asyncapi, rpc, schema
from normalizer.docstrings import attributes, summary
from normalizer.methods import NOTIFICATIONS, REQUESTS, SendParams, routing_key
from normalizer.model import Message, MessageParams
from tests.unit.model_strategies import structs

MESSAGES = schema.messages()
DOCUMENT = asyncapi.document()
PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RECEIVED = """
{"jsonrpc": "2.0", "method": "message.received", "params": {
  "schema": "1.0", "event_id": "evt_1", "channel": {"id": "wa", "type": "whatsapp", "labels": {"team": "eu"}},
  "conversation": {"id": "cnv_1", "kind": "direct", "seq": 42, "provider_id": "49"},
  "message": {"id": "msg_1", "provider_id": "wamid.1", "revision": 0, "direction": "in",
    "sent_at": "2026-11-20T10:00:00Z", "received_at": "2026-11-20T10:00:01.5Z",
    "from": {"id": "ctc_1", "name": "Ada", "role": "customer", "addresses": [{"scheme": "tel", "value": "+49"}]},
    "text": "Hi", "parts": [{"type": "text", "body": "Hi"}], "to_be_invented": 1},
  "dedup": {"key": "k", "state": "first", "redelivery": 0},
  "security": {"verified": "hmac"}, "metadata": {"whatsapp": {"x": [1]}}}}
"""


@cache
def validator(name: str) -> Draft202012Validator:
    """A validator for one of the envelopes, or for the whole union."""
    target = {"$ref": f"#/$defs/{name}"} if name else {"oneOf": MESSAGES["oneOf"]}
    return Draft202012Validator({"$schema": schema.DIALECT, **target, "$defs": MESSAGES["$defs"]})


def accepts(body: bytes | str, name: str = "") -> bool:
    return validator(name).is_valid(msgspec.json.decode(body))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(MESSAGES)


def test_every_method_has_an_envelope() -> None:
    names = {ref["$ref"].rpartition("/")[2] for ref in MESSAGES["oneOf"]}

    assert names == {f"notification.{method}" for method in NOTIFICATIONS} | {
        f"request.{method}" for method in REQUESTS
    } | {"response.result", "response.error"}


def test_an_example_of_the_documentation_is_valid() -> None:
    assert accepts(RECEIVED)
    assert msgspec.json.decode(RECEIVED, type=rpc.Notification).method == "message.received"


@pytest.mark.parametrize(
    "broken",
    [
        RECEIVED.replace("message.received", "message.perceived"),
        RECEIVED.replace('"2.0"', '"1.0"'),
        RECEIVED.replace('"type": "text"', '"type": "smell"'),
        RECEIVED.replace('"event_id": "evt_1", ', ""),
        RECEIVED.replace('"in"', '"inside"'),
        RECEIVED.replace('"seq": 42', '"seq": "42"'),
        RECEIVED.replace('"jsonrpc"', '"id": 1, "jsonrpc"'),
        "{}",
        "[]",
        '{"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": -32603, "message": "", "data": {}}}',
        '{"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "", "data": {"retryable": true}}}',
        '{"jsonrpc": "2.0", "method": "message.send", "id": 1}',
        '{"jsonrpc": "2.0", "method": "message.send", "id": 1, "params": {"channel": "a", "txt": "Hi"}}',
    ],
)
def test_what_is_no_message_is_invalid(broken: str) -> None:
    assert not accepts(broken)


def test_answers_are_valid() -> None:
    assert accepts(rpc.result(7, {"message_id": "msg_1"}))
    assert accepts(rpc.result("a", None))
    for number in rpc.ERROR_NAMES:
        assert accepts(rpc.error(None, rpc.RpcError(number, "no", need="image")))


@PROPERTY
@given(st.data(), st.sampled_from(list(NOTIFICATIONS)))
def test_a_notification_survives_the_wire_and_fits_the_schema(data: st.DataObject, method: str) -> None:
    params = data.draw(structs(NOTIFICATIONS[method]))
    body = rpc.notification(method, params)

    assert msgspec.json.decode(msgspec.json.decode(body, type=rpc.Request).params, type=type(params)) == params
    assert accepts(body, f"notification.{method}")


@PROPERTY
@given(st.data(), st.sampled_from(list(REQUESTS)))
def test_a_request_survives_the_wire_and_fits_the_schema(data: st.DataObject, method: str) -> None:
    params = data.draw(structs(REQUESTS[method]))
    body = rpc.request(method, params, 1)

    assert rpc.parse_params(rpc.parse_request(body).params, type(params)) == params
    assert accepts(body, f"request.{method}")


@settings(PROPERTY, max_examples=10)
@given(structs(MessageParams))
def test_a_message_fits_exactly_one_envelope(params: MessageParams) -> None:
    assert accepts(rpc.notification("message.updated", params))


def test_fields_are_described_by_their_docstrings() -> None:
    sending = MESSAGES["$defs"]["SendParams"]

    assert sending["properties"]["not_after"]["description"] == attributes(SendParams)["not_after"]
    assert sending["description"] == "`message.send`."
    assert MESSAGES["$defs"]["Message"]["description"] == summary(Message)


def test_the_asyncapi_document_is_of_the_layout_of_the_broker() -> None:
    assert (asyncapi.EVENTS, asyncapi.COMMANDS, asyncapi.RPC_QUEUE) == (api.EVENTS, api.COMMANDS, api.RPC_QUEUE)
    address = DOCUMENT["channels"]["events"]["address"]
    assert address.format(channel_type="email", channel_id="shop", method="message.received") == routing_key(
        "email", "shop", "message.received"
    )


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    references = list(_references(DOCUMENT))

    assert len(references) > 100
    for reference in references:
        node: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert isinstance(node, dict)


def test_the_asyncapi_document_keeps_the_rules_of_its_specification() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in {"send", "receive"}
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
    for channel in DOCUMENT["channels"].values():
        placeholders = {word.partition("}")[0] for word in (channel["address"] or "").split("{")[1:]}
        assert placeholders == set(channel.get("parameters", {}))


def test_every_method_is_a_message_of_the_asyncapi_document() -> None:
    channels = DOCUMENT["channels"]

    assert set(DOCUMENT["components"]["messages"]) == {*NOTIFICATIONS, *REQUESTS, "result", "error"}
    assert set(channels["events"]["messages"]) == set(NOTIFICATIONS)
    assert {*channels["commands"]["messages"], *channels["gateway"]["messages"]} == set(REQUESTS)


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
