"""Recordings of real calls (SIP and RTP of PJSIP), through a gateway that is killed, filled up and restarted."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers.gateway import GatewayProcess
from tests.servers.mail_core import Core
from tests.servers.process import free_port
from tests.sip import sound
from tests.sounds import legs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
KEY, OTHER = "00" * 32, "11" * 32
VOICE = sound.sweep(3.0)


class Telephony:
    """A gateway with a SIP channel `line`, and telephones that call it."""

    def __init__(
        self, make: Callable[..., GatewayProcess], folder: Path, *, recording: str = "", key: str = "", more: str = ""
    ) -> None:
        self.port, self.folder = free_port(), folder
        channel = f"""
[channels.line]
kind = "sip"
listen = "127.0.0.1:{self.port}"
record = true
transcribe = false
recording = {{ {recording} }}
{more}
"""
        sections = {"gateway": 'blob_key = "env:TEST_BLOB_KEY"'} if key else {}
        self.gateway = make(channels=channel, sections=sections, env={"TEST_BLOB_KEY": key})
        self.recordings = self.gateway.data_dir / "recordings" / "line"
        self.core: Core | None = None

    def ring(self, secs: float) -> subprocess.Popen[str]:
        """Call the gateway and say `VOICE`, again and again if there is time."""
        wav = sound.write(self.folder / "voice.wav", VOICE)
        command = ["simulate", "call", "--wav", str(wav), "--secs", str(secs), "--to", f"sip:100@127.0.0.1:{self.port}"]
        omnigate = str(Path(sys.executable).with_name("omnigate"))
        return subprocess.Popen([omnigate, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    async def call(self, secs: float) -> None:
        phone = self.ring(secs)
        said, _ = await asyncio.to_thread(phone.communicate, timeout=120)
        assert phone.returncode == 0, said + self.gateway.logs()

    async def told(self, method: str) -> dict[str, Any]:
        """Wait for the first event of this name; events are read from the first time on, which is after a restart."""
        if self.core is None:
            self.core = Core(self.gateway, "line")
        return (await asyncio.to_thread(self.core.wait, method, timeout=90))[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.05)

    def size(self) -> int:
        """How large the recording in progress is."""
        sound_files = (path for path in self.recordings.glob("*") if ".json" not in path.suffixes)
        return max((path.stat().st_size for path in sound_files), default=0)

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.gateway.logs().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]


def fetch(url: str, part: str | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Range": f"bytes={part}"} if part else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read()


def heard(file: bytes) -> sound.Pcm:
    """The caller's leg."""
    return legs(file)[0].astype(np.int16)


