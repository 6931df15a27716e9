"""The `twilio` package is Twilio's own: it signs and we verify; its client finds the simulated API to be Twilio's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from connectors.secrets import Secret
from connectors.twilio import TwilioConnector
from connectors.twilio_config import TwilioConfig
from gateway.simulate.api import FORM, Item
from gateway.simulate.twilio import TwilioSimulator
from gateway.simulate.twilio_cloud import TwilioCloud
from normalizer.model import ChannelRef
from tests.contexts import make_context
from tests.contract.channel_bench import as_delivery, running

URL = "https://gw.example/c/test-twilio"
ACCOUNT, TOKEN = "AC" + "0" * 31 + "1", "12345fedcba98765abcdef0123456789"
OPTIONS = TwilioConfig(account_sid=ACCOUNT, auth_token=Secret(TOKEN), sender="+14155238886")
validator = RequestValidator(TOKEN)


class Here(TwilioHttpClient):  # type: ignore[misc] # it has no types
    """Goes to the simulated API instead."""

    def __init__(self, url: str) -> None:
        super().__init__(pool_connections=False)
        self._base = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        there = self._base + parts.path + (f"?{parts.query}" if parts.query else "")
        return super().request(method, there, *args, **kwargs)


@pytest.fixture
async def cloud() -> AsyncIterator[TwilioCloud]:
    async with TwilioCloud(OPTIONS) as server:
        yield server


async def call(function: Any, **arguments: Any) -> Any:
    return await asyncio.to_thread(lambda: function(**arguments))


@pytest.mark.parametrize("content", TwilioSimulator.contents)
async def test_what_the_sdk_signs_is_accepted(content: str, tmp_path: Path) -> None:
    simulator = TwilioSimulator(OPTIONS, url=URL)
    plain = simulator.delivery([Item(number=1, at=time.time(), content=content)])
    signed = simulator.sign(plain, time.time())
    is_form = plain.headers["Content-Type"] == FORM
    fields = dict(parse_qsl(plain.body.decode(), keep_blank_values=True)) if is_form else {}
    target = URL + "".join(f"?{name}={value}" for name, value in signed.query.items())
    signature = validator.compute_signature(target, fields)
    async with aiohttp.ClientSession() as http:
        connector = TwilioConnector(OPTIONS, make_context(ChannelRef(id="test-twilio", type="twilio"), tmp_path, http))
        async with running(connector) as taken:
            request = signed.adding(headers={"X-Twilio-Signature": signature})
            reply = await connector.handle(as_delivery("test-twilio", request))

    assert (reply.status, [raw.body for raw in taken]) == (200, [plain.body])
    assert validator.validate(target, fields or plain.body.decode(), signed.headers["X-Twilio-Signature"])


async def test_the_sdks_client_finds_the_simulated_api_to_be_twilios(cloud: TwilioCloud) -> None:
    client = Client(ACCOUNT, TOKEN, http_client=Here(cloud.url))
    made = await call(
        client.messages.create, to="+14155550001", from_="+14155238886", body="hello", status_callback=URL
    )
    again = await call(client.messages(made.sid).fetch)
    account = await call(client.api.accounts(ACCOUNT).fetch)
    numbers = await call(client.incoming_phone_numbers.list, phone_number="+14155238886")

    assert (again.sid, again.body, again.status) == (made.sid, "hello", "queued")
    assert again.date_created is not None
    assert account.status == "active"
    assert numbers[0].sms_url.endswith("/c/test-twilio")
    assert cloud.named("send")[0].form["StatusCallback"] == URL


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"to": "nobody", "from_": "+14155238886", "body": "x"}, 21211),
        ({"to": "+14155550001", "body": "x"}, 21603),
        ({"to": "+14155550001", "from_": "+14155238886"}, 21602),
        ({"to": "+14155550001", "from_": "+14155238886", "body": "x" * 1601}, 21617),
        ({"to": "whatsapp:+14155550001", "from_": "+14155238886", "body": "x"}, 63007),
    ],
)
async def test_the_sdk_reads_the_simulated_errors(cloud: TwilioCloud, arguments: dict[str, str], code: int) -> None:
    client = Client(ACCOUNT, TOKEN, http_client=Here(cloud.url))
    with pytest.raises(TwilioRestException) as caught:
        await call(client.messages.create, **arguments)

    assert caught.value.code == code


async def test_a_wrong_token_is_refused_as_twilio_does(cloud: TwilioCloud) -> None:
    client = Client(ACCOUNT, "wrong", http_client=Here(cloud.url))
    with pytest.raises(TwilioRestException) as caught:
        await call(client.api.accounts(ACCOUNT).fetch)

    assert (caught.value.status, caught.value.code) == (401, 20003)
