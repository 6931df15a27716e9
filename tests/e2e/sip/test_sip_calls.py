"""Calls through a gateway as it is run: sound goes in as RTP, and comes out as a recording and as words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import vosk

from asr.engine import UNKNOWN
from tests import voice
from tests.servers.phone import Phone, heard, up
from tests.servers.process import free_port
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.exchange import Exchange, ears
from tests.sip.sound import Pcm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MakeExchange = Callable[..., Exchange]
MakeSipp = Callable[..., Sipp]
GREETING = sound.sweep(1.5, seed=5)
TLS_PORT = free_port()


@pytest.fixture(scope="module")
def exchange(
    make_exchange: MakeExchange, certificate: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Exchange:
    """A line that answers at once, greets, records and listens."""
    greeting = sound.write(tmp_path_factory.mktemp("prompts") / "greeting.wav", GREETING)
    return make_exchange(
        greeting='"hello"',
        prompts=f'{{ hello = "{greeting}" }}',
        record="true",
        transports='["udp", "tcp", "tls"]',
        tls=f'{{ cert = "{certificate["cert"]}", key = "{certificate["key"]}", port = {TLS_PORT} }}',
        srtp='"optional"',
        rtp_timeout_secs="3",
        max_calls="8",
        gateway_sections=ears(),
    )


def uri(exchange: Exchange) -> str:
    return f"sip:100@127.0.0.1:{exchange.port}"


def samples(name: str) -> Pcm:
    return np.frombuffer(voice.pcm(name), dtype="<i2")


async def say(phone: Phone, target: str, pcm: bytes, headers: dict[str, str] | None = None) -> None:
    leg = await up(await phone.dial(target, headers))
    await leg.say(pcm)
    await asyncio.sleep(1.0)  # on a busy machine the jitter buffer holds so much
    await leg.hang_up()


async def test_what_is_said_is_recorded_as_it_was_and_understood(exchange: Exchange) -> None:
    said = samples("en_seen_us")
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(exchange)))
        await leg.say(said.tobytes())
        await asyncio.sleep(1.0)  # on a busy machine the jitter buffer holds so much
        await leg.hang_up()
        call = exchange.of(phone.ports["udp"])
    recorded = exchange.recording(call)
    assert sound.lost(said, recorded[:, 0]) == []
    assert sound.lost(GREETING, recorded[:, 1]) == []
    assert sound.lost(GREETING, heard(leg)) == []
    assert abs(len(recorded) * 1000 / sound.RATE - exchange.wait("call.ended", call)["talk_ms"]) < 1000
    assert exchange.words(call) == voice.SAMPLES["en_seen_us"]
    told = [one["method"] for one in exchange.core.events if one["params"].get("call_id") == call]
    assert told[:2] == ["call.offered", "call.answered"]
    assert told.count("call.ended") == 1


async def test_a_call_is_encrypted_when_the_caller_asks_for_it(exchange: Exchange) -> None:
    async with Phone(transport="tls", srtp="mandatory") as phone:
        await say(phone, f"sip:100@127.0.0.1:{TLS_PORT};transport=tls", voice.pcm("en_seen_gb"))
    call = exchange.wait_for(lambda: [one for one in exchange.told("call.answered") if one.get("srtp")])[0]["call_id"]
    assert exchange.told("call.offered", call)[0]["transport"] == "tls"
    assert exchange.words(call) == voice.SAMPLES["en_seen_gb"]


async def test_keys_come_by_rtp_and_by_info(exchange: Exchange, make_sipp: MakeSipp) -> None:
    by_info = make_sipp(scenarios.INFO_DIGITS).start(exchange.port)
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(exchange)))
        await leg.ask("dtmf", digits="0815*", method="rfc4733")
        call = exchange.of(phone.ports["udp"])
        exchange.wait("call.dtmf", call, count=5)
        await leg.hang_up()
    assert [(one["digit"], one["method"], one["number"]) for one in exchange.told("call.dtmf", call)] == [
        (digit, "rfc4733", number) for number, digit in enumerate("0815*", 1)
    ]
    outcome = await asyncio.to_thread(by_info.wait)
    assert outcome.code == 0, outcome.log
    keys = exchange.told("call.dtmf", exchange.of(by_info.port))
    assert "".join(one["digit"] for one in keys) == "4711#"
    assert {one["method"] for one in keys} == {"info"}


def test_callers_hold_offer_late_try_to_transfer_us_and_vanish(exchange: Exchange, make_sipp: MakeSipp) -> None:
    said = sound.encode_ulaw(sound.sweep(4.0))
    callers: list[Sipp] = []
    for pair in ((scenarios.HOLD, scenarios.DELAYED_OFFER), (scenarios.REFER_ATTACK, scenarios.VANISH)):
        calling = [make_sipp(one, speech=said).start(exchange.port, pause_ms=1000) for one in pair]
        callers += calling
        for caller in calling:
            outcome = caller.wait()
            assert outcome.code == 0, outcome.log
    holding, late, attacking, vanished = (exchange.of(caller.port) for caller in callers)
    assert exchange.wait("call.held", holding)["by"] == "remote"
    assert exchange.wait("call.resumed", holding)["by"] == "remote"
    assert exchange.wait("call.ended", holding)["hold_ms"] > 500
    assert sound.lost(sound.sweep(4.0)[:6400], exchange.recording(late)[:, 0]) == []
    assert exchange.wait("call.ended", attacking)["reason"] == "completed"
    assert not exchange.told("call.transferred")
    ended = exchange.wait("call.ended", vanished)
    assert (ended["reason"], ended["by"]) == ("media_timeout", "gateway")


async def test_the_whole_way_costs_no_word(exchange: Exchange) -> None:
    """Word error rate through SIP, G.711 and the recogniser's sessions, against the same sound given to Vosk itself."""
    gate = asyncio.Semaphore(3)  # voices at once; beyond what the recognisers can, calls are transcribed later

    async def one(phone: Phone, name: str) -> None:
        async with gate:
            await say(phone, uri(exchange), voice.pcm(name), {"X-Sample": name})

    async with Phone() as phone, asyncio.TaskGroup() as group:
        for name in voice.SPOKEN:
            group.create_task(one(phone, name))
    vosk.SetLogLevel(-1)
    model = vosk.Model(str(voice.MODEL))
    for name, text in voice.SPOKEN.items():
        call = exchange.marked("x-sample", name)
        through, recorded = exchange.words(call), exchange.recording(call)[:, 0]
        assert sound.lost(samples(name), recorded) == []
        offline = _recognise(model, _as_it_came(samples(name), recorded))
        assert voice.errors(text, through) <= voice.errors(text, offline), (name, through, offline)


