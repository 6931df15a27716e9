"""The example people copy is loaded by the gateway and does what its comments say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.declarative import DeclarativeConfig
from gateway.settings.load import load
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.model import Address, ChannelRef
from normalizer.parts import Text
from normalizer.raw import Event, Outbound, RawEvent

EXAMPLE = Path(__file__).parents[2] / "config" / "channels" / "orders.toml.example"
CHANNEL = ChannelRef(id="orders", type="webhook")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DeclarativeCodec:
    for name in ("ORDERS_TOKEN", "ORDERS_SECRET", "ORDERS_VERIFY"):
        monkeypatch.setenv(name, "word")
    (tmp_path / "orders.toml").write_text(EXAMPLE.read_text())
    options = load(tmp_path / "orders.toml").settings.channels["orders"].options
    assert isinstance(options, DeclarativeConfig)
    return DeclarativeCodec(options.receive, options.send)


def test_messages_and_statuses_come_in(codec: DeclarativeCodec) -> None:
    body = {
        "entry": [
            {"messages": [{"id": 1, "from": {"phone": "+49"}, "text": {"body": "hi"}}, {"type": "ping"}]},
            {"statuses": [{"id": "s", "message_id": "77", "status": "arrived"}]},
        ]
    }
    raw = RawEvent(channel=CHANNEL, kind="webhook", body=json.dumps(body).encode(), received_at=NOW)
    found = [event.method for event in codec.decode(raw) if isinstance(event, Event)]

    assert found == ["message.received", "message.status"]


def test_messages_go_out(codec: DeclarativeCodec) -> None:
    to = Address(scheme="tel", value="+49")
    (wire,) = codec.encode(Outbound(id="msg_1", channel=CHANNEL, to=to, parts=(Text(body="hello"),)))

    assert json.loads(wire.body) == {"to": "+49", "kind": "text", "text": {"body": "hello"}}
    assert wire.headers["Idempotency-Key"] == "msg_1"
