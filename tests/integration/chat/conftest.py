"""A web chat on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.chat.helpers import Office, office


@pytest.fixture(params=["embedded", "redis"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    """A node whose conversations are in SQLite, and one with Redis."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    async with office(tmp_path, redis_url=url) as made:
        yield made