@pytest.fixture
def telephony(make_gateway: Callable[..., GatewayProcess], tmp_path: Path) -> Iterator[Callable[..., Telephony]]:
    made: list[Telephony] = []

    def make(**options: str) -> Telephony:
        made.append(Telephony(make_gateway, tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        if one.core is not None:
            one.core.close()


async def test_a_sealed_recording_is_what_was_said_and_plays_through_its_link(
    telephony: Callable[..., Telephony],
) -> None:
    line = telephony(key=KEY, recording="days = 30")
    await line.call(4)
    ready = await line.told("call.recording.ready")
    media = ready["media"]

    status, file = await asyncio.to_thread(fetch, media["url"])

    assert (status, len(file), media["mime"]) == (200, media["size"], "audio/wav")
    assert sound.lost(VOICE, heard(file)) == []
    assert ready.get("complete", True)
    assert ready["keep_until"]
    assert await asyncio.to_thread(fetch, media["url"], "44-1043") == (206, file[44:1044])
    (blob,) = (line.gateway.data_dir / "blobs").rglob(media["sha256"])
    assert file[1000:1100] not in blob.read_bytes()
    await line.until(lambda: not any(line.recordings.iterdir()))

    line.gateway.env["TEST_BLOB_KEY"] = OTHER
    checked = await asyncio.to_thread(line.gateway.cli, "check")
    assert checked.returncode == 1
    assert "gateway.blob_key" in checked.stdout
    line.gateway.env["TEST_BLOB_KEY"] = f"{OTHER} {KEY}"
    assert (await asyncio.to_thread(line.gateway.cli, "check")).returncode == 0


async def test_what_was_said_before_kill_9_is_kept_and_told_at_the_next_start(
    telephony: Callable[..., Telephony],
) -> None:
    line = telephony(key=KEY)
    phone = line.ring(60)
    try:
        await line.until(lambda: line.size() > 2.5 * 32_000)
        size = line.size()
        line.gateway.kill9()
    finally:
        phone.kill()
        phone.communicate()
    await asyncio.to_thread(line.gateway.restart)
    ready = await line.told("call.recording.ready")
    ended = await line.told("call.ended")

    _, file = await asyncio.to_thread(fetch, ready["media"]["url"])

    assert ready["complete"] is False
    assert (ended["reason"], ended["call_id"]) == ("gateway_failure", ready["call_id"])
    assert len(file) >= size * 0.95  # a sealed log is a little larger than its sound
    kept = heard(file)
    assert sound.lost(VOICE[: min(len(VOICE), len(kept)) - 8000], kept) == []


async def test_a_gateway_that_is_told_to_stop_stores_its_last_recordings(telephony: Callable[..., Telephony]) -> None:
    line = telephony(more="drain_secs = 0.5")
    phone = line.ring(60)
    try:
        await line.until(lambda: line.size() > 32_000)
        assert await asyncio.to_thread(line.gateway.term, 60) == 0
    finally:
        phone.kill()
        phone.communicate()

    assert list(line.recordings.iterdir()) == []
    (stored,) = [path for path in (line.gateway.data_dir / "blobs").rglob("*") if path.is_file()]
    assert stored.read_bytes().startswith(b"RIFF")


async def test_a_full_disk_costs_sound_and_no_call(telephony: Callable[..., Telephony]) -> None:
    line = telephony()
    phone = asyncio.get_running_loop().create_task(line.call(7))
    await line.until(lambda: line.size() > 32_000)
    limits = resource.prlimit(line.gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(line.gateway.pid, resource.RLIMIT_FSIZE, (64_000, limits[1]))
    await line.until(lambda: bool(line.logged("recording_not_written")))
    resource.prlimit(line.gateway.pid, resource.RLIMIT_FSIZE, limits)
    await phone
    ready = await line.told("call.recording.ready")
    ended = await line.told("call.ended")

    _, file = await asyncio.to_thread(fetch, ready["media"]["url"])

    assert ready["complete"] is False
    assert ready["missed_ms"] > 0
    assert (ended["reason"], ended["by"]) == ("completed", "remote")
    assert sound.lost(VOICE[:6400], heard(file)) == []
    assert len(file) > 4 * 32_000


async def test_a_recording_in_opus_is_deleted_at_its_end(telephony: Callable[..., Telephony]) -> None:
    line = telephony(recording='days = 1, format = "opus"')
    await line.call(3.5)
    ready = await line.told("call.recording.ready")
    media = ready["media"]
    _, file = await asyncio.to_thread(fetch, media["url"])
    assert media["mime"] == "audio/ogg"
    assert len(file) < 3.5 * 32_000 / 3
    assert abs(len(heard(file)) / 8 - media["duration_ms"]) < 2
    await asyncio.to_thread(line.gateway.term)
    with closing(sqlite3.connect(line.gateway.data_dir / "retention.db")) as db:
        assert db.execute("UPDATE kept SET until = 1").rowcount == 1
        db.commit()

    await asyncio.to_thread(line.gateway.restart)
    await line.until(lambda: bool(line.logged("recording_deleted")))

    (audit,) = line.logged("recording_deleted")
    assert (audit["sha256"], audit["channel"]) == (media["sha256"], "line")
    assert list((line.gateway.data_dir / "blobs").rglob(media["sha256"])) == []
