"""Channels of Meta's for tests: built as the gateway builds them, beside the simulated API."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from connectors.api import Delivery, Receipt, Reply
from connectors.instagram import InstagramConfig, InstagramConnector
from connectors.messenger import MessengerConfig, MessengerConnector
from connectors.meta import MetaConfig, MetaConnector
from connectors.secrets import Secret
from connectors.whatsapp import WhatsappConfig, WhatsappConnector
from normalizer import parts as p
from normalizer.model import Address, ChannelRef
from normalizer.raw import Outbound, RawEvent
from tests.contexts import make_context

SECRET, WORD, TOKEN = "an-app-secret-of-the-tests", "a-verify-token-of-the-tests", "an-access-token-of-the-tests"
PERSON = "16505551234"
_KINDS: dict[str, tuple[type[MetaConfig], type[MetaConnector[Any]], str]] = {
    "whatsapp": (WhatsappConfig, WhatsappConnector, "phone_number_id"),
    "messenger": (MessengerConfig, MessengerConnector, "page_id"),
    "instagram": (InstagramConfig, InstagramConnector, "ig_user_id"),
}


def config(kind: str, api_base: str = "http://127.0.0.1:9", account: str = "101", **changes: Any) -> Any:
    """Make the options of a channel."""
    shape, _, name = _KINDS[kind]
    secrets = {"app_secret": Secret(SECRET), "verify_token": Secret(WORD), "access_token": Secret(TOKEN)}
    return shape(**{**secrets, "api_base": api_base, "media_hosts": ("127.0.0.1",), name: account, **changes})


class Desk:
    """Builds channels that share a process, with a clock and what they reported."""

    def __init__(self, http: aiohttp.ClientSession, folder: Path, url: str = "http://127.0.0.1:9") -> None:
        self.http, self.folder, self.url = http, folder, url
        self.hub: dict[str, Any] = {}
        self.now = time.time()
        self.reports: list[tuple[str, str | None, bool, datetime | None]] = []
        self.refused: list[str] = []

    def channel(
        self, kind: str, account: str = "101", *, name: str = "", first_check_secs: float = 3600, **changes: Any
    ) -> Any:
        """Build one; it belongs to the app unless `changes` say otherwise."""
        ref = ChannelRef(id=name or f"{kind}-{account}", type=kind)
        context = make_context(
            ref, self.folder, self.http, hub=self.hub, report=self.report, refused=self.refused.append
        )
        options = config(kind, self.url, account, **changes)
        return _KINDS[kind][1](options, context, first_check_secs=first_check_secs, clock=lambda: self.now)  # type: ignore[call-arg]

    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        self.reports.append((component, reason, down, expires_at))


@asynccontextmanager
async def desk(folder: Path, url: str = "http://127.0.0.1:9") -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as http:
        yield Desk(http, folder, url)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "content-type": "application/json"}


def delivery(body: Any, secret: str = SECRET) -> Delivery:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Delivery(method="POST", path="", url="", query={}, headers=signed(data, secret), body=data)


def asked(**query: str) -> Delivery:
    told = {f"hub.{name}": value for name, value in query.items()}
    return Delivery(method="GET", path="", url="", query=told, headers={}, body=b"")


async def post(connector: MetaConnector[Any], body: Any) -> Reply:
    return await connector.handle(delivery(body))


def change(account: str, *messages: dict[str, Any], contacts: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Write messages to one number as a change."""
    metadata = {"display_phone_number": f"1555000{account}", "phone_number_id": account}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": contacts, "messages": messages}
    return {"field": "messages", "value": value}


def whatsapp(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}


def text(number: int, body: str = "hello", **more: Any) -> dict[str, Any]:
    told = {"from": PERSON, "id": f"wamid.{number}", "timestamp": "1795000000", "type": "text"}
    return {**told, "text": {"body": body}, **more}


def outbound(kind: str, *parts: p.AnyPart, to: str | Address = PERSON, **more: Any) -> Outbound:
    address = to if isinstance(to, Address) else Address(scheme=kind, value=to)
    fields = {"id": "msg_1", "channel": ChannelRef(id=f"{kind}-101", type=kind), "to": address}
    return Outbound(parts=parts or (p.Text(body="Hello"),), **{**fields, **more})


@asynccontextmanager
async def running(
    *connectors: MetaConnector[Any], error: Exception | None = None
) -> AsyncIterator[dict[str, list[RawEvent]]]:
    """Run channels; yields what each was given, by channel. With `error` their sinks fail."""
    taken: dict[str, list[RawEvent]] = {one.ref.id: [] for one in connectors}

    async def sink(raw: RawEvent) -> Receipt:
        if error is not None:
            raise error
        taken[raw.channel.id].append(raw)
        return Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.run(sink)) for one in connectors]
        await asyncio.sleep(0)
        yield taken
        for task in tasks:
            task.cancel()
