"""What every kind of webhook channel owes the gateway about who delivers, and about its provider; no kind is named.

The kind's simulator (`gateway/simulate/<kind>.py`) plays the provider, and these tests the forger. Kinds join by being
registered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from connectors.api import Connector, HttpConnector, Reply
from connectors.errors import SendError, Throttled
from gateway.settings.model import HttpSection
from gateway.simulate import registry as simulators
from gateway.simulate.api import Item, Request, Simulator
from gateway.simulate.cloud import Cloud
from gateway.simulate.traffic import Manner, deliver
from gateway.simulate.wanted import Wanted, deliveries
from gateway.web.public import Endpoint, PublicServer
from normalizer.errors import MalformedPayload
from normalizer.methods import NOTIFICATIONS
from normalizer.raw import BadItem, Decoded, Event, RawEvent
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import (
    FOUND,
    HTTP_KINDS,
    SIMULATED,
    SPECS,
    Bench,
    bases_of,
    channel_of,
    every,
    running,
)
from tests.contract.channel_bench import bench as bench  # noqa: PLC0414 -- a fixture

REFUSED = {401, 403}

STILL_TO_COME: set[str] = set()
"""Kinds whose modules may lie here half finished; empty when all are there."""

simulated = pytest.mark.parametrize("kind", SIMULATED)
with_cloud = pytest.mark.parametrize("kind", [kind for kind in SIMULATED if simulators.cloud_of(kind) is not None])


def now() -> float:
    return time.time()


def deliverable(simulator: Simulator[Any], number: int = 7) -> Request:
    return simulator.delivery([Item(number=number, at=now())])


def changed(value: str) -> str:
    """Change one character in the middle, into another that is as good."""
    middle = len(value) // 2
    return value[:middle] + ("1" if value[middle : middle + 1] == "0" else "0") + value[middle + 1 :]


def decode(connector: Connector, raw: RawEvent) -> list[Decoded]:
    return list(connector.codec.decode(raw))


def events(connector: Connector, taken: list[RawEvent]) -> list[Event]:
    return [one for raw in taken for one in decode(connector, raw) if isinstance(one, Event)]


def forgeries(plain: Request, signed: Request, idle: frozenset[str]) -> dict[str, Request]:
    """Leave out, and change, each thing that the signing added; name what was done."""
    made = {}
    for place in ("headers", "query"):
        before, after = getattr(plain, place), getattr(signed, place)
        for name in sorted(name for name in after if before.get(name) != after[name] and name not in idle):
            without = {key: value for key, value in after.items() if key != name}
            made[f"without {name}"] = replace(signed, **{place: without})
            made[f"{name} changed"] = replace(signed, **{place: {**after, name: changed(after[name])}})
            made[f"{name} empty"] = replace(signed, **{place: {**after, name: ""}})
    return made


async def refused(bench: Bench, kind: str, requests: dict[str, Request]) -> None:
    """Check that each is answered 401 or 403, and nothing of any is handed over."""
    connector = bench.webhook(kind)
    async with running(connector) as taken:
        answers = {name: (await bench.handle(kind, connector, request)).status for name, request in requests.items()}

    assert requests
    assert {name: status for name, status in answers.items() if status not in REFUSED} == {}
    assert taken == []
    assert bench.secrets_that_show(kind) == []


@pytest.mark.parametrize("kind", HTTP_KINDS)
async def test_an_unsigned_delivery_is_refused(bench: Bench, kind: str) -> None:
    signed, _ = bench.signed(kind)
    bare = replace(signed, query={}, headers={"Content-Type": signed.headers["Content-Type"]})

    await refused(bench, kind, {"unsigned": bare})


@simulated
async def test_what_somebody_else_signed_is_refused(bench: Bench, kind: str) -> None:
    forger = bench.simulator(kind, forged=True)

    await refused(bench, kind, {"forged": forger.sign(deliverable(forger), now())})


@simulated
async def test_each_part_of_the_proof_is_needed_and_looked_at(bench: Bench, kind: str) -> None:
    simulator = bench.simulator(kind)
    plain = deliverable(simulator)

    await refused(bench, kind, forgeries(plain, simulator.sign(plain, now()), simulator.idle))


@simulated
async def test_a_body_that_was_changed_is_refused_where_the_proof_covers_it(bench: Bench, kind: str) -> None:
    simulator = bench.simulator(kind)
    signed = simulator.sign(deliverable(simulator), now())
    middle = len(signed.body) // 2
    other = bytes([signed.body[middle] ^ 1])
    tampered = {
        "longer": replace(signed, body=signed.body + simulator.tail),
        "changed": replace(signed, body=signed.body[:middle] + other + signed.body[middle + 1 :]),
        "empty": replace(signed, body=b""),
    }

    if simulator.signs_body:
        await refused(bench, kind, tampered)
    else:
        assert fixtures.folder(kind).secrets, "a proof that covers nothing must at least be secret"


@simulated
async def test_a_replay_is_refused_or_known_again(bench: Bench, kind: str) -> None:
    """By its signed time or its nonce; what comes again otherwise makes the same events, which are deduplicated."""
    simulator, connector = bench.simulator(kind), bench.webhook(kind)
    plain = deliverable(simulator)
    signed = simulator.sign(plain, now())
    async with running(connector) as taken:
        statuses = [(await bench.handle(kind, connector, signed)).status for _ in range(2)]
        once, twice = ([event.key for event in events(connector, [raw])] for raw in (*taken, *taken)[:2])

    assert set(statuses) == {200}
    assert once == twice
    if simulator.signs_time:
        window = simulator.window_secs
        times = {"too long ago": -window, "too far ahead": window}
        await refused(bench, kind, {name: simulator.sign(plain, now() + shift) for name, shift in times.items()})


@simulated
async def test_a_nonce_serves_one_body_only(bench: Bench, kind: str) -> None:
    simulator, connector = bench.simulator(kind), bench.webhook(kind)
    first = simulator.sign(deliverable(simulator), now())
    other = replace(first, body=simulator.sign(deliverable(simulator, 8), now()).body)

    async with running(connector) as taken:
        answers = [(await bench.handle(kind, connector, one)).status for one in (first, other)]

    if simulator.knows_nonce:
        assert (answers[0], answers[1] in REFUSED, len(taken)) == (200, True, 1)
    else:
        assert simulator.signs_body is (answers[1] in REFUSED)


@every("in", SIMULATED)
async def test_every_example_is_accepted_when_the_provider_signs_it(bench: Bench, kind: str, path: Path) -> None:
    simulator, connector = bench.simulator(kind), bench.webhook(kind)
    plain = bench.payload(kind, path)

    async with running(connector) as taken:
        reply = await bench.handle(kind, connector, simulator.sign(plain, now()))

    assert reply.status == 200
    assert {raw.body for raw in taken} <= {plain.body}
    assert all(raw.security is not None for raw in taken)


@pytest.mark.parametrize("kind", HTTP_KINDS)
async def test_a_signed_delivery_is_handed_over_byte_for_byte(bench: Bench, kind: str) -> None:
    connector = bench.webhook(kind)
    signed, handed = bench.signed(kind)

    async with running(connector) as taken:
        reply = await bench.handle(kind, connector, signed)

    assert reply.status == 200
    assert [raw.body for raw in taken] == [handed]
    assert taken[0].security is not None
    assert taken[0].security.verified != "none"


@pytest.mark.parametrize("kind", HTTP_KINDS)
async def test_nothing_is_accepted_before_the_channel_runs_or_when_the_pipeline_fails(bench: Bench, kind: str) -> None:
    connector = bench.webhook(kind)
    signed, _ = bench.signed(kind)

    before = await bench.handle(kind, connector, signed)
    async with running(connector, error=RuntimeError("the disk is gone")):
        failed = await bench.handle(kind, connector, signed)

    assert before.status == 503
    assert failed.status >= 500
    assert b"disk" not in failed.body


@simulated
async def test_the_handshake_is_answered_to_the_provider_and_to_nobody_else(bench: Bench, kind: str) -> None:
    connector = bench.webhook(kind)
    async with running(connector):
        answers: list[tuple[Any, Reply]] = []
        for forged in (False, True):
            handshake = bench.simulator(kind, forged=forged).handshake(now())
            if handshake is not None:
                answers.append((handshake, await bench.handle(kind, connector, handshake.request)))

    complaints = [handshake.complaint(reply.status, reply.body) for handshake, reply in answers]
    assert [complaint is None for complaint in complaints] in ([], [True, False]), complaints


@asynccontextmanager
async def gateway(bench: Bench, kind: str) -> AsyncIterator[tuple[str, HttpConnector, list[RawEvent], Cloud | None]]:
    """Serve a channel on the real public port, with its provider's cloud side behind it."""
    simulator = bench.simulator(kind)
    cloud = (simulators.cloud_of(kind) or Cloud)(simulator.options)
    async with cloud:
        bases = {name: cloud.url + path for name, path in bases_of(kind).items()}
        known = SPECS[kind].config.__struct_fields__
        connector = bench.webhook(kind, **{name: url for name, url in bases.items() if name in known})
        endpoints = {channel_of(kind): Endpoint(connector, 1_048_576)}
        server = PublicServer(HttpSection(listen="127.0.0.1:0"), endpoints, {})
        await server.start()
        try:
            async with running(connector) as taken:
                yield f"http://{server.address}/c/{channel_of(kind)}", connector, taken, cloud
        finally:
            await server.close(1.0)


