"""What WhatsApp cannot be told is refused by name, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from normalizer import parts as p
from normalizer.codecs.meta_errors import CODES, SUBCODES, meaning, status_error
from normalizer.codecs.whatsapp import WhatsappCodec
from normalizer.codecs.whatsapp_send import recipient
from normalizer.errors import Unsendable
from normalizer.methods import ReactParams
from normalizer.model import Address, MessageRef
from normalizer.parts import ChoiceItem
from tests.meta_bench import outbound

ITEM = ChoiceItem(id="i", title="Yes")


def choice(kind: Any, *items: ChoiceItem, body: str = "?") -> p.Choice:
    return p.Choice(kind=kind, body=body, items=items)


REFUSED: dict[str, p.AnyPart] = {
    "four buttons": choice("buttons", *(ChoiceItem(id=str(n), title=str(n)) for n in range(4))),
    "no buttons": choice("buttons"),
    "a long title": choice("buttons", ChoiceItem(id="i", title="x" * 21)),
    "no title": choice("buttons", ChoiceItem(id="i", title="")),
    "no id": choice("buttons", ChoiceItem(id="", title="x")),
    "a long id": choice("buttons", ChoiceItem(id="x" * 257, title="x")),
    "an id twice": choice("buttons", ITEM, ChoiceItem(id="i", title="No")),
    "a title twice": choice("buttons", ITEM, ChoiceItem(id="j", title="Yes")),
    "eleven rows": choice("list", *(ChoiceItem(id=str(n), title=str(n)) for n in range(11))),
    "a long row": choice("list", ChoiceItem(id="i", title="x" * 25)),
    "a long description": choice("list", ChoiceItem(id="i", title="x", description="x" * 73)),
    "a link without URL": choice("cta_url", ITEM),
    "two links": choice("cta_url", ITEM, ITEM),
    "a form without id": choice("form", ChoiceItem(id="", title="x")),
    "no question": choice("buttons", ITEM, body=" \n"),
    "a contact without name": p.Contact(name="", phones=("+1",)),
    "media without anything": p.Image(media=p.Media(id="m", status="pending")),
    "a blank text": p.Text(body=" "),
    "an order": p.Order(items=()),
    "cards": p.Card(items=()),
}


@pytest.mark.parametrize("part", REFUSED.values(), ids=REFUSED)
def test_a_part_beyond_the_limits_is_refused(part: p.AnyPart) -> None:
    with pytest.raises(Unsendable) as caught:
        list(WhatsappCodec("101").encode(outbound("whatsapp", part)))

    assert caught.value.need
    assert caught.value.have


def test_components_that_are_no_list_are_refused() -> None:
    part = p.Template(name="n", language="en")
    for text in ("{}", "[1]", "nothing"):
        with pytest.raises(Unsendable):
            list(WhatsappCodec("1").encode(outbound("whatsapp", part, metadata={"whatsapp": {"components": text}})))


@pytest.mark.parametrize(
    ("scheme", "value", "told"),
    [
        ("whatsapp", "16505551234", {"recipient_type": "individual", "to": "16505551234"}),
        ("whatsapp", "+16505551234", {"recipient_type": "individual", "to": "16505551234"}),
        ("tel", "+16505551234", {"recipient_type": "individual", "to": "16505551234"}),
        ("whatsapp", "US.1349", {"recipient_type": "individual", "recipient": "US.1349"}),
        ("whatsapp-bsuid", "US.ENT.118", {"recipient_type": "individual", "recipient": "US.ENT.118"}),
        ("whatsapp", "Y2FwaV9ncm91cDoxNzA1NTU1MDEz", {"recipient_type": "group", "to": "Y2FwaV9ncm91cDoxNzA1NTU1MDEz"}),
        ("whatsapp-group", "555", {"recipient_type": "group", "to": "555"}),
        ("tel", "US.1349", None),
        ("mailto", "ann@example.org", None),
        ("whatsapp", "Ann", None),
        ("whatsapp-bsuid", "16505551234", None),
    ],
)
def test_who_is_written_to_follows_from_the_address(scheme: str, value: str, told: dict[str, str] | None) -> None:
    address = Address(scheme=scheme, value=value)
    if told is None:
        with pytest.raises(Unsendable):
            recipient(address)
    else:
        assert recipient(address) == told


def test_a_reaction_needs_an_address_and_a_message() -> None:
    codec, to = WhatsappCodec("101"), Address(scheme="whatsapp", value="16505551234")
    for params in (
        ReactParams(channel="c", message=MessageRef(provider_id="wamid.1")),
        ReactParams(channel="c", message=MessageRef(id="msg_1"), to=to),
    ):
        with pytest.raises(Unsendable):
            codec.request("reaction.send", params)


def test_a_subcode_says_more_than_its_code() -> None:
    assert (meaning(10), meaning(10, 2018278), meaning(10, 7)) == ("misconfigured", "window", "misconfigured")
    assert (meaning(299), meaning(300)) == ("misconfigured", "refused")
    assert {code for code, _ in SUBCODES} <= {*CODES, 200}


def test_a_failed_status_says_so_in_the_words_of_the_protocol() -> None:
    told = {code: status_error(code, "why") for code in (131047, 131026, 130429, 131000, 190, 1)}

    assert [one.code for one in told.values()] == [-32004, -32008, -32005, -32006, -32002, -32006]
    assert [one.retryable for one in told.values()] == [False, False, True, True, False, True]
    assert told[131047].message == "131047: why"
