"""Several channels on one port, coming and going."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest

from connectors.email import EmailChannel, EmailConfig, SmtpConfig
from connectors.errors import Misconfigured
from normalizer.model import Address, ChannelRef
from normalizer.parts import Text
from normalizer.raw import Outbound
from tests.integration.smtp.helpers import Office, Pipeline, mail


async def start(office: Office, *addresses: str, **smtp: object) -> None:
    """Run a channel that is expected to fail."""
    config = EmailConfig(addresses=addresses, smtp=SmtpConfig(**{"listen": "127.0.0.1:0", **smtp}))  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        await EmailChannel(config, office.context("other")).run(Pipeline())


async def test_a_channel_is_added_while_a_connection_is_open(office: Office) -> None:
    await office.add("support", ("support@shop.example",))

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await client.ask("MAIL FROM:<ann@example.net>")
        before = await client.ask("RCPT TO:<sales@shop.example>")
        sales = await office.add("sales", ("sales@shop.example",))
        after = await client.ask("RCPT TO:<sales@shop.example>")
        await client.ask("DATA")
        await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")

    assert (before[:3], after[:3]) == ("550", "250")
    assert len(sales.taken) == 1


async def test_a_channel_that_leaves_takes_no_connection_with_it(office: Office) -> None:
    await office.add("sales", ("sales@shop.example",))
    support = await office.add("support", ("support@shop.example",))

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await office.remove("sales")
        await client.ask("MAIL FROM:<ann@example.net>")
        left = await client.ask("RCPT TO:<sales@shop.example>")
        await client.ask("RCPT TO:<support@shop.example>")
        await client.ask("DATA")
        assert (await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")).startswith("250")

    assert left.startswith("451")  # it may only be restarting: a bounce would be wrong
    assert len(support.taken) == 1


async def test_a_mail_whose_channel_left_meanwhile_is_repeated_later(office: Office) -> None:
    await office.add("sales", ("sales@shop.example",))
    await office.add("support", ("support@shop.example",))

    async with office.raw() as client:
        await client.begin("sales@shop.example")
        await office.remove("sales")
        assert (await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")).startswith("451")


async def test_the_last_channel_closes_the_port_and_says_goodbye(office: Office) -> None:
    await office.add()
    port = office.port

    async with office.raw() as client:
        await client.hear()
        await office.remove("support")
        assert (await client.hear()).startswith("421 4.3.2")
        assert await client.hear() == ""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_delivery_under_way_is_finished_before_the_channel_stops(office: Office) -> None:
    pipeline = await office.add()
    pipeline.open.clear()

    async with office.raw() as client:
        await client.begin()
        await client.say(b"Subject: x\r\n\r\n1\r\n.\r\n")
        await pipeline.arrived.wait()
        asyncio.get_running_loop().call_later(0.1, pipeline.open.set)
        await office.remove("support")
        assert (await client.hear()).startswith("250")

    assert len(pipeline.taken) == 1


async def test_the_port_opens_again_for_the_next_channel(office: Office) -> None:
    await office.add(max_recipients=5)
    await office.remove("support")
    pipeline = await office.add(max_recipients=6)

    await office.send(mail())

    assert len(pipeline.taken) == 1


async def test_channels_that_disagree_about_their_port_are_told(office: Office) -> None:
    await office.add()

    with pytest.raises(Misconfigured, match="same `smtp` options"):
        await start(office, "sales@shop.example", max_recipients=7, hostname="mx.shop.example", settle_secs=0.0)


async def test_two_channels_cannot_have_the_same_address(office: Office) -> None:
    await office.add()

    with pytest.raises(Misconfigured, match=r"support@shop\.example belongs to channel 'support' already"):
        await start(office, "Support@Shop.Example", hostname="mx.shop.example", settle_secs=0.0)


async def test_an_impossible_address_to_listen_on_is_named(office: Office) -> None:
    with pytest.raises(Misconfigured, match=r"cannot listen on 192\.0\.2\.1:25"):
        await start(office, "sales@shop.example", listen="192.0.2.1:25")


async def test_a_certificate_that_cannot_be_read_is_named(office: Office, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"missing\.pem"):
        await start(office, "sales@shop.example", tls_cert=str(tmp_path / "missing.pem"))


async def test_right_after_the_start_an_unknown_recipient_is_only_put_off(office: Office) -> None:
    await office.add(settle_secs=30.0)

    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        await office.send(mail(), "sales@shop.example")

    assert [code for code, _ in caught.value.recipients.values()] == [451]


async def test_sending_is_refused_with_a_reason(office: Office) -> None:
    channel = EmailChannel(
        EmailConfig(addresses=("a@shop.example",), smtp=SmtpConfig(listen="127.0.0.1:0")), office.context("support")
    )
    reference = ChannelRef(id="support", type="email")
    message = Outbound(
        id="msg_1", channel=reference, to=Address(scheme="mailto", value="b@x.example"), parts=(Text(body="Hi"),)
    )

    with pytest.raises(Misconfigured, match="no `outgoing`"):
        await channel.send(message)
