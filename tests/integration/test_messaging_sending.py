"""The Messenger and Instagram connectors against their Send API as the simulators play it, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import (
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.http import TooLarge
from gateway.blobs import BlobStore
from gateway.simulate.instagram import InstagramCloud
from gateway.simulate.messenger import MessengerCloud
from gateway.simulate.meta import fault
from gateway.simulate.meta_messaging import MessagingCloud
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, MessageRef
from normalizer.parts import CardItem, ChoiceItem
from tests.contexts import PUBLIC_URL
from tests.meta_bench import TOKEN, Desk, config, desk, outbound

CLOUDS: dict[str, type[MessagingCloud]] = {"messenger": MessengerCloud, "instagram": InstagramCloud}
PNG = b"\x89PNG\r\n\x1a\n picture"
both = pytest.mark.parametrize("kind", CLOUDS)


@pytest.fixture
async def cloud(kind: str) -> AsyncIterator[MessagingCloud]:
    async with CLOUDS[kind](config(kind)) as made:
        yield made


@pytest.fixture
async def shop(tmp_path: Path, cloud: MessagingCloud) -> AsyncIterator[Desk]:
    async with desk(tmp_path, cloud.url) as made:
        yield made


@pytest.fixture
def channel(shop: Desk, kind: str) -> Any:
    return shop.channel(kind)


@both
async def test_a_message_is_sent_with_the_token_and_its_id_comes_back(
    kind: str, cloud: MessagingCloud, channel: Any
) -> None:
    sent = await channel.send(outbound(kind))

    (call,) = cloud.named("send")
    assert (call.path, call.bearer) == ("/v26.0/me/messages", TOKEN)
    assert sent.provider_ids == ("m_cloud-1",)


@both
@pytest.mark.parametrize(
    ("code", "subcode", "status", "shape"),
    [
        (10, 2018278, 403, WindowClosed),
        (10, 2534022, 403, WindowClosed),
        (10, None, 403, Misconfigured),
        (551, None, 400, RecipientGone),
        (200, 1545041, 403, RecipientGone),
        (100, 2018001, 400, RecipientGone),
        (100, 2534014, 400, RecipientGone),
        (100, None, 400, Refused),
        (613, None, 400, Throttled),
        (4, 2018022, 400, Throttled),
        (1200, None, 400, Unreachable),
        (2, None, 500, Unreachable),
        (190, None, 401, Misconfigured),
        (230, None, 403, Misconfigured),
        (368, None, 400, Misconfigured),
    ],
)
async def test_an_error_code_says_whether_trying_again_helps(
    kind: str,
    cloud: MessagingCloud,
    channel: Any,
    code: int,
    subcode: int | None,
    status: int,
    shape: type[SendError],
) -> None:
    cloud.fail_next(fault(code, f"it says {TOKEN}", subcode=subcode, status=status))

    with pytest.raises(SendError) as caught:
        await channel.send(outbound(kind))

    assert type(caught.value) is shape
    assert caught.value.provider_code == str(code)
    assert TOKEN not in f"{caught.value!r} {caught.value.provider_text}"


@both
async def test_the_window_is_closed_except_for_a_human(kind: str, cloud: MessagingCloud, channel: Any) -> None:
    cloud.closed, cloud.gone = {"7"}, {"8"}

    with pytest.raises(WindowClosed):
        await channel.send(outbound(kind, to="7"))
    await channel.send(outbound(kind, to="7", metadata={kind: {"tag": "HUMAN_AGENT"}}))
    with pytest.raises(RecipientGone):
        await channel.send(outbound(kind, to="8"))


@both
async def test_a_file_of_ours_is_uploaded_or_linked(kind: str, cloud: MessagingCloud, channel: Any, shop: Desk) -> None:
    ref = await BlobStore(shop.folder).put(PNG)
    media = p.Media(id="m", status="stored", sha256=ref[7:], mime="image/png", name="a.png", caption="A cat")
    card = p.Card(items=(CardItem(title="Red", media=media),))

    await channel.send(outbound(kind, p.Image(media=media), card))

    picture, words, shown = (call.json()["message"] for call in cloud.named("send"))
    payload = picture["attachment"]["payload"]
    if kind == "messenger":
        (upload,) = cloud.named("upload")
        assert upload.files["filedata"] == ("a.png", "image/png", PNG)
        told = json.loads(upload.form["message"])
        assert told == {"attachment": {"type": "image", "payload": {"is_reusable": True}}}
        assert payload == {"attachment_id": next(iter(cloud.attachments))}
    else:
        assert cloud.named("upload") == []
        assert payload["url"].startswith(PUBLIC_URL)
    assert words["text"] == "A cat"
    assert shown["attachment"]["payload"]["elements"][0]["image_url"].startswith(PUBLIC_URL)


@pytest.mark.parametrize("kind", ["messenger"])
async def test_a_file_that_is_too_large_is_not_uploaded(
    kind: str, cloud: MessagingCloud, channel: Any, shop: Desk
) -> None:
    ref = await BlobStore(shop.folder).put(b"\0" * (8 * 2**20 + 1))
    media = p.Media(id="m", status="stored", sha256=ref[7:], mime="image/png")

    with pytest.raises(TooLarge):
        await channel.send(outbound(kind, p.Image(media=media)))

    assert list(cloud.calls) == []


@both
async def test_actions(kind: str, cloud: MessagingCloud, channel: Any) -> None:
    to, message = Address(scheme=kind, value="7"), MessageRef(provider_id="m_1")

    await channel.perform("typing.send", TypingParams(channel="c", to=to))
    await channel.perform("receipt.send", ReceiptSendParams(channel="c", to=to, message=message))
    await channel.perform("reaction.send", ReactParams(channel="c", to=to, message=message, emoji="❤️"))
    await channel.perform("reaction.send", ReactParams(channel="c", to=to, message=message))

    bodies = [call.json() for call in cloud.named("send")]
    assert [body["sender_action"] for body in bodies] == ["typing_on", "mark_seen", "react", "unreact"]
    assert bodies[2]["payload"] == {"message_id": "m_1", "reaction": "love" if kind == "instagram" else "❤️"}
    if kind == "instagram":
        with pytest.raises(Unsendable):
            await channel.perform("reaction.send", ReactParams(channel="c", to=to, message=message, emoji="👍"))


@both
async def test_verify_tells_account_token_and_subscriptions(channel: Any) -> None:
    told = await channel.probe()

    assert told["account"]["id"] == "101"
    assert told["handshake"] == "ok"
    assert "messages" in told["webhook"]["fields"]
    assert "missing" not in told["webhook"]
    assert told["token"]["valid"] is True


@pytest.mark.parametrize("kind", ["messenger"])
async def test_verify_finds_the_token_of_another_page(kind: str, shop: Desk) -> None:
    with pytest.raises(Misconfigured, match="another account"):
        await shop.channel(kind, "102").probe()


ITEM = ChoiceItem(id="i", title="Yes")


@both
@pytest.mark.parametrize(
    "part",
    [
        p.Choice(kind="list", body="?", items=(ITEM,)),
        p.Choice(kind="buttons", body="?", items=(ITEM,) * 4),
        p.Choice(kind="buttons", body=" ", items=(ITEM,)),
        p.Choice(kind="buttons", body="?", items=()),
        p.Choice(kind="cta_url", body="?", items=(ITEM,)),
        p.Choice(kind="quick_replies", body="?", items=(ChoiceItem(id="i", title="x" * 21),)),
        p.Choice(kind="quick_replies", body="?", items=(ChoiceItem(id="", title="x"),)),
        p.Card(items=()),
        p.Card(items=(CardItem(title="x" * 81),)),
        p.Card(items=(CardItem(title="x", items=(ITEM,) * 4),)),
        p.Carousel(items=(CardItem(title="x"),) * 11),
        p.Image(media=p.Media(id="m", status="pending", provider_id="wamid")),
        p.Text(body="  "),
        p.Location(lat=1, lon=2),
    ],
)
async def test_what_cannot_be_said_is_refused_before_anything_is_sent(
    kind: str, cloud: MessagingCloud, channel: Any, part: p.AnyPart
) -> None:
    with pytest.raises(Unsendable):
        await channel.send(outbound(kind, part))

    assert list(cloud.calls) == []


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"to": Address(scheme="tel", value="+1")},
        {"metadata": {"messenger": {"tag": "SPAM"}, "instagram": {"tag": "SPAM"}}},
        {"metadata": {"messenger": {"messaging_type": "X"}, "instagram": {"messaging_type": "X"}}},
    ],
)
async def test_addresses_and_tags_are_those_of_the_api(kind: str, channel: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(Unsendable):
        await channel.send(outbound(kind, **changes))
