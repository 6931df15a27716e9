"""Answers whose only sign of a thread is Thread-Index, as old Exchange servers and some relays leave it.

The first mail of a thread has Message-ID and Thread-Index, and whatever answers it properly names the former. So the
first Message-ID that a sender's mails tell of a thread is noted under its index, and told to the codec with an answer
that names no mail (``RawEvent.meta["begun_by"]``), as if it were its References. A replay has it in `meta`, and comes
to the same result.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from connectors.api import State
from connectors.errors import StateUnavailable
from normalizer import ids
from normalizer.mail import identity
from normalizer.mail.address import addresses
from normalizer.mail.mime import Entity
from normalizer.mail.threading import earlier, index_of, root_of

KEEP_SECS = 180 * 86_400.0
HEADER_MAX = 65_536
"""Bytes that are searched for the field; further down it is not looked for."""


class Indexes:
    """The threads of one channel by their Thread-Index."""

    def __init__(self, state: State, log: FilteringBoundLogger) -> None:
        """Remember in `state`."""
        self._state, self._log = state, log

    async def begun_by(self, body: bytes) -> str | None:
        """Return the Message-ID that began the thread of a mail which names none; note that of any other.

        None where nothing is known, also while the state is away: such an answer then joins those like it only.
        """
        if b"\nthread-index:" not in b"\n" + body[:HEADER_MAX].lower():
            return None
        fields = (root := Entity(body, 0, len(body), "", "text/plain")).fields
        index, authors = index_of(fields), addresses(fields.raw("from"))[:1]
        if index is None or not authors:
            return None
        key = f"index:{ids.digest(authors[0].key, index.thread)}"
        named = bool(earlier(fields))
        try:
            if index.answers and not named:
                known = await self._state.get(key)
                return known.decode() if known else None
            own = identity.message_id(root)
            if own or named:  # the first that is told counts: a forger who comes later changes nothing
                await self._state.swap(key, None, root_of(fields, own or "").encode(), ttl=KEEP_SECS)
        except StateUnavailable:
            self._log.warning("thread_index_unknown")
        return None
