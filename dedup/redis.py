"""Deduplication shared by several nodes, in Redis 5 or later (or what speaks its protocol and its Lua).

One script run per batch does everything (`exchange.lua`), so that the cost of a round trip is shared by its items:
about 3 µs of CPU here and 12 µs in the server per message in batches of 32. Lease times are the server's own clock;
clocks of nodes do not matter. Redis Cluster is not supported: a batch touches keys of many slots.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from typing_extensions import override

from dedup.api import Deduplicator, DedupUnavailable, Done, Take, Taken
from dedup.resp import AWAY, pack
from dedup.wire import storable

T = TypeVar("T")

SCRIPT = Path(__file__).with_name("exchange.lua").read_bytes()
SHA = sha1(SCRIPT).hexdigest().encode()  # noqa: S324 -- EVALSHA names scripts so
SWAP = b"""
local there = redis.call('GET', KEYS[1])
if there ~= (ARGV[1] == '1' and ARGV[2]) then return 0 end
if ARGV[3] == '0' then redis.call('DEL', KEYS[1])
elseif ARGV[5] == '0' then redis.call('SET', KEYS[1], ARGV[4])
else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end
return 1
"""
BREAK_SECS = 1.0
LOOK_SECS = 0.02
"""For reading what has come, once time is up."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Taken]).decode


class RedisDeduplicator(Deduplicator):
    """See `dedup.api`.

    After a failure the store counts as away for a second: calls fail at once instead of costing a timeout each, then
    one call at a time tries again.
    """

    def __init__(
        self, url: str, *, timeout: float, prefix: str = "gw:", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Name the server.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database.
            timeout: seconds for a whole call, including a new connection.
            prefix: of every key; instances that shall know each other's claims share it.
            clock: monotonic seconds.

        Raises:
            ValueError: the URL is not one of Redis.
        """
        self._pool: ConnectionPool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,  # one timeout around everything instead
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),  # a repeated exchange would meet its own claims
        )
        self._timeout, self._prefix, self._clock = timeout, prefix, clock
        self._owner = uuid.uuid4().hex[:16]
        self._away_until = 0.0
        self._reason = ""
        self._idle: AbstractConnection | None = None

    @override
    async def open(self) -> None:
        with suppress(DedupUnavailable):
            await self._guard(lambda: self._command(b"SCRIPT", b"LOAD", SCRIPT))

    @override
    async def close(self) -> None:
        idle, self._idle = self._idle, None
        with suppress(*AWAY):
            async with asyncio.timeout(self._timeout):
                if idle is not None:
                    await self._pool.release(idle)
                await self._pool.aclose()

    @override
    async def exchange(
        self, takes: Sequence[Take], done: Sequence[Done] = (), released: Sequence[str] = (), *, lease: float
    ) -> list[Taken]:
        lease_ms = _millis(lease)
        try:
            argument = _encode((self._prefix, self._owner, lease_ms, takes, done, released))
        except UnicodeEncodeError:
            argument = _encode((self._prefix, self._owner, lease_ms, storable(takes), done, released))
        return await self._guard(lambda: self._run(argument))

    @override
    async def address_of(self, conversation: str) -> str | None:
        value = await self._get("c:", conversation)
        return value.partition(b" ")[2].decode() or None if value else None

    @override
    async def status(self, key: str) -> str | None:
        value = await self._get("k:", key)
        if not value or value.startswith(b"c::"):  # given back
            return None
        return "claimed" if value.startswith(b"c:") else "done"

    @override
    async def recall(self, key: str) -> bytes | None:
        return await self._get("r:", key)

    @override
    async def remember(self, key: str, value: bytes, *, keep: float | None) -> None:
        until = () if keep is None else (b"PX", _millis(keep))
        await self._guard(lambda: self._command(b"SET", f"{self._prefix}r:{key}", value, *until))

    @override
    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, keep: float | None) -> bool:
        words = (
            *(b"1" if expected is not None else b"0", expected or b""),
            *(b"1" if value is not None else b"0", value or b""),
            0 if keep is None else _millis(keep),
        )
        swapped = await self._guard(lambda: self._command(b"EVAL", SWAP, 1, f"{self._prefix}r:{key}", *words))
        return bool(swapped)

    async def _run(self, argument: bytes) -> list[Taken]:
        try:
            reply = await self._command(b"EVALSHA", SHA, 0, argument, answer=_bulk)
        except NoScriptError:  # a new or flushed server; nothing was done yet. EVAL leaves the script there
            reply = await self._command(b"EVAL", SCRIPT, 0, argument)
        return _decode(reply)

    async def _get(self, space: str, key: str) -> bytes | None:
        value: bytes | None = await self._guard(lambda: self._command(b"GET", f"{self._prefix}{space}{key}"))
        return value

    async def _command(
        self, *words: bytes | str | int, answer: Callable[[AbstractConnection], Awaitable[Any]] | None = None
    ) -> Any:
        """Send one command and read its answer; a third cheaper than through `redis.asyncio.Redis`."""
        connection = await self._connection()
        try:
            await connection.send_packed_command(pack(words), check_health=False)
            found = await (connection.read_response(disable_decoding=True) if answer is None else answer(connection))
        except BaseException:
            await self._pool.release(connection)
            raise
        if self._idle is None:  # the next call needs no walk through the pool
            self._idle = connection
        else:
            await self._pool.release(connection)
        return found

    async def _connection(self) -> AbstractConnection:
        connection, self._idle = self._idle, None
        if connection is not None:
            reader = connection._reader  # noqa: SLF001 -- nothing public tells that the server hung up
            if connection.is_connected and reader is not None and not reader.at_eof():
                return connection
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
        fresh: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return fresh

    async def _guard(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._away_until:
            now = self._clock()
            if now < self._away_until:
                raise DedupUnavailable(f"Redis is away ({self._reason}); tried again every {BREAK_SECS:g} s")
            self._away_until = now + BREAK_SECS  # let this call try, and the others wait for what it finds
        try:
            async with asyncio.timeout(None) as limit:
                timer = asyncio.get_running_loop().call_later(self._timeout, _last_look, limit)
                try:
                    result = await call()
                finally:
                    timer.cancel()
        except AWAY as exc:
            self._away_until = self._clock() + BREAK_SECS
            self._reason = _words(exc, self._timeout)
            raise DedupUnavailable(f"Redis is away ({self._reason})") from exc
        self._away_until = 0.0
        return result


def _last_look(limit: asyncio.Timeout) -> None:
    """Let time be up, but not before what came meanwhile has been read.

    When this process itself was kept from running, its timers run before its sockets are looked at.
    """
    limit.reschedule(asyncio.get_running_loop().time() + LOOK_SECS)


async def _bulk(connection: AbstractConnection) -> bytes:
    """Read an answer that is one string; redis-py takes three times as long, which batches of one or two would feel."""
    reader = connection._reader  # noqa: SLF001 -- what redis-py reads from, too
    if reader is None:
        raise RedisConnectionError("not connected")
    try:
        line = await reader.readuntil(b"\r\n")
        if line.startswith(b"$") and not line.startswith(b"$-"):
            return bytes((await reader.readexactly(int(line[1:]) + 2))[:-2])
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    reason = line[1:-2].decode(errors="replace")
    raise NoScriptError(reason) if reason.startswith("NOSCRIPT") else ResponseError(reason)


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _words(exc: BaseException, timeout: float) -> str:
    """Say what happened without a URL, which may hold a password."""
    if isinstance(exc, TimeoutError):
        return f"no answer within {timeout:g} s"
    return f"{type(exc).__name__}: {exc}"
