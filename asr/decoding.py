"""Decoding files of strangers, each in a process of its own (`asr.decoder`).

FFmpeg has a long history of faults that a made-up file can reach; there they cost one job. Starting Python takes about
a quarter of a second of one core per file, beside the decoding.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import BinaryIO

import msgspec

from asr.errors import Unreadable
from asr.sound import BYTES, MAX_SECS, Failure, Task

PIECE_BYTES = 65_536
STALL_SECS = 120.0
"""A decoder that gives nothing for so long while somebody reads is ended."""


async def decode_apart(
    file: BinaryIO, rate: int, *, channel: int | None = None, max_secs: float = MAX_SECS
) -> AsyncGenerator[bytes]:
    """Do what `asr.audio.decode` does, in another process; it reads no faster than its output is taken.

    Args:
        file: a file of the system (with a descriptor) that can seek; it is read from its beginning.
        rate: as there, and so are the others.
        channel: which channel of the file.
        max_secs: how long it may be.

    Raises:
        Unreadable: by what is wrong with the file.
    """
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    task = msgspec.json.encode(Task(rate, max_secs, channel)).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "asr.decoder", task,
        stdin=file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("a process without pipes")
    odd = b""
    try:
        try:
            while True:
                async with asyncio.timeout(STALL_SECS):
                    piece = odd + await process.stdout.read(PIECE_BYTES)
                whole = len(piece) // BYTES * BYTES  # a pipe does not know what a sample is
                if not whole:
                    break
                odd = piece[whole:]
                yield piece[:whole]
            words = await process.stderr.read()
        except TimeoutError:
            raise Unreadable(f"decoding made no progress for {STALL_SECS:g} s") from None
        if status := await process.wait():
            raise _reason(status, words)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _reason(status: int, words: bytes) -> Unreadable:
    with suppress(msgspec.MsgspecError):
        failure = msgspec.json.decode(words, type=Failure)
        return Unreadable(failure.message, failure.code)
    return Unreadable(f"the decoder ended with {f'signal {-status}' if status < 0 else status}")
