"""The channel doctor in front of a whole gateway: what it finds on demand, and what it warns of by itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from dirty_equals import IsPartialDict, IsStr
from yarl import URL

from connectors.secrets import Secret
from connectors.telegram import TelegramConfig
from gateway.simulate.telegram_cloud import TelegramCloud
from gateway.simulate.wechat_cloud import WechatCloud
from tests.servers.gateway import TELEGRAM_SECRET, GatewayProcess, telegram_update
from tests.wechat_bench import AES_KEY, APP_ID, SECRET, TOKEN, config

pytestmark = pytest.mark.slow
BOT_TOKEN = "1:a-bot-token-of-the-tests"
WECHAT = """
[channels.shop-wechat]
kind = "wechat"
app_id = "{app_id}"
app_secret = "env:WECHAT_APP_SECRET"
token = "env:WECHAT_TOKEN"
encoding_aes_key = "env:WECHAT_AES_KEY"
api_base = "{api}"
"""
ENV = {"WECHAT_APP_SECRET": SECRET, "WECHAT_TOKEN": TOKEN, "WECHAT_AES_KEY": AES_KEY}
ROUNDS = "\n[doctor]\nevery_secs = 0.5\n"
Make = Callable[..., GatewayProcess]


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramCloud]:
    async with TelegramCloud(TelegramConfig(token=Secret(BOT_TOKEN), secret=Secret(TELEGRAM_SECRET))) as cloud:
        yield cloud


@pytest.fixture
async def wechat() -> AsyncIterator[WechatCloud]:
    async with WechatCloud(config()) as cloud:
        yield cloud


def at(cloud: TelegramCloud, more: str = "") -> str:
    """Write the options that lead the channel `tg` to its provider."""
    return f'api_base = "{cloud.url}"\n{more}'


async def verify(gateway: GatewayProcess, channel: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Run the command; returns its status, the result, and the checks by name."""
    done = await asyncio.to_thread(gateway.cli, "call", "channel.verify", json.dumps({"channel": channel}))
    assert done.stdout, done.stderr + gateway.logs()
    told = json.loads(done.stdout)
    assert told["channel"] == channel
    return done.returncode, told, {check["name"]: check for check in told["checks"]}


async def events(gateway: GatewayProcess, count: int, method: str = "*") -> list[dict[str, Any]]:
    """Return the first so many events, waiting for them."""
    arguments = ("tail", "--from-start", "--method", method, "--count", str(count))
    done = await asyncio.to_thread(gateway.cli, *arguments)
    assert done.returncode == 0, done.stderr + gateway.logs()
    return [json.loads(line) for line in done.stdout.splitlines()]


def secrets_in(text: str) -> list[str]:
    return [secret for secret in (BOT_TOKEN, TELEGRAM_SECRET, SECRET, AES_KEY) if secret in text]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_sound_channel_is_tried_from_both_sides_and_nobody_gets_a_message(
    make_gateway: Make, telegram: TelegramCloud, wechat: WechatCloud, workers: int
) -> None:
    channels = WECHAT.format(app_id=APP_ID, api=wechat.url)
    gateway = make_gateway(workers=workers, telegram=at(telegram), channels=channels, env=ENV)

    status, bot, by_name = await verify(gateway, "tg")
    account_status, account, wechat_names = await verify(gateway, "shop-wechat")
    assert await asyncio.to_thread(gateway.post_update, telegram_update(1, "a customer")) == 200
    (first,) = await events(gateway, 1)

    assert (status, bot["ok"], account_status, account["ok"]) == (0, True, 0, True), (bot, account)
    assert {name: by_name[name]["ok"] for name in ("running", "credentials", "clock", "signature", "webhook")} == {
        "running": True, "credentials": True, "clock": True, "signature": True, "webhook": True,
    }  # fmt: skip
    assert (by_name["handshake"]["ok"], by_name["public_url"]["ok"], by_name["registered"]["ok"]) == (None, None, None)
    assert bot["provider"]["username"]
    assert (wechat_names["handshake"]["ok"], wechat_names["webhook"]["ok"]) == (True, True)
    assert first["params"]["message"]["text"] == "a customer"
    assert gateway.total("gateway_ignored_messages_total", channel="tg", code="doctor") == 1
    assert secrets_in(gateway.logs() + json.dumps([bot, account])) == []


