"""What Vosk itself makes of the sound of a call, without a telephone and the recogniser's sessions between."""

from __future__ import annotations

import functools

import msgspec
import numpy as np
import vosk

from asr.engine import UNKNOWN
from tests import voice
from tests.sip import sound
from tests.sip.sound import Pcm

_PIECE = 960
"""Bytes: 60 ms, as a call's sound comes."""


def directly(sent: Pcm, recorded: Pcm) -> str:
    """Return what is understood of what was sent, beginning when it did in the call.

    That is so as Vosk computes the model for every third frame of 10 ms, and whether it hears the "i" in "can i talk"
    depends on which. Where a jitter buffer inserted sound, it is what is understood of the recording.

    Raises:
        AssertionError: the recording is not what was sent.
    """
    assert sound.lost(sent, recorded) == []
    found = sound.trace(sent, recorded)
    if any(one.inserted for one in found):
        return recognise(np.ascontiguousarray(recorded).tobytes())
    silence = np.zeros(found[0].lag, dtype="<i2"), np.zeros(sound.RATE, dtype="<i2")
    return recognise(np.concatenate([silence[0], sent, silence[1]]).tobytes())


def recognise(pcm: bytes) -> str:
    """Return the words in samples at `sound.RATE`."""
    recogniser = vosk.KaldiRecognizer(_model(), voice.RATE)
    pieces = (pcm[start : start + _PIECE] for start in range(0, len(pcm), _PIECE))
    texts = [recogniser.Result() for piece in pieces if recogniser.AcceptWaveform(piece)]
    said = " ".join(msgspec.json.decode(text)["text"] for text in (*texts, recogniser.FinalResult()))
    return " ".join(word for word in said.split() if word != UNKNOWN)


@functools.cache
def _model() -> vosk.Model:
    vosk.SetLogLevel(-1)
    return vosk.Model(str(voice.MODEL))
