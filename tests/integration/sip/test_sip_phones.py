"""Calls of a second PJSIP: encryption, keys, transfers, and what the channel does by itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from connectors.prompts import PromptMissing
from connectors.sip import wire
from gateway.simulate.call_line import Leg, Line
from gateway.simulate.call_wiring import Wiring
from normalizer.rpc import RpcError
from tests.servers.phone import Phone, heard
from tests.sip import sound
from tests.sip.ears import Ears
from tests.sip.line import running

VOICE = sound.sweep(2.0)
SAID = VOICE.tobytes()


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    return str(sound.write(tmp_path / "prompt.wav", sound.sweep(0.8, seed=5)))


def issued(folder: Path, name: str, ca: trustme.CA) -> dict[str, str]:
    """Write a certificate of an authority, its key and the authority's own; returns the files' names."""
    made, folder = ca.issue_cert("127.0.0.1", "localhost"), folder / name
    folder.mkdir()
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in made.cert_chain_pems:
        blob.write_to_path(str(folder / "cert.pem"), append=True)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return {one: str(folder / f"{one}.pem") for one in ("cert", "key", "ca")}


async def up(leg: Leg) -> Leg:
    async with asyncio.timeout(30):
        await leg.answered.wait()
    return leg


async def over(leg: Leg) -> None:
    async with asyncio.timeout(30):
        await leg.ended.wait()


def uri(port: int, more: str = "") -> str:
    return f"sip:100@127.0.0.1:{port}{more}"


async def test_signalling_and_sound_are_encrypted(tmp_path: Path, certificate: dict[str, str]) -> None:
    options = {"transports": ["udp", "tls"], "tls": {**certificate, "port": 0}, "srtp": "mandatory"}
    async with running(tmp_path, transcribe=False, record=True, **options) as line:
        assert line.connector._pool is not None
        port = line.connector._pool.processes[0].ports["tls"]
        async with Line(Wiring(transport="tls", srtp="mandatory", listens=("udp", "tls"), tls=certificate)) as phone:
            leg = await up(await phone.dial(uri(port, ";transport=tls")))
            await leg.say(SAID)
            await leg.hang_up()
        offered, answered = await line.until("call.offered"), await line.until("call.answered")
        await line.until("call.ended", reason="completed")

        assert offered["transport"] == "tls"
        assert answered["srtp"] is True


async def test_callers_prove_who_they_are_where_an_authority_is_named(tmp_path: Path) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    files = {name: issued(tmp_path, name, ca) for name, ca in (("us", ours), ("peer", ours), ("stranger", foreign))}
    options: dict[str, Any] = {"transports": ["udp", "tls"], "tls": {**files["us"], "port": 0}, "transcribe": False}
    peers = {name: {**files[name], "ca": ""} for name in ("peer", "stranger")} | {"nobody": {}}
    async with running(tmp_path / "line", **options) as line, AsyncExitStack() as stack:
        assert line.connector._pool is not None
        target = uri(line.connector._pool.processes[0].ports["tls"], ";transport=tls")
        phones = {}
        for name, tls in peers.items():
            phones[name] = await stack.enter_async_context(Phone(transport="tls", tls=tls, user=name))
        for name in ("stranger", "nobody"):
            leg = await phones[name].dial(target)
            await over(leg)
            assert not leg.answered.is_set(), name
        await (await up(await phones["peer"].dial(target))).hang_up()
        (offered,) = line.told("call.offered")
        assert (offered["transport"], offered["security"]["verified"]) == ("tls", "mtls")

        answered = await line.ask("call.originate", to=phones["peer"].uri)
        await line.until("call.answered", call_id=answered["call_id"])
        refused = await line.ask("call.originate", to=phones["stranger"].uri)
        ended = await line.until("call.ended", call_id=refused["call_id"])
        assert (ended["reason"], ended.get("answered", False)) == ("failed", False)
        assert phones["stranger"].taken == []


async def test_a_caller_without_encryption_is_refused_where_it_is_mandatory(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False, srtp="mandatory") as line, Line(Wiring()) as phone:
        leg = await phone.dial(uri(line.port))
        await over(leg)

        assert leg.code in {488, 606}


@pytest.mark.parametrize("codec", ["G722", "PCMA"])
async def test_a_codec_by_preference(tmp_path: Path, codec: str) -> None:
    async with running(tmp_path, transcribe=False, record=True, codecs=[codec, "PCMU"]) as line:
        async with Line(Wiring(codecs=(codec,))) as phone:
            leg = await up(await phone.dial(uri(line.port)))
            await leg.say(SAID)
            await leg.hang_up()
        assert (await line.until("call.answered"))["codec"].startswith(codec)
        ready = await line.until("call.recording.ready")
        digest = ready["media"]["sha256"]
        heard = sound.read(tmp_path / "blobs" / digest[:2] / digest)[:, 0]
        assert sound.lost(VOICE[1_600:12_000], heard, alike=0.95) == []  # G.722 adapts meanwhile (0.1 s)


async def test_calls_by_tcp(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line, Line(Wiring(transport="tcp")) as phone:
        leg = await up(await phone.dial(uri(line.port, ";transport=tcp")))
        await leg.hang_up()
        assert (await line.until("call.offered"))["transport"] == "tcp"


async def test_keys_in_and_out(tmp_path: Path) -> None:
    async with running(tmp_path, transcribe=False) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        call = (await line.until("call.answered"))["call_id"]
        await leg.ask("dtmf", digits="47", method="rfc4733")
        await line.until("call.dtmf", 2)
        await line.ask("call.send_dtmf", call_id=call, digits="1p#")
        await line.wait(lambda: len(leg.digits) == 2, "keys out")
        await line.ask("call.send_dtmf", call_id=call, digits="9", method="info")
        await line.wait(lambda: len(leg.digits) == 3, "keys out")
        await leg.hang_up()

        assert [one["digit"] for one in line.told("call.dtmf")] == ["4", "7"]
        assert leg.digits == [("1", "rfc4733"), ("#", "rfc4733"), ("9", "info")]


async def test_a_prompt_is_heard_and_recorded_on_the_right(tmp_path: Path, prompt: str) -> None:
    options = {"prompts": {"hello": prompt}, "greeting": "hello", "record": True, "transcribe": False}
    async with running(tmp_path, **options) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await asyncio.sleep(1.5)
        await leg.hang_up()
        ready = await line.until("call.recording.ready")

        digest = ready["media"]["sha256"]
        right = sound.read(tmp_path / "blobs" / digest[:2] / digest)[:, 1]
        played = sound.read(Path(prompt))
        assert sound.lost(played, right) == []
        heard = sound.np.frombuffer(bytes(leg.heard), dtype="<i2")
        assert sound.lost(played, heard) == []


async def test_who_is_on_hold_hears_music_until_he_is_not(tmp_path: Path, prompt: str) -> None:
    options = {"prompts": {"music": prompt}, "hold_music": "music", "record": True, "transcribe": False}
    music = sound.read(Path(prompt))
    async with running(tmp_path, **options) as line, Phone() as phone:
        leg = await up(await phone.dial(uri(line.port)))
        call = (await line.until("call.answered"))["call_id"]
        await line.ask("call.hold", call_id=call)
        await line.until("call.held")
        await line.wait(lambda: not sound.lost(np.tile(music, 2), heard(leg)), "music, again and again")
        await line.ask("call.resume", call_id=call)
        await line.until("call.resumed")
        await asyncio.sleep(0.5)
        silent_from = len(leg.heard)
        await leg.say(SAID)
        await leg.hang_up()
        ready = await line.until("call.recording.ready")

        assert np.abs(heard(leg)[silent_from // 2 :]).max() < 100
        digest = ready["media"]["sha256"]
        recorded = sound.read(tmp_path / "blobs" / digest[:2] / digest)
        assert sound.lost(VOICE[:12_000], recorded[-len(VOICE) - sound.RATE :, 0]) == []


async def test_the_core_plays_and_records_as_it_likes(tmp_path: Path, prompt: str) -> None:
    async with running(tmp_path, prompts={"one": prompt}, transcribe=False) as line, Phone() as phone:
        leg = await up(await phone.dial(uri(line.port)))
        call = (await line.until("call.answered"))["call_id"]
        with pytest.raises(RpcError, match="not being recorded"):
            await line.ask("call.record", call_id=call, action="pause")
        for action, recording in (("start", True), ("pause", False), ("resume", True)):
            asked = await line.ask("call.record", call_id=call, action=action)
            assert asked == {"call_id": call, "recording": recording}
        assert (await line.ask("call.play", call_id=call, media="one"))["duration_ms"] == 800
        await line.wait(lambda: not sound.lost(sound.read(Path(prompt)), heard(leg)), "the prompt is heard")
        await line.ask("call.record", call_id=call, action="stop")
        first = await line.until("call.recording.ready")
        await line.ask("call.play", call_id=call, media="one", loop=True)
        await line.ask("call.play", call_id=call)  # stops it
        with pytest.raises(PromptMissing):
            await line.ask("call.play", call_id=call, media="two")
        await line.ask("call.record", call_id=call)
        await asyncio.sleep(0.3)
        await leg.hang_up()
        second = await line.until("call.recording.ready", 2)

        assert (first.get("number", 1), second["number"]) == (1, 2)
        digest = first["media"]["sha256"]
        played = sound.read(tmp_path / "blobs" / digest[:2] / digest)[:, 1]
        assert sound.lost(sound.read(Path(prompt))[:4800], played) == []


async def test_an_attended_transfer_joins_two_callers(tmp_path: Path) -> None:
    ada, bob = Line(Wiring(user="ada", refer=True)), Line(Wiring(user="bob", refer=True))
    async with running(tmp_path, transcribe=False) as line, ada, bob:
        first, second = await up(await ada.dial(uri(line.port))), await up(await bob.dial(uri(line.port)))
        calls = [(await line.until("call.answered", number))["call_id"] for number in (1, 2)]
        await line.ask("call.transfer", call_id=calls[0], with_call=calls[1])
        moved = await line.until("call.transferred")
        await over(first)
        await over(second)
        ended = [(await line.until("call.ended", call_id=one))["reason"] for one in calls]

        assert (moved["attended"], moved["ok"]) == (True, True)
        assert ended == ["transferred", "completed"]


async def test_a_message_is_left_after_the_beep(tmp_path: Path, prompt: str) -> None:
    options: dict[str, Any] = {
        "answer": "voicemail", "answer_after_secs": 0.3, "prompts": {"away": prompt},
        "voicemail": {"greeting": "away", "silence_secs": 1.0},
    }  # fmt: skip
    ears = Ears()
    async with running(tmp_path, speech=ears, **options) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await asyncio.sleep(2.0)
        await leg.say(SAID)
        await over(leg)
        left = await line.until("call.voicemail")
        whole = await line.until("call.transcript.final", complete=True)
        ended = await line.until("call.ended")

        assert [one["code"] for one in line.told("call.ringing")] == [180]
        assert (ended["reason"], ended["by"]) == ("completed", "policy")
        assert left["media"]["duration_ms"] >= 2000
        assert (whole["source"], whole["text"]) == ("voicemail", "sound")
        assert line.told("call.recording.ready") == []


@pytest.mark.parametrize(("key", "recorded"), [("9", False), ("", True)], ids=["declines", "says-nothing"])
async def test_a_caller_is_asked_before_the_recording(tmp_path: Path, prompt: str, key: str, *, recorded: bool) -> None:
    options = {"prompts": {"ask": prompt}, "record": True, "consent": {"prompt": "ask", "wait_secs": 0.5}}
    ears = Ears()
    async with running(tmp_path, speech=ears, **options) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        if key:
            await leg.ask("dtmf", digits=key, method="rfc4733")
        await asyncio.sleep(2.5)
        await leg.hang_up()
        ended = await line.until("call.ended")

        assert line.told("call.answered")[0].get("recording", False) is False
        assert ended.get("recorded", False) is recorded
        assert bool(ears.asked) is recorded


async def test_a_caller_chooses_the_language(tmp_path: Path, prompt: str) -> None:
    ears = Ears(languages=("en", "de"))
    options = {"prompts": {"ask": prompt}, "languages": {"prompt": "ask", "keys": {"1": "en", "2": "de"}}}
    async with running(tmp_path, speech=ears, **options) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await leg.ask("dtmf", digits="2", method="rfc4733")
        await line.wait(lambda: ears.asked, "recogniser")
        await leg.say(SAID)
        await leg.hang_up()
        whole = await line.until("call.transcript.final", complete=True)

        assert ears.asked == ["de"]
        assert whole["language"] == "de"


async def test_what_is_said_is_told_while_it_is_said_and_whole_at_the_end(tmp_path: Path) -> None:
    ears = Ears()
    async with running(tmp_path, speech=ears) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await leg.say(SAID + bytes(wire.RATE * 2) + SAID)
        await line.until("call.transcript.final")
        await leg.hang_up()
        whole = await line.until("call.transcript.final", complete=True)

        finals = line.told("call.transcript.final")
        assert [one.get("number", 1) for one in finals] == list(range(1, len(finals) + 1))
        assert [one.get("complete", False) for one in finals] == [False] * (len(finals) - 1) + [True]
        assert whole["segments"] == [segment for one in finals[:-1] for segment in one["segments"]]
        assert {one["method"] for one in line.hints} == {"call.transcript.partial"}
        assert ears.open == set()


@pytest.mark.parametrize("both", [False, True], ids=["caller", "both"])
async def test_without_a_free_recogniser_the_call_is_recorded_and_transcribed_later(
    tmp_path: Path, *, both: bool
) -> None:
    ears = Ears(free=0)
    options = {"transcribe_gateway": both, "phrases": ["yes", "no"], "recording": {"days": 30}}
    async with running(tmp_path, speech=ears, **options) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await leg.say(SAID)
        await leg.hang_up()
        ended = await line.until("call.ended")
        await line.wait(lambda: ears.jobs, "job")

        (job,) = ears.jobs
        assert (job.language, job.source, job.base["call_id"]) == ("en", "recording", ended["call_id"])
        assert job.base["from"]["role"] == "customer"
        assert (job.speakers, job.phrases) == (("caller", "gateway") if both else ("caller",), ("yes", "no"))
        assert job.passing
        assert line.told("call.recording.ready") == []
        assert ended.get("recorded", False) is False


async def test_without_a_model_calls_work_and_the_operator_knows(tmp_path: Path) -> None:
    async with running(tmp_path, speech=Ears(languages=()), record=True) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await leg.say(SAID[: wire.RATE])  # a call without any sound leaves no recording
        await leg.hang_up()
        await line.until("call.recording.ready")

        assert "no model" in (line.reports["asr"] or "")


async def test_a_recogniser_that_dies_is_replaced(tmp_path: Path) -> None:
    ears = Ears()
    async with running(tmp_path, speech=ears, record=True) as line, Line(Wiring()) as phone:
        leg = await up(await phone.dial(uri(line.port)))
        await line.wait(lambda: ears.open, "recogniser")
        next(iter(ears.open)).die()
        await line.wait(lambda: len(ears.asked) == 2, "another recogniser")
        await leg.say(SAID)  # a call without any sound has no recording
        await leg.hang_up()
        await line.until("call.recording.ready")
        await line.wait(lambda: ears.jobs, "job")
