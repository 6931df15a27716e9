"""What a kind says it can do is what `message.send` goes by: beyond it, an error or plain words; no kind is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from connectors.api import Capabilities
from connectors.registry import capabilities_of
from gateway.outbound_errors import rpc_error
from gateway.outbound_message import message_of
from gateway.outbound_words import WORDLESS
from normalizer import parts as p
from normalizer import rpc
from normalizer.errors import Unsendable
from normalizer.methods import SendParams
from normalizer.model import Address
from normalizer.parts import AnyPart, type_names
from normalizer.raw import Outbound
from normalizer.rpc import RpcError
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import FOUND, KINDS, SPECS, Bench
from tests.contract.channel_bench import bench as bench  # noqa: PLC0414 -- a fixture

LINK = p.Media(id="med_1", status="stored", url="https://files.shop.example/box.jpg", name="box.jpg", mime="image/jpeg")
SAMPLES: dict[str, AnyPart] = {
    "text": p.Text(body="words"),
    **{
        kind: msgspec.convert({"type": kind, "media": LINK}, p.MediaPart, from_attributes=True)
        for kind in ("image", "audio", "video", "file", "sticker")
    },
    "location": p.Location(lat=52.52, lon=13.4, name="Berlin"),
    "contact": p.Contact(name="Ada", phones=("+4930123456",)),
    "choice": p.Choice(kind="buttons", body="Tea?", items=(p.ChoiceItem(id="y", title="Yes"),)),
    "choice_reply": p.ChoiceReply(item_id="y", title="Yes"),
    "form_reply": p.FormReply(form_id="f", data={"a": 1}),
    "template": p.Template(name="parcel", language="en"),
    "card": p.Card(items=(p.CardItem(title="Tea", body="green"),)),
    "carousel": p.Carousel(items=(p.CardItem(title="Tea"), p.CardItem(title="Coffee"))),
    "order": p.Order(items=(p.OrderItem(product_id="tea", quantity=1),)),
    "email": p.Email(text="a mail"),
    "transcript": p.Transcript(
        language="en", source="voicenote", segments=(p.Segment(start_ms=0, end_ms=900, text="where is it"),)
    ),
    "system": p.System(event="joined"),
    "unsupported": p.Unsupported(provider_type="hologram"),
}
"""One part of each type, and the words it comes to."""
WORDS = {
    "image": "https://files.shop.example/box.jpg", "audio": "box.jpg", "video": "box.jpg", "file": "box.jpg",
    "sticker": "box.jpg", "location": "Berlin", "contact": "+4930123456", "choice": "1. Yes", "choice_reply": "Yes",
    "card": "green", "carousel": "Coffee", "email": "a mail", "transcript": "where is it",
}  # fmt: skip


def beyond(able: Capabilities) -> Iterator[tuple[str, AnyPart]]:
    """Yield what a channel cannot send, each with the word for what is lacking."""
    yield from ((tag, SAMPLES[tag]) for tag in type_names if tag not in able.parts)
    if "choice" in able.parts and able.choices:
        for kind, most in able.choices.items():
            items = tuple(p.ChoiceItem(id=f"i{number}", title=f"Item {number}") for number in range(1, most + 2))
            asked = msgspec.convert({"type": "choice", "kind": kind, "body": "Which?", "items": items}, p.Choice)
            yield f"{kind} with {most + 1} items", asked
    for tag, limit in able.media.items():
        large = msgspec.structs.replace(LINK, size=limit + 1)
        yield f"{tag} of {limit + 1} bytes", msgspec.structs.replace(SAMPLES[tag], media=large)


SENDING = sorted({kind for kind, _ in FOUND["send"]})
"""Kinds whose codec writes messages; of those whose connector does (mail) the capabilities alone are looked at."""

TALKING = [kind for kind in KINDS if SPECS[kind].capabilities.parts]
"""Kinds that send messages at all."""


def render(bench: Bench, kind: str, part: AnyPart, *, degrade: bool) -> Outbound:
    """Build the message as `message.send` does; raises `RpcError` with what it would answer."""
    channel, to = fixtures.reference(kind), Address(scheme=kind, value="ada")
    changes: dict[str, Any] = {}
    if kind in SENDING:
        usual = fixtures.outbound(kind, next(path for found, path in FOUND["send"] if found == kind))
        to, changes = usual.to, {"reply_to": usual.reply_to, "metadata": usual.metadata}
    params = SendParams(channel=channel.id, to=to, parts=(part,), fallback="degrade" if degrade else "error")
    try:
        made = message_of(params, to, message_id="msg_1", channel=channel, capabilities=able(bench, kind))
        if kind in SENDING:
            wires = bench.connector(kind).codec.encode(msgspec.structs.replace(made, **changes))
            assert list(wires), "nothing goes out"
    except Unsendable as exc:
        raise rpc_error(exc) from exc
    return made


def able(bench: Bench, kind: str) -> Capabilities:
    """Return what a channel of a kind can do; where the one of the fixtures does not send, what the kind can."""
    own = capabilities_of(kind, bench.connector(kind))
    return own if own.parts else SPECS[kind].capabilities


def test_there_is_a_sample_of_every_type() -> None:
    assert set(SAMPLES) == set(type_names)
    assert set(WORDS) == set(type_names) - WORDLESS - {"text"}


@pytest.mark.parametrize("kind", TALKING)
async def test_what_is_beyond_a_kind_is_refused_with_what_it_needs_and_what_there_is(bench: Bench, kind: str) -> None:
    for need, part in beyond(able(bench, kind)):
        with pytest.raises(RpcError) as caught:
            render(bench, kind, part, degrade=False)

        assert caught.value.number == rpc.CAPABILITY_MISSING == -32003
        assert caught.value.data["need"] == need
        assert caught.value.data["have"]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(TALKING)))
async def test_a_kind_that_sends_no_messages_refuses_every_part(bench: Bench, kind: str) -> None:
    for part in SAMPLES.values():
        for degrade in (False, True):
            with pytest.raises(RpcError) as caught:
                render(bench, kind, part, degrade=degrade)

            assert caught.value.number == rpc.CAPABILITY_MISSING


@pytest.mark.parametrize("kind", TALKING)
async def test_what_is_beyond_a_kind_is_said_in_words_where_that_is_wanted(bench: Bench, kind: str) -> None:
    assert "text" in (able(bench, kind)).parts
    for need, part in beyond(able(bench, kind)):
        tag = str(part.__struct_config__.tag)
        if tag in WORDLESS:
            with pytest.raises(RpcError):
                render(bench, kind, part, degrade=True)
            continue
        (text,) = render(bench, kind, part, degrade=True).parts

        assert isinstance(text, p.Text), need
        expected = "Item 1" if "items" in need else WORDS[tag]
        assert expected in text.body, need