CONTENTS = [(kind, content) for kind in SIMULATED for content in simulators.simulator_of(kind).contents]


@pytest.mark.parametrize(("kind", "content"), CONTENTS)
async def test_simulated_traffic_makes_valid_events_that_know_their_repetitions(
    bench: Bench, kind: str, content: str
) -> None:
    simulator = bench.simulator(kind)
    wanted = Wanted(count=4, chats=2, kind=content, batch=min(2, simulator.batch_max), first=1_795_000_000_000)
    manner = Manner(duplicates=1, retries=1, reorder=True, attempts=1)
    async with gateway(bench, kind) as (url, connector, taken, cloud):
        simulator.cloud = cloud
        report = await deliver(url, simulator, deliveries(wanted, simulator), manner)
        async with asyncio.timeout(20):
            while len({event.key for event in events(connector, taken)}) < wanted.count:
                await asyncio.sleep(0.005)
        decoded = [one for raw in taken for one in decode(connector, raw)]

    found = events(connector, taken)
    assert (report.failed, report.accepted) == (0, 3 * wanted.expected)
    assert [one for one in decoded if isinstance(one, BadItem)] == []
    assert {event.method for event in found} <= set(SPECS[kind].capabilities.receives)
    for event in found:
        assert type(event.params) is NOTIFICATIONS[event.method]
    assert len(found) == (1 if simulator.pulled else 3) * len({event.key for event in found})
    assert bench.secrets_that_show(kind) == []


