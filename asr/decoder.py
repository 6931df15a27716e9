"""The process that decodes one file of a stranger's: ``python -m asr.decoder``; see `asr.decoding`.

The file is standard input, which can seek; samples go to standard output, and what is wrong with the file as one line
of JSON to standard error. Memory and processor time are limited, and it can open nothing else.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import BinaryIO

import msgspec

from asr.audio import decode
from asr.errors import Unreadable
from asr.sound import Failure, Task

MEMORY_BYTES = 1_073_741_824
CPU_SECS = 60
SPEED = 20.0
"""Sound is decoded faster than this many times real time; so a second of processor time is allowed for so much."""
NICE = 10


def main(argument: str) -> int:
    """Decode; returns the exit status, 0 or 1."""
    task = msgspec.json.decode(argument, type=Task)
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _confine(task)
    failure = Failure("unreadable", "it needs more memory than is allowed")
    try:
        _copy(sys.stdin.buffer, sys.stdout.buffer, task)
    except Unreadable as exc:
        failure = Failure(exc.code, str(exc))
    except MemoryError:
        pass
    else:
        return 0
    sys.stderr.buffer.write(msgspec.json.encode(failure))
    return 1


def _copy(source: BinaryIO, target: BinaryIO, task: Task) -> None:
    try:
        target.writelines(decode(source, task.rate, channel=task.channel, max_secs=task.max_secs))
        target.flush()
    except BrokenPipeError:  # nobody wants it any more
        os._exit(0)


def _confine(task: Task) -> None:
    cpu = CPU_SECS + int(task.max_secs / SPEED)
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
