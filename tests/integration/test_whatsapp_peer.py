"""pywa reads what we read, and says what we say, so that we are not alone in taking it for WhatsApp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pywa import WhatsApp, handlers, types
from pywa.errors import ExpiredAccessToken, MessageUndeliverable, ReEngagementMessage, WhatsAppError

from connectors.whatsapp import WhatsappConnector
from gateway.simulate.whatsapp_cloud import WhatsappCloud
from normalizer import parts as p
from normalizer.codecs.meta_errors import CODES, meaning
from normalizer.methods import ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, MessageRef
from normalizer.raw import Event
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import SPECS
from tests.contract.channel_fixtures import ROOT, raw_event
from tests.meta_bench import PERSON, SECRET, TOKEN, WORD, Desk, config, desk, outbound, signed

ACCOUNT = "106540352242922"
HANDLERS = (
    handlers.MessageHandler, handlers.CallbackButtonHandler, handlers.CallbackSelectionHandler,
    handlers.FlowCompletionHandler, handlers.MessageStatusHandler, handlers.PhoneNumberChangeHandler,
    handlers.EditedMessageHandler, handlers.DeletedMessageHandler, handlers.UserMarketingPreferencesHandler,
)  # fmt: skip


class Peer:
    """pywa, reading deliveries and calling an API."""

    def __init__(self, url: str = "http://127.0.0.1:9") -> None:
        self.client = WhatsApp(phone_id=ACCOUNT, token=TOKEN, app_secret=SECRET, verify_token=WORD)
        self.client.api._session.base_url = f"{url}/v26.0"
        self.read: list[Any] = []
        for handler in HANDLERS:
            self.client.add_handlers(handler(lambda _, update: self.read.append(update)))

    def close(self) -> None:
        self.client.api._session.close()

    def take(self, body: bytes) -> Any:
        assert self.client.webhook_update_validator(body, signed(body)["x-hub-signature-256"]) is None
        assert self.client.webhook_update_handler(body)[1] == 200
        return self.read.pop()


@pytest.fixture
async def cloud() -> AsyncIterator[WhatsappCloud]:
    async with WhatsappCloud(config("whatsapp", account=ACCOUNT)) as made:
        yield made


@pytest.fixture
async def shop(tmp_path: Path, cloud: WhatsappCloud) -> AsyncIterator[Desk]:
    async with desk(tmp_path, cloud.url) as made:
        yield made


@pytest.fixture
def peer(cloud: WhatsappCloud) -> Iterator[Peer]:
    made = Peer(cloud.url)
    yield made
    made.close()


@pytest.fixture
def ours(shop: Desk) -> WhatsappConnector:
    found: WhatsappConnector = shop.channel("whatsapp", ACCOUNT)
    return found


def as_pywa_wants_it(name: str) -> bytes:
    """Read a fixture; pywa takes for granted that every contact has a BSUID, as since April 2026 each does."""
    told = json.loads((ROOT / "whatsapp" / f"{name}.in.json").read_bytes())
    value = told["entry"][0]["changes"][0]["value"]
    for contact in value.setdefault("contacts", [{"wa_id": PERSON}]):
        contact.setdefault("user_id", "US.13491208655302741918")
    return json.dumps(told).encode()


READABLE = [
    "text", "text-reply", "text-forwarded", "text-forwarded-often", "text-product", "text-ad", "text-bsuid-and-number",
    "text-group", "image", "audio", "voice", "video", "document", "sticker", "location", "reaction", "reaction-removed",
    "order", "button-reply", "list-reply", "button", "flow-reply", "number-changed", "request-welcome", "unsupported",
    "edit", "edit-text", "revoke", "status-sent", "status-delivered", "status-read", "status-failed", "marketing-stop",
]  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_pywa_reads_the_same_facts(name: str, peer: Peer, ours: WhatsappConnector) -> None:
    body = as_pywa_wants_it(name)
    theirs = peer.take(body)
    raw = raw_event("whatsapp", ROOT / "whatsapp" / f"{name}.in.json")
    params: Any = next(
        item.params
        for item in ours.codec.decode(type(raw)(**{**_fields(raw), "body": body}))
        if isinstance(item, Event)
    )

    message = getattr(params, "message", None)
    at = getattr(message, "sent_at", None) or getattr(params, "at", None)
    if not isinstance(theirs, types.EditedMessage):
        assert at == theirs.timestamp
    told = getattr(params, "sender", None) or getattr(message, "sender", None) or getattr(params, "by", None)
    if told is not None:
        assert theirs.from_user.wa_id == PERSON
        assert told.addresses[0] == Address(scheme="tel", value=f"+{theirs.from_user.wa_id}")
    _compare(theirs, params)


def _fields(raw: Any) -> dict[str, Any]:
    return {name: getattr(raw, name) for name in raw.__struct_fields__}


def _compare(theirs: Any, params: Any) -> None:
    part = params.message.parts[0] if getattr(getattr(params, "message", None), "parts", None) else None
    match theirs:
        case types.CallbackButton() | types.CallbackSelection():
            assert isinstance(part, p.ChoiceReply)
            assert (part.item_id, part.title) == (theirs.data, theirs.title)
            assert theirs.reply_to_message is not None
            assert part.of == theirs.reply_to_message.id
        case types.FlowCompletion():
            assert isinstance(part, p.FormReply)
            assert {key: value for key, value in part.data.items() if key != "flow_token"} == theirs.response
            assert part.data["flow_token"] == theirs.token
        case types.MessageStatus():
            assert (params.message.provider_id, params.status) == (theirs.id, theirs.status.value)
            if theirs.error is not None:
                assert params.error.message.startswith(f"{theirs.error.code}: ")
        case types.EditedMessage():
            assert params.message.provider_id == theirs.original_message_id
            assert params.message.text == (theirs.message.text or theirs.message.caption)
        case types.DeletedMessage():
            assert params.message.provider_id == theirs.original_message_id
        case types.PhoneNumberChange():
            values = [address.value for address in params.sender.addresses]
            assert values == [f"+{theirs.old_wa_id}", f"+{theirs.new_wa_id}"]
        case types.Message(reaction=types.Reaction() as reaction):
            assert (params.message.provider_id, params.emoji or None) == (reaction.message_id, reaction.emoji)
        case types.Message():
            _compare_message(theirs, params, part)


def _compare_message(theirs: Any, params: Any, part: Any) -> None:
    if theirs.type == "request_welcome":
        return
    assert params.message.provider_id == theirs.id
    assert bool(params.message.flags and params.message.flags.forwarded) == theirs.forwarded
    if theirs.reply_to_message is not None:
        assert params.message.reply_to.provider_id == theirs.reply_to_message.id
    if theirs.referral is not None:
        assert params.message.referral.ad_id == theirs.referral.source_id
    if theirs.text is not None:
        assert params.message.text == theirs.text
    if theirs.media is not None:
        assert (part.media.provider_id, part.media.caption) == (theirs.media.id, theirs.caption)
        assert part.media.mime == theirs.media.mime_type.partition(";")[0]
    if theirs.location is not None:
        assert (part.lat, part.lon) == (theirs.location.latitude, theirs.location.longitude)
    if theirs.order is not None:
        assert [item.product_id for item in part.items] == [one.sku for one in theirs.order.products]


PLAIN = {"biz_opaque_callback_data", "preview_url", "recipient_type"}


def bare(body: Any) -> Any:
    """Leave out what pywa writes although it says nothing, and what only we write."""
    if isinstance(body, dict):
        return {key: bare(value) for key, value in body.items() if value not in (None, [], ()) and key not in PLAIN}
    return [bare(one) for one in body] if isinstance(body, list) else body


BUTTONS = [types.Button(title="Yes", callback_data="y"), types.Button(title="No", callback_data="n")]
ITEMS = (p.ChoiceItem(id="y", title="Yes"), p.ChoiceItem(id="n", title="No"))
ROWS = [
    types.SectionRow(title="Yes", callback_data="y", description="!"),
    types.SectionRow(title="No", callback_data="n"),
]


def media(provider_id: str, **more: Any) -> p.Media:
    return p.Media(id="m", status="pending", provider_id=provider_id, **more)


SAID: dict[str, tuple[Any, p.AnyPart]] = {
    "text": (lambda wa: wa.send_message(PERSON, "Hi"), p.Text(body="Hi")),
    "image": (lambda wa: wa.send_image(PERSON, "77", caption="C"), p.Image(media=media("77", caption="C"))),
    "link": (
        lambda wa: wa.send_video(PERSON, "https://shop.example/v.mp4"),
        p.Video(media=p.Media(id="m", status="pending", url="https://shop.example/v.mp4")),
    ),
    "document": (lambda wa: wa.send_document(PERSON, "77", filename="a.pdf"), p.File(media=media("77", name="a.pdf"))),
    "sticker": (lambda wa: wa.send_sticker(PERSON, "77"), p.Sticker(media=media("77"))),
    "location": (
        lambda wa: wa.send_location(PERSON, 52.5, 13.4, name="Shop", address="Street"),
        p.Location(lat=52.5, lon=13.4, name="Shop", address="Street"),
    ),
    "buttons": (
        lambda wa: wa.send_message(PERSON, "Well?", buttons=BUTTONS),
        p.Choice(kind="buttons", body="Well?", items=ITEMS),
    ),
    "list": (
        lambda wa: wa.send_message(
            PERSON, "Well?", buttons=types.SectionList("Options", [types.Section(title="", rows=ROWS)])
        ),
        p.Choice(kind="list", body="Well?", items=(p.ChoiceItem(id="y", title="Yes", description="!"), ITEMS[1])),
    ),
    "url": (
        lambda wa: wa.send_message(PERSON, "Here", buttons=types.URLButton(title="Open", url="https://shop.example/")),
        p.Choice(kind="cta_url", body="Here", items=(p.ChoiceItem(id="", title="Open", url="https://shop.example/"),)),
    ),
    "location request": (
        lambda wa: wa.request_location(PERSON, "Where?"),
        p.Choice(kind="location_request", body="Where?"),
    ),
}


@pytest.mark.parametrize("name", SAID)
async def test_pywa_says_it_the_same_way(name: str, peer: Peer, cloud: WhatsappCloud, ours: WhatsappConnector) -> None:
    theirs, part = SAID[name]

    await asyncio.to_thread(theirs, peer.client)
    await ours.send(outbound("whatsapp", part))
    his, mine = (bare(call.json()) for call in cloud.named("send"))

    if name == "list":  # a section alone needs no title
        his["interactive"]["action"]["sections"][0].pop("title")
    assert mine == his


async def test_pywa_calls_the_rest_the_same_way(peer: Peer, cloud: WhatsappCloud, ours: WhatsappConnector) -> None:
    client, message = peer.client, MessageRef(provider_id="wamid.1")
    to = Address(scheme="whatsapp", value=PERSON)

    await asyncio.to_thread(client.send_reaction, PERSON, "👍", "wamid.1")
    await asyncio.to_thread(client.mark_message_as_read, "wamid.1")
    await asyncio.to_thread(client.indicate_typing, "wamid.1")
    await ours.perform("reaction.send", ReactParams(channel="wa", message=message, emoji="👍", to=to))
    await ours.perform("receipt.send", ReceiptSendParams(channel="wa", message=message))
    await ours.perform("typing.send", TypingParams(channel="wa", message=message))
    bodies = [bare(call.json()) for call in cloud.named("send")]

    assert bodies[3:] == bodies[:3]
    assert cloud.read == ["wamid.1"] * 4


async def test_pywa_takes_the_simulated_api_for_whatsapps(peer: Peer, cloud: WhatsappCloud) -> None:
    client = peer.client
    cloud.gone, cloud.closed = {"1000"}, {"2000"}

    sent = await asyncio.to_thread(client.send_message, PERSON, "Hi")
    uploaded = await asyncio.to_thread(client.upload_media, b"\xff\xd8 jpeg", mime_type="image/jpeg", filename="a.jpg")
    found = await asyncio.to_thread(client.get_media_url, uploaded.id)

    assert sent.id.startswith("wamid.cloud-")
    assert (found.mime_type, found.file_size) == ("image/jpeg", 7)
    assert await asyncio.to_thread(client.get_media_bytes, found.url) == b"\xff\xd8 jpeg"
    with pytest.raises(MessageUndeliverable):
        await asyncio.to_thread(client.send_message, "1000", "Hi")
    with pytest.raises(ReEngagementMessage):
        await asyncio.to_thread(client.send_message, "2000", "Hi")
    client.api._session.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(ExpiredAccessToken):
        await asyncio.to_thread(client.send_message, PERSON, "Hi")


def test_every_error_pywa_knows_is_in_our_table() -> None:
    ours = {ExpiredAccessToken: "misconfigured", MessageUndeliverable: "gone", ReEngagementMessage: "window"}
    for shape, what in ours.items():
        assert {meaning(code) for code in shape.__error_codes__} == {what}
    throttling = next(one for one in WhatsAppError.__subclasses__() if one.__name__ == "ThrottlingError")
    for shape in throttling.__subclasses__():
        codes = set(shape.__error_codes__) - {133016}  # of registering a number
        assert {meaning(code) for code in codes} <= {"throttled", "later"}, shape
        assert codes <= set(CODES)


def test_the_fixtures_are_those_of_the_kind() -> None:
    stems = {path.name.partition(".")[0] for kind, path in fixtures.files("in") if kind == "whatsapp"}

    assert set(READABLE) <= stems
    assert "whatsapp" in SPECS
