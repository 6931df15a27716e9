"""Media that must still be fetched: what is durable when, and who gets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.errors import Busy
from gateway.jobs import HOLD_SECS
from gateway.media_jobs import Job, MediaJobs, pending
from normalizer import parts as p
from normalizer.codecs.telegram import TelegramCodec
from normalizer.model import ChannelRef, MessageRef
from normalizer.parts import Media
from normalizer.raw import Event, RawEvent
from tests.clocks import Clock

TG = ChannelRef(id="tg", type="telegram")
PAYLOADS = Path(__file__).parents[1] / "payloads" / "telegram"


@pytest.fixture
def jobs(tmp_path: Path, clock: Clock) -> Iterator[MediaJobs]:
    it = MediaJobs(tmp_path / "media.db", clock=clock)
    it.open()
    yield it
    it.close()


@asynccontextmanager
async def written(jobs: MediaJobs) -> AsyncIterator[None]:
    """Let what is started be written down."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(jobs.run())
        yield
        await asyncio.sleep(0.05)
        task.cancel()


def job(number: int = 1, channel: str = "tg", **media: object) -> Job:
    return Job(
        channel=ChannelRef(id=channel, type="telegram"),
        message=MessageRef(id=f"msg_{number}", provider_id=str(number)),
        media=Media(id=f"med_{number}", status="pending", provider_id="file", **media),  # type: ignore[arg-type]
    )


def decoded(name: str) -> list[Event]:
    body = (PAYLOADS / f"{name}.in.json").read_bytes()
    raw = RawEvent(channel=TG, kind="telegram", body=body, received_at=datetime.now(UTC))
    return [item for item in TelegramCodec().decode(raw) if isinstance(item, Event)]


@pytest.mark.parametrize(
    ("name", "count"), [("text", 0), ("photo", 1), ("voice", 1), ("callback", 0), ("reactions-changed", 0)]
)
def test_media_that_wait_at_the_provider_become_jobs(name: str, count: int) -> None:
    found = pending(decoded(name))

    assert len(found) == count
    assert all(one.media.provider_id and one.message.id and one.conversation for one in found)


def test_what_is_stored_already_or_cannot_be_fetched_is_no_job() -> None:
    (event,) = decoded("photo")
    message = event.params.message  # type: ignore[attr-defined]
    media = message.parts[0].media

    def with_parts(*parts: p.AnyPart) -> Event:
        return replace(event, params=replace(event.params, message=replace(message, parts=parts)))

    stored, nameless = replace(media, status="stored"), replace(media, provider_id=None)
    card = p.Card(items=(p.CardItem(title="a", media=media), p.CardItem(title="b")))

    assert pending([with_parts(p.Image(media=stored), p.Image(media=nameless))]) == []
    assert len(pending([with_parts(card)])) == 1


async def test_a_job_is_given_out_once_its_message_is_durable(jobs: MediaJobs) -> None:
    await jobs.hold([job()], 60)
    assert await jobs.take("tg", 10) == []

    async with written(jobs):
        jobs.start([job()])
    (taken,) = await jobs.take("tg", 10)

    assert (taken.job, taken.attempts) == (job(), 1)
    assert await jobs.take("tg", 10) == []


async def test_copies_of_a_message_make_no_second_job_not_even_after_it_ended(jobs: MediaJobs) -> None:
    async with written(jobs):
        await jobs.hold([job(), job()], 60)
        await jobs.hold([job()], 60)
        jobs.start([job()])
    (taken,) = await jobs.take("tg", 10)
    await jobs.finish(taken, "stored")

    async with written(jobs):
        await jobs.hold([job()], 60)
        jobs.start([job()])

    assert await jobs.take("tg", 10) == []
    assert jobs.open_jobs() == {}


async def test_a_job_survives_without_its_start(jobs: MediaJobs, clock: Clock) -> None:
    await jobs.hold([job(1)], 60)
    clock.now += HOLD_SECS + 1
    assert [one.job for one in await jobs.take("tg", 10)] == [job(1)]


async def test_a_new_process_gets_what_the_former_one_held_and_had_taken(tmp_path: Path, clock: Clock) -> None:
    former, later = (MediaJobs(tmp_path / "media.db", clock=clock) for _ in range(2))
    former.open()
    async with written(former):
        await former.hold([job(1), job(2), job(3)], 60)
        former.start([job(1), job(3)])
    first, third = await former.take("tg", 2)
    await former.retry(third, 30, "unreachable")

    later.open()  # the former one was killed: it closed nothing
    await later.release()
    found = await later.take("tg", 10)

    assert {one.job.message.id for one in found} == {first.job.message.id, "msg_2"}
    assert {one.key: one.attempts for one in found}[first.key] == 2
    former.close()
    later.close()


async def test_a_retry_comes_when_it_is_due_with_what_was_reached(jobs: MediaJobs, clock: Clock) -> None:
    async with written(jobs):
        await jobs.hold([job()], 60)
        jobs.start([job()])
    (taken,) = await jobs.take("tg", 10)
    fetched = replace(job(), media=replace(job().media, status="stored", sha256="ab"))

    await jobs.retry(taken, 7, "busy", fetched)

    assert jobs.next_due("tg") == clock.now + 7
    assert await jobs.take("tg", 10) == []
    clock.now += 7
    assert [(one.job, one.attempts) for one in await jobs.take("tg", 10)] == [(fetched, 2)]


async def test_the_end_is_the_providers_or_that_of_the_channel(jobs: MediaJobs, clock: Clock) -> None:
    ends = datetime.fromtimestamp(clock.now + 5, UTC)
    async with written(jobs):
        await jobs.hold([job(1, expires_at=ends), job(2)], 60)
        jobs.start([job(1), job(2)])

    assert {one.job.media.id: one.until - clock.now for one in await jobs.take("tg", 10)} == {"med_1": 5, "med_2": 60}


async def test_channels_have_queues_of_their_own(jobs: MediaJobs) -> None:
    async with written(jobs):
        both = [job(1), job(2), job(3, channel="other")]
        await jobs.hold(both, 60)
        jobs.start(both)

    assert jobs.open_jobs() == {"tg": 2, "other": 1}
    assert len(await jobs.take("tg", 1)) == 1
    assert len(await jobs.take("other", 5)) == 1


async def test_ended_jobs_are_forgotten_in_time_and_orphans_given_up(jobs: MediaJobs, clock: Clock) -> None:
    async with written(jobs):
        await jobs.hold([job(1), job(2)], 60)
        jobs.start([job(1)])
    (taken,) = await jobs.take("tg", 10)
    await jobs.finish(taken, "failed", "refused")

    assert await jobs.sweep(100) == 0
    clock.now += 101
    assert await jobs.sweep(100) == 1
    assert await jobs.abandon(100) == 0
    clock.now += 100
    assert await jobs.abandon(100) == 1
    assert jobs.open_jobs() == {}


async def test_a_change_of_another_worker_is_seen(tmp_path: Path, clock: Clock, jobs: MediaJobs) -> None:
    assert jobs.changed
    assert not jobs.changed
    other = MediaJobs(tmp_path / "media.db", clock=clock)
    other.open()
    await other.hold([job()], 60)
    other.close()

    assert jobs.changed
    assert not jobs.changed


async def test_without_room_on_the_disk_nothing_is_promised(tmp_path: Path, clock: Clock) -> None:
    jobs = MediaJobs(tmp_path / "media.db", clock=clock, max_bytes=300_000)
    jobs.open()

    with pytest.raises(Busy):
        await jobs.hold([job(caption="x" * 400_000)], 60)

    await jobs.hold([job()], 60)
    jobs.close()
