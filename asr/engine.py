"""The one module that knows Vosk (https://alphacephei.com/vosk/); runs in worker processes only.

PyPI's last release is 0.3.45 (2022-12), so nothing of its interface shows outside: sound in, `Segment`s out.
"""

from __future__ import annotations

import json
import time
from typing import Any

import vosk

from asr.audio import RateConverter
from asr.errors import MissingModel
from asr.models import Model
from asr.sound import BYTES
from normalizer.parts import Segment, Word

PARTIAL_SECS = 0.5
"""Between two partials of a voice."""
UNKNOWN = "[unk]"
TRIAL_SECS = 2.0

vosk.SetLogLevel(-1)


class Engine:
    """A loaded model.

    Attributes:
        factor: seconds of work per second of sound (real-time factor), measured on noise when it was loaded: noise
            keeps more hypotheses alive than speech does, so this errs on the safe side.
    """

    def __init__(self, model: Model) -> None:
        """Load it: milliseconds to a minute, by its size; raises `MissingModel`."""
        self.model = model
        try:
            self.inner = vosk.Model(str(model.path))
        except Exception as exc:  # Vosk raises nothing more exact
            raise MissingModel(f"Vosk cannot load {model.path}") from exc
        self.factor = self._trial()

    def _trial(self) -> float:
        recogniser = Recogniser(self, self.model.rate)
        state, noise = 1, bytearray()
        for _ in range(int(TRIAL_SECS * self.model.rate)):
            state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
            noise += ((state >> 16) % 2_000 - 1_000).to_bytes(BYTES, "little", signed=True)
        started = time.perf_counter()
        recogniser.take(bytes(noise))
        recogniser.finish()
        return (time.perf_counter() - started) / TRIAL_SECS


class Recogniser:
    """One voice.

    A final is never worse than what was shown before it: where Vosk's last word on an utterance is empty or shorter
    than the partial before it, the partial's words stay, without times of words and without confidence.
    """

    def __init__(self, engine: Engine, rate: int, phrases: tuple[str, ...] = ()) -> None:
        """Listen to sound of `rate`; with `phrases` only these can be heard, as far as the model has their words."""
        fed = engine.model.feed_rate(rate)
        self._convert = RateConverter(rate, fed) if fed != rate else None
        grammar = (json.dumps([*phrases, UNKNOWN]),) if phrases else ()
        self._inner: Any = vosk.KaldiRecognizer(engine.inner, fed, *grammar)
        self._inner.SetWords(enable_words=True)
        self._rate, self._taken = rate, 0
        self._begun = 0  # milliseconds: where the utterance begins at the earliest
        self._shown = ""

    @property
    def _now(self) -> int:
        return self._taken * 1000 // (self._rate * BYTES)

    def take(self, pcm: bytes) -> Segment | None:
        """Listen to a piece; returns an utterance that ended in it, if any."""
        self._taken += len(pcm)
        if not self._inner.AcceptWaveform(self._convert.take(pcm) if self._convert else pcm):
            return None
        return self._final(self._inner.Result())

    def partial(self) -> Segment | None:
        """Return what is heard so far of the utterance, if that is news."""
        text = _text(json.loads(self._inner.PartialResult()).get("partial", ""))  # absent before any sound
        if not text or text == self._shown:
            return None
        self._shown = text
        return Segment(start_ms=self._begun, end_ms=self._now, text=text, stable=False)

    def finish(self) -> Segment | None:
        """Return what is pending; the recogniser is used up."""
        self.partial()
        return self._final(self._inner.FinalResult())

    def _final(self, result: str) -> Segment | None:
        found, shown, begun = json.loads(result), self._shown, self._begun
        words = tuple(_word(one) for one in found.get("result", ()) if one["word"] != UNKNOWN)
        text = " ".join(word.text for word in words)
        self._shown, self._begun = "", self._now
        if len(shown.split()) > len(words):
            return Segment(start_ms=begun, end_ms=self._now, text=shown)
        if not words:
            return None
        confidence = round(sum(word.confidence or 0.0 for word in words) / len(words), 3)
        return Segment(
            start_ms=words[0].start_ms, end_ms=words[-1].end_ms, text=text, confidence=confidence, words=words
        )


def _word(found: dict[str, Any]) -> Word:
    return Word(
        text=found["word"],
        start_ms=round(found["start"] * 1000),
        end_ms=round(found["end"] * 1000),
        confidence=round(found["conf"], 3),
    )


def _text(words: str) -> str:
    return " ".join(word for word in words.split() if word != UNKNOWN)
