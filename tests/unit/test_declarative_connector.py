"""A declarative channel at work: verification, handshakes, and requests to a real server."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from connectors.api import Delivery, Receipt, Reply
from connectors.declarative import DeclarativeConfig, DeclarativeConnector
from connectors.errors import Misconfigured, Refused, Throttled, Unreachable
from normalizer.model import Address, ChannelRef
from normalizer.parts import Text
from normalizer.raw import Outbound, RawEvent
from tests.contexts import make_context

NOW = 1763640000.0
BODY = b'{"id": "1", "from": "ada"}'
RECEIVE = {"id": "id", "sender": "from"}
TOKEN = {"scheme": "token", "header": "X-Token", "secret": "word"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Channel:
    """Makes connectors and delivers to them."""

    def __init__(self, http: aiohttp.ClientSession, data_dir: Path) -> None:
        self.http, self.data_dir, self.taken = http, data_dir, list[RawEvent]()

    def make(self, **options: Any) -> DeclarativeConnector:
        config = msgspec.convert(options, DeclarativeConfig, dec_hook=lambda shape, value: shape(value))
        context = make_context(ChannelRef(id="shop", type="webhook"), self.data_dir, self.http)
        return DeclarativeConnector(config, context, clock=lambda: NOW)

    async def sink(self, raw: RawEvent) -> Receipt:
        self.taken.append(raw)
        return Receipt.ACCEPTED

    async def deliver(self, connector: DeclarativeConnector, **request: Any) -> Reply:
        headers = {name.lower(): value for name, value in request.pop("headers", {}).items()}
        found = {"method": "POST", "path": "", "url": "https://gw.example/c/shop", "query": {}, "body": BODY, **request}
        async with asyncio.TaskGroup() as group:
            running = group.create_task(connector.run(self.sink))
            await asyncio.sleep(0)
            reply = await connector.handle(Delivery(headers=headers, **found))
            running.cancel()
        return reply

    async def status(self, verify: dict[str, Any], **headers: str) -> int:
        connector = self.make(receive=RECEIVE, verify=verify)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await self.deliver(connector, headers=named)).status


@pytest.fixture
def channel(http: aiohttp.ClientSession, tmp_path: Path) -> Channel:
    return Channel(http, tmp_path)


def sign(payload: bytes, key: bytes = b"word", algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, payload, algorithm)


async def test_a_body_signed_with_hmac_is_taken_and_any_other_is_not(channel):
    verify = {"scheme": "hmac", "header": "X-Sig", "secret": "word"}

    assert await channel.status(verify, X_Sig=sign(BODY).hex()) == 200
    assert await channel.status(verify, X_Sig=sign(BODY + b" ").hex()) == 401
    assert await channel.status(verify) == 401
    assert [raw.body for raw in channel.taken] == [BODY]
    assert channel.taken[0].security.verified == "hmac"
    assert channel.taken[0].on_malformed == "reject"


async def test_algorithm_encoding_prefix_and_key_are_as_configured(channel):
    key = bytes(range(20))
    verify = {
        "scheme": "hmac",
        "header": "X-Sig",
        "secret": base64.b64encode(key).decode(),
        "secret_encoding": "base64",
        "algorithm": "sha512",
        "encoding": "base64",
        "prefix": "v1,",
    }
    signature = base64.b64encode(sign(BODY, key, "sha512")).decode()

    assert await channel.status(verify, X_Sig="v1," + signature) == 200
    assert await channel.status(verify, X_Sig=signature) == 401


async def test_both_secrets_pass_while_one_replaces_the_other(channel):
    verify = {"scheme": "hmac", "header": "X-Sig", "secret": "new", "previous": "word"}

    assert await channel.status(verify, X_Sig=sign(BODY).hex()) == 200
    assert await channel.status(verify, X_Sig=sign(BODY, b"new").hex()) == 200
    assert await channel.status(verify, X_Sig=sign(BODY, b"older").hex()) == 401


SIGNED_TIME = {
    "scheme": "hmac",
    "header": "X-Sig",
    "secret": "word",
    "timestamp_header": "X-Time",
    "payload": "{timestamp}.{body}",
}


@pytest.mark.parametrize(("age", "status"), [(0, 200), (299, 200), (-299, 200), (301, 401), (-301, 401)])
async def test_a_signed_time_outside_the_window_is_a_replay(channel, age, status):
    time = str(int(NOW) - age)

    assert await channel.status(SIGNED_TIME, X_Sig=sign(f"{time}.".encode() + BODY).hex(), X_Time=time) == status


async def test_a_time_that_was_changed_afterwards_does_not_fit(channel):
    old, new = str(int(NOW) - 4000), str(int(NOW))

    assert await channel.status(SIGNED_TIME, X_Sig=sign(f"{old}.".encode() + BODY).hex(), X_Time=new) == 401
    assert await channel.status(SIGNED_TIME, X_Sig=sign(b"." + BODY).hex()) == 401


async def test_time_and_signature_may_share_a_header(channel):
    verify = {**SIGNED_TIME, "timestamp_header": "X-Sig", "timestamp_prefix": "t=", "prefix": "v1="}
    time = str(int(NOW))
    signature = sign(f"{time}.".encode() + BODY).hex()

    assert await channel.status(verify, X_Sig=f"t={time}, v1={signature}") == 200
    assert await channel.status(verify, X_Sig=f"v1={signature}") == 401


async def test_url_method_and_headers_can_be_part_of_what_is_signed(channel):
    verify = {"scheme": "hmac", "header": "X-Sig", "secret": "word", "payload": "{method} {url} {header.X-Id}\n{body}"}
    signature = sign(b"POST https://gw.example/c/shop 7\n" + BODY).hex()

    assert await channel.status(verify, X_Sig=signature, X_Id="7") == 200
    assert await channel.status(verify, X_Sig=signature, X_Id="8") == 401


async def test_tokens_and_basic_credentials(channel):
    bearer = {**TOKEN, "header": "Authorization", "prefix": "Bearer "}
    basic = {"scheme": "basic", "user": "u", "password": "word"}

    assert await channel.status(TOKEN, X_Token="word") == 200
    assert await channel.status(TOKEN, X_Token="Word") == 401
    assert await channel.status(bearer, Authorization="Bearer word") == 200
    assert await channel.status(bearer, Authorization="word") == 401
    assert await channel.status(basic, Authorization="Basic " + base64.b64encode(b"u:word").decode()) == 200
    assert await channel.status(basic, Authorization="Basic " + base64.b64encode(b"u:wort").decode()) == 401
    assert [raw.security.verified for raw in channel.taken] == ["token", "token", "basic"]


async def test_none_is_said_on_every_event(channel):
    assert await channel.status({"scheme": "none"}) == 200
    assert channel.taken[0].security.verified == "none"


async def test_a_channel_that_only_sends_refuses_deliveries(channel):
    connector = channel.make(send={"path": "/"}, base_url="https://api.example")

    assert (await channel.deliver(connector)).status == 401


async def test_a_challenge_in_the_query_is_echoed_to_whoever_knows_the_token(channel):
    handshake = {"query": "hub.challenge", "token_query": "hub.verify_token", "token": "word"}
    connector = channel.make(receive=RECEIVE, verify=TOKEN, handshake=handshake)
    query = {"hub.challenge": "<b>42</b>", "hub.verify_token": "word"}

    reply = await channel.deliver(connector, method="GET", query=query)
    assert (reply.status, reply.body, reply.content_type) == (200, b"<b>42</b>", "text/plain")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    wrong = await channel.deliver(connector, method="GET", query={**query, "hub.verify_token": "wort"})
    assert (wrong.status, b"42" in wrong.body) == (401, False)
    assert (await channel.deliver(connector, method="GET")).status == 405
    long = await channel.deliver(connector, method="GET", query={**query, "hub.challenge": "x" * 2000})
    assert long.status == 400
    assert channel.taken == []


async def test_a_challenge_in_the_body_is_echoed_only_when_it_is_signed(channel):
    handshake = {"field": "[@][?type=='url_verification'] | [0].challenge", "reply": "json"}
    connector = channel.make(receive=RECEIVE, verify=TOKEN, handshake=handshake)
    body = b'{"type": "url_verification", "challenge": "42"}'

    signed = await channel.deliver(connector, body=body, headers={"X-Token": "word"})
    unsigned = await channel.deliver(connector, body=body)
    ordinary = await channel.deliver(connector, headers={"X-Token": "word"})

    assert (signed.status, json.loads(signed.body), signed.content_type) == (
        200,
        {"challenge": "42"},
        "application/json",
    )
    assert unsigned.status == 401
    assert ordinary.status == 200
    assert [raw.body for raw in channel.taken] == [BODY]


class Provider:
    """A provider's API on a port of its own; notes requests and answers as told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"status": 200, "text": '{"message": {"id": 77}}'}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.requests.append(
            {"method": request.method, "path": request.raw_path, "headers": dict(request.headers), "body": body}
        )
        return web.Response(**self.answer)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    yield made
    await runner.cleanup()


