"""The WhatsApp connector against the Cloud API as the simulator plays it, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.download import UnsafeUrl
from connectors.errors import (
    Deferred,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.http import TooLarge
from connectors.secrets import Secret
from connectors.staging import MediaUnavailable
from connectors.whatsapp import WhatsappConnector
from gateway.blobs import BlobStore
from gateway.simulate.cloud import Answer, json_answer
from gateway.simulate.meta import JPEG, fault
from gateway.simulate.whatsapp_cloud import WhatsappCloud
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, MessageRef
from tests.meta_bench import PERSON, SECRET, TOKEN, Desk, config, desk, outbound, running

PNG = b"\x89PNG\r\n\x1a\n picture"
DAY = 86_400


@pytest.fixture
async def cloud() -> AsyncIterator[WhatsappCloud]:
    async with WhatsappCloud(config("whatsapp")) as made:
        yield made


@pytest.fixture
async def shop(tmp_path: Path, cloud: WhatsappCloud) -> AsyncIterator[Desk]:
    async with desk(tmp_path, cloud.url) as made:
        yield made


@pytest.fixture
def channel(shop: Desk) -> WhatsappConnector:
    found: WhatsappConnector = shop.channel("whatsapp")
    return found


async def put(shop: Desk, data: bytes) -> str:
    ref = await BlobStore(shop.folder).put(data)
    return ref.removeprefix("sha256:")


def stored(sha256: str, mime: str = "image/png", **more: Any) -> p.Media:
    return p.Media(id="med_1", status="stored", sha256=sha256, mime=mime, **more)


async def test_each_request_has_its_id_and_carries_ours(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    sent = await channel.send(outbound("whatsapp", p.Text(body="x" * 5000)))

    calls = cloud.named("send")
    assert len(calls) == 2
    assert sent.provider_ids == ("wamid.cloud-1", "wamid.cloud-2")
    assert {call.json()["biz_opaque_callback_data"] for call in calls} == {"msg_1"}
    assert {(call.path, call.bearer) for call in calls} == {("/v26.0/101/messages", TOKEN)}


async def test_a_second_try_goes_on_where_the_first_broke_off(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    message = outbound("whatsapp", p.Text(body="one"), p.Text(body="two"))
    cloud.pass_next()
    cloud.fail_next(500)

    with pytest.raises(Unreachable):
        await channel.send(message)
    sent = await channel.send(message)

    bodies = [call.json()["text"]["body"] for call in cloud.named("send")]
    assert (bodies, len(sent.provider_ids)) == (["one", "two", "two"], 2)


ERRORS: list[tuple[int, int | None, int, type[SendError]]] = [
    (131047, None, 400, WindowClosed),
    (470, None, 400, WindowClosed),
    (131026, None, 400, RecipientGone),
    (131050, None, 400, RecipientGone),
    (130429, None, 400, Throttled),
    (80007, None, 400, Throttled),
    (4, None, 400, Throttled),
    (131056, None, 400, Deferred),
    (190, None, 401, Misconfigured),
    (0, None, 401, Misconfigured),
    (10, None, 403, Misconfigured),
    (200, None, 403, Misconfigured),
    (299, None, 403, Misconfigured),
    (368, None, 403, Misconfigured),
    (131045, None, 500, Misconfigured),
    (2, None, 503, Unreachable),
    (131000, None, 500, Unreachable),
    (131016, None, 500, Unreachable),
    (132000, None, 400, Refused),
    (131051, None, 501, Unreachable),
    (999999, None, 400, Refused),
    (131053, None, 400, MediaUnavailable),
]


@pytest.mark.parametrize(("code", "subcode", "status", "shape"), ERRORS)
async def test_an_error_code_says_whether_trying_again_helps(
    cloud: WhatsappCloud,
    channel: WhatsappConnector,
    code: int,
    subcode: int | None,
    status: int,
    shape: type[SendError],
) -> None:
    cloud.fail_next(fault(code, f"it says {TOKEN}", subcode=subcode, status=status, details="because"))

    with pytest.raises(SendError) as caught:
        await channel.send(outbound("whatsapp"))

    assert type(caught.value) is shape
    assert (caught.value.provider_code, caught.value.provider_text) == (str(code), "because")
    assert caught.value.retryable is (shape in {Throttled, Deferred, Unreachable})
    assert TOKEN not in repr(caught.value)


async def test_how_long_to_wait_is_read_where_meta_says_it(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    usage = json.dumps({"102290129340398": [{"type": "messages", "estimated_time_to_regain_access": 3}]})
    waits = []
    for headers in ({"X-Business-Use-Case-Usage": usage}, {"Retry-After": "9"}, {}):
        cloud.fail_next(fault(80007, "Rate limit issues", headers=headers))
        with pytest.raises(Throttled) as caught:
            await channel.send(outbound("whatsapp"))
        waits.append(caught.value.retry_after)

    assert waits == [180, 9, None]


async def test_what_is_not_the_graph_api_is_named(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    answers = (Answer(body=b"<html>", content_type="text/html"), json_answer({"error": "no object"}, 502))
    for answer in answers:
        cloud.fail_next(answer)
        with pytest.raises(Unreachable):
            await channel.send(outbound("whatsapp"))


async def test_a_file_of_ours_is_uploaded_once_for_a_message(
    shop: Desk, cloud: WhatsappCloud, channel: WhatsappConnector
) -> None:
    message = outbound("whatsapp", p.Image(media=stored(await put(shop, PNG), name="a.png", caption="A cat")))
    cloud.pass_next()
    cloud.fail_next(500)

    with pytest.raises(Unreachable):
        await channel.send(message)
    await channel.send(message)

    (upload,) = cloud.named("upload")
    assert upload.form == {"messaging_product": "whatsapp", "type": "image/png"}
    assert upload.files["file"] == ("a.png", "image/png", PNG)
    assert cloud.named("send")[-1].json()["image"] == {"id": "cloud-1", "caption": "A cat"}


@pytest.mark.parametrize(
    ("part", "mime", "size", "shape"),
    [
        (p.Image, "image/gif", 10, Refused),
        (p.Image, "image/png", 5 * 2**20 + 1, TooLarge),
        (p.Audio, "audio/wav", 10, Refused),
        (p.Sticker, "image/png", 10, Refused),
        (p.Sticker, "image/webp", 500 * 1024 + 1, TooLarge),
    ],
)
async def test_files_whatsapp_does_not_take_are_refused_before_they_are_sent(
    shop: Desk,
    cloud: WhatsappCloud,
    channel: WhatsappConnector,
    part: Any,
    mime: str,
    size: int,
    shape: type[SendError],
) -> None:
    with pytest.raises(shape):
        await channel.send(outbound("whatsapp", part(media=stored(await put(shop, b"\0" * size), mime))))

    assert list(cloud.calls) == []


async def test_media_are_fetched_by_id_with_our_token(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    cloud.media["cloud-7"] = ("image/png", PNG)

    found = await channel.fetch_media(p.Media(id="m", status="pending", provider_id="cloud-7"), max_bytes=1000)

    assert (found.data, found.mime) == (PNG, "image/png")
    assert [(call.name, call.bearer) for call in cloud.calls] == [("about", TOKEN), ("download", TOKEN)]


async def test_media_that_are_gone_too_large_or_elsewhere_are_refused(
    shop: Desk, cloud: WhatsappCloud, channel: WhatsappConnector
) -> None:
    def media(name: str) -> p.Media:
        return p.Media(id="m", status="pending", provider_id=name)

    with pytest.raises(Refused) as gone:
        await channel.fetch_media(media("cloud-9"), max_bytes=1000)
    with pytest.raises(TooLarge):
        await channel.fetch_media(media("simulated-1"), max_bytes=len(JPEG) - 1)
    before = len(cloud.named("download"))
    strict: WhatsappConnector = shop.channel("whatsapp", media_hosts=())
    with pytest.raises(UnsafeUrl):
        await strict.fetch_media(media("simulated-1"), max_bytes=1000)
    cloud.fail_next(fault(2, "Temporary", status=503))
    with pytest.raises(Unreachable):
        await channel.fetch_media(media("simulated-1"), max_bytes=1000)

    assert gone.value.provider_code == "404", "by which the gateway tells `expired` from `failed`"
    assert len(cloud.named("download")) == before


async def test_reactions_read_marks_and_typing(cloud: WhatsappCloud, channel: WhatsappConnector) -> None:
    message, to = MessageRef(provider_id="wamid.1"), Address(scheme="whatsapp", value=PERSON)

    reacted = await channel.perform("reaction.send", ReactParams(channel="wa", message=message, emoji="👍", to=to))
    await channel.perform("receipt.send", ReceiptSendParams(channel="wa", message=message))
    await channel.perform("typing.send", TypingParams(channel="wa", message=message))

    assert reacted == {"provider_id": "wamid.cloud-1"}
    assert [call.json().get("typing_indicator") for call in cloud.named("send")] == [None, None, {"type": "text"}]
    with pytest.raises(Unsendable):
        await channel.perform("typing.send", TypingParams(channel="wa", to=to))
    with pytest.raises(Unsendable):
        await channel.perform("message.delete", DeleteParams(channel="wa", message=message, to=to))


async def test_verify_tells_number_token_subscriptions_and_clock(
    shop: Desk, cloud: WhatsappCloud, channel: WhatsappConnector
) -> None:
    cloud.expires_at = int(shop.now + 40 * DAY)

    told = await channel.probe()

    assert told["phone_number"]["verified_name"] == "Simulated shop"
    assert told["handshake"] == "ok"
    assert abs(told["clock_skew_secs"]) < 5
    assert (told["token"]["valid"], round(told["token"]["days_left"])) == (True, 40)
    assert told["token"]["subscribed_apps"] == {"102290129340398": {"apps": ["Simulated app"]}}
    assert shop.reports == [("token", None, False, None)]


async def test_verify_says_that_the_token_is_wrong(shop: Desk) -> None:
    with pytest.raises(Misconfigured, match="access_token"):
        await shop.channel("whatsapp", access_token=Secret("another")).probe()


@pytest.mark.parametrize(("days", "told"), [(0, "well"), (13, "degraded"), (59, "well")])
async def test_a_token_that_ends_soon_degrades_the_channel_ahead_of_it(
    shop: Desk, cloud: WhatsappCloud, days: int, told: str
) -> None:
    cloud.expires_at = int(shop.now + days * DAY) if days else 0
    channel = shop.channel("whatsapp", first_check_secs=0.0)

    async with running(channel), asyncio.timeout(20):
        while not shop.reports:
            await asyncio.sleep(0.005)

    (component, reason, down, ends) = shop.reports[0]
    assert (component, down, "degraded" if reason else "well") == ("token", False, told)
    if reason:
        assert ends == datetime.fromtimestamp(cloud.expires_at, UTC)
        assert f"{ends:%Y-%m-%d}" in reason


async def test_a_token_that_is_void_takes_the_channel_down(shop: Desk, cloud: WhatsappCloud) -> None:
    cloud.options = None
    channel = shop.channel("whatsapp", first_check_secs=0.0)
    data = {"data": {"is_valid": False, "app_id": "1", "scopes": []}}
    cloud.fail_next(json_answer(data))

    async with running(channel), asyncio.timeout(20):
        while not shop.reports:
            await asyncio.sleep(0.005)

    assert [(component, down) for component, _, down, _ in shop.reports] == [("token", True)]


async def test_the_proof_of_the_secret_goes_with_every_call(shop: Desk, cloud: WhatsappCloud) -> None:
    channel = shop.channel("whatsapp", appsecret_proof=True)

    await channel.send(outbound("whatsapp"))
    await channel.probe()

    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert {call.query.get("appsecret_proof") for call in cloud.calls} == {proof}
