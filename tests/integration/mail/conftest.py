"""A mail channel that sends, and the mail server it sends to, in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from dedup.embedded import EmbeddedDeduplicator
from tests.integration.mail.helpers import PostOffice
from tests.servers.mailroom import Mailroom


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
