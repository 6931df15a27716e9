"""Media of received messages: real pipeline, broker and files; a Bot API server that has the photo, or has not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from connectors.api import Fetched, Receipt
from connectors.errors import Misconfigured, Throttled
from connectors.secrets import Secret
from connectors.telegram import TelegramConfig, TelegramConnector
from gateway import telemetry
from gateway.blobs import BlobStore
from gateway.gate import Gate
from gateway.intake import Intake
from gateway.limits import Backoff
from gateway.media_jobs import Job, MediaJobs
from gateway.mediafetch import MediaFetcher, Source
from gateway.web.media import media_link
from normalizer.model import MediaParams, MessageRef
from normalizer.parts import Media
from tests.contexts import make_context
from tests.rig import Rig, rig
from tests.servers.gateway import telegram_update
from tests.servers.telegram import TOKEN, BotApi, Fault

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 1000
QUICK = Backoff(base=0.01, cap=0.02)


def photo(number: int, file_id: str = "PHOTO", **size: int) -> bytes:
    update = telegram_update(number)
    del update["message"]["text"]
    sizes = {"width": 90, "height": 60, **size}
    update["message"] |= {"photo": [{"file_id": file_id, "file_unique_id": f"u{file_id}", **sizes}], "caption": "Look"}
    return msgspec.json.encode(update)


class Lab:
    """One Telegram channel with its fetcher, which `running` starts; `told` is what the broker got."""

    def __init__(self, inside: Rig, api: BotApi, folder: Path, http: aiohttp.ClientSession) -> None:
        self.rig, self.api, self.folder = inside, api, folder
        self.config = TelegramConfig(
            token=Secret(TOKEN), secret=Secret("a-secret-token"), api_base=api.url, media_retry_secs=60.0
        )
        self.blobs = BlobStore(folder)
        self.jobs = MediaJobs(folder / "media.db")
        self.connector: Any = TelegramConnector(self.config, make_context(inside.channel, folder, http))
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.heard: list[MediaParams] = []
        self.hook_fails = 0

    def intake(self) -> Intake:
        it = self.rig
        return Intake(
            ref=it.channel, codec=self.connector.codec, config=self.config, window_secs=3600, pipeline=it.pipeline,
            quarantine=it.quarantine, blobs=self.blobs, gate=Gate(100), media=self.jobs,
        )  # fmt: skip

    async def give(self, body: bytes) -> Receipt:
        return await self.intake()(self.rig.raw(0, body=body))

    async def hear(self, params: MediaParams) -> None:
        self.heard.append(params)
        if self.hook_fails:
            self.hook_fails -= 1
            raise RuntimeError("the hook is broken")

    def source(self) -> Source:
        intake = self.intake()
        return Source(ref=intake.ref, options=self.config, connector=self.connector, publish=intake.publish)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        link = media_link(self.blobs, "https://gw.example", time.time)
        fetcher = MediaFetcher(
            self.jobs, lambda: [self.source()], self.blobs, link, on_stored=self.hear, backoff=QUICK, clock=time.time
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.jobs.run()), group.create_task(fetcher.run())]
            yield
            for task in tasks:
                task.cancel()

    async def until(self, method: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the broker got so many of a kind."""
        await self.rig.until(lambda: len(self.of(method)) >= count, timeout=10)
        return self.of(method)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.told if name == method]

    async def idle(self) -> None:
        await self.rig.until(lambda: not self.jobs.open_jobs(), timeout=10)

    def count(self, counter: Any, *labels: str) -> float:
        return float(counter.labels(self.rig.channel.id, "telegram", *labels)._value.get())


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        inside = await stack.enter_async_context(rig(tmp_path))
        api = await stack.enter_async_context(BotApi().serve())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        lab = Lab(inside, api, tmp_path, http)
        lab.jobs.open()
        stack.callback(lab.jobs.close)
        events = await stack.enter_async_context(inside.broker.watch("v1.#"))

        async def listen() -> None:
            async for delivery in events:
                lab.told.append((delivery.method, msgspec.json.decode(delivery.body)["params"]))

        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(listen())
        stack.callback(task.cancel)
        yield lab


