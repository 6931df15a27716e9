"""Voice notes from the provider to the text on the broker, through gateways and recognisers that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest

from tests import voice
from tests.servers.gateway import GatewayProcess, telegram_update
from tests.servers.telegram import TOKEN, BotApi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WORDS = voice.SAMPLES["en_seen_us"]
NOTE = voice.encode(voice.pcm("en_seen_us"), "opus")


def note(number: int) -> dict[str, Any]:
    update = telegram_update(number)
    del update["message"]["text"]
    update["message"]["voice"] = {
        "file_id": "NOTE", "file_unique_id": "uNOTE", "duration": 3, "mime_type": "audio/ogg", "file_size": len(NOTE),
    }  # fmt: skip
    return update


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi().serve() as server:
        server.files = {"NOTE": NOTE}
        yield server


@pytest.fixture
def start(make_gateway: Callable[..., GatewayProcess], api: BotApi) -> Callable[..., GatewayProcess]:
    def make(asr: str = f'models = {{ en = "{voice.MODEL}" }}', telegram: str = "", **options: Any) -> GatewayProcess:
        telegram = f'api_base = "{api.url}"\n{telegram}\n'
        sections = {"asr": f"workers = 1\n{asr}"}
        return make_gateway(telegram=telegram, env={"TELEGRAM_TOKEN": TOKEN}, sections=sections, **options)

    return make


async def events(gateway: GatewayProcess, count: int, method: str = "m*") -> list[dict[str, Any]]:
    """Return the first so many events, waiting for them."""
    arguments = ("tail", "--from-start", "--method", method, "--count", str(count))
    done = await asyncio.to_thread(gateway.cli, *arguments, timeout=90)
    assert done.returncode == 0, done.stderr + gateway.logs()
    return [json.loads(line) for line in done.stdout.splitlines()]


def recognisers(gateway: GatewayProcess) -> list[psutil.Process]:
    return _children(gateway, "asr.worker")


def decoders(gateway: GatewayProcess) -> list[psutil.Process]:
    return _children(gateway, "asr.decoder")


def _children(gateway: GatewayProcess, module: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(gateway.pid).children(recursive=True):
        try:
            if module in child.cmdline():
                found.append(child)
        except psutil.Error:  # it has just ended
            pass
    return found


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_voice_note_is_told_with_its_words(start: Callable[..., GatewayProcess], workers: int) -> None:
    gateway = start(workers=workers)

    assert await asyncio.to_thread(gateway.post_update, note(1)) == 200
    received, stored, transcribed = await events(gateway, 3)

    assert [one["method"] for one in (received, stored, transcribed)] == [
        "message.received", "media.stored", "message.transcribed",
    ]  # fmt: skip
    told, message = transcribed["params"], received["params"]["message"]
    assert told["text"] == told["media"]["transcript"] == WORDS
    assert told["language"] == "en"
    assert told["message"]["id"] == message["id"]
    assert told["conversation"]["id"] == received["params"]["conversation"]["id"]
    assert told["media"]["id"] == message["parts"][0]["media"]["id"]
    assert told["media"]["url"].startswith("http")
    (segment,) = told["segments"]
    assert [word["text"] for word in segment["words"]] == WORDS.split()
    assert 0 <= segment["start_ms"] < segment["end_ms"] <= 3300
    await until(lambda: gateway.total("gateway_transcriptions_total", channel="tg") == 1)
    await until(lambda: not gateway.total("gateway_transcriptions_pending", channel="tg"))
    await until(lambda: 0 < gateway.total("gateway_asr_real_time_factor") < 10)
    assert WORDS not in gateway.logs()


async def test_a_voice_note_whose_gateway_was_killed_is_transcribed_by_the_next(
    start: Callable[..., GatewayProcess],
) -> None:
    gateway = start()
    await until(lambda: gateway.total("gateway_asr_room"))
    (recogniser,) = recognisers(gateway)
    recogniser.suspend()  # so that it is in the middle
    assert await asyncio.to_thread(gateway.post_update, note(1)) == 200
    await until(lambda: gateway.total("gateway_transcriptions_pending", channel="tg") == 1)
    await until(lambda: decoders(gateway))
    gateway.kill9()

    await asyncio.to_thread(gateway.restart)
    told = await events(gateway, 3)

    assert [one["method"] for one in told] == ["message.received", "media.stored", "message.transcribed"]
    assert told[-1]["params"]["text"] == WORDS


async def test_a_voice_note_whose_recogniser_was_killed_is_transcribed_by_the_next(
    start: Callable[..., GatewayProcess],
) -> None:
    gateway = start()
    await until(lambda: gateway.total("gateway_asr_room"))
    (recogniser,) = recognisers(gateway)
    recogniser.suspend()
    assert await asyncio.to_thread(gateway.post_update, note(1)) == 200
    await until(lambda: decoders(gateway))
    os.kill(recogniser.pid, signal.SIGKILL)

    told = await events(gateway, 3)

    assert told[-1]["params"]["text"] == WORDS
    await until(lambda: gateway.total("gateway_asr_restarts_total") == 1)


async def test_without_its_model_a_voice_note_arrives_and_waits_for_it(
    start: Callable[..., GatewayProcess],
) -> None:
    gateway = start(asr='models = { en = "vosk-tiny-en" }')
    assert await asyncio.to_thread(gateway.post_update, note(1)) == 200

    assert [one["method"] for one in await events(gateway, 2)] == ["message.received", "media.stored"]
    (status,) = await events(gateway, 1, method="channel.status")
    assert (status["params"]["status"], status["params"]["component"]) == ("degraded", "asr")
    assert "omnigate models install vosk-tiny-en" in status["params"]["reasons"][0]
    checked = await asyncio.to_thread(gateway.cli, "check")
    assert checked.returncode == 0
    assert "omnigate models install vosk-tiny-en" in checked.stdout + checked.stderr

    shutil.copytree(voice.MODEL, gateway.data_dir / "models" / "vosk-tiny-en")
    told = await events(gateway, 3)
    assert told[-1]["params"]["text"] == WORDS
    assert [one["params"]["status"] for one in await events(gateway, 2, method="channel.status")] == ["degraded", "ok"]
