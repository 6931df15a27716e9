"""How many files a process may open, shared out among its listeners."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from connectors.descriptors import Descriptors

SetLimits = Callable[[int], None]


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.fixture(autouse=True)
def limits() -> Iterator[int]:
    """Begin with a soft limit of 300; yields the hard one, which is left as it is: it could not be raised again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_limit_is_raised_to_what_all_need_together() -> None:
    both = Descriptors()
    assert both.reserve("http", 400) == 400
    assert soft() == 400
    assert both.reserve("chat", 500) == 500
    assert soft() == both.limit == both.wanted == 900


def test_limit_that_is_high_enough_is_left_alone() -> None:
    assert Descriptors().reserve("http", 200) == 200
    assert soft() == 300


def test_who_asks_again_is_counted_once_and_who_is_gone_not_at_all() -> None:
    both = Descriptors()
    both.reserve("chat", 400)
    both.reserve("chat", 500)
    both.reserve("http", 100)
    assert both.wanted == 600
    both.release("chat")
    both.release("chat")
    assert both.wanted == 100


def test_who_cannot_have_all_gets_what_is_left_or_half(limits: int) -> None:
    if limits == resource.RLIM_INFINITY:
        pytest.skip("no hard limit here")
    few = Descriptors()
    few.reserve("http", 250)
    assert few.reserve("chat", limits) == limits - 250
    many = Descriptors()
    many.reserve("http", limits)
    assert many.reserve("chat", limits) == limits // 2
    assert soft() == limits
