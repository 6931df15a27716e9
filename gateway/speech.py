"""Speech to text for connectors: `connectors.speech.Speech` by the package `asr`.

Everything that leaves here is as `[asr] numerals` and `mask` say (`normalizer.speech`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from msgspec.structs import replace
from typing_extensions import override

from asr.errors import AsrError, MissingModel
from asr.pool import Pool
from asr.session import Limits, Session
from connectors.speech import Listener, NoModel, RecordingJob, Speech, SpeechUnavailable
from gateway.settings.model import AsrSection
from gateway.speech_jobs import SpeechJobs, of_recording
from normalizer.parts import Segment
from normalizer.speech import Style, tidy, whole


def make_pool(section: AsrSection, data_dir: Path) -> Pool:
    """Make the recognisers of a node; without models it has none."""
    return Pool(
        section.models,
        data_dir / "models",
        workers=section.workers,
        max_sessions=section.max_sessions,
        preload=section.preload,
        limits=Limits(buffer_secs=section.buffer_secs, missed_secs=section.missed_secs, final_secs=section.final_secs),
    )


class Hearing(Speech):
    """See the module."""

    def __init__(self, pool: Pool, jobs: SpeechJobs, section: AsrSection) -> None:
        """Recognise with `pool` now and through `jobs` later."""
        self._pool, self._jobs = pool, jobs
        self.style = Style(numerals=section.numerals, mask=section.mask)

    @override
    def listen(
        self,
        *,
        language: str,
        rate: int,
        phrases: tuple[str, ...] = (),
        speaker: str | None = None,
        channel: int | None = None,
    ) -> Listener:
        """See `Speech`."""
        try:
            session = self._pool.listen(language=language, rate=rate, phrases=phrases)
        except AsrError as exc:
            raise _theirs(exc) from exc
        return Ear(session, language, self.style, speaker, channel)

    @override
    async def later(self, job: RecordingJob) -> None:
        """See `Speech`."""
        await self._jobs.add([of_recording(job)])

    @override
    def problem(self, language: str) -> str | None:
        """See `Speech`."""
        return self._pool.problem(language)

    @override
    def whole(self, segments: Sequence[Segment], language: str) -> tuple[Segment, ...]:
        """See `Speech`."""
        return whole(segments, language, self.style)


class Ear(Listener):
    """A session of the pool, in the words of connectors."""

    def __init__(self, session: Session, language: str, style: Style, speaker: str | None, channel: int | None) -> None:
        """Put who speaks on each segment."""
        self._session, self._language, self._style = session, language, style
        self._speaker, self._channel = speaker, channel

    @override
    def feed(self, pcm: bytes) -> None:
        """See `Listener`."""
        self._session.feed(pcm)

    @override
    async def __aiter__(self) -> AsyncIterator[Segment]:
        """See `Listener`."""
        try:
            async for segment in self._session:
                named = replace(segment, speaker=self._speaker, channel=self._channel)
                yield tidy(named, self._language, self._style)
        except AsrError as exc:
            raise _theirs(exc) from exc

    @override
    def finish(self) -> None:
        """See `Listener`."""
        self._session.finish()

    @override
    def close(self) -> None:
        """See `Listener`."""
        self._session.close()

    @property
    @override
    def missed_ms(self) -> int:
        """See `Listener`."""
        return self._session.missed_ms


def _theirs(error: AsrError) -> SpeechUnavailable:
    return (NoModel if isinstance(error, MissingModel) else SpeechUnavailable)(str(error))
