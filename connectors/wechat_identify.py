"""Which UnionID belongs to an OpenID: asked for when somebody subscribes, and told as `contact.identified`.

https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.api import Context, Sink
from connectors.errors import Busy, Misconfigured, SendError
from connectors.weixin_client import WeixinClient
from normalizer.codecs.wechat import USER_INFO, Answerable
from normalizer.raw import RawEvent

WAITING_MAX = 1000
"""People to be asked about; beyond it nobody is asked about."""
BUSY_SECS = 1.0
KEPT = ("openid", "unionid", "nickname", "language")
"""What is handed on of an answer."""


class Identify:
    """Asks for one person after the other; an account without the right is not asked again before a restart."""

    def __init__(self, client: WeixinClient, context: Context) -> None:
        """Ask by `client`."""
        self._client, self._context = client, context
        self._people: asyncio.Queue[str] = asyncio.Queue(WAITING_MAX)
        self._able = True

    def notice(self, found: Answerable | None) -> None:
        """Take note of a delivery."""
        if self._able and found is not None and found.event == "subscribe":
            with suppress(asyncio.QueueFull):
                self._people.put_nowait(found.user)

    async def run(self, sink: Sink) -> None:
        """Ask until cancelled."""
        while True:
            user = await self._people.get()
            try:
                told = await self._client.get("/cgi-bin/user/info", openid=user)
            except SendError as exc:  # the person is known all the same, by its OpenID
                self._able = not isinstance(exc, Misconfigured)
                self._context.log.debug("contact_not_identified", code=exc.code)
                continue
            if told.get("unionid"):
                await self._tell(told, sink)

    async def _tell(self, told: dict[str, Any], sink: Sink) -> None:
        raw = RawEvent(
            channel=self._context.channel,
            kind=self._context.channel.type,
            body=msgspec.json.encode({name: told[name] for name in KEPT if name in told}),
            received_at=datetime.now(UTC),
            meta={"api": USER_INFO},
        )
        while True:
            try:
                await sink(raw)
            except Busy:
                await asyncio.sleep(BUSY_SECS)
            else:
                return