async def test_what_is_wrong_is_said_with_what_to_do(
    make_gateway: Make, telegram: TelegramCloud, wechat: WechatCloud
) -> None:
    gateway = make_gateway(
        telegram=at(telegram),
        env={"TELEGRAM_TOKEN": "2:revoked"},
        sections={"http": f'public_url = "{wechat.url}"'},  # leads to another program
    )

    status, told, by_name = await verify(gateway, "tg")
    paused = await asyncio.to_thread(gateway.call, "channel.pause", {"channel": "tg"})
    _, _, afterwards = await verify(gateway, "tg")

    assert (status, told["ok"]) == (1, False)
    assert by_name["credentials"] == IsPartialDict(ok=False, hint=IsStr(regex=".*secrets.*"))
    assert by_name["webhook"] == IsPartialDict(ok=False, detail=IsStr(regex=".*HTTP 404.*"))
    assert by_name["signature"]["ok"] is False
    assert paused["result"]["state"] == "paused"
    assert afterwards["running"] == IsPartialDict(ok=False, hint=IsStr(regex=".*channel.resume.*"))
    assert "2:revoked" not in gateway.logs() + json.dumps(told)


async def test_refused_credentials_degrade_the_channel_once_and_it_recovers(
    make_gateway: Make, telegram: TelegramCloud
) -> None:
    gateway = make_gateway(telegram=at(telegram), channels=ROUNDS)
    telegram.fail_often(401, 1.0)

    (degraded,) = await events(gateway, 1, "channel.status")
    calls = len(telegram.calls)
    async with asyncio.timeout(20):
        while len(telegram.calls) < calls + 3:  # it is asked again, and says no more
            await asyncio.sleep(0.05)
    listed = await asyncio.to_thread(gateway.call, "channel.get", {"channel": "tg"})
    telegram.fail_no_more()
    both = await events(gateway, 2, "channel.status")

    assert degraded["params"] == IsPartialDict(
        status="degraded", component="doctor.credentials", channel=IsPartialDict(id="tg")
    )
    assert "secrets" in degraded["params"]["reasons"][0]
    assert listed["result"] == IsPartialDict(state="degraded", error=IsStr())
    assert [event["params"]["status"] for event in both] == ["degraded", "ok"]
    assert secrets_in(gateway.logs()) == []


@asynccontextmanager
async def tls_front(authority: trustme.CA, ends: datetime) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """Terminate TLS in front of a gateway that is told later, as a proxy does."""
    target: dict[str, str] = {}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", not_after=ends).configure_cert(context)

    async def forward(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        data = await request.read()
        url = URL(target["url"] + request.raw_path, encoded=True)
        async with http.request(request.method, url, headers=headers, data=data) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    async with aiohttp.ClientSession() as http:
        try:
            yield runner.addresses[0][1], target
        finally:
            await runner.cleanup()


async def test_a_certificate_that_ends_soon_is_told_ahead(
    make_gateway: Make, wechat: WechatCloud, tmp_path: Path
) -> None:
    authority, ends = trustme.CA(), datetime.now(UTC) + timedelta(days=5)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with tls_front(authority, ends) as (port, target):
        gateway = make_gateway(
            channels=WECHAT.format(app_id=APP_ID, api=wechat.url) + ROUNDS,
            env={**ENV, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
            sections={"http": f'public_url = "https://localhost:{port}"'},
        )
        target["url"] = gateway.url

        _, told, by_name = await verify(gateway, "shop-wechat")
        found = await events(gateway, 2, "channel.status")

        assert told["ok"] is False
        assert (by_name["public_url"]["ok"], by_name["handshake"]["ok"], by_name["webhook"]["ok"]) == (True, True, True)
        assert by_name["certificate"] == IsPartialDict(ok=False, detail=IsStr(regex=".*in 4 days"))
        assert datetime.fromisoformat(by_name["certificate"]["expires_at"]) == ends.replace(microsecond=0)
        (degraded,) = [event["params"] for event in found if event["params"]["component"] == "doctor.certificate"][:1]
        assert degraded["status"] == "degraded"
        assert datetime.fromisoformat(degraded["expires_at"]) == ends.replace(microsecond=0)
        left = gateway.total("gateway_channel_expires_seconds", channel="shop-wechat")
        assert 4 * 86_400 < left < 5 * 86_400


async def test_silence_degrades_the_channel_and_a_delivery_ends_it(make_gateway: Make, telegram: TelegramCloud) -> None:
    gateway = make_gateway(
        workers=2, telegram=at(telegram, "silence_secs = 0.6\n"), channels="\n[doctor]\nevery_secs = 0\n"
    )

    (degraded,) = await events(gateway, 1, "channel.status")
    assert await asyncio.to_thread(gateway.post_update, telegram_update(1)) == 200
    both = await events(gateway, 2, "channel.status")

    assert degraded["params"] == IsPartialDict(status="degraded", component="doctor.silence")
    assert [event["params"]["status"] for event in both] == ["degraded", "ok"]
