"""One app of Meta's with three numbers: each item of a delivery arrives on the channel of its number."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers.gateway import GatewayProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SECRET, FOREIGN = "the-secret-of-the-app", "the-secret-of-another-app"
ENV = {"META_SECRET": SECRET, "FOREIGN_SECRET": FOREIGN, "META_VERIFY": "a-word", "META_TOKEN": "EAAG-token"}
NUMBERS = {"wa-one": "101", "wa-two": "102", "wa-three": "103"}


def channel(name: str, number: str, secret: str = "META_SECRET") -> str:
    return f"""
[channels.{name}]
kind = "whatsapp"
app_secret = "env:{secret}"
verify_token = "env:META_VERIFY"
access_token = "env:META_TOKEN"
phone_number_id = "{number}"
fetch_media = false
"""


CHANNELS = "".join(channel(name, number) for name, number in NUMBERS.items())


def change(number: str, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"display_phone_number": f"1555000{number}", "phone_number_id": number}
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, "messages": messages}}


def message(number: int) -> dict[str, Any]:
    text = {"type": "text", "text": {"body": f"message {number}"}}
    return {"from": f"1650555{number:04}", "id": f"wamid.{number}", "timestamp": "1795000000", **text}


def delivery(*changes: dict[str, Any]) -> bytes:
    """Write the changes as two entries."""
    half = len(changes) // 2
    entries = [{"id": "1", "changes": changes[:half]}, {"id": "2", "changes": changes[half:]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()


def post(gateway: GatewayProcess, body: bytes, to: str = "wa-one") -> int:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return gateway.post(f"/c/{to}", body, {"X-Hub-Signature-256": f"sha256={digest}"})[0]


async def events(gateway: GatewayProcess, count: int) -> list[dict[str, Any]]:
    done = await asyncio.to_thread(gateway.cli, "tail", "--from-start", "--count", str(count))
    assert done.returncode == 0, done.stderr + gateway.logs()
    return [json.loads(line) for line in done.stdout.splitlines()]


def ledger(gateway: GatewayProcess, name: str) -> dict[str, int]:
    told: dict[str, int] = gateway.call("channel.get", {"channel": name})["result"]["ledger"]
    return told


async def settled_totals(gateway: GatewayProcess) -> tuple[int, int]:
    """Say how much was published, and how much was there twice, once nothing is waiting in the spool."""
    async with asyncio.timeout(20):
        while True:
            totals = Counter[str]()
            for name in NUMBERS:
                totals.update(ledger(gateway, name))
            if not totals["spooled"]:
                return totals["published"], totals["duplicate"]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_batch_for_three_numbers_with_one_malformed_item(
    make_gateway: Callable[..., GatewayProcess], workers: int
) -> None:
    gateway = await asyncio.to_thread(make_gateway, channels=CHANNELS, env=ENV, workers=workers)
    batch = [message(number) for number in range(50)]
    batch[17] = {**batch[17], "timestamp": {"not": "a time"}}
    by_number = {number: batch[index::3] for index, number in enumerate(NUMBERS.values())}
    changes = [change(number, found[at : at + 3]) for number, found in by_number.items() for at in range(0, 18, 3)]

    assert await asyncio.to_thread(post, gateway, delivery(*changes)) == 200
    told = await events(gateway, 50)

    received = {
        (event["params"]["channel"]["id"], event["params"]["message"]["provider_id"])
        for event in told
        if event["method"] == "message.received"
    }
    expected = {
        (name, one["id"]) for name, number in NUMBERS.items() for one in by_number[number] if one["id"] != "wamid.17"
    }
    assert (len(received), received) == (49, expected)
    bad = [event["params"] for event in told if event["method"] == "message.quarantined"]
    assert [(one["channel"]["id"], one["reason"].partition(" - ")[2]) for one in bad] == [
        ("wa-three", "at `$.timestamp`")
    ]
    assert sum(ledger(gateway, name)["quarantined"] for name in NUMBERS) == 1

    assert await asyncio.to_thread(post, gateway, delivery(*changes), "wa-two") == 200, "Meta repeats it, elsewhere"
    assert await settled_totals(gateway) == (49, 50)
    assert not any(secret in gateway.logs() for secret in ENV.values())


async def test_an_item_for_nobody_is_kept_and_can_be_taken_up_once_its_channel_is_there(
    make_gateway: Callable[..., GatewayProcess],
) -> None:
    foreign = channel("wa-foreign", "999", "FOREIGN_SECRET")
    gateway = await asyncio.to_thread(make_gateway, channels=CHANNELS + foreign, env=ENV)
    changes = (change("101", [message(1)]), change("104", [message(2), message(3)]), change("999", [message(4)]))

    assert await asyncio.to_thread(post, gateway, delivery(*changes)) == 200
    told = await events(gateway, 3)

    assert Counter(event["method"] for event in told) == {"message.received": 1, "message.quarantined": 2}
    reasons = sorted(event["params"]["reason"] for event in told if event["method"] == "message.quarantined")
    assert [reason.partition(";")[0] for reason in reasons] == [
        "no channel has phone_number_id '104'",
        "no channel has phone_number_id '999'",
    ]

    Path(gateway.config.parent / "channels" / "late.toml").write_text(channel("wa-late", "104"))
    gateway.reload()
    async with asyncio.timeout(20):
        while "error" in await asyncio.to_thread(gateway.call, "channel.get", {"channel": "wa-late"}):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(gateway.call, "quarantine.redrive", {})
    taken = (await events(gateway, 5))[3:]

    assert [
        (one["method"], one["params"]["channel"]["id"], one["params"]["message"]["provider_id"]) for one in taken
    ] == [
        ("message.received", "wa-late", "wamid.2"),
        ("message.received", "wa-late", "wamid.3"),
    ]


async def test_a_share_for_a_paused_channel_comes_again(make_gateway: Callable[..., GatewayProcess]) -> None:
    gateway = await asyncio.to_thread(make_gateway, channels=CHANNELS, env=ENV)
    body = delivery(change("101", [message(1)]), change("102", [message(2)]))
    await asyncio.to_thread(gateway.call, "channel.pause", {"channel": "wa-two"})

    paused = await asyncio.to_thread(post, gateway, body)
    await asyncio.to_thread(gateway.call, "channel.resume", {"channel": "wa-two"})
    async with asyncio.timeout(20):
        while await asyncio.to_thread(post, gateway, body) != 200:
            await asyncio.sleep(0.05)

    assert paused == 503
    assert (ledger(gateway, "wa-one")["published"], ledger(gateway, "wa-two")["published"]) == (1, 1)
    assert (ledger(gateway, "wa-one")["quarantined"], ledger(gateway, "wa-two")["quarantined"]) == (0, 0)
