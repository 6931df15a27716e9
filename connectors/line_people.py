"""Names of people who write: asked of LINE once, and remembered for a day.

https://developers.line.biz/en/reference/messaging-api/#get-profile
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from msgspec import Struct

from connectors.errors import SendError
from connectors.http import Answer
from connectors.line_api import result
from normalizer.codecs.line_types import Source
from normalizer.raw import Wire

KEEP_SECS = 86_400.0
AGAIN_SECS = 300.0
"""Until somebody LINE would not tell about is asked about again."""
PEOPLE_MAX = 10_000
WAIT_SECS = 1.0
"""How long all questions of one delivery may take; who is not known by then has no name."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Person = tuple[str, str | None]
"""Name and language."""
Ask = Callable[[Wire], Awaitable[Answer]]


class _Profile(Struct, frozen=True, rename="camel"):
    display_name: str
    language: str | None = None


class People:
    """Of one channel; nothing here raises."""

    def __init__(self, ask: Ask, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask LINE by `ask`."""
        self._ask, self._clock = ask, clock
        self._known: dict[str, tuple[Person | None, float]] = {}

    async def of(self, sources: Iterable[Source]) -> dict[str, Person]:
        """Return who is known of those who wrote, by user id."""
        wanted = {source.user_id: source for source in sources if source.user_id}
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECS), asyncio.TaskGroup() as group:
                for user, source in wanted.items():
                    if self._known.get(user, (None, 0.0))[1] < self._clock():
                        group.create_task(self._learn(user, source))
        found = {user: self._known.get(user, (None, 0.0))[0] for user in wanted}
        return {user: person for user, person in found.items() if person is not None}

    async def _learn(self, user: str, source: Source) -> None:
        person, keep = None, AGAIN_SECS
        path = _path(user, source)
        if path is not None:
            with suppress(SendError):
                told = result(await self._ask(Wire(method="GET", url=path)), _Profile)
                person, keep = (told.display_name, told.language), KEEP_SECS
        while len(self._known) >= PEOPLE_MAX:
            del self._known[next(iter(self._known))]
        self._known[user] = (person, self._clock() + keep)


def _path(user: str, source: Source) -> str | None:
    kind, chat = ("group", source.group_id) if source.group_id else ("room", source.room_id)
    if not _ID.fullmatch(user) or (chat and not _ID.fullmatch(chat)):
        return None
    return f"/v2/bot/{kind}/{chat}/member/{user}" if chat else f"/v2/bot/profile/{user}"
