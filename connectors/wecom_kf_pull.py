"""Pulling what happened in WeCom customer service: by one node at a time, with a cursor that outlives all of them.

https://developer.work.weixin.qq.com/document/path/94670

A poke is written down before it is acknowledged, and crossed out only once everything up to it has been pulled, so it
survives whoever took it. The cursor moves on only after the pipeline has every item of a page; a puller that dies in
between is followed by another one that pulls the page again, and `msgid` tells the pipeline what it has already.
Pokes can be lost, so each account is pulled every now and then without one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from connectors.api import Context, Sink
from connectors.errors import Busy, Misconfigured, SendError, StateUnavailable, Throttled, Unreachable
from connectors.leases import Lease
from connectors.wecom_api import MSGTOKEN
from connectors.weixin_client import WeixinClient
from normalizer import build
from normalizer.codecs.wecom_kf import ITEM
from normalizer.model import Security
from normalizer.raw import RawEvent

SYNC, ACCOUNTS = "/cgi-bin/kf/sync_msg", "/cgi-bin/kf/account/list"
PAGE = 1000
PAGE_BYTES = 32 * 1024 * 1024
LEASE_SECS = 15.0
SCAN_SECS = 5.0
"""How often a node looks for pokes that another one took and did not live to follow."""
HANDOVER_SECS = 0.2
"""How often a node that was poked looks whether the node that pulls has seen to it."""
REST_SECS = (1.0, 60.0)
"""Pause after a failure, doubling from the first to the last."""
BUSY_SECS = 1.0
COMPONENT = "sync"
PULLED = Security(verified="token")
"""WeCom gave it out to our access token."""


class Page(Struct, frozen=True):
    """The answer of `kf/sync_msg`; items are kept as they came, so that a bad one harms no other."""

    next_cursor: str = ""
    has_more: int = 0
    msg_list: tuple[msgspec.Raw, ...] = ()


class Poked(Struct, frozen=True, array_like=True):
    """A poke, as stored; `at` makes each another one."""

    token: str
    at: float


Noticed = Callable[[RawEvent], Awaitable[None]]


class Puller:
    """Pulls for one channel."""

    def __init__(
        self,
        context: Context,
        client: WeixinClient,
        *,
        poll_secs: float,
        voice_format: int,
        notice: Noticed,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- pokes are told apart by their time
    ) -> None:
        """Pull by `client`, each account at least every `poll_secs`; `notice` sees each item before the pipeline."""
        self._context, self._client, self._state = context, client, context.state
        self._poll_secs, self._voice_format, self._notice, self._clock = poll_secs, voice_format, notice, clock
        self._bell = asyncio.Event()
        self._busy: set[str] = set()
        self._failures: dict[str, tuple[float, float]] = {}

    async def poked(self, account: str, token: str) -> None:
        """Write a poke down; raises `StateUnavailable`."""
        await self._know((account,))
        await self._state.put(f"kf:poke:{account}", msgspec.json.encode(Poked(token, self._clock())))
        self._bell.set()

    async def run(self, sink: Sink) -> None:
        """Pull until cancelled."""
        await self._ask_for_accounts()
        async with asyncio.TaskGroup() as group:
            while True:
                self._bell.clear()
                with suppress(StateUnavailable):
                    for account in await self._accounts():
                        if account not in self._busy and self._rested(account) and await self._due(account):
                            self._busy.add(account)
                            group.create_task(self._serve(account, sink))
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(SCAN_SECS, self._poll_secs)):
                        await self._bell.wait()

    async def _ask_for_accounts(self) -> None:
        """Learn which accounts there are, so that they are pulled although nobody pokes (a restart after days)."""
        try:
            told = await self._client.post(ACCOUNTS, {"offset": 0, "limit": 100})
            rows = told.get("account_list")
            names = [row.get("open_kfid") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            await self._know(tuple(name for name in names if isinstance(name, str) and name))
        except SendError as exc:
            self._context.log.warning("accounts_not_listed", code=exc.code, provider_code=exc.provider_code)
        except StateUnavailable:
            self._context.log.warning("accounts_not_listed", code="state_unavailable")

    async def _know(self, accounts: tuple[str, ...]) -> None:
        while True:
            stored = await self._state.get("kf:accounts")
            known = _names(stored)
            more = known | set(accounts)
            if more == known or await self._state.swap("kf:accounts", stored, msgspec.json.encode(sorted(more))):
                return

    async def _accounts(self) -> list[str]:
        return sorted(_names(await self._state.get("kf:accounts")))

    async def _due(self, account: str) -> bool:
        if await self._state.get(f"kf:poke:{account}") is not None:
            return True
        return await self._state.get(f"kf:pulled:{account}") is None

    def _rested(self, account: str) -> bool:
        return self._failures.get(account, (0.0, 0.0))[1] <= asyncio.get_running_loop().time()

    async def _serve(self, account: str, sink: Sink) -> None:
        lease = Lease(self._state, f"kf:{account}", secs=LEASE_SECS)

        async def drain() -> None:
            await self._drain(account, sink)

        try:
            while await self._due(account):
                if await lease.take():
                    await lease.hold(drain)
                else:
                    await asyncio.sleep(HANDOVER_SECS)
            self._well(account)
            self._bell.set()  # a poke may have come meanwhile
        except StateUnavailable:
            self._rest(account, 0.0)
        except SendError as exc:
            self._rest(account, exc.retry_after or 0.0 if isinstance(exc, Throttled) else 0.0)
            self._context.log.warning("pull_failed", code=exc.code, provider_code=exc.provider_code)
            self._context.report(COMPONENT, str(exc), down=isinstance(exc, Misconfigured))
        finally:
            self._busy.discard(account)

    def _well(self, account: str) -> None:
        if self._failures.pop(account, None) is not None:
            self._context.report(COMPONENT, None)

    def _rest(self, account: str, wanted: float) -> None:
        least, most = REST_SECS
        before = self._failures.get(account, (0.0, 0.0))[0]
        pause = max(wanted, min(most, max(least, 2 * before)))
        self._failures[account] = (pause, asyncio.get_running_loop().time() + pause)
        asyncio.get_running_loop().call_later(pause, self._bell.set)

    async def _drain(self, account: str, sink: Sink) -> None:
        """Pull all there is, and cross out the poke that asked for it, unless there is another by then."""
        while True:
            stored = await self._state.get(f"kf:poke:{account}")
            token = msgspec.json.decode(stored, type=Poked).token if stored else ""
            while await self._page(account, token, sink):
                pass
            if stored is None or await self._state.swap(f"kf:poke:{account}", stored, None):
                break
        await self._state.put(f"kf:pulled:{account}", b"1", ttl=self._poll_secs)

    async def _page(self, account: str, token: str, sink: Sink) -> bool:
        """Pull a page and move the cursor; tell whether there may be more. A page may be empty and not the last."""
        before = await self._state.get(f"kf:cursor:{account}")
        page = await self._ask(account, before.decode() if before else "", token)
        for item in page.msg_list:
            await self._hand_over(bytes(item), sink)
        after = page.next_cursor.encode()
        if not after or after == before:
            if page.has_more == 1:
                raise Unreachable("WeCom says that there is more, and gives the same page again")
            return False
        # Where the cursor is not where it was, another node has pulled meanwhile: go on from there.
        await self._state.swap(f"kf:cursor:{account}", before, after)
        return page.has_more == 1

    async def _ask(self, account: str, cursor: str, token: str) -> Page:
        body: dict[str, Any] = {"limit": PAGE, "voice_format": self._voice_format, "open_kfid": account}
        body |= {name: value for name, value in (("cursor", cursor), ("token", token)) if value}
        try:
            return await self._client.ask(build.post(SYNC, body), Page, max_bytes=PAGE_BYTES)
        except SendError as exc:
            if exc.provider_code != MSGTOKEN or not token:
                raise
        return await self._ask(account, cursor, "")  # the poke is older than ten minutes

    async def _hand_over(self, body: bytes, sink: Sink) -> None:
        raw = RawEvent(
            channel=self._context.channel,
            kind=self._context.channel.type,
            body=body,
            received_at=datetime.now(UTC),
            security=PULLED,
            meta={"api": ITEM},
            noted=True,  # by the cursor
        )
        await self._notice(raw)
        while True:
            try:
                await sink(raw)
            except Busy as exc:
                await asyncio.sleep(max(BUSY_SECS, exc.retry_after))
            else:
                return


def _names(stored: bytes | None) -> set[str]:
    return set(msgspec.json.decode(stored, type=list[str])) if stored else set()
