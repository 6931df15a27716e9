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


def test_what_follows_a_gap_is_found_again() -> None:
    found = sound.trace(SWEEP, np.delete(SWEEP, slice(8_000, 12_000)))

    assert [one.likeness > 0.99 for one in found] == [not 10 <= number <= 15 for number in range(30)]
    assert {one.lag for one in found[15:]} == {-4_000}
