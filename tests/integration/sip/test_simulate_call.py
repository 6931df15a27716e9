"""Simulated callers against real telephones: sipp and a second PJSIP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from connectors.sip.wire import RATE
from gateway.commands.simulate_call import host_and_port, summarize, with_transport
from gateway.simulate.call import CallReport, Calls, ring
from gateway.simulate.call_line import Line, LineFault
from gateway.simulate.call_sound import HELLO, NoSound, load, save
from gateway.simulate.call_wiring import Wiring
from tests.servers.phone import Phone, heard, up
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound

MakeSipp = Callable[[str], Sipp]
OMNIGATE = str(Path(sys.executable).with_name("omnigate"))


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [OMNIGATE, "simulate", "call", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


async def test_what_a_caller_says_is_heard_as_he_said_it_and_his_keys_arrive() -> None:
    said = sound.sweep(3.0)
    async with Phone() as phone:
        calls = Calls(dtmf="47#")
        report = await ring(phone.uri, calls, Wiring(), said.tobytes())
        leg = await phone.next_call()
    assert (report.sent, report.accepted, report.failed) == (1, 1, 0)
    assert dict(report.statuses) == {200: 1}
    assert report.transmitted > 150
    assert sound.lost(said, heard(leg)) == []
    assert leg.digits == [("4", "rfc4733"), ("7", "rfc4733"), ("#", "rfc4733")]


async def test_keys_can_go_by_info_and_the_other_side_can_hang_up(tmp_path: Path) -> None:
    async with Phone() as phone, Line(Wiring()) as caller:
        leg = await up(await caller.dial(phone.uri))
        await leg.ask("dtmf", digits="5", method="info")
        theirs = await phone.next_call()
        await theirs.say(sound.sweep(1.0, seed=2).tobytes())
        await theirs.hang_up()
        await leg.ended.wait()
    assert theirs.digits == [("5", "info")]
    save(tmp_path / "both.wav", bytes(leg.said), bytes(leg.heard))
    both = sound.read(tmp_path / "both.wav")
    assert not both[:, 0].any()
    assert sound.lost(sound.sweep(1.0, seed=2)[:6400], both[:, 1]) == []  # of the rest the jitter buffer had some


async def test_many_calls_at_once_need_several_processes() -> None:
    async with Phone(calls=4) as one, Phone(calls=4) as other:
        report = await ring(one.uri, Calls(calls=6, at_once=3, secs=0.3), Wiring(), b"")
        more = await ring(other.uri, Calls(calls=6, at_once=6, secs=1.0), Wiring(), b"")
    assert (report.sent, report.accepted) == (6, 6)
    assert (more.sent, more.accepted, more.failed) == (6, 4, 2)  # four at a time is what the other telephone can
    assert more.statuses[486] == 2
    assert "all lines are busy" in " ".join(more.hints())


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_calls_go_by_other_transports(transport: str, certificate: dict[str, str]) -> None:
    tls = certificate if transport == "tls" else {}
    async with Phone(transport=transport, tls=tls, srtp="mandatory") as phone:
        report = await ring(phone.uri, Calls(secs=0.5), Wiring(transport=transport, srtp="mandatory"), b"\0" * RATE)  # type: ignore[arg-type]
        refused = await ring(phone.uri, Calls(secs=0.5), Wiring(transport=transport), b"\0" * RATE)  # type: ignore[arg-type]
        leg = await phone.next_call()
    assert report.accepted == 1
    assert leg.media[0]["srtp"] is True
    assert dict(refused.statuses) == {488: 1}


async def test_a_port_that_is_taken_is_a_clear_error() -> None:
    async with Phone() as phone:
        with pytest.raises(LineFault, match="already in use"):
            async with Line(Wiring(port=phone.ports["udp"])):
                pass


def test_the_command_calls_and_sums_up(make_sipp: MakeSipp, tmp_path: Path) -> None:
    sipp = make_sipp(scenarios.ANSWER).start(calls=2)
    heard = tmp_path / "heard.wav"
    done = simulate("--to", f"sip:7@127.0.0.1:{sipp.port}", "--calls", "2", "--secs", "0.5", "--record", str(heard))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["calls"], told["answered"], told["failed"], told["statuses"]) == (2, 2, 0, {"200": 2})
    assert told["setup_ms"]["mean"] > 0
    assert told["packets"]["sent"] > 20
    assert sipp.wait().succeeded == 2
    assert {one.name for one in tmp_path.glob("heard*.wav")} == {"heard.wav", "heard-2.wav"}
    assert sound.read(heard).shape[1] == 2


def test_the_command_fails_when_a_call_does(make_sipp: MakeSipp) -> None:
    busy = make_sipp(scenarios.declining("486 Busy Here")).start()
    done = simulate("--to", f"sip:7@127.0.0.1:{busy.port}")
    assert done.returncode == 1
    assert json.loads(done.stdout)["statuses"] == {"486": 1}
    assert "all lines are busy" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nobody"], "no SIP URI"),
        (["--to", "sip:somebody@"], "no SIP URI"),
        (["--to", "sip:7@127.0.0.1", "--wav", "missing.wav"], "there is no such file"),
        (["--to", "sip:7@127.0.0.1", "--wav", __file__], "cannot be decoded"),
        (["--to", "sip:7@127.0.0.1", "--calls", "0"], "at least 1"),
        (["--to", "sip:7@127.0.0.1", "--record", "missing/heard.wav"], "no folder missing"),
        (["--to", "sip:7@127.0.0.1", "--codec", "foo"], "it has G722"),
        (["--to", "sip:7@127.0.0.1", "--dtmf", "12x"], "keys are"),
    ],
    ids=["uri", "host", "file", "format", "calls", "folder", "codec", "keys"],
)
def test_the_command_says_what_is_wrong(arguments: list[str], words: str) -> None:
    done = simulate(*arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_files_of_any_rate_are_brought_to_that_of_telephones(tmp_path: Path) -> None:
    tone = (8000 * np.sin(np.arange(44_100) * 2 * np.pi * 440 / 44_100)).astype(np.int16)
    found = np.frombuffer(load(sound.write(tmp_path / "tone.wav", tone, 44_100)), dtype="<i2")
    assert abs(found.size - RATE) < 100
    loudest = np.argmax(np.abs(np.fft.rfft(found))) * RATE / found.size
    assert abs(loudest - 440) < 2
    assert load(HELLO) == sound.read(HELLO).tobytes()
    with pytest.raises(NoSound, match="no such file"):
        load(tmp_path / "not there")


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sip:100@192.0.2.7:5060", ("192.0.2.7", 5060)),
        ("sip:pbx.example", ("pbx.example", None)),
        ("sips:a@[::1]:5061;transport=tls", ("::1", 5061)),
        ("sip:a@b?x=y", ("b", None)),
    ],
)
def test_the_host_of_a_uri_is_found(uri: str, found: tuple[str, int | None]) -> None:
    assert host_and_port(uri) == found


def test_a_uri_names_its_transport() -> None:
    assert with_transport("sip:a@b", "udp") == "sip:a@b"
    assert with_transport("sip:a@b", "tls") == "sip:a@b;transport=tls"
    assert with_transport("sip:a@b;transport=tcp", "tls") == "sip:a@b;transport=tcp"


def test_people_read_words() -> None:
    report = CallReport(sent=2, accepted=1, failed=1, seconds=2.0, received=50, transmitted=51, reason="Busy Here")
    report.statuses.update({200: 1, 486: 1})
    report.latencies.append(0.05)
    report.jitter_ms.append(1.5)
    words = summarize(report, json=False)
    assert "2 calls, 1 answered, 1 failed" in words
    assert "1 x 200, 1 x 486" in words
    assert "set-up: mean 50 ms" in words
    assert "Busy Here" in words
