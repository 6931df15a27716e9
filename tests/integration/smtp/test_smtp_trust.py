"""What is proved about a mail that came by SMTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from connectors.email.config import TrustConfig
from tests.integration.smtp.helpers import Office, mail
from tests.servers.dns import DnsServer

FORGED = "mx.shop.example; dkim=pass header.d=bank.example; spf=pass; dmarc=pass"
SIGNATURE = "v=1; a=rsa-sha256; d=slow.example; s=s1; h=from; bh=AAAA; b=AAAA"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    server = DnsServer()
    yield server
    server.stop()


async def test_results_of_the_server_in_front_are_taken(office: Office) -> None:
    pipeline = await office.add(trust=TrustConfig(mode="upstream", authserv_id="mx.shop.example"))

    await office.send(mail(Authentication_Results="mx.shop.example; spf=softfail smtp.mailfrom=x.example; dmarc=fail"))
    await office.send(mail(Authentication_Results=FORGED.replace("mx.shop", "mx.evil")))

    taken, forged = (raw.security for raw in pipeline.taken)
    assert taken is not None
    assert (taken.spf, taken.dmarc, taken.authserv_id) == ("softfail", "fail", "mx.shop.example")
    assert forged is not None
    assert (forged.spf, forged.dmarc, forged.authserv_id) == (None, None, None)


@pytest.mark.parametrize("mode", ["off", "check"])
async def test_results_written_into_a_mail_are_not_believed(office: Office, dns: DnsServer, mode: str) -> None:
    pipeline = await office.add(trust=TrustConfig(mode=mode, nameservers=(dns.address,)))  # type: ignore[arg-type]

    await office.send(mail(Authentication_Results=FORGED))

    (raw,) = pipeline.taken
    assert raw.security is not None
    assert raw.security.verified == "none"
    assert "pass" not in {raw.security.dkim, raw.security.spf, raw.security.dmarc, raw.security.arc}


async def test_a_dns_that_does_not_answer_neither_loses_a_mail_nor_holds_up_others(
    office: Office, dns: DnsServer
) -> None:
    dns.silent.add("slow.example")
    pipeline = await office.add(trust=TrustConfig(mode="check", nameservers=(dns.address,), timeout_secs=1.0))
    started = time.monotonic()

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(office.send(mail(message_id=f"<{number}@x.example>", DKIM_Signature=SIGNATURE)))
        await asyncio.sleep(0.2)
        await office.send(mail("quick"))
        assert len(pipeline.taken) == 1

    assert len(pipeline.taken) == 6
    assert [raw.security.dkim for raw in pipeline.taken if raw.security] == ["none"] + ["temperror"] * 5
    assert time.monotonic() - started < 10