@simulated
async def test_what_nobody_can_read_is_answered_and_named(bench: Bench, kind: str) -> None:
    simulator, connector = bench.simulator(kind), bench.webhook(kind)
    async with running(connector) as taken:
        for number in range(6):
            reply = await bench.handle(kind, connector, simulator.sign(simulator.malformed(number), now()))
            assert reply.status in {200, 400}

    understood = []
    for raw in taken:
        with suppress(MalformedPayload):
            understood += [raw.body[:80] for one in decode(connector, raw) if not isinstance(one, BadItem)]
    assert understood == []


@pytest.mark.parametrize("kind", SIMULATED)
async def test_one_bad_item_of_a_batch_does_not_harm_the_others(bench: Bench, kind: str) -> None:
    simulator, connector = bench.simulator(kind), bench.webhook(kind)
    if simulator.batch_max < 2:
        with pytest.raises(ValueError):
            simulator.delivery([Item(number=number, at=now()) for number in (1, 2)])
        return
    size = min(simulator.batch_max, 5)
    batch = [Item(number=100 + index, at=now(), person=1 + index, spoilt=index == 1) for index in range(size)]
    sound = [item for item in batch if not item.spoilt]

    async with running(connector) as taken:
        for items in (batch, sound):
            assert (await bench.handle(kind, connector, simulator.sign(simulator.delivery(items), now()))).status == 200
        mixed, clean = (decode(connector, raw) for raw in taken)

    (bad,) = [one for one in mixed if isinstance(one, BadItem)]
    assert bad.reason
    assert [one.key for one in mixed if isinstance(one, Event)] == [one.key for one in clean if isinstance(one, Event)]
    assert len([one for one in clean if isinstance(one, Event)]) == size - 1


