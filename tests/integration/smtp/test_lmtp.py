"""LMTP: a mail server next door hands mail over and hears about each recipient."""

from __future__ import annotations

import asyncio
import smtplib
import stat
from pathlib import Path
from typing import Any

import pytest

from connectors.email import EmailChannel, EmailConfig, SmtpConfig
from connectors.email.config import LmtpConfig
from connectors.email.listener import Listener
from connectors.errors import Busy, Misconfigured
from normalizer.errors import MalformedPayload
from tests.integration.smtp.helpers import Client, Office, Pipeline, mail
from tests.servers.process import require

SUPPORT, SALES = "support@shop.example", "sales@shop.example"


async def add(office: Office, listen: str, name: str, *addresses: str, **options: Any) -> Pipeline:
    lmtp = LmtpConfig(listen=listen, hostname="store.shop.example", settle_secs=0.0, **options)
    return await office.start(name, EmailConfig(addresses=addresses, lmtp=lmtp))


@pytest.fixture
def listen(tmp_path: Path) -> str:
    return f"unix:{tmp_path / 'lmtp.sock'}"


async def connect(listen: str) -> Client:
    client = Client(*await asyncio.open_unix_connection(listen.removeprefix("unix:")))
    await client.hear()
    await client.ask("LHLO mx.shop.example")
    return client


async def begin(client: Client, *recipients: str) -> list[str]:
    await client.ask("MAIL FROM:<ann@example.net>")
    replies = [await client.ask(f"RCPT TO:<{recipient}>") for recipient in recipients]
    return [*replies, await client.ask("DATA")]


async def test_python_s_client_delivers_over_a_socket_file(office: Office, listen: str) -> None:
    pipeline = await add(office, listen, "support", SUPPORT)

    def talk() -> dict[str, Any]:
        with smtplib.LMTP(listen.removeprefix("unix:"), timeout=20) as client:
            refused = client.send_message(mail(), to_addrs=[SUPPORT, "nobody@shop.example"])
            assert {"pipelining", "enhancedstatuscodes", "8bitmime", "size"} <= set(client.esmtp_features)
            return refused

    assert list(await asyncio.to_thread(talk)) == ["nobody@shop.example"]
    assert [raw.meta["peer"] for raw in pipeline.taken] == [""]


async def test_swaks_delivers_over_tcp(office: Office) -> None:
    swaks = require("swaks", "swaks")
    pipeline = await add(office, "127.0.0.1:0", "support", SUPPORT)
    listener: Listener = office.hub["smtp:127.0.0.1:0"]

    process = await asyncio.create_subprocess_exec(
        *(swaks, "--protocol", "LMTP", "--server", f"127.0.0.1:{listener.port}", "--to", SUPPORT),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert len(pipeline.taken) == 1


async def test_every_recipient_is_answered_in_order(office: Office, listen: str) -> None:
    support = await add(office, listen, "support", SUPPORT)
    sales = await add(office, listen, "sales", SALES)
    sales.error = Busy()

    client = await connect(listen)
    await begin(client, SUPPORT, SALES, "support+2@shop.example")
    first = [await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n"), await client.hear(), await client.hear()]
    sales.error = MalformedPayload("x")
    await begin(client, SALES, "nobody@shop.example", SUPPORT)
    second = [await client.ask(b"Subject: y\r\n\r\n1\r\n.\r\n"), await client.hear()]
    await client.ask("QUIT")

    assert [reply[:9] for reply in first] == ["250 2.0.0", "451 4.3.0", "250 2.0.0"]
    assert [reply[:9] for reply in second] == ["554 5.6.0", "250 2.0.0"]
    assert len(support.taken) == 2
    client.writer.close()


@pytest.mark.parametrize(
    ("body", "reply"),
    [(b"x" * 2_000 + b"\r\n", "552 5.3.4"), (b"a\n.\nb\r\n", "554 5.6.0"), (b"a\nb\r\n", "554 5.6.0")],
)
async def test_a_mail_that_is_refused_is_refused_for_every_recipient(
    office: Office, listen: str, body: bytes, reply: str
) -> None:
    pipeline = await add(office, listen, "support", SUPPORT, max_bytes=1_000)

    client = await connect(listen)
    await begin(client, SUPPORT, "support+2@shop.example")
    replies = [await client.ask(body, b".\r\n"), await client.hear(), await client.ask("NOOP")]

    assert [one[:9] for one in replies] == [reply, reply, "250 2.0.0"]
    assert pipeline.taken == []
    client.writer.close()


async def test_it_is_not_smtp(office: Office, listen: str) -> None:
    await add(office, listen, "support", SUPPORT)

    client = Client(*await asyncio.open_unix_connection(listen.removeprefix("unix:")))
    banner = await client.hear()
    replies = [
        await client.ask(line) for line in ("EHLO x", "HELO x", "MAIL FROM:<a@b.example>", "LHLO", "LHLO x", "DATA")
    ]

    assert banner == "220 store.shop.example LMTP"
    assert [reply[:9] for reply in replies[:4]] == ["500 5.5.1", "500 5.5.1", "503 5.5.1", "501 5.5.4"]
    assert replies[5].startswith("503 5.5.1")
    client.writer.close()


async def test_smtp_does_not_know_lhlo(office: Office) -> None:
    await office.add()

    async with office.raw() as client:
        await client.hear()
        assert (await client.ask("LHLO x")).startswith("500 5.5.2")


async def test_the_socket_file_has_the_permissions_asked_for_and_may_be_left_over(
    office: Office, listen: str, tmp_path: Path
) -> None:
    for _ in range(2):
        await add(office, listen, "support", SUPPORT, socket_mode="600")
        assert stat.S_IMODE((tmp_path / "lmtp.sock").stat().st_mode) == 0o600
        await office.remove("support")


async def test_a_path_that_is_something_else_is_left_alone(office: Office, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    config = EmailConfig(addresses=(SUPPORT,), lmtp=LmtpConfig(listen=f"unix:{tmp_path / 'precious'}"))

    with pytest.raises(Misconfigured, match="precious"):
        await EmailChannel(config, office.context("support")).run(Pipeline())

    assert (tmp_path / "precious").read_text() == "data"


async def test_a_channel_may_take_mail_both_ways(office: Office, listen: str) -> None:
    config = EmailConfig(
        addresses=(SUPPORT,),
        smtp=SmtpConfig(listen="127.0.0.1:0", settle_secs=0.0),
        lmtp=LmtpConfig(listen=listen, settle_secs=0.0),
    )
    pipeline = await office.start("support", config)

    await office.send(mail())
    client = await connect(listen)
    await begin(client, SUPPORT)
    assert (await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")).startswith("250")
    client.writer.close()

    assert len(pipeline.taken) == 2
