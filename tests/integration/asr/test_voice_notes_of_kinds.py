"""Voice notes of every kind that has them: from the provider's payload to `message.transcribed`.

How a kind gets the file is its own business (`tests/integration/test_<kind>*.py`); here the provider gives it at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from connectors.api import ChannelConfig, Fetched
from gateway.media_jobs import Job, MediaJobs, pending
from gateway.mediafetch import MediaFetcher, Source
from gateway.speech_jobs import of_media
from gateway.speech_jobs import wanted as wanted_by
from gateway.transcriber import Target
from normalizer.model import MediaParams
from normalizer.parts import Media
from normalizer.raw import Event
from tests import voice
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import Bench
from tests.contract.channel_bench import bench as bench  # noqa: PLC0414 -- a fixture
from tests.integration.asr.test_transcriber import Lab
from tests.integration.asr.test_transcriber import lab as lab  # noqa: PLC0414 -- a fixture
from tests.integration.asr.test_transcriber import section as section  # noqa: PLC0414 -- a fixture

WORDS = voice.SAMPLES["en_seen_us"]
SAID = voice.pcm("en_seen_us") + bytes(8000)
NOTES: dict[tuple[str, str], tuple[str, ...]] = {
    ("dingtalk", "audio-unrecognised"): ("amr", "opus"),
    ("discord", "attachment"): ("opus",),
    ("feishu", "audio"): ("opus",),
    ("instagram", "attachments"): ("m4a",),
    ("line", "audio"): ("m4a",),
    ("messenger", "attachments"): ("m4a",),
    ("slack", "voice-clip"): ("m4a", "webm"),
    ("telegram", "voice"): ("opus", "mp3"),
    ("twilio", "whatsapp-voice"): ("opus",),
    ("wechat", "voice"): ("amr", "silk"),
    ("wecom", "voice"): ("amr", "silk"),
    ("wecom-kf", "voice"): ("amr",),
    ("whatsapp", "voice"): ("opus",),
}
"""Kind and payload → what its provider may give for it."""
ELSEWHERE = {
    "chat": "its files come with the message; see test_transcriber, and `transcribe_media`",
    "email": "likewise",
    "sip": "voices are calls",
    "viber": "no message type is sound (https://developers.viber.com/docs/api/rest-bot-api/#receive-message-from-user)",
    "webhook": "what is a voice note is said by its configuration",
}


class Post:
    """A provider: gives each media item in the format that it is asked for in."""

    def __init__(self) -> None:
        self.forms: dict[str, str] = {}

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        return Fetched(data=voice.encode(SAID, self.forms[media.id]))


def notes(bench: Bench, kind: str, name: str) -> list[Job]:
    """Decode a payload as the channel does; returns its voice notes, as jobs of the fetcher."""
    (path,) = (fixtures.ROOT / kind).glob(f"{name}.in.*")
    events = [one for one in bench.connector(kind).codec.decode(fixtures.raw_event(kind, path)) if type(one) is Event]
    return [job for job in pending(events) if job.media.voice]


def test_no_kind_is_forgotten() -> None:
    assert sorted({kind for kind, _ in NOTES} | ELSEWHERE.keys()) == fixtures.kinds()


async def test_a_voice_note_of_every_kind_is_told_with_its_words(lab: Lab, bench: Bench) -> None:
    post, wanted = Post(), dict[str, tuple[str, str]]()
    media = MediaJobs(lab.folder / "media.db")
    media.open()
    for (kind, name), forms in NOTES.items():
        (note,) = notes(bench, kind, name)
        for form in forms:
            one = msgspec.structs.replace(note.media, id=f"{note.media.id}-{form}")
            post.forms[one.id], wanted[one.id] = form, (kind, str(note.message.id))
            job = msgspec.structs.replace(note, media=one)
            await media.hold([job], 3600)
            media.start([job])
        lab.targets[note.channel.id] = Target(note.channel, lab.rig.intake.publish)

    async def on_stored(params: MediaParams) -> None:
        job = of_media(params, ChannelConfig())
        assert job is not None, params.channel.type
        await lab.jobs.add([job])

    sources = [
        Source(ref=target.ref, options=ChannelConfig(), connector=post, publish=target.publish)
        for target in lab.targets.values()
    ]
    fetcher = MediaFetcher(media, lambda: sources, lab.blobs, lab.link, on_stored=on_stored)
    async with lab.running(), asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in (fetcher.run, media.run)]
        await lab.rig.until(lambda: len(transcribed(lab)) == len(wanted), timeout=90)
        for task in tasks:
            task.cancel()
    media.close()

    heard = [
        (one["media"]["id"], one["channel"]["type"], one["message"]["id"], one["text"]) for one in transcribed(lab)
    ]
    assert sorted(heard) == sorted((media_id, *found, WORDS) for media_id, found in wanted.items())


def transcribed(lab: Lab) -> list[dict[str, Any]]:
    return [params for method, params in lab.told if method == "message.transcribed"]


@pytest.mark.parametrize(("kind", "name"), [("wechat", "voice-recognition"), ("dingtalk", "audio")])
def test_what_the_provider_has_transcribed_is_not_done_again(bench: Bench, kind: str, name: str) -> None:
    (note,) = notes(bench, kind, name)
    assert note.media.transcript
    assert not wanted_by(msgspec.structs.replace(note.media, sha256="00" * 32), ChannelConfig())
