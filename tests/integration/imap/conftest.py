"""A Dovecot for each test: it starts in 50 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers.dovecot import Dovecot


@pytest.fixture
def make_dovecot() -> Iterator[Callable[..., Dovecot]]:
    """Make started servers (arguments of `Dovecot`); they end with the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> Dovecot:
            server = Dovecot(**options)
            stack.callback(server.stop)
            return server.start()

        yield make


@pytest.fixture
def dovecot(make_dovecot: Callable[..., Dovecot]) -> Dovecot:
    """A server with one user, without TLS."""
    return make_dovecot()
