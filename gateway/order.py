"""What arrives in the wrong order: a status that would go back, an edit that overtook its message.

Providers repeat and deliver in parallel, so `read` comes before `delivered`, and an edit before what it edits.

*A status never goes back.* The furthest one of every sent message is kept in the channel's state, for as long as
deliveries are remembered; what comes after it and says less is counted as ignored (``status_went_back``). The state is
written before the status is published: should that publish fail, its delivery is repeated and passes, because it does
not say less than itself.

*An edit follows its message.* When the message is not known yet, the edit waits for it, unanswered, so that nothing is
promised: `patience_secs` at most, for it may also be older than what the store remembers. Then it goes out.

Where the dedup store is away, both checks are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import State
from connectors.errors import StateUnavailable
from dedup.api import Deduplicator, DedupUnavailable
from normalizer.model import StatusParams
from normalizer.raw import Decoded, Event, Ignored

PATIENCE_SECS = 1.5
POLL_SECS = 0.03
WENT_BACK = Ignored(reason="status_went_back")

_RANK = {"queued": 0, "sent": 1, "delivered": 2, "read": 3}
_END = 4
"""Rank of what ends the story of a message that was not delivered: ``failed``, ``expired``."""


class Known(Struct, frozen=True, array_like=True):
    """What is remembered of a sent message.

    Attributes:
        status: the furthest that was told.
        message_id: ours (`msg_…`); empty for one that this gateway did not send.
        idempotency_key: of the request that sent it.
    """

    status: str
    message_id: str = ""
    idempotency_key: str | None = None


_decode = msgspec.json.Decoder(Known).decode


def says_more(status: str, known: str) -> bool:
    """Tell whether a status may follow `known`; one that says the same may, for it is a repetition."""
    if status == known:
        return True
    if known in {"failed", "expired"}:
        return False
    rank = _RANK.get(status, _END)
    if rank == _END:
        return _RANK[known] < _RANK["delivered"]
    return rank > _RANK[known]


def concerned(items: Iterable[Decoded]) -> bool:
    """Tell whether the order of any of the items is looked at; nearly always not, and then it costs nothing."""
    for item in items:  # noqa: SIM110 -- a generator would cost three times as much
        if type(item) is Event and (item.after or item.method == "message.status"):
            return True
    return False


class Statuses:
    """The furthest status of every sent message of a channel."""

    def __init__(self, state: State, *, keep_secs: float) -> None:
        """Keep it in `state` for `keep_secs`."""
        self._state, self._keep = state, keep_secs

    async def sent(self, provider_ids: Sequence[str], message_id: str, idempotency_key: str | None) -> bool:
        """Note that we sent a message; tell whether that is news, or the provider has told more already."""
        news = True
        for number, provider_id in enumerate(provider_ids):
            known = Known("sent", message_id, idempotency_key)
            try:
                told = await self._advance(provider_id, known)
            except StateUnavailable:
                continue
            news = news and (number > 0 or told is not None)
        return news

    async def checked(self, event: Event) -> Event | Ignored:
        """Complete the status of a message we sent with our own ids, or drop it because more is known."""
        params = event.params
        if not isinstance(params, StatusParams) or params.message.provider_id is None:
            return event
        try:
            known = await self._advance(params.message.provider_id, Known(params.status, params.message.id or ""))
        except StateUnavailable:
            return event
        if known is None:
            return WENT_BACK
        message = replace(params.message, id=params.message.id or known.message_id or None)
        key = params.idempotency_key or known.idempotency_key
        return replace(event, params=replace(params, message=message, idempotency_key=key))

    async def _advance(self, provider_id: str, new: Known) -> Known | None:
        """Write down what is new; returns all that is known then, or None when more had been known."""
        key = f"status:{provider_id}"
        while True:
            stored = await self._state.get(key)
            old = None if stored is None else _decode(stored)
            merged = new if old is None else _merged(old, new)
            if merged == old or await self._state.swap(key, stored, msgspec.json.encode(merged), ttl=self._keep):
                return merged if merged.status == new.status else None


def _merged(old: Known, new: Known) -> Known:
    status = new.status if says_more(new.status, old.status) else old.status
    return Known(status, old.message_id or new.message_id, old.idempotency_key or new.idempotency_key)


class Precedence:
    """Lets an event wait for the one it must follow."""

    def __init__(self, dedup: Deduplicator, *, under_way: Callable[[str], bool], patience_secs: float) -> None:
        """Ask `dedup` and, for what this process is about to publish, `under_way`."""
        self._dedup, self._under_way, self._patience = dedup, under_way, patience_secs

    async def wait(self, keys: Iterable[str]) -> None:
        """Return when all events of `keys` are durable, or patience is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        for key in keys:
            while not await self._durable(key) and loop.time() < until:  # noqa: ASYNC110 -- another process may have it
                await asyncio.sleep(POLL_SECS)

    async def _durable(self, key: str) -> bool:
        if self._under_way(key):
            return False
        try:
            return await self._dedup.status(key) == "done"
        except DedupUnavailable:
            return True
