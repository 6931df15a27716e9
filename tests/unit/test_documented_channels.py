"""What the READMEs say about channels and messages is true."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors import registry
from connectors.declarative import DeclarativeConfig
from connectors.declarative_options import HmacVerify
from connectors.secrets import Secret
from connectors.signatures import check_hmac
from gateway.simulate.api import Item
from normalizer.methods import NOTIFICATIONS
from normalizer.model import Address, ChannelRef
from normalizer.parts import Text
from normalizer.raw import Outbound, RawEvent

ROOT = Path(__file__).parents[2]
CONNECTORS = (ROOT / "connectors" / "README.md").read_text()
NORMALIZER = (ROOT / "normalizer" / "README.md").read_text()
CHANNEL = {"id": "support", "type": "telegram"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def secret(shape: Any, value: str) -> Any:
    return shape(value)


def test_every_rule_names_a_test_that_exists() -> None:
    rules = CONNECTORS.partition("## Rules")[2].partition("\n## ")[0]
    folder = ROOT / "tests" / "contract"
    parts = ("kinds", "security", "capabilities", "identity", "doctor")
    source = "".join((folder / f"test_channel_{part}.py").read_text() for part in parts)
    named = re.findall(r"`(test_\w+)`", rules)

    assert len(named) >= 12
    assert [name for name in named if f"def {name}(" not in source] == []
    assert set(re.findall(r"def (test_\w+)\(", source)) == set(named)
    assert all((ROOT / path).exists() for path in re.findall(r"`(tests/\S+\.py)`", rules))


def test_the_channel_without_code_is_one() -> None:
    (text,) = blocks(CONNECTORS, "toml")
    options = tomllib.loads(text)["channels"]["orders"]

    assert options.pop("kind") == "webhook"
    msgspec.convert(options, DeclarativeConfig, dec_hook=secret)


def test_the_signature_shapes_are_accepted() -> None:
    rows = re.findall(r"^\| .+? \| `(\{ .+ \})` \|$", CONNECTORS, re.MULTILINE)

    assert len(rows) == 5
    for row in rows:
        table = row.replace("…,", 'scheme = "hmac", secret = "d29yZA==",').replace("secret = …", 'secret = "word"')
        options = tomllib.loads(f"verify = {table}")["verify"]
        assert options.pop("scheme") == "hmac"
        assert msgspec.convert(options | {"scheme": "hmac"}, HmacVerify, dec_hook=secret)


def test_the_channel_in_two_modules_works(monkeypatch: pytest.MonkeyPatch) -> None:
    dict(registry.load())  # all first, or the kinds of this build would register in the table that is thrown away
    monkeypatch.setattr(registry, "_specs", {})
    names = ("normalizer.codecs.acme", "connectors.acme", "gateway.simulate.acme")
    modules = [block for block in blocks(CONNECTORS, "python") if block.startswith('"""Acme')]
    for name, source in zip(names, modules, strict=True):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, name, "exec"), module.__dict__)

    codec = sys.modules["normalizer.codecs.acme"].AcmeCodec()
    channel = ChannelRef(id="acme", type="acme")
    body = b'{"id": "1", "user": "ada", "text": "hello"}'
    (event,) = codec.decode(RawEvent(channel=channel, kind="acme", body=body, received_at=datetime.now(UTC)))
    to = Address(scheme="acme", value="ada")
    (wire,) = codec.encode(Outbound(id="msg_1", channel=channel, to=to, parts=(Text(body="hi"),)))

    assert event.params.message.text == "hello"
    assert json.loads(wire.body) == {"to": "ada", "text": "hi"}
    options = sys.modules["connectors.acme"].AcmeConfig(secret=Secret("s"), token=Secret("t"))
    assert options.api_base == "https://api.acme.example"
    simulator = sys.modules["gateway.simulate.acme"].SIMULATOR(options, url="https://gw.example/c/acme")
    signed = simulator.sign(simulator.delivery([Item(number=1, at=0.0)]), 0.0)
    check_hmac(signed.headers["X-Acme-Signature"], signed.body, "s")


def test_every_notification_has_an_example_that_is_one() -> None:
    seen: dict[str, Any] = {}
    for block in blocks(NORMALIZER, "json"):
        for text in block.strip().split("\n\n"):
            example = json.loads(text)
            seen[example["method"]] = example.get("params")

    assert sorted(seen) == sorted(NOTIFICATIONS)
    for method, given in seen.items():
        params = {"event_id": "evt_0", "channel": CHANNEL, "schema": "1.0", **given}
        read = msgspec.convert(params, NOTIFICATIONS[method], strict=False)
        assert json.loads(msgspec.json.encode(read)) == params, method
