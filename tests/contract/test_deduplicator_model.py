"""Random histories of claims against a model: whatever the order, both stores say what the model says."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from dedup.api import Claim, Deduplicator, Done, Take, Taken
from dedup.embedded import EmbeddedDeduplicator
from dedup.redis import RedisDeduplicator

KEYS = st.sampled_from(["a", "b", "c"])
OWNERS = st.integers(0, 1)
LONG, SHORT = 60.0, 0.001


class Model(RuleBasedStateMachine):
    """A key is absent, held (owner, redelivery), abandoned (redelivery) or done."""

    factory: Callable[[], Deduplicator]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.owners = [type(self).factory() for _ in range(2)]
        for owner in self.owners:
            self.runner.run(owner.open())
        self.events: dict[str, tuple[str, int, int]] = {}  # key → state, owner, redelivery
        self.seq = 0

    def teardown(self) -> None:
        for owner in self.owners:
            self.runner.run(owner.close())
        self.runner.close()

    def exchange(self, owner: int, *args: Any, lease: float = LONG) -> list[Taken]:
        return self.runner.run(self.owners[owner].exchange(*args, lease=lease))

    def expected(self, owner: int, key: str, now_us: int) -> Taken:
        state, _, redelivery = self.events.get(key, ("absent", 0, -1))
        if state == "done":
            return Taken(Claim.DUPLICATE)
        if state == "held":
            return Taken(Claim.IN_FLIGHT)
        self.seq = max(self.seq + 1, now_us)
        self.events[key] = ("held", owner, redelivery + 1)
        return Taken(Claim.NEW, self.seq, redelivery + 1)

    @rule(owner=OWNERS, keys=st.lists(KEYS, max_size=4), now_us=st.integers(0, 50))
    def claim(self, owner: int, keys: list[str], now_us: int) -> None:
        answers = self.exchange(owner, [Take(key, "conversation", "", now_us, LONG) for key in keys])
        assert answers == [self.expected(owner, key, now_us) for key in keys]

    @rule(owner=OWNERS, key=KEYS)
    def claim_and_die(self, owner: int, key: str) -> None:
        answers = self.exchange(owner, [Take(key, "conversation", "", 0, LONG)], lease=SHORT)
        assert answers == [self.expected(owner, key, 0)]
        if answers[0].claim is Claim.NEW:
            self.events[key] = ("abandoned", owner, answers[0].redelivery)
            time.sleep(0.003)

    @rule(owner=OWNERS, keys=st.lists(KEYS, max_size=2))
    def commit(self, owner: int, keys: list[str]) -> None:
        self.exchange(owner, [], [Done(key, LONG) for key in keys])
        self.events.update(dict.fromkeys(keys, ("done", 0, 0)))

    @rule(owner=OWNERS, key=KEYS)
    def commit_for_a_moment(self, owner: int, key: str) -> None:
        self.exchange(owner, [], [Done(key, SHORT)])
        self.events.pop(key, None)
        time.sleep(0.003)

    @rule(owner=OWNERS, key=KEYS)
    def release(self, owner: int, key: str) -> None:
        self.exchange(owner, [], [], [key])
        state, holder, redelivery = self.events.get(key, ("absent", 0, 0))
        if state in {"held", "abandoned"} and holder == owner:
            if redelivery:
                self.events[key] = ("abandoned", -1, redelivery - 1)
            else:
                del self.events[key]

    @rule(key=KEYS)
    def look(self, key: str) -> None:
        state, holder, _ = self.events.get(key, ("absent", 0, 0))
        status = self.runner.run(self.owners[0].status(key))
        assert status == ("done" if state == "done" else None if state == "absent" or holder < 0 else "claimed")

    @precondition(lambda self: self.events)
    @rule(owner=OWNERS)
    def restart(self, owner: int) -> None:
        """A new process knows nothing of the old one's claims; the store does."""
        self.runner.run(self.owners[owner].close())
        self.owners[owner] = type(self).factory()
        self.runner.run(self.owners[owner].open())
        for key, (state, holder, redelivery) in self.events.items():
            if holder == owner and state in {"held", "abandoned"}:
                self.events[key] = (state, 2, redelivery)


@pytest.mark.parametrize("backend", ["redis", "embedded"])
def test_any_history_matches_the_model(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = request.getfixturevalue("redis_url") if backend == "redis" else ""

    class Machine(Model):
        def __init__(self) -> None:
            store = uuid.uuid4().hex

            def factory() -> Deduplicator:
                if backend == "redis":
                    return RedisDeduplicator(url, timeout=5, prefix=store)
                return EmbeddedDeduplicator(tmp_path / f"{store}.db")

            type(self).factory = staticmethod(factory)
            super().__init__()

    relaxed = settings(
        max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Machine, settings=relaxed)
