"""`message.transcribed`, and `call.transcript.final` of recordings: how a transcription ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.api import LinkMaker
from gateway.media_store import linked
from gateway.speech_jobs import SpeechJob
from normalizer import ids
from normalizer.calls import CallTranscriptParams
from normalizer.model import SCHEMA_VERSION, EventParams, TranscribedParams
from normalizer.raw import Event
from normalizer.speech import text_of


def told(job: SpeechJob, language: str, link: LinkMaker, at: float) -> Event:
    """Tell what was said, or in `metadata.error` why that cannot be known; `at` is seconds since the epoch.

    The id follows from what was transcribed, so that it is published once.
    """
    if job.recording is not None:
        return _call(job, language, at)
    key = ids.dedup_key(job.channel.id, "media", (job.message and job.message.id) or "", job.media.id, "transcribed")
    text = text_of(job.segments or ())
    params = TranscribedParams(
        event_id=ids.event_id(key),
        channel=job.channel,
        schema=SCHEMA_VERSION,
        conversation=job.conversation,
        message=job.message,
        media=replace(linked(job.media, link), transcript=text or None),
        at=datetime.fromtimestamp(at, UTC),
        language=language,
        text=text,
        segments=job.segments or (),
        metadata=_metadata(job),
    )
    return Event(method="message.transcribed", params=params, key=key)


def _call(job: SpeechJob, language: str, at: float) -> Event:
    recording = job.recording
    if recording is None:
        raise ValueError("not the recording of a call")
    base = recording.base
    key = ids.dedup_key(job.channel.id, "call", str(base.get("call_id")), recording.source, job.media.sha256 or "")
    fields = {
        "at": datetime.fromtimestamp(at, UTC),
        **base,
        "event_id": ids.event_id(key),
        "schema": SCHEMA_VERSION,
        "language": language,
        "text": text_of(job.segments or ()),
        "segments": msgspec.to_builtins(job.segments or ()),
        "complete": True,
        "source": recording.source,
        "metadata": base.get("metadata", {}) | _metadata(job),
    }
    params: EventParams = msgspec.convert(fields, CallTranscriptParams)
    return Event(method="call.transcript.final", params=params, key=key)


def _metadata(job: SpeechJob) -> dict[str, Any]:
    return {} if job.error is None else {"error": job.error}
