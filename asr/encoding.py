"""Encoding recordings, each in a process of its own (`asr.encoder`), which takes neither our time nor our memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from typing import Literal

import msgspec

from asr.encoder import Task
from asr.errors import AsrError

PIECE_BYTES = 65_536
STALL_SECS = 300.0
"""An encoder that takes and gives nothing for so long is ended."""


class NotEncoded(AsrError):
    """The file could not be made."""

    code = "not_encoded"


async def encode_apart(
    pcm: AsyncIterable[bytes], *, rate: int, channels: int, kind: Literal["mp3", "opus"]
) -> AsyncGenerator[bytes, None]:
    """Encode sound to MP3, or to Opus in Ogg (RFC 7845), and yield the file once all of it is made.

    Args:
        pcm: 16-bit little-endian samples, interleaved; pieces of any size.
        rate: samples per second; one the codec does not know becomes 48 000.
        channels: 1 or 2.
        kind: of file.

    Raises:
        NotEncoded: the encoder refused, died or made no progress.
        Exception: what `pcm` raises.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "asr.encoder", msgspec.json.encode(Task(rate, channels, kind)).decode(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("a process without pipes")
    try:
        with suppress(ConnectionError):  # it has died, and says below why
            async for piece in pcm:
                process.stdin.write(piece)
                async with asyncio.timeout(STALL_SECS):
                    await process.stdin.drain()
        process.stdin.close()
        while True:
            async with asyncio.timeout(STALL_SECS):
                piece = await process.stdout.read(PIECE_BYTES)
            if not piece:
                break
            yield piece
        words = (await process.stderr.read()).decode(errors="replace").strip()
        if status := await process.wait():
            raise NotEncoded(words or f"the encoder ended with {f'signal {-status}' if status < 0 else status}")
    except TimeoutError:
        raise NotEncoded(f"the encoder made no progress for {STALL_SECS:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
