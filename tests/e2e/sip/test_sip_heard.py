"""What is heard of calls: both voices, by the caller's language, only certain phrases, later when nobody is free."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from tests import voice
from tests.servers.mail_core import Core
from tests.servers.phone import Phone, up
from tests.servers.process import free_port, wait_until
from tests.sip import sound
from tests.sip.exchange import CHANNEL, Exchange, line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PORTS = {name: free_port() for name in ("both", "choosing", "foreign")}
ASR = f"""
models = {{ en = "{voice.MODEL}", de = "{voice.MODEL}" }}
workers = 1
max_sessions = 2
final_secs = 1
"""
SAID = voice.pcm("en_seen_us")
WORDS = voice.SAMPLES["en_seen_us"]


@pytest.fixture(scope="module")
def exchange(make_exchange: Callable[..., Exchange], tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """A line, one on which the gateway is transcribed as well, one with languages and phrases, one without a model."""
    greeting = np.frombuffer(voice.pcm("en_seen_gb"), dtype="<i2")
    hello = sound.write(tmp_path_factory.mktemp("prompts") / "hello.wav", greeting)
    more = line(
        PORTS["both"], channel="both", transcribe_gateway="true", greeting='"hello"', prompts=f'{{ hello = "{hello}" }}'
    )
    languages = '{ keys = { "1" = "en", "2" = "de" }, wait_secs = 60 }'
    more += line(PORTS["choosing"], channel="choosing", languages=languages, phrases='["yes please", "no"]')
    more += line(PORTS["foreign"], channel="foreign", language='"fi"', record="true")
    return make_exchange(more=more, gateway_sections={"asr": ASR})


@pytest.fixture
def core(exchange: Exchange) -> Iterator[Callable[[str], Core]]:
    """Read the events of another line."""
    made: list[Core] = []

    def make(channel: str) -> Core:
        made.append(Core(exchange.gateway, channel))
        return made[-1]

    wait_until(lambda: exchange.gateway.total("gateway_asr_room"), timeout=30, what="a recogniser")
    yield make
    for one in made:
        one.close()


def uri(port: int) -> str:
    return f"sip:100@127.0.0.1:{port}"


def recogniser(exchange: Exchange) -> psutil.Process:
    family = psutil.Process(exchange.gateway.pid).children(recursive=True)
    (found,) = [one for one in family if "asr.worker" in one.cmdline()]
    return found


async def whole(core: Core) -> dict[str, Any]:
    """Wait for the transcript that says all."""

    def found() -> list[dict[str, Any]]:
        return [one for one in core.told("call.transcript.final") if one.get("complete")]

    await asyncio.to_thread(wait_until, found, timeout=60, what="a complete transcript")
    return found()[0]


async def test_both_voices_are_told_apart_while_they_speak(core: Callable[[str], Core]) -> None:
    both = await asyncio.to_thread(core, "both")
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(PORTS["both"])))
        await leg.say(SAID)
        await asyncio.sleep(0.5)
        await leg.hang_up()
        told = await whole(both)

    spoken = {one["speaker"]: (one.get("channel", 0), one["text"]) for one in told["segments"]}
    assert spoken == {"caller": (0, WORDS), "gateway": (1, voice.SAMPLES["en_seen_gb"])}
    assert (told.get("source", "live"), told["language"]) == ("live", "en")
    talked = (await asyncio.to_thread(both.wait, "call.ended"))[0]["talk_ms"] / 1000
    for speaker in ("caller", "gateway"):
        partials = [one for one in both.told("call.transcript.partial") if one["segments"][0].get("speaker") == speaker]
        assert 1 <= len(partials) <= 2 * talked + 1
        assert not any(one["segments"][0].get("words") for one in partials)


async def test_a_language_is_chosen_by_key_and_only_phrases_are_heard(core: Callable[[str], Core]) -> None:
    choosing = await asyncio.to_thread(core, "choosing")
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(PORTS["choosing"])))
        await leg.ask("dtmf", digits="2", method="rfc4733")
        await asyncio.to_thread(choosing.wait, "call.dtmf")
        await leg.say(voice.pcm("en_yes") + bytes(16_000) + SAID)
        await asyncio.sleep(0.3)
        await leg.hang_up()
        told = await whole(choosing)

    assert told["language"] == "de"
    assert told["text"].startswith("yes please")
    assert set(told["text"].split()) <= {"yes", "please", "no"}


async def test_a_line_without_a_model_is_degraded_and_takes_calls(
    exchange: Exchange, core: Callable[[str], Core]
) -> None:
    """Beside it there is a recording that nobody knows anything of: it is kept, and counted."""
    folder = exchange.gateway.data_dir / "recordings" / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orphan.wav").write_bytes(voice.wav(voice.stereo(SAID, SAID), channels=2))
    foreign = await asyncio.to_thread(core, "foreign")
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(PORTS["foreign"])))
        await leg.say(SAID)
        await leg.hang_up()
    (ended,) = await asyncio.to_thread(foreign.wait, "call.ended")
    await asyncio.to_thread(foreign.wait, "call.recording.ready")

    assert ended["reason"] == "completed"
    status = (await asyncio.to_thread(foreign.wait, "channel.status"))[0]
    assert (status["status"], status["component"]) == ("degraded", "asr")
    assert "'fi'" in status["reasons"][0]
    assert foreign.told("call.transcript.final") == []
    await asyncio.to_thread(
        wait_until,
        lambda: exchange.gateway.total("gateway_parked_recordings", channel="foreign") == 1,
        timeout=20,
        what="the recording that cannot be stored is counted",
    )
    assert exchange.gateway.total("gateway_parked_recordings", channel=CHANNEL) == 0


async def test_a_recogniser_that_hangs_delays_the_last_words_by_no_more_than_the_cap(exchange: Exchange) -> None:
    worker = await asyncio.to_thread(recogniser, exchange)
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(exchange.port)))
        call = await asyncio.to_thread(exchange.of, phone.ports["udp"])
        talking = asyncio.Task(leg.say(SAID))
        await asyncio.to_thread(exchange.wait, "call.transcript.partial", call)
        worker.suspend()
        try:
            await talking
            shown = exchange.told("call.transcript.partial", call)[-1]["text"]
            await leg.hang_up()
            words = await asyncio.to_thread(exchange.words, call)
        finally:
            worker.resume()

    assert shown
    assert words.startswith(shown)  # a partial may not have come: it is not durable
    assert WORDS.startswith(words)


async def test_after_a_recogniser_was_killed_the_next_goes_on_with_the_call(exchange: Exchange) -> None:
    worker = await asyncio.to_thread(recogniser, exchange)
    async with Phone() as phone:
        leg = await up(await phone.dial(uri(exchange.port)))
        call = await asyncio.to_thread(exchange.of, phone.ports["udp"])
        await leg.say(SAID + bytes(8_000))
        await asyncio.to_thread(exchange.wait, "call.transcript.final", call)
        before = await asyncio.to_thread(restarts, exchange)
        worker.kill()
        await asyncio.to_thread(
            wait_until,
            lambda: restarts(exchange) > before and exchange.gateway.total("gateway_asr_sessions") == 1,
            timeout=30,
            what="another recogniser",
        )
        await leg.say(voice.pcm("en_yes"))
        await asyncio.sleep(0.3)
        await leg.hang_up()
        words = await asyncio.to_thread(exchange.words, call)

    assert words == f"{WORDS} yes please"
    starts = [one["start_ms"] for one in exchange.told("call.transcript.final", call)[-1]["segments"]]
    assert starts == sorted(starts)
    assert starts[-1] > 3000  # by the clock of the call


async def test_a_call_that_nobody_could_listen_to_is_transcribed_later_also_by_the_next_gateway(
    exchange: Exchange, core: Callable[[str], Core]
) -> None:
    both = await asyncio.to_thread(core, "both")
    async with Phone() as talking, Phone() as phone:
        await up(await talking.dial(uri(PORTS["both"])))  # takes both sessions there are
        await asyncio.to_thread(both.wait, "call.answered")
        await asyncio.to_thread(
            wait_until, lambda: exchange.gateway.total("gateway_asr_sessions") == 2, timeout=20, what="all are busy"
        )
        worker = await asyncio.to_thread(recogniser, exchange)
        worker.suspend()
        try:
            leg = await up(await phone.dial(uri(exchange.port)))
            call = await asyncio.to_thread(exchange.of, phone.ports["udp"])
            await leg.say(SAID)
            await asyncio.sleep(0.3)
            await leg.hang_up()
            await asyncio.to_thread(exchange.wait, "call.ended", call)
            await asyncio.to_thread(wait_until, lambda: pending(exchange) == 1, timeout=20, what="a job")
            exchange.core.close()
            await asyncio.to_thread(exchange.gateway.kill9)
        finally:
            worker.send_signal(signal.SIGKILL)
    await asyncio.to_thread(exchange.gateway.restart)
    exchange.listen()
    words = await asyncio.to_thread(exchange.words, call)
    told = [one for one in exchange.told("call.transcript.final", call) if one.get("complete")]

    assert words == WORDS
    assert [one["source"] for one in told] == ["recording"]
    assert [one["speaker"] for one in told[0]["segments"]] == ["caller"]
    assert exchange.told("call.recording.ready", call) == []
    await asyncio.to_thread(wait_until, lambda: pending(exchange) == 0, timeout=20, what="no job")


def restarts(exchange: Exchange) -> float:
    return exchange.gateway.total("gateway_asr_restarts_total")


def pending(exchange: Exchange) -> float:
    return exchange.gateway.total("gateway_transcriptions_pending", channel=CHANNEL)
