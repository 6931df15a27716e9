"""How fast and how often the gateway may call a provider: back-off, rate limit, breaker, order per recipient.

Nothing here sends or logs; `gateway.outbound_sender` asks before every attempt and tells how it ended.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum

from aiolimiter import AsyncLimiter
from msgspec import Struct

BURST_SECS = 0.1
"""A rate limit allows as many messages at once as fall into this stretch of time, and at least one."""


class Timing(Struct, frozen=True, kw_only=True):
    """Time as it is injected, so that hours of back-off can be tested in no time.

    Attributes:
        wall: seconds since the epoch; for time stamps and `not_after`.
        steady: seconds that never jump; for pauses and the breaker.
        sleep: waits that many seconds.
    """

    wall: Callable[[], float] = time.time  # noqa: TID251 -- the default; everybody below takes it injected
    steady: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Backoff(Struct, frozen=True, kw_only=True):
    """Exponential back-off with full jitter.

    Any delay between 0 and the exponential bound is equally likely, which spreads retries of many senders best
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Attributes:
        base: bound of the first delay, seconds.
        cap: bound of any delay, seconds.
        uniform: draws from ``[low, high]``.
    """

    base: float = 0.5
    cap: float = 60.0
    uniform: Callable[[float, float], float] = random.uniform

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number `attempt`, counted from 1."""
        # 2**64 is beyond any cap; an unbounded exponent would overflow the float one day.
        return self.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 64)))


class State(Enum):
    """Of a circuit breaker. HALF_OPEN: one probe may pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Stops calling a destination that is dead, and probes it in growing intervals.

    `threshold` failures in a row open it. Once its time is over one probe may pass: success closes it, failure opens
    it again for twice as long (up to `cap`). While it is open the messages wait, they do not fail.
    """

    def __init__(
        self,
        *,
        threshold: int = 5,
        base: float = 5.0,
        cap: float = 300.0,
        steady: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] | None = None,
    ) -> None:
        """Start closed; `base` and `cap` are seconds, `on_change` hears of every new state."""
        self._threshold, self._base, self._cap = threshold, base, cap
        self._steady, self._on_change = steady, on_change
        self._failures = 0
        self._opened = 0  # times in a row, without a success in between
        self._until = 0.0
        self.state = State.CLOSED

    def wait(self) -> float | None:
        """Return the seconds until a call may be tried: 0 now, None when a probe's outcome must come first."""
        match self.state:
            case State.CLOSED:
                return 0.0
            case State.HALF_OPEN:
                return None
            case State.OPEN:
                return max(0.0, self._until - self._steady())

    def begin(self) -> None:
        """Note that a call starts; `wait` must just have returned 0. After an opening it is the probe."""
        if self.state is State.OPEN:
            self._become(State.HALF_OPEN)

    def success(self) -> None:
        """Note that the destination answered; whatever it said, it is not dead."""
        self._failures = self._opened = 0
        self._become(State.CLOSED)

    def failure(self) -> None:
        """Note that the destination did not answer, or that it refuses our credentials."""
        self._failures += 1
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._failures >= self._threshold):
            self._open()

    def abandon(self) -> None:
        """Note that a call ended without telling anything (cancelled); a probe may be tried again at once."""
        if self.state is State.HALF_OPEN:
            self._become(State.OPEN)

    def _open(self) -> None:
        self._until = self._steady() + min(self._cap, self._base * 2.0 ** min(self._opened, 64))
        self._opened += 1
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            if self._on_change is not None:
                self._on_change(state)


class Overdue(Exception):
    """The deadline came before the permission."""


class Gate:
    """The permission to call one provider: not paused, breaker not open, within the rate."""

    def __init__(self, breaker: Breaker, *, rate_per_sec: float = 0.0, timing: Timing) -> None:
        """Guard one channel; a `rate_per_sec` of 0 is unlimited."""
        self.breaker = breaker
        self._timing = timing
        self._paused_until = 0.0
        self._settled = asyncio.Event()
        burst = max(1.0, rate_per_sec * BURST_SECS)
        self._limiter = AsyncLimiter(burst, burst / rate_per_sec) if rate_per_sec else None

    def pause(self, seconds: float) -> None:
        """Let nobody pass for `seconds` (the provider throttles us); never shortens a pause."""
        self._paused_until = max(self._paused_until, self._timing.steady() + seconds)

    @property
    def paused_secs(self) -> float:
        """How long nobody will pass yet because the provider said so; seconds."""
        return max(0.0, self._paused_until - self._timing.steady())

    async def enter(self, deadline: float | None = None) -> None:
        """Wait for permission; raises `Overdue` when the wall clock passes `deadline` first."""
        while True:
            await self._wait_open(deadline)
            if self._limiter is not None:
                await self._limiter.acquire()
            self.check(deadline)
            if self._wait() == 0.0:  # it may have closed while the rate limit held us
                self.breaker.begin()
                return

    def leave(self, *, alive: bool | None) -> None:
        """Tell how the call ended: the destination lives, is dead, or (None) nobody knows."""
        if alive is None:
            self.breaker.abandon()
        elif alive:
            self.breaker.success()
        else:
            self.breaker.failure()
        self._settled.set()
        self._settled = asyncio.Event()

    def check(self, deadline: float | None) -> None:
        """Raise `Overdue` when the wall clock has reached `deadline`."""
        if deadline is not None and self._timing.wall() >= deadline:
            raise Overdue

    async def rest(self, seconds: float, deadline: float | None) -> None:
        """Sleep, but not beyond `deadline`; raises `Overdue` at it."""
        self.check(deadline)
        if deadline is not None:
            seconds = min(seconds, deadline - self._timing.wall())
        await self._timing.sleep(seconds)
        self.check(deadline)

    def _wait(self) -> float | None:
        held = self.breaker.wait()
        return None if held is None else max(held, self.paused_secs)

    async def _wait_open(self, deadline: float | None) -> None:
        while (wait := self._wait()) != 0.0:
            if wait is not None:
                await self.rest(wait, deadline)
                continue
            self.check(deadline)
            remaining = None if deadline is None else deadline - self._timing.wall()
            try:
                async with asyncio.timeout(remaining):
                    await self._settled.wait()
            except TimeoutError:
                raise Overdue from None


class Lanes:
    """One lock per recipient, in order of arrival, gone when nobody uses it."""

    def __init__(self) -> None:
        """Start with no lanes."""
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait for everybody who came before with this `key`; the place in the line is taken before any waiting."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
