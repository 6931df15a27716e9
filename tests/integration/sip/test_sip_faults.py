"""What goes wrong around calls: a gateway that is killed, a broker that takes nothing, a port that is taken."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from connectors.errors import Busy, Misconfigured
from normalizer.rpc import RpcError
from tests.servers.phone import Phone, up
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.line import Line, running

SPEECH = sound.encode_ulaw(sound.sweep(4.0))


def caller(folder: Path, scenario: str = scenarios.TALK_AND_BYE) -> Sipp:
    return Sipp(folder, scenario, speech=SPEECH)


async def went(sipp: Sipp) -> None:
    outcome = await asyncio.to_thread(sipp.wait)
    assert outcome.code == 0, outcome.log


async def test_who_is_killed_with_calls_tells_their_end_at_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path / "alive", answer="core", record=True, transcribe=False) as line:
        phone = caller(tmp_path).start(line.port, pause_ms=3500)
        call = (await line.until("call.ringing"))["call_id"]
        await line.ask("call.answer", call_id=call)
        ringing = caller(tmp_path, scenarios.refused(486)).start(line.port)
        other = (await line.until("call.ringing", 2))["call_id"]
        await asyncio.sleep(2.5)
        shutil.copytree(tmp_path / "alive", tmp_path / "killed")  # the disk at the moment of a kill -9
        await line.ask("call.hangup", call_id=other, code=486)
        await went(ringing)
        await went(phone)

    heir = Line(tmp_path / "killed")
    async with running(tmp_path / "killed", line=heir, record=True, transcribe=False):
        await heir.until("call.ended", 2)
        ready = await heir.until("call.recording.ready")
    again = Line(tmp_path / "killed")
    async with running(tmp_path / "killed", line=again):
        pass

    ended = heir.told("call.ended", call_id=call)[0]
    assert {(one["call_id"], one["reason"], one["by"]) for one in heir.told("call.ended")} == {
        (one, "gateway_failure", "gateway") for one in (call, other)
    }
    assert ended["answered"] is ended["recorded"] is True
    assert ended["talk_ms"] > 500
    assert heir.told("call.ended", call_id=other)[0].get("answered", False) is False
    assert ready["call_id"] == call
    assert ready["complete"] is False
    assert ready["media"]["duration_ms"] > 1000
    assert again.events == []


async def test_a_broker_and_a_disk_that_take_nothing_delay_the_events_and_lose_none(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        line.failing = Busy(0.05)
        await went(caller(tmp_path).start(line.port, pause_ms=500))
        assert line.events == []
        line.failing = None
        await line.until("call.ended")

        assert [one["method"] for one in line.events] == ["call.offered", "call.answered", "call.ended"]


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", line.port))
        with pytest.raises(ExceptionGroup) as caught:
            async with running(tmp_path, line=line):
                pass
    (reason,) = caught.value.exceptions

    assert isinstance(reason, Misconfigured)
    assert str(line.port) in str(reason)


async def test_a_line_without_a_codec_of_this_build_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with running(tmp_path, codecs=["opus"]):
            pass
    (reason,) = caught.value.exceptions

    assert isinstance(reason, Misconfigured)
    assert "opus" in str(reason)
    assert "PCMU" in str(reason), "what there is"


async def test_only_one_process_of_a_node_takes_calls(tmp_path: Path) -> None:
    async with running(tmp_path, primary=False, processes=0) as line:
        await asyncio.sleep(0.3)
        with pytest.raises(RpcError, match="not up"):
            await line.ask("call.hangup", call_id="call_1")


async def test_a_child_that_does_nothing_any_more_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sip.process.BEAT_SECS", 0.2)
    monkeypatch.setattr("connectors.sip.process.HANG_SECS", 1.0)
    async with running(tmp_path, transcribe=False) as line:
        (stuck,) = line.pids()
        os.kill(stuck, signal.SIGSTOP)
        await line.wait(lambda: line.up() and line.pids() != [stuck], "another process")
        await went(caller(tmp_path).start(line.port, pause_ms=300))


async def test_a_missing_prompt_is_said_and_the_call_goes_on(tmp_path: Path) -> None:
    async with running(
        tmp_path, transcribe=False, prompts={"hello": str(tmp_path / "no.wav")}, greeting="hello"
    ) as line:
        await went(caller(tmp_path).start(line.port, pause_ms=300))
        await line.until("call.ended", reason="completed")

        assert "no.wav" in (line.reports["prompts"] or "")


async def test_a_call_that_takes_too_long_is_hung_up(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False, max_call_secs=0.5) as line:
        phone = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"]) == ("max_duration", "policy")


async def test_a_gateway_that_is_busy_at_the_answer_misses_no_word(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False, record=True) as line:
        phone = caller(tmp_path).start(line.port, pause_ms=3000)
        await line.wait(lambda: line.connector.active_calls, "a call")
        time.sleep(0.8)  # nothing else runs meanwhile: the answer, and sound after it, wait in the socket
        await line.until("call.ended")
        ready = await line.until("call.recording.ready")
        await went(phone)

        digest = ready["media"]["sha256"]
        heard = sound.read(tmp_path / "blobs" / digest[:2] / digest)[:, 0]
        said = sound.sweep(4.0)[:16_000]
        assert sound.lost(said, heard) == []
        assert sound.trace(said, heard)[0].lag < 3200


async def test_a_machine_that_stalls_loses_nothing_that_was_said(tmp_path: Path) -> None:
    """What came meanwhile waits in the socket, and then in the jitter buffer."""
    said = sound.sweep(4.0)
    async with running(tmp_path, transcribe=False, record=True) as line, Phone() as phone:
        leg = await up(await phone.dial(f"sip:100@127.0.0.1:{line.port}"))
        talking = asyncio.Task(leg.say(said.tobytes()))
        await asyncio.sleep(1)
        await stalled(line.pids()[0], 0.8)
        await talking
        await asyncio.sleep(1.2)
        await leg.hang_up()
        ended, ready = await line.until("call.ended"), await line.until("call.recording.ready")

    digest = ready["media"]["sha256"]
    assert sound.lost(said, sound.read(tmp_path / "blobs" / digest[:2] / digest)[:, 0]) == []
    assert ended["rtp"]["lost"] == 0


async def stalled(pid: int, secs: float) -> None:
    """Stop a process, and let it go on."""
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(secs)
    os.kill(pid, signal.SIGCONT)
