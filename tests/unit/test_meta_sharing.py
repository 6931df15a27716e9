"""One webhook, several channels: whose share is what, and what becomes of a share that cannot be taken."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.errors import Busy
from connectors.meta_siblings import Told
from connectors.secrets import Secret
from normalizer.raw import BadItem, Event
from tests.meta_bench import SECRET, WORD, Desk, asked, change, delivery, desk, post, running, text, whatsapp


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as made:
        yield made


def ids(raws: list[Any]) -> list[str]:
    """List the ids of the messages in deliveries."""
    found = [msgspec.json.decode(raw.body) for raw in raws]
    return [
        one["id"]
        for told in found
        for entry in told["entry"]
        for part in entry["changes"]
        for one in part["value"]["messages"]
    ]


async def test_each_channel_gets_its_share_and_nothing_else(shop: Desk) -> None:
    one, two = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    body = whatsapp(change("101", text(1)), change("102", text(2), text(3)), change("101", text(4)))

    async with running(one, two) as taken:
        assert (await post(one, body)).status == 200

    assert {name: ids(raws) for name, raws in taken.items()} == {
        "whatsapp-101": ["wamid.1", "wamid.4"],
        "whatsapp-102": ["wamid.2", "wamid.3"],
    }
    assert [raw.channel.id for raws in taken.values() for raw in raws] == ["whatsapp-101", "whatsapp-102"]


async def test_a_delivery_that_is_all_ones_own_is_not_touched(shop: Desk) -> None:
    one, _ = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    body = (
        b'{ "object":"whatsapp_business_account", "entry": [ {"id":"1", "changes": ['
        + msgspec.json.encode(change("101", text(1)))
        + b" ]} ] }"
    )

    async with running(one) as taken:
        assert (await one.handle(delivery(body))).status == 200

    assert [raw.body for raw in taken["whatsapp-101"]] == [body]


async def test_pages_and_instagram_accounts_share_by_entry(shop: Desk) -> None:
    for kind, field in (("messenger", "page"), ("instagram", "instagram")):
        one, two = shop.channel(kind, "101"), shop.channel(kind, "102")
        item = {"sender": {"id": "7"}, "timestamp": 1, "message": {"mid": "m", "text": "x"}}
        entries = [{"id": account, "time": 1, "messaging": [item]} for account in ("102", "101", "102")]
        async with running(one, two) as taken:
            assert (await post(one, {"object": field, "entry": entries})).status == 200

        told = {name: msgspec.json.decode(raws[0].body)["entry"] for name, raws in taken.items()}
        assert told == {f"{kind}-101": entries[1:2], f"{kind}-102": [entries[0], entries[2]]}


async def test_another_app_does_not_take_part(shop: Desk) -> None:
    one = shop.channel("whatsapp", "101")
    other = shop.channel("whatsapp", "102", app_secret=Secret("the secret of another app"))

    async with running(one, other) as taken:
        assert (await post(one, whatsapp(change("101", text(1)), change("102", text(2))))).status == 200
        items = list(one.codec.decode(taken["whatsapp-101"][0]))

    assert taken["whatsapp-102"] == []
    assert [type(item) for item in items] == [Event, BadItem]
    assert items[1].reason.startswith("no channel has phone_number_id '102'")


async def test_kinds_do_not_mix(shop: Desk) -> None:
    page, account = shop.channel("messenger", "101"), shop.channel("instagram", "101")
    item = {"sender": {"id": "7"}, "timestamp": 1, "message": {"mid": "m", "text": "x"}}

    async with running(page, account) as taken:
        assert (await post(page, {"object": "page", "entry": [{"id": "101", "messaging": [item]}]})).status == 200

    assert [len(raws) for raws in taken.values()] == [1, 0]


async def test_a_share_for_a_channel_that_does_not_run_is_asked_for_again(shop: Desk) -> None:
    one, two = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    body = whatsapp(change("101", text(1)), change("102", text(2)))

    async with running(one) as taken:
        first = await post(one, body)
        async with running(two):
            second = await post(one, body)

    assert (first.status, first.headers.get("Retry-After"), second.status) == (503, "1", 200)
    assert ids(taken["whatsapp-101"]) == ["wamid.1", "wamid.1"], "what comes twice is deduplicated later"


async def test_a_channel_that_is_gone_is_nobody(shop: Desk) -> None:
    one, two = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    del two
    gc.collect()

    async with running(one) as taken:
        assert (await post(one, whatsapp(change("102", text(2))))).status == 200
        (bad,) = one.codec.decode(taken["whatsapp-101"][0])

    assert isinstance(bad, BadItem)


async def test_the_channel_that_was_built_last_has_the_number(shop: Desk) -> None:
    one, old = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102", name="old")
    new = shop.channel("whatsapp", "102", name="new")

    async with running(one, old, new) as taken:
        assert (await post(one, whatsapp(change("102", text(2))))).status == 200

    assert (len(taken["old"]), len(taken["new"])) == (0, 1)


@pytest.mark.parametrize(("error", "status"), [(Busy(7.0), 503), (RuntimeError("disk"), 500)])
async def test_a_share_that_is_not_durable_makes_the_provider_come_again(
    shop: Desk, error: Exception, status: int
) -> None:
    one, two = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    body = whatsapp(change("101", text(1)), change("102", text(2)))

    async with running(one) as taken, running(two, error=error):
        answer = await post(one, body)

    assert (answer.status, ids(taken["whatsapp-101"])) == (status, ["wamid.1"])
    assert b"disk" not in answer.body


async def test_that_a_number_and_an_id_are_one_persons_is_told_once(shop: Desk) -> None:
    one, two = shop.channel("whatsapp", "101"), shop.channel("whatsapp", "102")
    contact = {"wa_id": "16505551234", "user_id": "US.1", "profile": {"name": "Ann"}}
    body = whatsapp(change("101", text(1), contacts=[contact]), change("102", text(2), contacts=[contact]))

    def methods(channel: Any, raws: list[Any]) -> list[str]:
        return [item.method for item in channel.codec.decode(raws[-1]) if isinstance(item, Event)]

    async with running(one) as taken, running(two, error=Busy()):
        assert (await post(one, body)).status == 503
        told = [("16505551234", "US.1") in channel.told for channel in (one, two)]
    async with running(one, two) as taken:
        assert (await post(one, body)).status == 200
        after = [methods(one, taken["whatsapp-101"]), methods(two, taken["whatsapp-102"])]

    assert told == [True, False], "only what is durable counts"
    assert after == [["message.received"], ["message.received"]]
    fresh = shop.channel("whatsapp", "101", name="fresh")
    assert methods(fresh, taken["whatsapp-101"]) == ["message.received", "contact.identified"]


def test_only_so_many_pairs_are_remembered() -> None:
    told = Told(most=2)
    told.add([("1", "a"), ("2", "b"), ("3", "c")])

    assert [pair in told for pair in (("1", "a"), ("2", "b"), ("3", "c"))] == [False, True, True]


@pytest.mark.parametrize(
    ("query", "status", "answer"),
    [
        ({"mode": "subscribe", "verify_token": WORD, "challenge": "1158201444"}, 200, b"1158201444"),
        ({"mode": "subscribe", "verify_token": "wrong", "challenge": "1158201444"}, 401, b"unauthorized"),
        ({"mode": "subscribe", "challenge": "1158201444"}, 401, b"unauthorized"),
        ({"mode": "unsubscribe", "verify_token": WORD, "challenge": "1158201444"}, 400, b"malformed_payload"),
        ({"mode": "subscribe", "verify_token": WORD}, 400, b"malformed_payload"),
        ({"mode": "subscribe", "verify_token": WORD, "challenge": "9" * 1000}, 400, b"malformed_payload"),
    ],
)
@pytest.mark.parametrize("kind", ["whatsapp", "messenger", "instagram"])
async def test_the_handshake_wants_the_word(
    shop: Desk, kind: str, query: dict[str, str], status: int, answer: bytes
) -> None:
    reply = await shop.channel(kind).handle(asked(**query))

    assert (reply.status, reply.body, reply.content_type) == (status, answer, "text/plain")


async def test_the_signature_is_that_of_the_app(shop: Desk) -> None:
    one, body = shop.channel("whatsapp"), whatsapp(change("101", text(1)))
    good = delivery(body)
    headers = good.headers["x-hub-signature-256"]
    forgeries = {
        "no prefix": headers.removeprefix("sha256="),
        "SHA-1": "sha1=" + headers.removeprefix("sha256="),
        "other secret": delivery(body, "another").headers["x-hub-signature-256"],
        "not hex": "sha256=" + "z" * 64,
        "empty": "",
    }

    async with running(one) as taken:
        refused = {
            name: (
                await one.handle(msgspec.structs.replace(good, headers={**good.headers, "x-hub-signature-256": value}))
            ).status
            for name, value in forgeries.items()
        }
        assert (await one.handle(good)).status == 200

    assert set(refused.values()) == {401}
    assert len(taken["whatsapp-101"]) == 1
    assert shop.refused == ["unauthorized"] * len(forgeries)
    assert SECRET not in repr(one.config)