def _as_it_came(sent: Pcm, recorded: Pcm) -> bytes:
    """Return what was sent, beginning when it did in the call; or what was recorded, if a jitter buffer inserted sound.

    Vosk computes the model for every third frame of 10 ms, and whether it hears the "i" in "can i talk" depends on
    which.
    """
    found = sound.trace(sent, recorded)
    if any(one.inserted for one in found):
        return np.ascontiguousarray(recorded).tobytes()
    return np.concatenate([np.zeros(found[0].lag, dtype="<i2"), sent, np.zeros(sound.RATE, dtype="<i2")]).tobytes()


def _recognise(model: vosk.Model, pcm: bytes) -> str:
    recogniser = vosk.KaldiRecognizer(model, voice.RATE)
    pieces = (pcm[start : start + 960] for start in range(0, len(pcm), 960))
    texts = [recogniser.Result() for piece in pieces if recogniser.AcceptWaveform(piece)]
    said = " ".join(msgspec.json.decode(text)["text"] for text in (*texts, recogniser.FinalResult()))
    return " ".join(word for word in said.split() if word != UNKNOWN)


@pytest.mark.parametrize("name", ["silence_digital", "noise_white"])
async def test_nothing_is_understood_where_nobody_speaks(exchange: Exchange, name: str) -> None:
    async with Phone() as phone:
        await say(phone, uri(exchange), voice.pcm(name))
        call = exchange.of(phone.ports["udp"])
    exchange.wait("call.recording.ready", call)
    assert not any(one["text"] for one in exchange.told("call.transcript.final", call))


def test_the_simulator_calls_the_channel_of_the_configuration(exchange: Exchange, tmp_path: Path) -> None:
    record = tmp_path / "heard.wav"
    arguments = ("--calls", "2", "--at-once", "2", "--record", str(record))
    done = exchange.gateway.cli("simulate", "call", *arguments, timeout=60)
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout)
    assert (told["answered"], told["statuses"]) == (2, {"200": 2})
    assert sound.lost(GREETING, sound.read(record)[:, 1]) == []
