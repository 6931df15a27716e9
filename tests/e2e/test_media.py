"""Media from the provider to the core and back, through a gateway that is killed in between."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.gateway import ADMIN_TOKEN, GatewayProcess, telegram_update
from tests.servers.telegram import TOKEN, BotApi, Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 1000


def photo(number: int) -> dict[str, Any]:
    update = telegram_update(number)
    del update["message"]["text"]
    update["message"]["photo"] = [{"file_id": "PHOTO", "file_unique_id": "uPHOTO", "width": 90, "height": 60}]
    return update


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        yield server


@pytest.fixture
def start(make_gateway: Callable[..., GatewayProcess], api: BotApi) -> Callable[..., GatewayProcess]:
    def make(**options: Any) -> GatewayProcess:
        telegram = f'api_base = "{api.url}"\nmedia_retry_secs = 2\n'
        return make_gateway(telegram=telegram, env={"TELEGRAM_TOKEN": TOKEN}, **options)

    return make


async def events(gateway: GatewayProcess, count: int) -> list[dict[str, Any]]:
    """Return the first so many events, waiting for them."""
    done = await asyncio.to_thread(gateway.cli, "tail", "--from-start", "--count", str(count))
    assert done.returncode == 0, done.stderr + gateway.logs()
    return [json.loads(line) for line in done.stdout.splitlines()]


async def counted(gateway: GatewayProcess, number: int, name: str, **labels: str) -> None:
    """Wait for a counter: an end is told first, and counted then."""
    async with asyncio.timeout(20):
        while gateway.total(name, **labels) < number:
            await asyncio.sleep(0.05)
    assert gateway.total(name, **labels) == number


def follow(url: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read(), answer.headers["Content-Type"]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_photo_arrives_and_its_link_works(
    start: Callable[..., GatewayProcess], api: BotApi, workers: int
) -> None:
    api.files, api.faults = {"PHOTO": PNG}, [Fault(500, "Internal")]
    gateway = start(workers=workers)

    for number in (1, 2, 3):
        assert await asyncio.to_thread(gateway.post_update, photo(number)) == 200
    told = await events(gateway, 6)

    assert sorted(event["method"] for event in told) == ["media.stored"] * 3 + ["message.received"] * 3
    order = [(event["method"], event["params"]["message"]["provider_id"]) for event in told]
    for number in ("1", "2", "3"):
        assert order.index(("message.received", number)) < order.index(("media.stored", number))
    stored = next(event for event in told if event["method"] == "media.stored")["params"]["media"]
    assert await asyncio.to_thread(follow, stored["url"]) == (PNG, "image/jpeg")
    await counted(gateway, 3, "gateway_media_stored_total")


async def test_a_photo_whose_gateway_was_killed_is_fetched_by_the_next(
    start: Callable[..., GatewayProcess], api: BotApi
) -> None:
    api.slow_after = 0  # the provider does not answer
    gateway = start()
    assert await asyncio.to_thread(gateway.post_update, photo(1)) == 200
    async with asyncio.timeout(20):
        while not api.named("getFile"):
            await asyncio.sleep(0.05)
    gateway.kill9()
    api.slow_after, api.files = None, {"PHOTO": PNG}

    await asyncio.to_thread(gateway.restart)
    told = await events(gateway, 2)

    assert [event["method"] for event in told] == ["message.received", "media.stored"]
    assert told[1]["params"]["media"]["id"] == told[0]["params"]["message"]["parts"][0]["media"]["id"]


async def test_what_the_provider_never_gives_is_told_as_failed(
    start: Callable[..., GatewayProcess], api: BotApi
) -> None:
    api.faults = [Fault(500, "Internal")] * 1000
    gateway = start()

    assert await asyncio.to_thread(gateway.post_update, photo(1)) == 200
    told = await events(gateway, 2)

    assert [event["method"] for event in told] == ["message.received", "media.failed"]
    assert told[1]["params"]["metadata"]["error"]["code"] == "unreachable"
    await counted(gateway, 1, "gateway_media_failed_total", code="unreachable")
    async with asyncio.timeout(20):  # the job ends after its event is durable, and the gauge is set at the next look
        while gateway.total("gateway_media_pending"):
            await asyncio.sleep(0.05)
    assert TOKEN not in gateway.logs()


async def test_a_file_of_the_core_is_put_in_and_sent(
    start: Callable[..., GatewayProcess], api: BotApi, tmp_path: Path
) -> None:
    gateway, file = start(), tmp_path / "cat.png"
    file.write_bytes(PNG)
    arguments = ("send", "--channel", "tg", "--to", "4711", "--file", str(file), "--text", "A cat")

    done = await asyncio.to_thread(gateway.cli, *arguments)

    assert done.returncode == 0, done.stderr + gateway.logs()
    assert api.uploads == [("cat.png", "image/png", PNG)]
    assert api.named("sendPhoto")[0]["caption"] == "A cat"


async def test_a_stranger_puts_nothing_in(start: Callable[..., GatewayProcess]) -> None:
    gateway = start()

    def put(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/png"}
        request = urllib.request.Request(f"{gateway.admin_url}/api/media", PNG, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert await asyncio.to_thread(put, "wrong") == 401
    assert not (gateway.data_dir / "blobs").exists()
    assert await asyncio.to_thread(put, ADMIN_TOKEN) == 201