async def test_a_photo_is_told_as_pending_and_then_as_stored(lab: Lab) -> None:
    lab.api.files = {"PHOTO": PNG}

    async with lab.running():
        assert await lab.give(photo(1)) is Receipt.ACCEPTED
        (stored,) = await lab.until("media.stored")
        await lab.idle()

    assert [name for name, _ in lab.told] == ["message.received", "media.stored"]
    (received,) = lab.of("message.received")
    before, media = received["message"]["parts"][0]["media"], stored["media"]
    assert before["status"] == "pending"
    assert (media["id"], media["status"], media["size"]) == (before["id"], "stored", len(PNG))
    assert await lab.blobs.get("sha256:" + media["sha256"]) == PNG
    assert media["mime"] == "image/jpeg"  # as Telegram's photos are; the first bytes agree that it is an image
    assert media["url"].startswith(f"https://gw.example/media/{media['sha256']}?")
    assert datetime.fromisoformat(media["expires_at"]) > datetime.now(UTC) + timedelta(hours=1)
    assert stored["message"] == {"id": received["message"]["id"], "provider_id": "1"}
    assert stored["conversation"]["id"] == received["conversation"]["id"]
    assert [params.media.id for params in lab.heard] == [media["id"]]
    assert lab.count(telemetry.MEDIA_STORED) == 1


async def test_the_receipt_does_not_wait_for_the_provider(lab: Lab) -> None:
    lab.api.slow_after = 0  # the server never answers

    async with lab.running(), asyncio.timeout(5):
        assert await lab.give(photo(1)) is Receipt.ACCEPTED

    assert lab.jobs.open_jobs() == {lab.rig.channel.id: 1}


async def test_copies_of_a_message_are_fetched_once(lab: Lab) -> None:
    lab.api.files = {"PHOTO": PNG}

    async with lab.running():
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(lab.give(photo(1)))
        await lab.until("media.stored")
        assert await lab.give(photo(1)) is Receipt.DUPLICATE
        await asyncio.sleep(0.3)

    assert len(lab.of("media.stored")) == 1
    assert len(lab.api.named("getFile")) == 1


async def test_a_provider_that_fails_is_asked_again(lab: Lab) -> None:
    lab.api.files, lab.api.faults = {"PHOTO": PNG}, [Fault(500, "Internal"), Fault(502, "Bad Gateway"), None]

    async with lab.running():
        await lab.give(photo(1))
        await lab.until("media.stored")
        await lab.idle()

    assert lab.of("media.failed") == []
    assert lab.count(telemetry.MEDIA_RETRIES, "unreachable") == 2


async def test_credentials_that_are_wrong_may_be_mended_in_time(lab: Lab) -> None:
    lab.api.files = {"PHOTO": PNG}
    right, tries = lab.connector.fetch_media, []

    async def fetch_media(media: Media, *, max_bytes: int) -> Fetched:
        tries.append(1)
        if len(tries) == 1:
            raise Misconfigured("the token is wrong")
        return await right(media, max_bytes=max_bytes)

    lab.connector.fetch_media = fetch_media
    async with lab.running():
        await lab.give(photo(1))
        await lab.until("media.stored")

    assert len(tries) == 2


async def test_a_provider_that_wants_to_be_left_alone_is(lab: Lab) -> None:
    lab.api.files = {"PHOTO": PNG}
    right, tries = lab.connector.fetch_media, []

    async def fetch_media(media: Media, *, max_bytes: int) -> Fetched:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            raise Throttled("slow down", retry_after=0.6)
        return await right(media, max_bytes=max_bytes)

    lab.connector.fetch_media = fetch_media
    async with lab.running():
        await lab.give(photo(1))
        await lab.rig.until(lambda: bool(tries))
        await lab.give(photo(2, "OTHER"))  # of the same channel: it has to wait, too
        await lab.until("media.stored")

    assert tries[1] - tries[0] >= 0.6


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(400, "Bad Request: invalid file_id"), "failed", "refused"),
        (Fault(400, "Bad Request: file is too big"), "too_large", "too_large"),
    ],
)
async def test_what_the_provider_refuses_is_told_as_failed(lab: Lab, fault: Fault, status: str, code: str) -> None:
    lab.api.faults = [fault]

    async with lab.running():
        await lab.give(photo(1))
        (failed,) = await lab.until("media.failed")
        await lab.idle()

    assert failed["media"]["status"] == status
    assert (failed["metadata"]["error"]["code"], failed["metadata"]["error"]["attempts"]) == (code, "1")
    assert failed["message"]["provider_id"] == "1"
    assert lab.count(telemetry.MEDIA_FAILED, code) == 1
    assert lab.heard == []


