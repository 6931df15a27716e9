"""A mail, its answer and what comes back, through a real gateway: broker, command queue, store and all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

from tests.servers.gateway import GatewayProcess
from tests.servers.mail_core import Core
from tests.servers.mailroom import Mailroom, bounce, deliver
from tests.servers.process import free_port

pytestmark = pytest.mark.slow

ANN, SHOP = "ann@example.net", "support@shop.example"


def channel(receives: int, sends: int) -> str:
    return (
        f'[channels.mail]\nkind = "email"\naddresses = ["{SHOP}"]\n'
        f'smtp = {{ listen = "127.0.0.1:{receives}", settle_secs = 0 }}\n'
        f'outgoing = {{ host = "127.0.0.1", port = {sends}, tls = "none", from = "Shop <{SHOP}>", defer_secs = 0.1 }}\n'
    )


def from_ann(text: str, **headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in {"From": f"Ann <{ANN}>", "To": SHOP, "Subject": "Parcel", **headers}.items():
        mail[name] = value
    mail.set_content(text)
    return mail


def part(params: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in params["message"]["parts"] if one["type"] == "email")
    return found


async def test_a_reply_is_answered_in_the_same_conversation_and_a_bounce_of_it_is_told(
    make_gateway: Callable[..., GatewayProcess],
) -> None:
    async with Mailroom().open() as room:
        port = free_port()
        gateway = await asyncio.to_thread(make_gateway, channels=channel(port, room.port))
        core = Core(gateway, "mail")
        try:
            await asyncio.to_thread(
                deliver, port, from_ann("Where is it?", **{"Message-ID": "<1@example.net>"}), SHOP, sender=ANN
            )
            (question,) = await asyncio.to_thread(core.wait, "message.received")
            conversation = question["conversation"]["id"]
            reply = {"conversation": conversation, "text": "On its way.", "idempotency_key": "first answer"}
            answer = await asyncio.to_thread(core.send, **reply)

            (ours,) = room.mails
            assert ours.mail["In-Reply-To"] == "<1@example.net>"
            assert ours.mail["Subject"] == "Re: Parcel"
            assert answer["result"]["message"]["provider_ids"] == [ours.mail["Message-ID"].strip("<>")]
            repeated = await asyncio.to_thread(core.send, **reply)
            assert repeated["result"] == answer["result"]
            assert len(room.mails) == 1, "the same key is one mail"

            quoted = "Thank you!\n\nOn 20/11/2026 12:30, Shop wrote:\n> On its way.\n"
            thanks = from_ann(quoted, References=f"<1@example.net> {ours.mail['Message-ID']}")
            await asyncio.to_thread(deliver, port, thanks, SHOP, sender=ANN)
            _, second = await asyncio.to_thread(core.wait, "message.received", 2)
            assert second["conversation"]["id"] == conversation
            assert part(second)["stripped_text"] == "Thank you!"
            assert second["conversation"]["seq"] > question["conversation"]["seq"]

            await asyncio.to_thread(deliver, port, bounce(ours), SHOP)
            statuses = await asyncio.to_thread(core.wait, "message.status", 2)
            assert [one["status"] for one in statuses] == ["sent", "failed"]
            assert statuses[0]["message"] == statuses[1]["message"]
            assert statuses[1]["message"]["id"] == answer["result"]["message"]["id"]
            assert statuses[1]["conversation"]["id"] == conversation
            assert "no such user" in statuses[1]["error"]["message"]
        finally:
            await asyncio.to_thread(core.close)


async def test_permanent_and_temporary_failures_are_told_apart(make_gateway: Callable[..., GatewayProcess]) -> None:
    async with Mailroom().open() as room:
        port = free_port()
        gateway = await asyncio.to_thread(make_gateway, channels=channel(port, room.port))
        core = Core(gateway, "mail")
        try:
            room.answer("RCPT gone@example.org", "550 5.1.1 No such user")
            room.answer(f"RCPT {ANN}", "451 4.7.1 Greylisted", "451 4.7.1 Greylisted")
            gone = await asyncio.to_thread(core.send, to="gone@example.org", text="Hello")
            assert gone["error"]["code"] == -32008
            assert gone["error"]["data"]["retryable"] is False
            later = await asyncio.to_thread(core.send, to=ANN, text="Hello")
            assert later["result"]["status"] == "sent"
            assert [one.recipients for one in room.mails] == [[ANN]]

            statuses = await asyncio.to_thread(core.wait, "message.status", 2)
            assert sorted(one["status"] for one in statuses) == ["failed", "sent"]
            told = await asyncio.to_thread(gateway.call, "channel.verify", {"channel": "mail"})
            assert told["result"]["provider"]["outgoing"]["port"] == room.port
            assert ANN not in gateway.logs()
            assert "gone@example.org" not in gateway.logs()
        finally:
            await asyncio.to_thread(core.close)
