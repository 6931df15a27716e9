"""What every kind of channel owes the gateway; nothing here names a kind.

The rules stand in `connectors/README.md`, each with the name of its test; `tests.contract.channel_fixtures` says what
the fixtures of a kind look like.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields

from connectors.api import HttpConnector
from connectors.errors import SendError
from gateway.simulate.api import Request
from normalizer import parts as p
from normalizer.codecs.api import Codec
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.methods import NOTIFICATIONS, REQUESTS
from normalizer.parts import type_names
from normalizer.raw import BadItem, Decoded, Event, RawEvent
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import FOUND, KINDS, SORTS, SPECS, Bench, bases_of, every, running
from tests.contract.channel_bench import bench as bench  # noqa: PLC0414 -- a fixture
from tests.contract.channel_bench import dry_bench as dry_bench  # noqa: PLC0414


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """Serve a provider that refuses everything and repeats what it was sent, credentials included."""

    async def refuse(request: web.Request) -> web.Response:
        text = f"{request.path_qs} {dict(request.headers)} {await request.text()}"
        return web.Response(status=400, text=text)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield str(site.name)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_fixtures_of_each_sort_and_says_where_they_come_from(kind: str) -> None:
    made = fixtures.folder(kind)
    source = (fixtures.ROOT / kind / "SOURCE").read_text()

    assert re.search(r"https?://\S+|RFC \d+|own format", source), "SOURCE names no page"
    assert re.search(r"\d{4}-\d{2}-\d{2}", source), "SOURCE has no date"
    for sort in SORTS:
        there = any(found == kind for found, _ in FOUND[sort])
        assert there != (sort in made.without), f"no .{sort}. file, or one although [without] gives a reason"


@every("bad")
async def test_a_bad_delivery_is_named_as_such(dry_bench: Bench, kind: str, path: Path) -> None:
    codec = dry_bench.connector(kind).codec

    reasons: list[str] = []
    try:
        reasons += [one.reason for one in codec.decode(fixtures.raw_event(kind, path)) if isinstance(one, BadItem)]
    except MalformedPayload as exc:
        reasons.append(str(exc))

    assert reasons
    assert all(reasons)


@every("in")
async def test_a_delivery_becomes_the_expected_events_with_the_same_ids_each_time(
    dry_bench: Bench, kind: str, path: Path
) -> None:
    raw = fixtures.raw_event(kind, path)
    first = [fixtures.as_data(one) for one in dry_bench.connector(kind).codec.decode(raw)]
    again = [fixtures.as_data(one) for one in dry_bench.connector(kind).codec.decode(raw)]

    assert first == fixtures.expected(path.with_name(path.name.partition(".")[0] + ".out.json"), first)
    assert again == first


@every("in")
async def test_events_are_of_a_known_method_and_the_kind_says_it_produces_them(
    dry_bench: Bench, kind: str, path: Path
) -> None:
    found: list[Decoded] = list(dry_bench.connector(kind).codec.decode(fixtures.raw_event(kind, path)))
    events = [one for one in found if isinstance(one, Event)]

    for event in events:
        assert type(event.params) is NOTIFICATIONS[event.method]
        assert event.method in SPECS[kind].capabilities.receives
        assert msgspec.json.decode(msgspec.json.encode(event.params), type=type(event.params)) == event.params
    assert len({event.key for event in events}) == len(events)


@every("in")
async def test_a_bad_item_can_be_decoded_again_on_its_own(dry_bench: Bench, kind: str, path: Path) -> None:
    codec, raw = dry_bench.connector(kind).codec, fixtures.raw_event(kind, path)

    for bad in [one for one in codec.decode(raw) if isinstance(one, BadItem)]:
        again = list(codec.decode(msgspec.structs.replace(raw, body=bad.body, item=True)))
        assert again == [bad]


@every("send")
async def test_a_message_becomes_the_expected_requests(dry_bench: Bench, kind: str, path: Path) -> None:
    message = fixtures.outbound(kind, path)
    wires = [fixtures.wire_as_data(wire) for wire in dry_bench.connector(kind).codec.encode(message)]

    assert wires == fixtures.expected(path.with_name(path.name.partition(".")[0] + ".request.json"), wires)
    assert {str(part.__struct_config__.tag) for part in message.parts} <= set(SPECS[kind].capabilities.parts)


@pytest.mark.parametrize("kind", KINDS)
async def test_no_secret_shows_in_logs_replies_errors_or_reprs(bench: Bench, kind: str) -> None:
    seen: list[object] = []
    async with echo_server() as url:
        bases = [name for name in bases_of(kind) if name in SPECS[kind].config.__struct_fields__]
        connector = bench.connector(kind, **dict.fromkeys(bases, url))
        seen += [repr(connector), repr(bench.options(kind))]
        if isinstance(connector, HttpConnector):
            async with running(connector, error=RuntimeError("unexpected")):
                stranger = Request(headers={"Authorization": "Basic x", "Content-Type": "text/plain"}, body=b"{}")
                for request in (bench.signed(kind)[0], stranger):
                    await bench.handle(kind, connector, request)
        for _, path in [found for found in FOUND["send"] if found[0] == kind and bases]:
            with pytest.raises(SendError) as caught:
                await connector.send(fixtures.outbound(kind, path))
            seen += [str(caught.value), repr(caught.value), caught.value.provider_text]

    assert bench.secrets_that_show(kind, *seen) == []


def structs(shape: type[Struct]) -> Iterator[type[Struct]]:
    """Walk the types of all options of a kind, nested tables included."""
    yield shape
    for item in fields(shape):
        pending = [item.type]
        while pending:
            annotation = pending.pop()
            pending += get_args(annotation)
            if isinstance(annotation, type) and issubclass(annotation, Struct):
                yield from structs(annotation)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_has_a_line_in_the_docstring_of_its_table(kind: str) -> None:
    for shape in structs(SPECS[kind].config):
        text = "\n".join(base.__doc__ or "" for base in shape.__mro__ if base not in (Struct, object))
        documented = set(re.findall(r"^ {4,8}(\w+): \S", text, re.MULTILINE))
        assert set(shape.__struct_fields__) <= documented, shape.__name__


@pytest.mark.parametrize("kind", KINDS)
def test_capabilities_use_the_words_of_the_protocol(kind: str) -> None:
    spec = SPECS[kind]

    assert spec.summary.endswith(".")
    assert spec.capabilities.receives
    assert set(spec.capabilities.receives) <= set(NOTIFICATIONS)
    assert set(spec.capabilities.parts) <= set(type_names)
    assert set(spec.capabilities.requests) <= set(REQUESTS)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_choice_with_as_many_items_as_the_kind_says_can_be_sent(dry_bench: Bench, kind: str) -> None:
    codec = dry_bench.connector(kind).codec
    for choice, most in SPECS[kind].capabilities.choices.items():
        url = "https://shop.example/" if choice == "cta_url" else None
        items = tuple(p.ChoiceItem(id=f"i{number}", title=f"Item {number}", url=url) for number in range(most))
        asked = msgspec.convert({"type": "choice", "kind": choice, "body": "Which?", "items": items}, p.Choice)
        usual = next(path for found, path in FOUND["send"] if found == kind)

        assert list(codec.encode(msgspec.structs.replace(fixtures.outbound(kind, usual), parts=(asked,)))), choice


TEXT = st.characters(codec="utf-8")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(TEXT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def codec_of(dry_bench: Bench) -> Callable[[str], Codec]:
    return functools.cache(lambda kind: dry_bench.connector(kind).codec)


@pytest.mark.parametrize("kind", KINDS)
@given(
    body=st.binary(max_size=400)
    | JSON.map(lambda value: repr(value).encode("utf-8", "replace"))
    | JSON.map(msgspec.json.encode)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_codec_raises_nothing_but_malformed_payload(codec_of: Callable[[str], Codec], kind: str, body: bytes) -> None:
    raw = RawEvent(
        channel=fixtures.reference(kind),
        kind=kind,
        body=body,
        received_at=datetime.now(UTC),
        content_type=fixtures.folder(kind).delivery.content_type,
    )

    with suppress(MalformedPayload):
        for one in codec_of(kind).decode(raw):
            msgspec.json.encode(fixtures.as_data(one))


@every("send")
async def test_a_part_the_channel_cannot_send_is_refused_by_name(dry_bench: Bench, kind: str, path: Path) -> None:
    connector = dry_bench.connector(kind)
    able = getattr(connector, "capabilities", SPECS[kind].capabilities).parts
    parts = (p.System(event="joined"), p.Order(items=()), p.Unsupported(provider_type="x"))
    foreign = next(part for part in parts if part.__struct_config__.tag not in able)

    with pytest.raises(Unsendable) as caught:
        list(connector.codec.encode(msgspec.structs.replace(fixtures.outbound(kind, path), parts=(foreign,))))

    assert caught.value.need == foreign.__struct_config__.tag
    assert set(caught.value.have) == set(able)