async def test_an_item_whose_time_is_over_is_expired(lab: Lab) -> None:
    lab.api.faults = [Fault(500, "Internal")] * 100
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    media = Media(id="med_1", status="pending", provider_id="PHOTO", expires_at=soon)
    message = MessageRef(id="msg_1", provider_id="1")

    async with lab.running():
        job = Job(channel=lab.rig.channel, message=message, media=media)
        await lab.jobs.hold([job], 60)
        lab.jobs.start([job])
        (failed,) = await lab.until("media.failed")

    assert (failed["media"]["status"], failed["metadata"]["error"]["code"]) == ("expired", "unreachable")
    assert int(failed["metadata"]["error"]["attempts"]) > 1
    assert failed["media"].get("url") is None


async def test_where_the_provider_sets_no_end_the_channel_does(lab: Lab) -> None:
    lab.config = replace(lab.config, media_retry_secs=0.3)
    lab.api.faults = [Fault(500, "Internal")] * 100

    async with lab.running():
        await lab.give(photo(1))
        (failed,) = await lab.until("media.failed")

    assert failed["media"]["status"] == "failed"


@pytest.mark.parametrize(
    ("options", "content", "status", "code", "asked"),
    [
        ({"media_max_bytes": 500}, PNG, "too_large", "too_large", 1),
        ({"media_types": ("audio/*",)}, PNG, "failed", "type_refused", 0),
        ({}, b"MZ\x90\0" + b"\0" * 200, "failed", "type_refused", 1),
    ],
)
async def test_what_the_channel_does_not_want_is_not_kept(
    lab: Lab, options: dict[str, Any], content: bytes, status: str, code: str, asked: int
) -> None:
    lab.config, lab.api.files = replace(lab.config, **options), {"PHOTO": content}

    async with lab.running():
        await lab.give(photo(1))
        (failed,) = await lab.until("media.failed")

    assert (failed["media"]["status"], failed["metadata"]["error"]["code"]) == (status, code)
    assert len(lab.api.named("getFile")) == asked
    assert not (lab.folder / "blobs").exists()


async def test_a_size_that_is_told_beforehand_costs_no_download(lab: Lab) -> None:
    async with lab.running():
        await lab.give(photo(1, file_size=40_000_000))
        (failed,) = await lab.until("media.failed")

    assert failed["media"]["status"] == "too_large"
    assert lab.api.calls == []


async def test_what_was_under_way_when_the_process_died_is_fetched_by_the_next(lab: Lab) -> None:
    lab.api.slow_after = 0
    async with lab.running():
        await lab.give(photo(1))
        await lab.rig.until(lambda: bool(lab.api.named("getFile")))
    lab.api.slow_after, lab.api.files = None, {"PHOTO": PNG}

    async with lab.running():
        await lab.until("media.stored")
        await lab.idle()

    assert len(lab.of("media.stored")) == 1


async def test_what_cannot_be_told_is_not_fetched_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.mediafetch.UNTOLD_SECS", 0.1)
    lab.api.files = {"PHOTO": PNG}
    source, refusals = lab.source, [False]

    def reluctant() -> Source:
        it = source()

        async def publish(event: Any) -> bool:
            return refusals.pop() if refusals else await it.publish(event)

        return Source(ref=it.ref, options=it.options, connector=it.connector, publish=publish)

    monkeypatch.setattr(lab, "source", reluctant)
    async with lab.running():
        await lab.give(photo(1))
        await lab.until("media.stored")

    assert len(lab.api.named("getFile")) == 1


async def test_a_hook_that_fails_is_told_again_and_the_event_is_not_doubled(lab: Lab) -> None:
    lab.api.files, lab.hook_fails = {"PHOTO": PNG}, 1

    async with lab.running():
        await lab.give(photo(1))
        await lab.rig.until(lambda: len(lab.heard) == 2)
        await lab.idle()

    assert len(lab.of("media.stored")) == 1
    assert len(lab.api.named("getFile")) == 1


async def test_one_slow_item_does_not_stop_the_others(lab: Lab) -> None:
    lab.api.files = {"PHOTO": PNG, "OTHER": PNG + b"other"}
    right, never = lab.connector.fetch_media, asyncio.Event()

    async def fetch_media(media: Media, *, max_bytes: int) -> Fetched:
        if media.provider_id == "PHOTO":
            await never.wait()
        return await right(media, max_bytes=max_bytes)

    lab.connector.fetch_media = fetch_media
    async with lab.running():
        await lab.give(photo(1))
        await lab.give(photo(2, "OTHER"))
        (stored,) = await lab.until("media.stored")

    assert stored["message"]["provider_id"] == "2"


async def test_a_message_without_media_makes_no_job(lab: Lab) -> None:
    await lab.give(msgspec.json.encode(telegram_update(1)))

    assert lab.jobs.open_jobs() == {}
