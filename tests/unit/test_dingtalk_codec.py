"""DingTalk's codec where no example reaches."""

from __future__ import annotations

import pytest

from normalizer import parts as p
from normalizer.codecs.dingtalk_card import headline, offered
from normalizer.codecs.dingtalk_send import PARAM_MAX, send, target
from normalizer.codecs.dingtalk_types import moment
from normalizer.errors import Unsendable
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart, Media
from normalizer.raw import Outbound


def message(*parts: AnyPart, to: str = "user1", scheme: str = "dingtalk") -> Outbound:
    channel = ChannelRef(id="shop", type="dingtalk")
    return Outbound(id="msg_1", channel=channel, to=Address(scheme=scheme, value=to), parts=parts)


def items(count: int, **fields: str) -> tuple[p.ChoiceItem, ...]:
    return tuple(p.ChoiceItem(id=str(number), title=f"Item {number}", **fields) for number in range(count))


@pytest.mark.parametrize(
    ("value", "sort"),
    [
        ("manager4220", "person"),
        ("cid", "person"),
        ("cidric", "person"),
        ("cid6KeBBLovjOEZEx5Q7SFoCw==", "group"),
        ("direct:cid6KeBBLovjOEZEx5Q7SFoCw==", "outside"),
    ],
)
def test_an_address_is_a_person_a_group_or_somebody_outside(value: str, sort: str) -> None:
    assert target(Address(scheme="dingtalk", value=value)).sort == sort


@pytest.mark.parametrize(
    "parts",
    [
        (p.Text(body="  \n "),),
        (p.Text(format="html", body="<b>x</b>"),),
        (p.Location(lat=1, lon=2),),
        (p.File(media=Media(id="m", status="stored")),),
        (p.Choice(kind="form", body="x", items=items(1)),),
        (p.Choice(kind="buttons", body="x"),),
        (p.Choice(kind="buttons", body="x", items=items(21)),),
        (p.Choice(kind="buttons", body=" ", items=items(1)),),
        (p.Choice(kind="buttons", body="x" * 2001, items=items(1)),),
        (p.Choice(kind="cta_url", body="x", items=items(2)),),
        (p.Choice(kind="buttons", body="x", items=(p.ChoiceItem(id="1", title=" "),)),),
        (p.Choice(kind="buttons", body="x", items=(p.ChoiceItem(id="1", title="字" * 3000),)),),
        (p.Card(items=()),),
        (p.Card(items=(p.CardItem(title="x", media=Media(id="m", status="stored")),)),),
    ],
)
def test_what_dingtalk_cannot_show_is_refused_by_name(parts: tuple[AnyPart, ...]) -> None:
    with pytest.raises(Unsendable):
        send(message(*parts), "robot")


def test_an_address_of_another_provider_is_refused() -> None:
    for scheme, value in (("line", "U1"), ("dingtalk", "")):
        with pytest.raises(Unsendable):
            send(message(p.Text(body="x"), to=value, scheme=scheme), "robot")


@pytest.mark.parametrize("char", ["x", "字", "😀", '"'])
def test_long_texts_fit_into_what_dingtalk_takes(char: str) -> None:
    wires = send(message(p.Text(body="a" + char * 9000)), "robot")

    assert len(wires) >= 3
    assert all(len(wire.body) < 2 * PARAM_MAX for wire in wires)


def test_a_headline_is_one_short_line() -> None:
    assert headline("\n\n  Hello  \nworld") == "Hello"
    assert headline("x" * 100) == "x" * 39 + "…"
    assert headline(" ") == ""


def test_links_are_not_offered_to_be_said() -> None:
    mixed = (*items(1), *items(2, url="https://shop.example/")[1:])

    assert offered((p.Choice(kind="buttons", body="x", items=mixed), p.Text(body="y"))) == {"Item 0": "0"}
    assert offered((p.Card(items=(p.CardItem(title="c", items=mixed),)),)) == {"Item 0": "0"}


@pytest.mark.parametrize("value", [None, 0, -5, "", "soon", "nan", "inf", 10**18, 4e15])
def test_a_time_that_cannot_be_is_none(value: float | str | None) -> None:
    assert moment(value) is None
