"""Ordinary deliveries, which take no task on their way from the port to the pipeline; and what is none of them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from connectors.api import ChannelConfig, Delivery, Receipt, Reply
from connectors.errors import Busy
from connectors.secrets import Secret
from connectors.telegram import SECRET_HEADER, TelegramConfig, TelegramConnector
from gateway.blobs import BlobStore
from gateway.gate import Gate
from gateway.intake import Intake
from gateway.media_jobs import MediaJobs
from gateway.pipeline import Pipeline
from gateway.tickets import Ticket, Waiter
from normalizer.codecs.api import Codec
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.codecs.telegram import TelegramCodec
from normalizer.errors import MalformedPayload
from tests.contexts import make_context
from tests.contract.channel_bench import answered
from tests.rig import Rig, rig
from tests.servers.gateway import telegram_update

TOKEN = "a-secret-token"


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        yield made


def intake(
    inside: Rig,
    folder: Path,
    *,
    gate: Gate | None = None,
    pipeline: Pipeline | None = None,
    media: MediaJobs | None = None,
    codec: Codec | None = None,
    secs: float = 10,
    keep_raw: bool = False,
) -> Intake:
    return Intake(
        ref=inside.channel, codec=codec or TelegramCodec(), window_secs=3600, quarantine=inside.quarantine,
        config=ChannelConfig(ack_deadline_secs=secs, keep_raw=keep_raw), blobs=BlobStore(folder), media=media,
        pipeline=pipeline or inside.pipeline, gate=gate or Gate(100),
    )  # fmt: skip


class Ends(list[Receipt | Busy]):
    """How offers ended."""

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self) < count:
                await asyncio.sleep(0.005)


async def test_an_offer_ends_as_the_sink_would_have_returned(inside: Rig, tmp_path: Path) -> None:
    gate, ends = Gate(100), Ends()
    sink = intake(inside, tmp_path, gate=gate)
    tasks = len(asyncio.all_tasks())
    assert sink.offer(inside.raw(1), ends.append) is None
    assert (gate.taken, len(asyncio.all_tasks()), ends) == (1, tasks, [])
    await ends.reach(1)

    assert sink.offer(inside.raw(1), ends.append) is None
    await ends.reach(2)
    assert ends == [Receipt.ACCEPTED, Receipt.DUPLICATE]
    assert await sink(inside.raw(1)) is Receipt.DUPLICATE
    assert (inside.count("received"), inside.count("published"), inside.count("duplicate"), gate.taken) == (3, 1, 2, 0)


async def test_two_offers_of_one_message_at_the_same_moment_are_one_message(inside: Rig, tmp_path: Path) -> None:
    sink, ends = intake(inside, tmp_path), Ends()
    for _ in range(2):
        assert sink.offer(inside.raw(1), ends.append) is None
    await ends.reach(2)
    assert sorted(end.name for end in ends if isinstance(end, Receipt)) == ["ACCEPTED", "DUPLICATE"]
    assert inside.count("published") == 1


async def test_an_offer_that_nobody_ends_in_time_ends_as_busy(inside: Rig, tmp_path: Path) -> None:
    stuck = Pipeline(
        dedup=inside.dedup,
        broker=inside.broker,
        spool=inside.spool,
        journal=inside.journal,
        lease_secs=30,
        clock=time.time,
    )
    gate, ends = Gate(100), Ends()
    assert intake(inside, tmp_path, pipeline=stuck, gate=gate, secs=0.1).offer(inside.raw(1), ends.append) is None
    await ends.reach(1)
    assert isinstance(ends[0], Busy)
    assert gate.taken == 0


async def test_beyond_the_limit_an_offer_is_refused_at_once(inside: Rig, tmp_path: Path) -> None:
    with pytest.raises(Busy):
        intake(inside, tmp_path, gate=Gate(0)).offer(inside.raw(1), Ends().append)


async def test_a_bug_in_a_codec_takes_no_place_for_ever(inside: Rig, tmp_path: Path) -> None:
    class Broken(TelegramCodec):
        def decode(self, raw):  # type: ignore[no-untyped-def, override]
            raise ZeroDivisionError

    gate = Gate(100)
    with pytest.raises(ZeroDivisionError):
        intake(inside, tmp_path, gate=gate, codec=Broken()).offer(inside.raw(1), Ends().append)
    assert gate.taken == 0


def edit(number: int) -> bytes:
    update = telegram_update(number)
    return msgspec.json.encode({"update_id": number, "edited_message": {**update["message"], "edit_date": 1790000001}})


def photo(number: int) -> bytes:
    update = telegram_update(number)
    del update["message"]["text"]
    update["message"]["photo"] = [{"file_id": "F", "file_unique_id": "U", "width": 9, "height": 9}]
    return msgspec.json.encode(update)


@pytest.mark.parametrize(
    ("body", "end"),
    [(b"not JSON", Receipt.QUARANTINED), (edit(7), Receipt.ACCEPTED), (photo(8), Receipt.ACCEPTED)],
    ids=["malformed", "edit", "photo"],
)
async def test_what_has_to_be_waited_for_is_awaited(inside: Rig, tmp_path: Path, body: bytes, end: Receipt) -> None:
    jobs, gate, ends = MediaJobs(tmp_path / "media.db"), Gate(100), Ends()
    jobs.open()
    working = asyncio.ensure_future(jobs.run())
    waits = intake(inside, tmp_path, gate=gate, media=jobs).offer(inside.raw(1, body=body), ends.append)
    assert waits is not None
    assert await waits is end
    assert (ends, gate.taken) == ([], 0)
    working.cancel()
    jobs.close()


async def test_raw_bytes_are_kept_before_a_message_is_published(inside: Rig, tmp_path: Path) -> None:
    waits = intake(inside, tmp_path, keep_raw=True).offer(inside.raw(1), Ends().append)
    assert waits is not None
    assert await waits is Receipt.ACCEPTED


async def test_what_a_channel_rejects_is_raised_at_once(inside: Rig, tmp_path: Path) -> None:
    gate = Gate(100)
    sink = intake(inside, tmp_path, gate=gate, codec=DeclarativeCodec(None, None))
    with pytest.raises(MalformedPayload):
        sink.offer(replace(inside.raw(1, body=b"not JSON"), on_malformed="reject"), Ends().append)
    assert gate.taken == 0


def alive(*kinds: type) -> int:
    return sum(type(one) in kinds for one in gc.get_objects())


@pytest.mark.parametrize("bad", [False, True], ids=["ordinary", "rejected"])
async def test_messages_leave_no_cycles_behind(inside: Rig, tmp_path: Path, *, bad: bool) -> None:
    sink, ends = intake(inside, tmp_path, gate=Gate(1000)), Ends()
    gc.disable()  # so that what is in a cycle stays
    try:
        before = alive(Waiter, Ticket, MalformedPayload)
        for number in range(1, 301):
            if bad:
                with suppress(MalformedPayload):
                    sink.offer(replace(inside.raw(1, body=b"not JSON"), on_malformed="reject"), ends.append)
            else:
                assert sink.offer(inside.raw(number), ends.append) is None
        await ends.reach(0 if bad else 300)
        await inside.until(lambda: inside.pipeline.idle)
        assert alive(Waiter, Ticket, MalformedPayload) == before
    finally:
        gc.enable()


class Bot:
    """A Telegram channel whose connector hands over to the real pipeline."""

    def __init__(self, inside: Rig, folder: Path, http: object = None) -> None:
        config = TelegramConfig(token=Secret("42:x"), secret=Secret(TOKEN), api_base="http://127.0.0.1:9")
        self.connector = TelegramConnector(config, make_context(inside.channel, folder, http))
        self.sink = intake(inside, folder)

    async def ask(self, body: bytes, *, method: str = "POST", token: str = TOKEN) -> Reply:
        headers = {SECRET_HEADER: token}
        return await answered(
            self.connector, Delivery(method=method, path="", url="/c/tg", query={}, headers=headers, body=body)
        )


async def test_a_connector_answers_without_a_task_what_it_answers_with_one(inside: Rig, tmp_path: Path) -> None:
    bot = Bot(inside, tmp_path)
    good = msgspec.json.encode(telegram_update(1))
    assert (await bot.ask(good)).status == 503  # it does not run yet
    running = asyncio.ensure_future(bot.connector.run(bot.sink))
    await asyncio.sleep(0)
    assert (await bot.ask(good)).status == 200
    assert (await bot.ask(good, token="wrong")).status == 401
    assert (await bot.ask(good, method="GET")).status == 405
    assert (await bot.ask(b"not JSON")).status == 200  # in quarantine
    assert inside.count("published") == 1
    running.cancel()


async def test_what_is_to_be_done_after_a_delivery_is_not_done_for_one_that_was_refused(
    inside: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, pressed = Bot(inside, tmp_path), list[bytes]()
    monkeypatch.setattr(bot.connector, "_pressed", pressed.append)
    running = asyncio.ensure_future(bot.connector.run(bot.sink))
    await asyncio.sleep(0)
    update = telegram_update(1)
    query = {"id": "9", "from": update["message"]["from"], "message": update["message"], "data": "yes"}
    press = msgspec.json.encode({"update_id": 1, "callback_query": query})
    bot.sink._gate.open = False
    assert (await bot.ask(press)).status == 503
    assert pressed == []
    bot.sink._gate.open = True
    assert (await bot.ask(press)).status == 200
    assert pressed == [press]

    def fails(_: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bot.connector, "_pressed", fails)
    assert (await bot.ask(press)).status == 500
    running.cancel()
