"""From a tape to a blob."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from msgspec.structs import replace

from connectors.api import Context
from connectors.audio import MIMES, AudioError
from connectors.pieces import PieceStore
from connectors.recording.config import RecordingConfig
from connectors.recording.slip import Slip
from connectors.recording.tape import PLAIN, SEALED, Found
from connectors.recording.wav import CHANNELS, FRAME, header
from connectors.stores import PREFIX
from normalizer import ids
from normalizer.errors import OmniError
from normalizer.parts import Media

log = structlog.get_logger(__name__)


class Lost(OmniError):
    """There is no sound."""

    code = "recording_lost"


class Orphan(OmniError):
    """There is sound, and nothing readable beside it that says which call it is of."""

    code = "recording_orphan"


async def store(folder: Path, name: str, slip: Slip | None, context: Context, config: RecordingConfig) -> Slip:
    """Make the tape `name` a blob with its retention; returns its slip with `Slip.media`.

    Raises:
        BlockingIOError: somebody is recording on it.
        Lost: there is nothing to store.
        Orphan: there is no slip.
        Busy: the disk is full; nothing was changed.
        KeyMissing: it is sealed, and its key is not configured.
        OSError: it cannot be read.
    """
    found = await asyncio.to_thread(_open, folder, name, context)
    try:
        if not found.frames:
            if slip is not None and slip.frames:
                log.error("recording_lost", recording=name, reason="the disk took none of it")
            raise Lost("there is no sound in it")
        if slip is None:
            raise Orphan(f"{found.path} has no slip (.json) that can be read beside it")
        if slip.passing:
            config = replace(config, days=0, format="wav")
        ended_at = slip.ended_at or datetime.fromtimestamp(found.modified, UTC)
        media, remark = await _put(found, name, slip.rate, context, config)
    finally:
        await asyncio.to_thread(found.close)
    until = ended_at + timedelta(days=config.days) if config.days else None
    if until is not None:
        await context.retention(f"{PREFIX}{media.sha256}", until, context.channel.id)
    cut = slip.cut or found.damaged or found.frames < slip.frames
    return replace(slip, media=media, keep_until=until, remark=remark, cut=cut)


async def _put(
    found: Found, name: str, rate: int, context: Context, config: RecordingConfig
) -> tuple[Media, str | None]:
    """Store it in the format the channel wants; as WAV, with a remark, where that cannot be made."""
    remark = None
    if config.format != "wav":
        try:
            sound = context.audio.export(_pieces(found), rate=rate, channels=CHANNELS, kind=config.format)
            return await _kept(sound, name, config.format, found.frames * 1000 // rate, context), None
        except AudioError as exc:
            log.warning("recording_not_converted", recording=name, format=config.format, reason=str(exc))
            remark = f"kept as WAV: {exc}"
    sound = _wav(found, rate)
    return await _kept(sound, name, "wav", found.frames * 1000 // rate, context), remark


async def _kept(sound: AsyncGenerator[bytes, None], name: str, kind: str, duration_ms: int, context: Context) -> Media:
    size = 0

    async def counted() -> AsyncGenerator[bytes, None]:
        nonlocal size
        async for piece in sound:
            size += len(piece)
            yield piece

    async with aclosing(sound), aclosing(counted()) as pieces:
        if isinstance(context.blobs, PieceStore):
            ref = await context.blobs.put_pieces(pieces)
        else:
            ref = await context.blobs.put(b"".join([piece async for piece in pieces]))
    digest = ref.removeprefix(PREFIX)
    return Media(
        id=ids.media_id(context.channel.id, name),
        mime=MIMES[kind],
        name=f"{name}.{kind}",
        size=size,
        sha256=digest,
        duration_ms=duration_ms,
        status="stored",
    )


async def _wav(found: Found, rate: int) -> AsyncGenerator[bytes, None]:
    yield header(found.frames * FRAME, rate)
    async with aclosing(_pieces(found)) as pieces:
        async for piece in pieces:
            yield piece


async def _pieces(found: Found) -> AsyncGenerator[bytes, None]:
    pieces = found.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _open(folder: Path, name: str, context: Context) -> Found:
    for suffix in (SEALED, PLAIN):
        path = folder / (name + suffix)
        if path.exists():
            return Found(path, context.seal)
    raise Lost("its sound is gone")
