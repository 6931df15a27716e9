"""The parts of the SIP channel that need no PJSIP."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sip import wire
from connectors.sip.admission import HOP, REMEMBER_SECS, Admission, Refusal
from connectors.sip.config import SipConfig
from connectors.sip.lines import child_config, children, target
from connectors.sip.mos import mos
from connectors.sip.player import AHEAD_FRAMES, Player
from connectors.sip.prompts import beep
from connectors.sip.punctuality import Punctuality
from normalizer import sip_uri
from normalizer.codecs.sip import party
from tests.clocks import Clock


def invite(call_id: str = "a", *, to: str = "<sip:100@gw>", uri: str = "sip:100@gw", header: str = "Call-ID") -> str:
    return f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nTo: {to}\r\n{header}: {call_id}\r\n\r\nv=0\r\n"


class Door:
    """An admission with a clock and a number of free places."""

    def __init__(self, *, allow: tuple[str, ...] = (), per_minute: int = 0) -> None:
        self.clock, self.free, self.calm = Clock(), True, True
        self.streams: list[int] = []
        self.admission = Admission(
            allow=allow,
            per_minute=per_minute,
            retry_after=7,
            room=lambda: self.free,
            calm=self._calm,
            clock=self.clock,
        )

    def _calm(self, streams: int) -> bool:
        self.streams.append(streams)
        return self.calm

    def __call__(self, message: str, source: str = "192.0.2.1:5060") -> Refusal | None:
        return self.admission.invite(source, message)


def test_a_call_passes_while_there_is_room() -> None:
    door = Door()
    assert door(invite("a")) is None
    door.free = False
    assert door(invite("b")) == Refusal(486, "busy", 7)
    door.free = True
    assert door(invite("b")) is None, "it was only busy"


def test_offers_of_many_streams_are_refused_and_those_of_some_are_paced() -> None:
    """PJSIP takes sockets for every stream of an offer, and aborts when it has no more."""
    door = Door()
    assert door(invite("a") + "m=audio 4 RTP/AVP 0\r\n" * 3) is None
    assert door(invite("b") + "m=audio 4 RTP/AVP 0\r\n" * 9) == Refusal(488, "media")
    within = invite("a", to="<sip:100@gw>;tag=77")
    assert door(within + "m=audio 4 RTP/AVP 0\r\n") is None
    assert door(within + "m=audio 4 RTP/AVP 0\r\n" * 9) == Refusal(488, "media")
    door.calm = False
    assert door(within + "m=audio 4 RTP/AVP 0\r\n") is None
    refused = door(within + "m=audio 4 RTP/AVP 0\r\n" * 2)
    assert refused is not None
    assert refused.why == "paced"
    assert door.streams == [3, 1]


def test_an_invite_within_a_call_and_one_that_was_judged_pass_always() -> None:
    door = Door(per_minute=6)
    assert door(invite("a")) is None
    door.free = False
    door.admission.draining = True
    assert door(invite("a")) is None
    assert door(invite("z", to="<sip:100@gw>;tag=77")) is None
    assert door(invite("z", to="Ada <sip:100@gw>; Tag=77", header="i").replace("To:", "t :")) is None
    door.clock.now += REMEMBER_SECS + 1
    assert door(invite("a")) == Refusal(503, "draining", 7)


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        ("192.0.2.9:5060", True),
        ("[2001:db8::9]:5060", True),
        ("[::ffff:192.0.2.9]:1", True),
        ("198.51.100.1:5060", False),
        ("nonsense", False),
    ],
)
def test_only_named_networks_may_call(source: str, *, passes: bool) -> None:
    door = Door(allow=("192.0.2.0/24", "2001:db8::/32"))
    assert door(invite(), source) == (None if passes else Refusal(403, "forbidden"))


def test_an_address_has_a_rate_of_its_own() -> None:
    door = Door(per_minute=12)
    verdicts = [door(invite(f"a{number}")) for number in range(4)]
    assert verdicts == [None, None, Refusal(503, "rate", 7), Refusal(503, "rate", 7)]
    assert door(invite("b"), "192.0.2.2:5060") is None
    door.clock.now += 5
    assert door(invite("a9")) is None


def test_a_full_process_sends_a_caller_on_once() -> None:
    door = Door()
    door.free, door.admission.others = False, ["sip:omnigate@192.0.2.5:5062"]
    assert door(invite("a")) == Refusal(302, "redirected", contact="sip:omnigate@192.0.2.5:5062")
    assert door(invite("b", uri=f"sip:omnigate@gw:5062;{HOP}=1")) == Refusal(486, "busy", 7)


def test_calls_that_come_too_fast_for_the_library_come_again() -> None:
    door = Door()
    door.calm = False
    assert door(invite("a")) == Refusal(0, "paced", 1)
    assert door(invite("b").replace("/UDP", "/TCP")) == Refusal(503, "paced", 1)
    door.calm = True
    assert door(invite("a")) is None


def test_options_are_answered_truthfully() -> None:
    door = Door()
    assert door.admission.options() is None
    door.admission.draining = True
    assert door.admission.options() == Refusal(503, "draining", 7)


@given(st.text(max_size=200), st.text(max_size=40))
def test_nonsense_is_judged_too(message: str, source: str) -> None:
    door = Door(allow=("192.0.2.0/24",), per_minute=60)
    door(message, source)


PARTIES = {
    '"Ada \\"A\\" B" <sip:+4930123@Trunk.Example:5060;user=phone>;tag=x': ("tel", "+4930123", 'Ada "A" B'),
    "Ada <sip:ada@example.com>": ("sip", "ada@example.com", "Ada"),
    "sip:100@[2001:db8::1]:5080;tag=9": ("sip", "100@[2001:db8::1]", None),
    "<tel:+1-202-555-0123>": ("tel", "+12025550123", None),
    "<sips:%2B4930123456@example.com>": ("tel", "+4930123456", None),
    "<sip:anonymous@anonymous.invalid>;tag=1": ("sip", "anonymous", None),
    "": ("sip", "unknown", None),
    "<http://x>": ("sip", "unknown", None),
}


@pytest.mark.parametrize(("text", "expected"), PARTIES.items(), ids=range(len(PARTIES)))
def test_a_from_header_says_who_calls(text: str, expected: tuple[str, str, str | None]) -> None:
    found = party(text, "customer")
    value = found.addresses[0].value.replace("-", "") if expected[0] == "tel" else found.addresses[0].value
    assert (found.addresses[0].scheme, value, found.name) == expected


@given(st.text(max_size=300))
def test_any_header_says_somebody(text: str) -> None:
    assert party(text, "customer").addresses
    sip_uri.headers(text)


def test_headers_are_unfolded_and_have_full_names() -> None:
    found = sip_uri.headers(
        "INVITE sip:x SIP/2.0\r\nf: <sip:a@b>\r\n ;tag=7\r\nX-Queue: one\r\nx-queue: two\r\n\r\nX: y"
    )
    assert found == {"from": ["<sip:a@b> ;tag=7"], "x-queue": ["one", "two"]}


def test_the_score_falls_with_loss_delay_and_jitter() -> None:
    usual: dict[str, Any] = {"lost": 0, "received": 1000, "jitter_ms": 1.0, "buffer_ms": 60.0, "rtt_ms": 20.0}

    def score(codec: str = "PCMU", **changes: float) -> float:
        return mos(codec, **{**usual, **changes})

    assert 4.2 < score() <= 4.5
    losses = [score(lost=lost) for lost in (0, 10, 50, 200, 900)]
    assert all(worse < better for better, worse in pairwise(losses))
    assert score(rtt_ms=800) < score(rtt_ms=200) < score()
    assert score("GSM") < score()
    assert score(received=0, lost=1000) >= 1.0


@given(st.integers(0, 10**6), st.integers(0, 10**6), *[st.floats(0, 10**5)] * 3)
def test_the_score_is_one(lost: int, received: int, jitter: float, buffer: float, trip: float) -> None:
    score = mos("PCMA", lost=lost, received=received, jitter_ms=jitter, buffer_ms=buffer, rtt_ms=trip)
    assert 1.0 <= score <= 4.5
    assert math.isfinite(score)


class Child:
    """What a player plays to: takes sound, and plays three frames a tick."""

    def __init__(self) -> None:
        self.sound, self.heard = bytearray(), bytearray()
        self.player = Player(self.sound.extend, self.sound.clear)

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.player.tick(-(-len(self.sound) // wire.FRAME))
            self.heard += self.sound[: wire.FRAME * wire.FRAMES]
            del self.sound[: wire.FRAME * wire.FRAMES]


def test_pieces_are_played_one_after_the_other_and_end_when_they_were_heard() -> None:
    child = Child()
    first = child.player.play(b"a" * wire.FRAME * 100)
    second = child.player.play(b"b" * wire.FRAME * 3, interrupt=False)
    child.ticks(34)
    assert (first.done.is_set(), second.done.is_set()) == (False, False)
    child.ticks(3)
    assert first.done.is_set()
    assert second.done.is_set()
    assert bytes(child.heard) == first.pcm + second.pcm
    assert child.player.idle


def test_the_child_never_has_more_than_a_second_in_store() -> None:
    child = Child()
    child.player.play(bytes(wire.FRAME * 1000))
    child.player.tick(0)
    assert len(child.sound) == AHEAD_FRAMES * wire.FRAME
    child.player.tick(AHEAD_FRAMES)
    assert len(child.sound) == AHEAD_FRAMES * wire.FRAME


def test_something_that_loops_goes_on_until_something_else_begins() -> None:
    child = Child()
    music = child.player.play(b"abcd" * 100, loop=True)
    child.ticks(50)
    assert bytes(child.heard[:800]) == b"abcd" * 200
    assert not music.done.is_set()
    child.player.play(b"x" * wire.FRAME)
    child.ticks(2)
    assert music.done.is_set()
    assert child.player.idle


def test_a_call_that_is_over_plays_nothing() -> None:
    child = Child()
    before = child.player.play(bytes(wire.FRAME))
    child.player.close()
    assert before.done.is_set()
    assert child.player.play(bytes(wire.FRAME)).done.is_set()
    assert child.player.play(b"").done.is_set()


def test_the_beep_is_short_and_not_too_loud() -> None:
    samples = memoryview(beep()).cast("h")
    assert len(samples) == wire.RATE * 4 // 10
    assert max(samples) <= 8000


def config(**options: Any) -> SipConfig:
    return msgspec.convert({"listen": "192.0.2.7:5060", **options}, SipConfig)


def test_processes_have_ports_of_their_own() -> None:
    options = config(max_calls=10, rtp_ports=[20_000, 20_299], tls={"cert": "c", "key": "k"}, transports=["udp", "tls"])
    made = [child_config(options, index, 4) for index in range(children(10, 4))]
    assert [(one["port"], one["tls"]["port"]) for one in made] == [(5060, 5061), (5062, 5063), (5064, 5065)]
    assert [one["rtp"] for one in made] == [[20_000, 20_099], [20_100, 20_199], [20_200, 20_299]]


def test_only_the_first_process_registers() -> None:
    options = config(max_calls=8, registrar={"uri": "sip:pbx.example", "user": "100"})
    made = [child_config(options, index, 4)["lines"][1] for index in range(2)]
    assert [(one["id"], one["register"]) for one in made] == [
        ("sip:100@pbx.example", True),
        ("sip:100@pbx.example", False),
    ]


LINES = {
    "registrar": {"uri": "sip:pbx.example:5070;transport=tcp", "user": "100"},
    "registrars": {"trunk": {"uri": "sip:sbc.trunk.example", "user": "49301", "domain": "trunk.example"}},
}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("+49 (30) 123-456", ("main", "sip:+4930123456@pbx.example:5070;transport=tcp")),
        ("tel:+49-30-123456", ("main", "sip:+4930123456@pbx.example:5070;transport=tcp")),
        ("sip:bob@trunk.example", ("trunk", "sip:bob@trunk.example")),
        ("sip:bob@elsewhere.example", ("main", "sip:bob@elsewhere.example")),
    ],
)
def test_a_call_goes_out_by_the_line_it_belongs_to(to: str, expected: tuple[str, str]) -> None:
    assert target(config(**LINES), to) == expected


def test_a_number_needs_somebody_who_knows_it() -> None:
    with pytest.raises(ValueError, match="neither"):
        target(config(), "+4930123456")
    with pytest.raises(ValueError, match="no number"):
        target(config(**LINES), "what; drop")
    assert target(config(outbound_proxy="sip:sbc.example:5080"), "123") == ("", "sip:123@sbc.example:5080")


WRONG = {
    "listen": "localhost:5060",
    "transports": [],
    "rtp_ports": [20_000, 20_003],
    "greeting": "hello",
    "consent": {"prompt": "ask"},
    "allow": ["everybody"],
    "public_address": "gw.example",
    "registrar": {"uri": "pbx", "user": "100"},
    "languages": {"keys": {"10": "en"}},
    "codecs": ["G729"],
    "srtp": "yes",
}


@pytest.mark.parametrize("option", WRONG)
def test_an_option_that_cannot_be_right_is_refused(option: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        config(**{option: WRONG[option]})


def test_tls_needs_a_certificate() -> None:
    with pytest.raises(msgspec.ValidationError, match="give `tls"):
        config(transports=["tls"])


def remarks(**options: Any) -> set[str]:
    return {one.path for one in config(**options).remarks(shared=False)}


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    assert remarks(allow=["192.0.2.0/24"]) == set()
    assert remarks() == {"allow"}
    assert remarks(listen="127.0.0.1:5060") == set()
    assert remarks(listen="127.0.0.1:5060", prompts={"x": str(tmp_path / "x.wav")}) == {"prompts.x"}
    assert remarks(listen="127.0.0.1:5060", srtp="optional") == {"srtp"}
    assert remarks(transfer_allowed=True) == {"allow", "transfer_allowed"}
    assert remarks(listen="127.0.0.1:5060", max_calls=8, overflow="reject") == {"overflow"}


def test_without_pjsua2_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sip.config.find_spec", lambda _: None)
    (remark,) = config(listen="127.0.0.1:5060").remarks(shared=False)
    assert "omnigate[sip]" in remark.hint


def test_sound_is_late_by_the_schedule_of_its_clock() -> None:
    seen = Punctuality()
    for number in range(10):
        made = 100 + number * 0.06
        seen.took(made, made + 0.01)
    assert (seen.packets, seen.late) == (10, 0)
    assert seen.worst == pytest.approx(0.01)
    seen.took(100.6 + 0.1, 100.6 + 0.1)  # the clock itself stood still
    seen.took(100.66, 100.66 + 0.07)  # it caught up, but the way was long
    assert (seen.packets, seen.late) == (12, 2)
    seen.restart()
    seen.took(200.0, 200.01)
    assert seen.late == 2
