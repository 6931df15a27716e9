"""Messages and media through the Twilio connector to Twilio's simulated API, and replies as TwiML."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from connectors.api import Receipt
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable, WindowClosed
from connectors.http import TooLarge
from connectors.secrets import Secret
from connectors.twilio import TwilioConnector
from connectors.twilio_config import TwilioConfig
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate.api import Item
from gateway.simulate.cloud import json_answer
from gateway.simulate.twilio import TwilioSimulator
from gateway.simulate.twilio_cloud import TwilioCloud
from normalizer import ids
from normalizer import parts as p
from normalizer.model import Address, ChannelRef
from normalizer.raw import Outbound, RawEvent
from tests.contexts import make_context
from tests.contract.channel_bench import as_delivery, running

REF = ChannelRef(id="test-twilio", type="twilio")
URL = "https://gw.example/c/test-twilio"
ACCOUNT, TOKEN = "AC" + "0" * 31 + "1", "12345fedcba98765abcdef0123456789"
THEM = "+14155550001"


def config(**more: Any) -> TwilioConfig:
    fields: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), "sender": "+14155238886", **more}
    return TwilioConfig(**fields)


def message(*parts: p.AnyPart, to: str = THEM, **more: Any) -> Outbound:
    address = Address(scheme="twilio", value=to)
    return Outbound(**{"id": "msg_1", "channel": REF, "to": address, "parts": parts, **more})


TEXT = p.Text(body="hi")


class Lab:
    def __init__(self, cloud: TwilioCloud, connector: TwilioConnector, folder: Path) -> None:
        self.cloud, self.connector, self.blobs = cloud, connector, BlobStore(folder)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with TwilioCloud(config()) as cloud, aiohttp.ClientSession() as http:
        context = make_context(REF, tmp_path, http, store=store)
        options = config(api_base=cloud.url, media_hosts=("127.0.0.1",), passive_secs=1.0)
        yield Lab(cloud, TwilioConnector(options, context), tmp_path)
    await store.close()


async def test_a_message_is_sent_and_its_reports_are_asked_for(lab: Lab) -> None:
    sent = await lab.connector.send(message(TEXT))

    (call,) = lab.cloud.named("send")
    assert sent.provider_ids == tuple(lab.cloud.messages)
    assert (call.form["To"], call.form["From"], call.form["Body"]) == (THEM, "+14155238886", "hi")
    assert call.form["StatusCallback"] == URL


async def test_a_file_of_ours_is_a_link_that_twilio_fetches(lab: Lab) -> None:
    ref = await lab.blobs.put(b"a picture")
    media = p.Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/png", name="a.png")
    (sid,) = (await lab.connector.send(message(p.Image(media=media)))).provider_ids

    assert sid.startswith("MM")
    assert lab.cloud.named("send")[0].form["MediaUrl"].startswith("https://gw.example/media/")


async def test_media_are_fetched_with_credentials_which_the_cdn_does_not_see(lab: Lab) -> None:
    lab.cloud.files["ME1"] = ("image/jpeg", b"a picture")
    url = f"{lab.cloud.url}/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1"
    media = p.Media(id="m", status="pending", provider_id=url)
    found = await lab.connector.fetch_media(media, max_bytes=1000)

    assert (found.data, found.mime) == (b"a picture", "image/jpeg")
    assert lab.cloud.named("media")[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(TooLarge):
        await lab.connector.fetch_media(media, max_bytes=3)
    for other in (
        "https://evil.example/x",
        "https://api.twilio.com.evil.example/x",
        "https://api.twilio.com@evil.example/",
    ):
        with pytest.raises(Refused):
            await lab.connector.fetch_media(replace(media, provider_id=other), max_bytes=1000)


async def test_who_said_stop_and_who_is_silent_too_long_is_told_apart(lab: Lab) -> None:
    whatsapp = f"whatsapp:{THEM}"
    lab.cloud.stopped.add(THEM)
    lab.cloud.windows.add(whatsapp)
    with pytest.raises(RecipientGone, match="STOP"):
        await lab.connector.send(message(TEXT))
    with pytest.raises(WindowClosed, match="template"):
        await lab.connector.send(message(TEXT, to=whatsapp))

    template = p.Template(name="HX" + "0" * 32, language="en", variables=("Ann",))
    assert (await lab.connector.send(message(template, to=whatsapp, id="msg_2"))).provider_ids


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (20429, 429, Throttled),
        (21611, 400, Throttled),
        (20500, 500, Unreachable),
        (21730, 503, Unreachable),
        (20003, 401, Misconfigured),
        (21606, 400, Misconfigured),
        (20404, 404, Misconfigured),
        (21211, 400, RecipientGone),
        (63024, 400, RecipientGone),
        (21617, 400, Refused),
        (99999, 400, Refused),
    ],
)
async def test_errors_mean_what_the_table_says(lab: Lab, code: int, status: int, kind: type[SendError]) -> None:
    lab.cloud.fail_next(json_answer({"code": code, "message": f"no, {TOKEN}", "status": status}, status))
    with pytest.raises(SendError) as caught:
        await lab.connector.send(message(TEXT))

    assert type(caught.value) is kind
    assert TOKEN not in f"{caught.value!r}{caught.value.provider_text}"


async def test_a_message_that_is_taken_only_to_fail_is_an_error(lab: Lab) -> None:
    told = {"sid": "SM1", "status": "failed", "error_code": 63016, "error_message": "outside the window"}
    lab.cloud.fail_next(json_answer(told, 201))
    with pytest.raises(WindowClosed):
        await lab.connector.send(message(TEXT))


async def test_the_doctor_tells_the_account_and_where_twilio_delivers(lab: Lab) -> None:
    told = await lab.connector.probe()

    assert (told["friendly_name"], told["status"]) == ("Shop", "active")
    assert told["webhook"]["url"] == URL


async def test_without_a_sender_the_message_has_to_name_one(lab: Lab) -> None:
    options = replace(lab.connector.config, sender=None)
    bare = TwilioConnector(options, lab.connector.context)

    with pytest.raises(Misconfigured, match="`sender`"):
        await bare.send(message(TEXT))
    sent = await bare.send(message(TEXT, metadata={"twilio": {"from": "+15005550006"}}))

    assert sent.provider_ids == tuple(lab.cloud.messages)


async def test_a_reply_in_time_is_twiml_and_a_later_one_goes_by_the_api(lab: Lab) -> None:
    simulator = TwilioSimulator(config(), url=URL)
    now = time.time()
    first, second = (simulator.sign(simulator.delivery([Item(number=n, at=now)]), now) for n in (1, 2))
    answer = message(p.Text(body="in time & well"), conversation=ids.conversation_id(REF.id, THEM))
    taken: list[RawEvent] = []

    async def sink(raw: RawEvent) -> Receipt:
        taken.append(raw)
        return Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        channel = group.create_task(lab.connector.run(sink))
        await asyncio.sleep(0.01)
        waiting = group.create_task(lab.connector.handle(as_delivery(REF.id, first)))
        while not taken:
            await asyncio.sleep(0.01)
        sent = await lab.connector.send(answer)
        reply = await waiting
        silence = await lab.connector.handle(as_delivery(REF.id, second))
        late = await lab.connector.send(replace(answer, id="msg_2"))
        channel.cancel()

    assert sent.metadata == {"passive": True}
    assert b"<Body>in time &amp; well</Body>" in reply.body
    assert reply.content_type == silence.content_type == "text/xml"
    assert silence.body == b"<Response/>"
    assert len(late.provider_ids) == len(lab.cloud.named("send")) == 1


async def test_reports_are_not_held(lab: Lab) -> None:
    simulator = TwilioSimulator(config(), url=URL)
    report = simulator.sign(simulator.delivery([Item(number=1, at=0, content="delivered")]), time.time())
    async with running(lab.connector) as taken, asyncio.timeout(0.5):
        reply = await lab.connector.handle(as_delivery(REF.id, report))

    assert (reply.status, len(taken)) == (200, 1)
