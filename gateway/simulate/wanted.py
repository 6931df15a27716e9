"""What people want to happen, and the deliveries it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.simulate.api import Item, Simulator
from gateway.simulate.traffic import Delivery

ONE_MALFORMED_IN = 10

Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What happens at the provider.

    Attributes:
        count: how many things happen.
        text: of messages; {n} becomes the number.
        kind: what happens; empty is the usual.
        chats: how many persons write, in turn.
        first: number of the first; the same number makes the same ids again. By default every run is new.
        batch: how many are in one delivery, where the provider batches; 0 is one.
        late: how many seconds ago it happened.
        bad: how many of them cannot be understood; in a batch the others still can.
        malformed: add an unreadable delivery for every ten good ones.
    """

    count: int = 1
    text: str = "Hello from the simulator"
    kind: str = ""
    chats: int = 1
    first: int | None = None
    batch: int = 0
    late: float = 0.0
    bad: int = 0
    malformed: Flag = False

    def problem(self, simulator: Simulator[Any]) -> str | None:
        """Say what cannot be done; None if all can."""
        able = simulator.contents
        if self.kind and self.kind not in able:
            return f"--kind {self.kind}: there are {', '.join(able)}"
        if self.batch > simulator.batch_max:
            most = simulator.batch_max
            return f"--batch {self.batch}: this provider sends {'one by one' if most == 1 else f'at most {most}'}"
        if min(self.count, self.chats, self.batch, self.bad, self.late) < 0:
            return "numbers must not be negative"
        return None

    @property
    def expected(self) -> int:
        """How many deliveries this makes, without duplicates and retries."""
        size = max(self.batch, 1)
        return -(-self.count // size) + (0 if size > 1 else self.bad) + self.unreadable

    @property
    def unreadable(self) -> int:
        """How many deliveries `malformed` adds."""
        return -(-self.count // (ONE_MALFORMED_IN * max(self.batch, 1))) if self.malformed else 0


def items(
    wanted: Wanted,
    simulator: Simulator[Any],
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge: ids and dates of what is new
) -> Iterator[Item]:
    """Make what happens; in batches the first `bad` items are spoilt, spread over all batches."""
    now = clock()
    start = int(now * 1000) if wanted.first is None else wanted.first
    spoilt = wanted.bad if wanted.batch > 1 else 0
    every = max(wanted.count // spoilt, 1) if spoilt else 0
    for index in range(wanted.count):
        yield Item(
            number=start + index,
            at=now - wanted.late,
            content=wanted.kind or simulator.contents[0],
            text=wanted.text.replace("{n}", str(start + index)),
            person=1 + index % max(wanted.chats, 1),
            spoilt=bool(every) and index % every == 0 and index // every < spoilt,
        )


def deliveries(
    wanted: Wanted,
    simulator: Simulator[Any],
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- as above
) -> Iterator[Delivery]:
    """Write it as the provider does, and after it what nobody can read."""
    source = items(wanted, simulator, clock)
    while batch := tuple(islice(source, max(wanted.batch, 1))):
        yield Delivery(name=str(batch[0].number), request=simulator.delivery(batch))
    bad = wanted.unreadable + (0 if wanted.batch > 1 else wanted.bad)
    for number in range(bad):
        yield Delivery(name=f"malformed-{number}", request=simulator.malformed(number))
