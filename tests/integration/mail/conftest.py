"""A mail channel that sends, and the mail server it sends to, in the test's own loop.

Tests run on both event loops: uvloop is what the gateway uses, asyncio what it falls back to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import uvloop

from dedup.embedded import EmbeddedDeduplicator
from tests.integration.mail.helpers import PostOffice
from tests.servers.mailroom import Mailroom


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tell pytest-asyncio which loops to run each test on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def mailroom() -> AsyncIterator[Mailroom]:
    async with Mailroom().open() as room:
        yield room


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[PostOffice]:
    async with AsyncExitStack() as stack:
        store = EmbeddedDeduplicator(tmp_path / "dedup.db")
        await store.open()
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        office = PostOffice(tmp_path, http, store)
        stack.push_async_callback(office.close)
        yield office
