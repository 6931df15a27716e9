"""A mail in quarantine is whole, and comes back by being re-driven: once, with its files and its conversation."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import aiohttp

from connectors.api import Receipt
from connectors.email.backstop import AnswersConfig, Backstop
from connectors.email.config import TrustConfig
from connectors.email.delivery import Inbox
from connectors.email.trust import Trust
from gateway.blobs import BlobStore
from gateway.simulate.email_kinds import attachments
from gateway.simulate.email_letter import Letter
from normalizer.codecs.email import EmailCodec
from normalizer.mail.tokens import Tokens
from tests.contexts import make_context
from tests.rig import empty_queue, rig

SHOP = "support@shop.example"
LETTER = Letter(sender="Ann <ann@x.example>", to=SHOP, subject="Bills", text="Here they are.", message_id="1@x.example")


async def test_a_mail_that_was_set_aside_is_read_when_it_is_redriven(tmp_path: Path, rabbit_url: str) -> None:
    codec, blobs = EmailCodec(), BlobStore(tmp_path)
    mail = attachments(LETTER).as_bytes()
    async with rig(tmp_path, broker_url=rabbit_url, kind="email", codec=codec) as it, aiohttp.ClientSession() as http:
        context = make_context(it.channel, tmp_path, http, store=it.dedup)
        tokens = Tokens((b"a-key-of-the-tests-only",))
        guard = Backstop(context.state, AnswersConfig(), channel=it.channel.id, tokens=tokens, own=(SHOP,))
        inbox = Inbox(context, it.intake, Trust(TrustConfig()), guard, codec)

        receipt = await inbox.take(mail, {"unreadable": "reading it did not come to an end"}, recipients=[SHOP])
        (row,) = await it.quarantine.list()
        entry = await it.quarantine.get(row.id)
        assert entry is not None
        kept = entry[1]
        first, second = await it.intake.redrive(kept), await it.intake.redrive(kept)
        found = [params for params in await empty_queue(rabbit_url) if "parts" in params.get("message", {})]

        assert (receipt, row.reason, kept.body) == (Receipt.QUARANTINED, "reading it did not come to an end", mail)
        assert (first, second) == (None, None)
        (message,) = [params["message"] for params in found]
        assert (message["subject"], message["provider_id"]) == ("Bills", "1@x.example")
        files = [part["media"] for part in message["parts"] if "media" in part]
        assert [one["name"] for one in files] == ["invoice.pdf", "invoice.pdf", "Rechnung März.pdf", "请求书.pdf"]
        for one in files:
            assert one["status"] == "stored"
            assert sha256(await blobs.get(f"sha256:{one['sha256']}")).hexdigest() == one["sha256"]