@every("send", [kind for kind in SIMULATED if simulators.cloud_of(kind) is not None])
async def test_the_provider_accepts_every_example_of_a_message(bench: Bench, kind: str, path: Path) -> None:
    reason = fixtures.folder(kind).cloud.get(path.name.partition(".")[0])
    if reason is not None:
        assert len(reason.split()) > 2, "say why the simulated provider cannot take it"
        return
    await bench.store_media()
    async with gateway(bench, kind) as (_, connector, _, cloud):
        sent = await connector.send(fixtures.outbound(kind, path))

    assert cloud is not None
    assert cloud.calls
    assert all(sent.provider_ids)
    assert bench.secrets_that_show(kind) == []


@with_cloud
async def test_a_provider_that_throttles_or_fails_is_tried_again(bench: Bench, kind: str) -> None:
    usual = [path for found, path in FOUND["send"] if found == kind and path.name == "text.send.json"]
    assert usual, "a kind that sends needs text.send.json"
    message = fixtures.outbound(kind, usual[0])
    async with gateway(bench, kind) as (_, connector, _, cloud):
        assert cloud is not None
        await connector.send(replace(message, id="msg_first"))  # so that tokens are there
        errors: list[SendError] = []
        for status, wait in ((429, 7), (500, None)):
            cloud.fail_next(status, times=4, retry_after=wait)
            with pytest.raises(SendError) as caught:
                await connector.send(replace(message, id=f"msg_{status}"))
            errors.append(caught.value)
            cloud.fail_no_more()

    throttled, failed = errors
    assert isinstance(throttled, Throttled)
    assert (throttled.retryable, failed.retryable) == (True, True)
    assert bench.secrets_that_show(kind, *map(repr, errors), *(error.provider_text for error in errors)) == []


@simulated
def test_each_documented_type_has_a_fixture(kind: str) -> None:
    types = fixtures.folder(kind).types
    stems = {path.name.partition(".")[0] for found, path in FOUND["in"] if found == kind}

    if kind not in STILL_TO_COME:
        assert types, "channel.toml needs [types]"
    assert {word: stem for word, stem in types.items() if stem not in stems and not stem.startswith("see ")} == {}


def test_every_webhook_kind_has_a_simulator_and_every_kind_that_sends_a_cloud_side() -> None:
    simulable = set(HTTP_KINDS) - STILL_TO_COME

    assert simulable <= set(SIMULATED)
    sending = {kind for kind in simulable if SPECS[kind].capabilities.parts}
    assert {kind for kind in sending if simulators.cloud_of(kind) is None} == set()


@simulated
def test_a_simulator_says_what_it_can_do(kind: str) -> None:
    made = simulators.simulator_of(kind)

    assert made.contents
    assert made.connections >= 1
    assert made.batch_max >= 1
    assert msgspec.json.encode(dict(made.extras))
