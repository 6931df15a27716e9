"""Who the customers are: names and UnionIDs, asked for in bulk and told as `contact.identified`.

https://developer.work.weixin.qq.com/document/path/95159
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec

from connectors.api import Context, Sink
from connectors.errors import Busy, Misconfigured, SendError, StateUnavailable
from connectors.weixin_client import WeixinClient
from normalizer import build
from normalizer.codecs.wecom_kf import CUSTOMER
from normalizer.raw import RawEvent

ASK = "/cgi-bin/kf/customer/batchget"
BATCH = 100
WAITING_MAX = 1000
"""People to be asked about; beyond it nobody is asked about until they write again."""
KNOWN_SECS = 7 * 86_400.0
"""How long somebody is not asked about again."""
GATHER_SECS = 0.5
BUSY_SECS = 1.0
KEPT = ("external_userid", "nickname", "unionid")
"""What is handed on of an answer."""


class Customers(msgspec.Struct, frozen=True):
    """The answer."""

    customer_list: tuple[dict[str, object], ...] = ()


class Identify:
    """Asks for many at once; an app without the right is not asked again before a restart."""

    def __init__(self, client: WeixinClient, context: Context) -> None:
        """Ask by `client`."""
        self._client, self._context = client, context
        self._people: dict[str, None] = {}
        self._some = asyncio.Event()
        self._able = True

    def notice(self, customer: str) -> None:
        """Take note of somebody."""
        if self._able and customer and len(self._people) < WAITING_MAX:
            self._people[customer] = None
            self._some.set()

    async def run(self, sink: Sink) -> None:
        """Ask until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_SECS)
            people = list(self._people)[:BATCH]
            for one in people:
                del self._people[one]
            if not self._people:
                self._some.clear()
            try:
                await self._ask([one for one in people if await self._new(one)], sink)
            except SendError as exc:  # they are known all the same, by their ids
                self._able = not isinstance(exc, Misconfigured)
                self._context.log.debug("contacts_not_identified", code=exc.code)
            except StateUnavailable:
                continue

    async def _new(self, customer: str) -> bool:
        return await self._context.state.swap(f"kf:known:{customer}", None, b"1", ttl=KNOWN_SECS)

    async def _ask(self, people: list[str], sink: Sink) -> None:
        if not people:
            return
        wire = build.post(ASK, {"external_userid_list": people, "need_enter_session_context": 0})
        for told in (await self._client.ask(wire, Customers)).customer_list:
            body = msgspec.json.encode({name: told[name] for name in KEPT if name in told})
            await self._tell(body, sink)

    async def _tell(self, body: bytes, sink: Sink) -> None:
        channel = self._context.channel
        now, meta = datetime.now(UTC), {"api": CUSTOMER}
        raw = RawEvent(channel=channel, kind=channel.type, body=body, received_at=now, meta=meta)
        while True:
            try:
                await sink(raw)
            except Busy:
                await asyncio.sleep(BUSY_SECS)
            else:
                return
