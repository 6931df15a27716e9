"""Feeds shared by several nodes, in Redis 5 or later.

``<prefix>f:<feed>`` is a stream with the ids ``<seq>-0``, ``<prefix>u:<feed>:<uid>`` the `seq` of an entry; who listens
is told by publish/subscribe. What is promised is as durable as the server is: run it with ``appendonly yes``, and with
``appendfsync always`` where not even a power cut may cost a second of answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError
from typing_extensions import override

from dedup.api import DedupUnavailable
from dedup.feeds import MOST, Ear, Entry, Feeds
from dedup.redis_lane import Lane
from dedup.redis_pubsub import PubSub
from dedup.resp import Word

# One stream entry: `u` uid, `x` when it expires, `b` body. A stream that is written to never expires as a whole.
_APPEND = b"""
local known = redis.call('GET', KEYS[2])
if known then return {known, 0} end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local seq = tonumber(ARGV[3])
if last then seq = math.max(seq, tonumber(string.match(last[1], '^%d+')) + 1) end
local id = string.format('%.0f', seq)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], id .. '-0', 'u', ARGV[1], 'x', ARGV[6], 'b', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], id, 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[7], '')
return {id, 1}
"""
_FIND = b"""
local seq = redis.call('GET', KEYS[2])
if not seq then return {} end
return redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')
"""
_SHA = {script: sha1(script).hexdigest() for script in (_APPEND, _FIND)}  # noqa: S324 -- EVALSHA names scripts so


class RedisFeeds(Feeds):
    """See `dedup.feeds`."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        prefix: str = "gw:",
        most: int = MOST,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge
    ) -> None:
        """Name the server; nothing is connected before it is used.

        Args:
            url: as for `dedup.redis.RedisDeduplicator`.
            timeout: seconds for a call, including a new connection.
            prefix: of every key; who shares feeds shares it.
            most: entries a feed keeps, or a few more.
            clock: seconds since the epoch.

        Raises:
            ValueError: the URL is not one of Redis.
        """
        pool: ConnectionPool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,  # one timeout around everything instead
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix, self._most, self._clock = prefix, most, clock
        self._lane = Lane(pool, timeout=timeout)
        database = pool.connection_kwargs.get("db") or 0  # publish/subscribe knows no databases
        self._pubsub = PubSub(pool, prefix=f"{prefix}{database}:f:", timeout=timeout)

    @override
    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        now, millis = self._clock(), max(1, round(keep * 1000))
        seq, fresh = await self._script(
            _APPEND,
            (self._stream(feed), self._uid(feed, uid)),
            (uid, body, int(now * 1_000_000), millis, self._most, f"{now + keep:.3f}", self._pubsub.channel(feed)),
        )
        return int(seq), bool(fresh)

    @override
    async def find(self, feed: str, uid: str) -> Entry | None:
        rows = await self._script(_FIND, (self._stream(feed), self._uid(feed, uid)), ())
        return next(iter(self._entries(rows)), None)

    @override
    async def after(self, feed: str, seq: int, *, limit: int) -> list[Entry]:
        found: list[Entry] = []
        while True:
            rows = await self._ask("XRANGE", self._stream(feed), f"{seq + 1}-0", "+", "COUNT", limit)
            found += self._entries(rows)
            if found or len(rows) < limit:
                return found
            seq = _seq(rows[-1])  # all of these have expired

    @override
    async def before(self, feed: str, seq: int | None, *, limit: int) -> list[Entry]:
        if seq is not None and seq <= 0:
            return []
        upto = "+" if seq is None else f"{seq - 1}-0"
        return self._entries(await self._ask("XREVRANGE", self._stream(feed), upto, "-", "COUNT", limit))

    @override
    async def signal(self, feed: str, body: bytes) -> None:
        await self._ask("PUBLISH", self._pubsub.channel(feed), body)

    @override
    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        return self._pubsub.listen(feed, ear)

    @override
    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lane.run(), name="feeds-lane")
            group.create_task(self._pubsub.run(), name="feeds-pubsub")

    @override
    async def close(self) -> None:
        """Do nothing: the connections end with `run`."""

    def _stream(self, feed: str) -> str:
        return f"{self._prefix}f:{feed}"

    def _uid(self, feed: str, uid: str) -> str:
        return f"{self._prefix}u:{len(feed)}:{feed}:{uid}"

    async def _script(self, script: bytes, keys: tuple[str, ...], arguments: tuple[Word, ...]) -> Any:
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._lane.ask("EVALSHA", _SHA[script], *rest)
        except NoScriptError:  # a new or flushed server; EVAL leaves the script there
            return await self._ask("EVAL", script, *rest)
        except ResponseError as exc:
            raise DedupUnavailable(f"Redis refuses: {exc}") from exc

    async def _ask(self, *words: Word) -> Any:
        try:
            return await self._lane.ask(*words)
        except ResponseError as exc:  # out of memory, read-only …
            raise DedupUnavailable(f"Redis refuses: {exc}") from exc

    def _entries(self, rows: list[Any]) -> list[Entry]:
        now = self._clock()
        return [Entry(_seq(row), fields[1].decode(), fields[5]) for row in rows if float((fields := row[1])[3]) > now]


def _seq(row: Any) -> int:
    return int(row[0].partition(b"-")[0])
