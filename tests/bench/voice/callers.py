"""What is said to the gateway (by sipp) and to the plain script (over WebSockets): one sentence, in real time."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
from websockets.asyncio.client import connect

from tests import voice
from tests.sip import sound

SENTENCE = voice.SAMPLES["en_seen_us"]
PAUSE = bytes(sound.RATE * 2)
LOOP = voice.pcm("en_seen_us") + PAUSE
"""A sentence and a second of silence."""
LOOP_SECS = len(LOOP) / 2 / sound.RATE
_PIECE_SECS = 0.06


def speech() -> bytes:
    """Return the loop as mu-law."""
    return sound.encode_ulaw(np.frombuffer(LOOP, dtype="<i2"))


def sentences(secs: float) -> int:
    """Say how often the sentence is said to its end in so many seconds."""
    return int((secs + len(PAUSE) / 2 / sound.RATE) / LOOP_SECS)


async def feed(port: int, connections: int, secs: float) -> list[str]:
    """Talk to the plain script over connections that begin one after the other; returns what it understood."""
    began = time.monotonic()

    async def one(number: int) -> str:
        texts: list[str] = []
        start = began + 0.1 * number
        size = int(_PIECE_SECS * sound.RATE) * 2
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as line:
            for piece in range(int(secs / _PIECE_SECS)):
                await asyncio.sleep(max(0.0, start + piece * _PIECE_SECS - time.monotonic()))
                at = piece * size % len(LOOP)
                await line.send((LOOP + LOOP)[at : at + size])
                texts.append(json.loads(await line.recv()).get("text", ""))
            await line.send('{"eof" : 1}')
            texts.append(json.loads(await line.recv()).get("text", ""))
        return " ".join(filter(None, texts))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(connections)]
    return [task.result() for task in tasks]
