"""Calls of real peers, through a child process, as events and recordings."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest

from normalizer.rpc import RpcError
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.agent import Agent, Media, sdp
from tests.sip.line import Line, running

VOICE = sound.sweep(4.0)


def caller(folder: Path, scenario: str = scenarios.TALK_AND_BYE) -> Sipp:
    return Sipp(folder, scenario, speech=sound.encode_ulaw(VOICE))


async def went(sipp: Sipp) -> None:
    outcome = await asyncio.to_thread(sipp.wait)
    assert outcome.code == 0, outcome.log


async def test_a_call_is_answered_recorded_and_told(tmp_path: Path) -> None:
    async with running(tmp_path, record=True, transcribe=False) as line:
        phone = caller(tmp_path).start(line.port, pause_ms=2500)
        offered = await line.until("call.offered")
        ended = await line.until("call.ended")
        ready = await line.until("call.recording.ready")
        await went(phone)

        assert [one["method"] for one in line.events][:3] == ["call.offered", "call.answered", "call.ended"]
        assert offered["transport"] == "udp"
        assert offered["source"] == f"127.0.0.1:{phone.port}"
        assert offered["conversation"]["kind"] == "call"
        assert (ended["reason"], ended["by"], ended["code"]) == ("completed", "remote", 200)
        assert ended["answered"] is ended["recorded"] is True
        assert ended["rtp"]["received"] > 100
        assert ended["rtp"]["mos"] > 4
        assert {one["call_id"] for one in line.events} == {offered["call_id"]}
        blob = tmp_path / "blobs" / ready["media"]["sha256"][:2] / ready["media"]["sha256"]
        heard = sound.read(blob)[:, 0]
        assert sound.lost(VOICE[:16_000], heard) == []
        assert ready.get("complete", True)


@pytest.mark.parametrize("wait_secs", [0.0, 0.2])
async def test_of_who_speaks_at_once_the_first_packet_may_be_lost_and_no_more(tmp_path: Path, wait_secs: float) -> None:
    async with running(tmp_path, record=True, transcribe=False) as line:
        with Agent(line.port) as agent, Media() as media:
            await asyncio.to_thread(speak_when_answered, agent, media, wait_secs)
        ready = await line.until("call.recording.ready")
    heard = sound.read(tmp_path / "blobs" / ready["media"]["sha256"][:2] / ready["media"]["sha256"])[:, 0]
    assert sound.lost(VOICE[:16_000], heard) == []  # all but the first packet
    found = sound.trace(VOICE[:16_000], heard)[0]
    begin = found.lag - found.inserted
    first = heard[begin : begin + sound.FRAME]
    assert not wait_secs or sound.likeness(VOICE[: sound.FRAME], first) > sound.ALIKE


def speak_when_answered(agent: Agent, media: Media, wait_secs: float) -> None:
    agent.send(agent.message(body=sdp(media.port)))
    answers: list[bytes] = []
    while not (taken := [one for one in answers if one.startswith(b"SIP/2.0 200")]):
        answers += agent.answers(0.001)
    found = re.search(rb"m=audio (\d+)", taken[0])
    assert found is not None
    agent.acknowledge(taken)
    time.sleep(wait_secs)
    media.send(int(found[1]), range(150), sound.encode_ulaw(VOICE[:16_000]))
    agent.hang_up(taken)


async def test_the_core_answers_holds_resumes_and_hangs_up(tmp_path: Path) -> None:
    async with running(tmp_path, answer="core", transcribe=False) as line:
        phone = caller(tmp_path, scenarios.GATEWAY_HOLDS).start(line.port)
        call = (await line.until("call.ringing"))["call_id"]
        with pytest.raises(RpcError, match="call is not up: it is ringing"):
            await line.ask("call.hold", call_id=call)
        await line.ask("call.answer", call_id=call)
        assert (await line.until("call.answered"))["by"] == "core"
        await line.ask("call.hold", call_id=call)
        assert (await line.until("call.held"))["by"] == "core"
        await line.ask("call.resume", call_id=call)
        assert (await line.until("call.resumed"))["by"] == "core"
        await line.ask("call.hangup", call_id=call)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"]) == ("completed", "core")
        assert ended["hold_ms"] >= 0
        with pytest.raises(RpcError, match="call is not up"):
            await line.ask("call.hangup", call_id=call)


async def test_the_core_declines(tmp_path: Path) -> None:
    async with running(tmp_path, answer="core", transcribe=False) as line:
        phone = caller(tmp_path, scenarios.refused(486)).start(line.port)
        call = (await line.until("call.ringing"))["call_id"]
        await line.ask("call.hangup", call_id=call, code=486)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"], ended["code"], ended.get("answered", False)) == (
            "busy",
            "core",
            486,
            False,
        )


async def test_nobody_answers(tmp_path: Path) -> None:
    async with running(tmp_path, answer="core", ring_timeout_secs=0.5, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.refused(480)).start(line.port)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"], ended["code"]) == ("no_answer", "policy", 480)


@pytest.mark.parametrize("scenario", [scenarios.CANCEL, scenarios.CANCEL_AT_ONCE], ids=["ringing", "at-once"])
async def test_a_caller_gives_up(tmp_path: Path, scenario: str) -> None:
    async with running(tmp_path, answer="core", transcribe=False) as line:
        phone = caller(tmp_path, scenario).start(line.port, pause_ms=300)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"]) == ("cancelled", "remote")


async def test_keys_by_info_are_told_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.INFO_DIGITS).start(line.port)
        await line.until("call.ended")
        await went(phone)

        keys = line.told("call.dtmf")
        assert "".join(one["digit"] for one in keys) == "4711#"
        assert [one["number"] for one in keys] == [1, 2, 3, 4, 5]


async def test_the_caller_holds_and_resumes(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.HOLD).start(line.port, pause_ms=700)
        held, resumed = await line.until("call.held"), await line.until("call.resumed")
        ended = await line.until("call.ended")
        await went(phone)

        assert held["by"] == resumed["by"] == "remote"
        assert ended["hold_ms"] > 300


async def test_an_invite_without_an_offer_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.DELAYED_OFFER).start(line.port, pause_ms=500)
        await line.until("call.ended", reason="completed")
        await went(phone)


async def test_a_line_on_every_address_names_one_that_can_be_reached(tmp_path: Path) -> None:
    line = Line(tmp_path)
    options = {"listen": f"0.0.0.0:{line.port}", "max_calls": 5, "allow": ["127.0.0.0/8"]}
    async with running(tmp_path, line=line, processes=2, transcribe=False, **options):
        await went(caller(tmp_path).start(line.port, pause_ms=300))
        await line.until("call.ended", reason="completed")
        assert line.connector._pool is not None
        (told,) = line.connector._pool._told[0]

        assert "0.0.0.0" not in told
        assert told.startswith("sip:omnigate@")


async def test_a_prompt_is_played_while_it_rings(tmp_path: Path) -> None:
    prompt = sound.write(tmp_path / "ring.wav", VOICE)
    options = {"answer": "core", "prompts": {"ring": str(prompt)}, "early_media": "ring", "transcribe": False}
    async with running(tmp_path, **options) as line:
        phone = caller(tmp_path, scenarios.EARLY_MEDIA).start(line.port, pause_ms=300)
        ringing = await line.until("call.ringing")
        await line.ask("call.answer", call_id=ringing["call_id"])
        await line.until("call.ended", reason="completed")
        await went(phone)

        assert (ringing["code"], ringing["early_media"]) == (183, True)


async def test_the_public_address_is_what_peers_are_told(tmp_path: Path) -> None:
    public = "198.51.100.7"
    async with running(tmp_path, transcribe=False, public_address=public) as line:
        with Agent(line.port) as agent:
            agent.send(agent.message())
            answers = await asyncio.to_thread(agent.answers, 1)
            agent.hang_up(answers)
        await line.until("call.ended", reason="completed")
        answer = next(answer.decode() for answer in answers if answer.startswith(b"SIP/2.0 200"))

        assert f"Contact: <sip:omnigate@{public}:{line.port}>" in answer
        assert f"c=IN IP4 {public}\r\n" in answer


async def test_who_is_refused_for_now_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False, max_calls=1, retry_after_secs=7) as line:
        with Agent(line.port) as agent:
            first = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
            call = (await line.until("call.answered"))["call_id"]
            for code in (486, 503):
                if code == 503:
                    line.connector.dismiss()
                    await line.wait(lambda: agent.options() == 503, "the drain")
                agent.send(agent.message())
                answers = await asyncio.to_thread(agent.answers, 0.5)
                assert any(
                    one.startswith(b"SIP/2.0 %d " % code) and b"\r\nRetry-After: 7\r\n" in one for one in answers
                )
            await line.ask("call.hangup", call_id=call)
            await went(first)


async def test_packets_that_are_lost_and_late_are_counted_and_lower_the_score(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        with Agent(line.port) as agent, Media() as media:
            agent.send(agent.message(body=sdp(media.port)))
            answers = await asyncio.to_thread(agent.answers, 0.5)
            (port,) = {int(found[1]) for one in answers if (found := re.search(rb"m=audio (\d+)", one))}
            await asyncio.to_thread(media.send, port, [number for number in range(150) if number % 5])
            agent.hang_up(answers)
        rtp = (await line.until("call.ended", reason="completed"))["rtp"]

        assert (rtp["received"], rtp["lost"]) == (120, 29)
        assert rtp["sent"] > 50
        assert rtp["mos"] < 3


async def test_both_sides_hang_up_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.BYES_CROSS).start(line.port)
        call = (await line.until("call.answered"))["call_id"]
        await line.ask("call.hangup", call_id=call)
        await went(phone)
        await line.until("call.ended")
        await line.wait(lambda: not line.connector.active_calls, "its end")

        assert [(one["reason"], one["by"]) for one in line.told("call.ended")] == [("completed", "core")]


async def test_session_timers_are_agreed(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        with Agent(line.port) as agent:
            more = "Supported: timer\r\nSession-Expires: 120\r\nMin-SE: 90\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
            agent.send(agent.message(more=more))
            answers = await asyncio.to_thread(agent.answers, 2)
            agent.hang_up(answers)
        await line.until("call.ended", reason="completed")

        (taken,) = {answer for answer in answers if answer.startswith(b"SIP/2.0 200")}
        assert b"Session-Expires: 120" in taken


async def test_a_transfer_by_a_caller_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.REFER_ATTACK).start(line.port)
        await line.until("call.ended", reason="completed")
        await went(phone)


async def test_a_blind_transfer_ends_the_call(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.transferred()).start(line.port)
        call = (await line.until("call.answered"))["call_id"]
        await line.ask("call.transfer", call_id=call, to="sip:200@127.0.0.1:9")
        moved = await line.until("call.transferred")
        ended = await line.until("call.ended")
        await went(phone)

        assert (moved["target"], moved["ok"], moved["code"]) == ("sip:200@127.0.0.1:9", True, 200)
        assert (ended["reason"], ended["by"]) == ("transferred", "core")


async def test_a_transfer_that_fails_leaves_the_call_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.transferred("486 Busy Here")).start(line.port)
        call = (await line.until("call.answered"))["call_id"]
        await line.ask("call.transfer", call_id=call, to="sip:200@127.0.0.1:9")
        moved = await line.until("call.transferred")
        ended = await line.until("call.ended")
        await went(phone)

        assert (moved.get("ok", False), moved["code"]) == (False, 486)
        assert ended["reason"] == "completed"


async def test_a_caller_who_vanishes_is_hung_up(tmp_path: Path) -> None:
    async with running(tmp_path, rtp_timeout_secs=1, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.SILENT).start(line.port)
        ended = await line.until("call.ended")
        await went(phone)

        assert (ended["reason"], ended["by"]) == ("media_timeout", "gateway")


async def test_the_core_calls_somebody(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.ANSWER).start()
        asked = {"to": f"sip:200@127.0.0.1:{phone.port}", "ref": "ticket 7", "idempotency_key": "once"}
        await asyncio.sleep(0.3)
        call = (await line.ask("call.originate", **asked))["call_id"]
        again = await line.ask("call.originate", **asked)
        answered = await line.until("call.answered")
        await line.ask("call.hangup", call_id=call)
        ended = await line.until("call.ended")
        await went(phone)

        offered = line.told("call.offered")
        assert again == {"call_id": call}
        assert [(one["call_id"], one["direction"], one["ref"]) for one in offered] == [(call, "out", "ticket 7")]
        assert answered["by"] == "remote"
        assert (ended["reason"], ended["by"]) == ("completed", "core")


async def test_somebody_called_is_not_there(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line:
        await line.ask("call.originate", to="sip:200@127.0.0.1:9", timeout_secs=0.5)
        ended = await line.until("call.ended")

        assert ended["reason"] in {"no_answer", "failed"}
        assert ended.get("answered", False) is False


async def test_calls_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, max_calls=1, transcribe=False) as line:
        first = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
        call = (await line.until("call.answered"))["call_id"]
        await went(caller(tmp_path, scenarios.refused(486)).start(line.port))
        await line.ask("call.hangup", call_id=call)
        await went(first)

        assert len(line.told("call.offered")) == 1
        assert line.refusals["busy"] >= 1


async def test_a_stranger_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, allow=["192.0.2.0/24"], transcribe=False) as line:
        await went(caller(tmp_path, scenarios.refused(403)).start(line.port))

        assert line.events == []
        assert line.refusals == {"unauthorized": 1}


async def test_an_address_that_calls_too_often_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, invites_per_minute=6, answer="core", transcribe=False) as line:
        await went(caller(tmp_path, scenarios.CANCEL).start(line.port, pause_ms=50))
        await went(caller(tmp_path, scenarios.refused(503)).start(line.port))

        assert line.refusals == {"throttled": 1}


async def test_a_draining_line_refuses_calls_and_lets_the_others_end(tmp_path: Path) -> None:
    async with running(tmp_path, drain_secs=30, transcribe=False) as line:
        with Agent(line.port) as agent:
            assert await asyncio.to_thread(agent.options) == 200
            first = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
            call = (await line.until("call.answered"))["call_id"]
            line.connector.dismiss()
            await went(caller(tmp_path, scenarios.refused(503)).start(line.port))
            assert await asyncio.to_thread(agent.options) == 503
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(line.connector.drained())
            await asyncio.sleep(0.1)
            assert not drained.done()
            await line.ask("call.hangup", call_id=call)
        await went(first)

        assert [one["reason"] for one in line.told("call.ended")] == ["completed"]
        assert line.refusals == {"draining": 1}


async def test_calls_that_outlast_the_drain_are_hung_up(tmp_path: Path) -> None:
    async with running(tmp_path, drain_secs=0, transcribe=False) as line:
        first = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
        await line.until("call.answered")
        line.connector.dismiss()
        await line.connector.drained()
        await went(first)

        assert [(one["reason"], one["by"]) for one in line.told("call.ended")] == [("gateway_stopped", "gateway")]


async def test_a_crash_of_the_child_ends_its_calls_and_is_mended(tmp_path: Path) -> None:
    async with running(tmp_path, record=True, transcribe=False) as line:
        phone = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port)
        await line.until("call.answered")
        await asyncio.sleep(1)
        os.kill(line.pids()[0], signal.SIGSEGV)
        ended, ready = await line.until("call.ended"), await line.until("call.recording.ready")
        phone.kill()
        await line.wait(line.up, "telephony process")
        await went(caller(tmp_path).start(line.port, pause_ms=300))

        assert (ended["reason"], ended["by"]) == ("gateway_failure", "gateway")
        assert ready["media"]["duration_ms"] > 500
        assert (await line.until("call.ended", 2))["reason"] == "completed"


async def test_a_full_process_sends_callers_to_another(tmp_path: Path) -> None:
    async with running(tmp_path, max_calls=6, processes=2, transcribe=False) as line:
        first = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.port, calls=4, at_once=4)
        await line.until("call.answered", 4)
        await went(caller(tmp_path, scenarios.refused(302)).start(line.port))
        second = caller(tmp_path, scenarios.WAIT_FOR_BYE).start(line.ports[1], calls=2, at_once=2)
        await line.until("call.answered", 6)
        await went(caller(tmp_path, scenarios.refused(486)).start(line.port))
        for one in line.told("call.answered"):
            await line.ask("call.hangup", call_id=one["call_id"])
        await went(first)
        await went(second)

        assert line.ports == [line.port, line.port + 2]
        assert line.refusals == {"redirected": 1, "busy": 1}
