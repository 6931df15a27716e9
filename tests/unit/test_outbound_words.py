"""What a customer reads where the channel can only send text."""

from __future__ import annotations

import pytest

from connectors.api import Capabilities
from gateway.outbound_message import fitted, in_words
from gateway.outbound_words import words
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.model import Address, ChannelRef
from normalizer.raw import Outbound

ITEMS = (
    p.ChoiceItem(id="y", title="Yes"),
    p.ChoiceItem(id="n", title="No", description="not now", url="https://x.example"),
)
CHOICE = p.Choice(kind="buttons", body="Shall we?", items=ITEMS)
ABLE = Capabilities(parts=("text", "choice", "image"), choices={"buttons": 1, "list": 10}, media={"image": 1000})


def image(size: int | None = None) -> p.Image:
    return p.Image(
        media=p.Media(
            id="med_1", mime="image/png", caption="the box", url="https://x.example/b.png", size=size, status="stored"
        )
    )


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (p.Text(body="hi"), "hi"),
        (CHOICE, "Shall we?\n1. Yes\n2. No: not now https://x.example"),
        (image(), "the box\nhttps://x.example/b.png"),
        (p.Card(items=(p.CardItem(title="Box", body="blue", items=ITEMS[:1]),)), "Box\nblue\n1. Yes"),
        (p.Location(lat=1.0, lon=2.0, name="home"), "[location home 1.000000,2.000000]"),
    ],
)
def test_nothing_that_matters_is_left_out(part: p.AnyPart, said: str) -> None:
    assert words(part) == said


@pytest.mark.parametrize(
    "part", [p.Template(name="t", language="en"), p.System(event="joined"), p.Unsupported(provider_type="x")]
)
def test_what_has_no_words_is_refused_and_no_brackets_are_sent(part: p.AnyPart) -> None:
    with pytest.raises(Unsendable):
        words(part)


@pytest.mark.parametrize(
    ("part", "need", "have"),
    [
        (CHOICE, "buttons with 2 items", "buttons with at most 1"),
        (p.Choice(kind="form", body="?", items=ITEMS), "choice of kind form", "buttons"),
        (image(1001), "image of 1001 bytes", "image of at most 1000 bytes"),
        (p.Sticker(media=p.Media(id="med_2", mime="image/webp", status="stored")), "sticker", "text"),
    ],
)
def test_what_is_beyond_the_limits_of_a_channel_is_named_or_said_in_words(
    part: p.AnyPart, need: str, have: str
) -> None:
    with pytest.raises(Unsendable) as caught:
        fitted((part,), ABLE, degrade=False)
    (text,) = fitted((part,), ABLE, degrade=True)

    assert (caught.value.need, caught.value.have[0]) == (need, have)
    assert isinstance(text, p.Text)
    assert text.body == words(part)


def test_what_fits_is_left_as_it_is() -> None:
    choice = p.Choice(kind="list", body="?", items=ITEMS)

    assert fitted((choice, image(1000), image()), ABLE, degrade=True) == (choice, image(1000), image())
    assert fitted((CHOICE,), Capabilities(parts=("choice",)), degrade=False) == (CHOICE,)  # the codec decides


def test_a_whole_message_is_said_with_its_options() -> None:
    to = Address(scheme="x", value="1")
    channel = ChannelRef(id="x", type="x")
    message = Outbound(id="msg_1", channel=channel, to=to, parts=(p.Text(body="hi"), CHOICE), text="hi\nShall we?")

    assert [part.body for part in in_words(message).parts if isinstance(part, p.Text)] == [
        "hi\nShall we?\n1. Yes\n2. No: not now https://x.example"
    ]
