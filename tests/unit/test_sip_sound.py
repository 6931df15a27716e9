"""The ears of the telephony tests: what they let pass, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from tests import voice
from tests.sip import sound
from tests.sip.sound import Pcm, lost

SWEEP = sound.sweep(3.0)
SPEECH = np.frombuffer(voice.pcm("en_seen_us"), dtype="<i2")
BEFORE = np.zeros(1001, dtype=np.int16)
AT = 11_030
"""In the middle of the speech, and of a window."""


def insert(pcm: Pcm, at: int, what: Pcm) -> Pcm:
    return np.concatenate([pcm[:at], what, pcm[at:]])


def replace(pcm: Pcm, at: int, what: Pcm) -> Pcm:
    return np.concatenate([pcm[:at], what, pcm[at + what.size :]])


def conceal(pcm: Pcm, at: int, frames: int) -> Pcm:
    """Insert frames as PJSIP does for packets that are late: more of the same, fading, blended with what follows."""
    before = pcm[at - 160 : at].astype(float)
    more = np.tile(before, frames + 1) * np.linspace(1, 0.6, (frames + 1) * 160)
    made, rest = more[: frames * 160], pcm[at:].astype(float)
    ramp = np.linspace(0, 1, 80)
    rest[:80] = rest[:80] * ramp + more[frames * 160 :][:80] * (1 - ramp)
    return np.concatenate([pcm[:at], made.astype(np.int16), rest.astype(np.int16)])


@pytest.mark.parametrize("sent", [SWEEP, SPEECH], ids=["sweep", "speech"])
def test_sound_passes_with_what_a_jitter_buffer_inserts_and_nothing_else(sent: Pcm) -> None:
    heard = np.concatenate([BEFORE, sent, BEFORE])
    at = BEFORE.size + AT
    frame = heard[at - 160 : at]
    assert lost(sent, heard) == []
    assert lost(sent, insert(heard, at, frame)) == []
    assert lost(sent, insert(heard, at, np.zeros(8_000, dtype=np.int16))) == []
    assert lost(sent, insert(insert(heard, at + 400, frame), at, frame)) == []

    for name, wrong in {
        "10 ms are missing": np.delete(heard, slice(at, at + 80)),
        "a frame is missing": np.delete(heard, slice(at, at + 160)),
        "half a second is missing": np.delete(heard, slice(at, at + 4_000)),
        "a frame is silent": replace(heard, at, np.zeros(160, dtype=np.int16)),
        "a frame is the one before it": replace(heard, at, frame),
        "a frame after an inserted one is silent": replace(insert(heard, at, frame), at + 160, np.zeros_like(frame)),
        "two frames are exchanged": replace(
            heard, at, np.concatenate([heard[at + 160 : at + 320], heard[at : at + 160]])
        ),
        "its end is missing": heard[: at + 3_000],
        "it is all silent": np.zeros_like(heard),
        "it is something else": sound.sweep(heard.size / sound.RATE, seed=77),
        "nothing": heard[:0],
    }.items():
        assert lost(sent, wrong), name


def test_every_place_of_a_missing_or_inserted_frame_is_seen() -> None:
    for at in (160, 333, 700, *range(2_000, 3_600, 190)):
        assert lost(SWEEP, np.delete(SWEEP, slice(at, at + 160)))
        assert lost(SWEEP, insert(SWEEP, at, sound.sweep(0.02, seed=9))) == []


@pytest.mark.parametrize("sent", [SWEEP, SPEECH], ids=["sweep", "speech"])
def test_what_pjsip_conceals_is_seen_as_inserted_wherever_it_is(sent: Pcm) -> None:
    heard = np.concatenate([BEFORE, sent, BEFORE])
    for at in range(1_200, sent.size, 787):
        gap = at + 5_000 if at < 12_000 else at - 5_000
        later = conceal(heard, at + 700, 1) if at % 2 else heard
        concealed = conceal(later, at, 1 + at % 5)
        assert lost(sent, concealed) == [], at
        assert lost(sent, np.delete(concealed, slice(gap, gap + 160))), at


def test_silence_before_what_is_said_may_be_of_any_length() -> None:
    for before in (0, 1, 159, 4_000, 30_000):
        assert lost(SPEECH, np.concatenate([np.zeros(before, dtype=np.int16), SPEECH])) == []


def test_what_follows_a_gap_is_found_again() -> None:
    found = sound.trace(SWEEP, np.delete(SWEEP, slice(8_000, 12_000)))

    assert [one.likeness > 0.99 for one in found] == [not 10 <= number <= 14 for number in range(30)]
    assert {one.lag for one in found[15:]} == {-4_000}
