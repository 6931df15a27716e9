"""One connection to Redis on which everybody's commands go out together.

While a round trip is under way further commands gather; the next takes them all. So there are as few system calls and
as little waiting as can be, and a hundred callers need no hundred connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ResponseError

from dedup.api import DedupUnavailable
from dedup.resp import AWAY, Word, pack

MOST_COMMANDS = 256
"""In one round trip: bounds how long an answer waits for those of others."""
BREAK_SECS = 0.5


class _Command(Struct, frozen=True, eq=False):
    words: tuple[Word, ...]
    answer: asyncio.Future[Any]


class Lane:
    """See the module; `run` does the work.

    After a failure the server counts as away for a moment: commands fail at once instead of costing a timeout each.
    """

    def __init__(self, pool: ConnectionPool, *, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Use a connection of `pool`; `timeout` in seconds for a command, its wait and a new connection included."""
        self._pool, self._timeout, self._clock = pool, timeout, clock
        self._waiting: list[_Command] = []
        self._wake = asyncio.Event()
        self._away_until, self._reason = 0.0, ""

    async def ask(self, *words: Word) -> Any:
        """Give one command and return the answer; bytes stay bytes.

        Raises:
            DedupUnavailable: no answer; the command may have been done.
            ResponseError: Redis refuses it.
        """
        if self._clock() < self._away_until:
            raise DedupUnavailable(f"Redis is away ({self._reason})")
        command = _Command(words, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        self._wake.set()
        try:
            async with asyncio.timeout(self._timeout):
                return await command.answer
        except TimeoutError:
            raise DedupUnavailable(f"Redis is away (no answer within {self._timeout:g} s)") from None

    async def run(self) -> None:
        """Carry commands until cancelled."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    batch, self._waiting = self._waiting[:MOST_COMMANDS], self._waiting[MOST_COMMANDS:]
                    await self._carry(connection, [command for command in batch if not command.answer.done()])
        finally:
            await connection.disconnect(nowait=True)

    async def _carry(self, connection: AbstractConnection, batch: list[_Command]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                reader = connection._reader  # noqa: SLF001 -- nothing public tells that the server hung up
                if connection.is_connected and (reader is None or reader.at_eof()):
                    await connection.disconnect(nowait=True)
                await connection.send_packed_command(
                    [piece for command in batch for piece in pack(command.words)], check_health=False
                )
                for command in batch:
                    await _answer(connection, command.answer)
        except AWAY as exc:
            await connection.disconnect(nowait=True)
            self._away_until = self._clock() + BREAK_SECS
            self._reason = "no answer in time" if isinstance(exc, TimeoutError) else type(exc).__name__
            for command in batch:
                if not command.answer.done():
                    command.answer.set_exception(DedupUnavailable(f"Redis is away ({self._reason})"))
                    command.answer.exception()  # whoever waited may have been cancelled: then nobody retrieves it


async def _answer(connection: AbstractConnection, answer: asyncio.Future[Any]) -> None:
    """Read the next answer; a refusal is one, too."""
    try:
        value = await connection.read_response(disable_decoding=True)
    except ResponseError as exc:
        if not answer.done():
            answer.set_exception(exc)
            answer.exception()
    else:
        if not answer.done():
            answer.set_result(value)
