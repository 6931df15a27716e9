"""Mail tests run on both event loops: uvloop is what the gateway uses, asyncio what it falls back to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import uvloop

from tests.integration.smtp.helpers import Office


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tell pytest-asyncio which loops to run each test on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        office = Office(tmp_path, http, group)
        yield office
        for name in list(office.tasks):
            await office.remove(name)