SEND = {
    "path": "/v1/{to.value}",
    "body": {"text": "=text"},
    "id": "message.id",
    "failed": "ok == `false`",
    "error": "why",
}
MESSAGE = Outbound(
    id="msg_1",
    channel=ChannelRef(id="shop", type="webhook"),
    to=Address(scheme="shop", value="a/b c"),
    parts=(Text(body="hello"),),
)


async def test_a_message_is_one_request_and_its_id_is_the_answers(channel, provider):
    connector = channel.make(send=SEND, base_url=provider.url + "/api/", token="word")

    sent = await connector.send(MESSAGE)

    (request,) = provider.requests
    assert sent.provider_ids == ("77",)
    assert request["method"] == "POST"
    assert request["path"] == "/api/v1/a%2Fb%20c"
    assert request["headers"]["Authorization"] == "Bearer word"
    assert request["headers"]["Content-Type"] == "application/json"
    assert json.loads(request["body"]) == {"text": "hello"}


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"scheme": "bearer", "token": "word"}, "Authorization", "Bearer word"),
        ({"scheme": "basic", "user": "u", "password": "word"}, "Authorization", "Basic dTp3b3Jk"),
        ({"scheme": "header", "header": "X-Key", "value": "word", "prefix": "Token "}, "X-Key", "Token word"),
    ],
)
async def test_requests_are_authenticated_as_configured(channel, provider, auth, header, value):
    await channel.make(send=SEND, base_url=provider.url, auth=auth).send(MESSAGE)

    assert provider.requests[0]["headers"][header] == value


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 400, "text": "no, word"}, Refused),
        ({"status": 401}, Misconfigured),
        ({"status": 429, "headers": {"Retry-After": "7"}}, Throttled),
        ({"status": 500}, Unreachable),
        ({"status": 302, "headers": {"Location": "http://169.254.169.254/"}}, Misconfigured),
        ({"status": 200, "text": '{"ok": false, "why": "word is blocked"}'}, Refused),
    ],
)
async def test_refusals_are_errors_that_hide_our_secrets(channel, provider, answer, error):
    provider.answer = answer
    connector = channel.make(send=SEND, base_url=provider.url, token="word")

    with pytest.raises(error) as caught:
        await connector.send(MESSAGE)

    assert "word" not in f"{caught.value} {caught.value.provider_text}"
    assert len(provider.requests) == 1


async def test_an_answer_without_id_is_a_success_all_the_same(channel, provider):
    provider.answer = {"status": 202, "text": "queued"}

    assert (await channel.make(send=SEND, base_url=provider.url).send(MESSAGE)).provider_ids == ()


async def test_capabilities_are_those_of_the_tables(channel):
    assert channel.make(send={**SEND, "parts": ["text", "image"]}, base_url="https://a.example").capabilities.parts == (
        "text",
        "image",
    )
    assert channel.make(receive=RECEIVE, verify=TOKEN).capabilities.parts == ()
