"""Mails that go through: what reaches the pipeline, and when the client is told."""

from __future__ import annotations

import asyncio
import json
import smtplib
from email.policy import SMTP
from pathlib import Path

import pytest

from connectors.errors import Busy
from normalizer.codecs.email import EmailCodec
from normalizer.errors import MalformedPayload
from normalizer.model import MessageParams
from normalizer.parts import Email, File, Image
from normalizer.raw import Event
from tests.integration.smtp.helpers import Office, certificate, client_tls, mail
from tests.servers.process import require


async def test_a_mail_reaches_the_pipeline_with_its_envelope(office: Office) -> None:
    pipeline = await office.add()

    await office.send(mail(), "support+42@shop.example")

    (raw,) = pipeline.taken
    assert raw.content_type == "message/rfc822"
    assert raw.body.endswith(b"\r\n\r\nWhere is my parcel?\r\n")
    assert raw.on_malformed == "quarantine"
    assert raw.meta["mail_from"] == "ann@example.net"
    assert json.loads(raw.meta["rcpt_to"]) == ["support+42@shop.example"]
    assert (raw.meta["peer"], raw.meta["helo"], raw.meta["tls"]) == ("127.0.0.1", "client.example", "")


async def test_the_client_waits_until_the_mail_is_durable(office: Office) -> None:
    pipeline = await office.add()
    pipeline.open.clear()

    async with office.raw() as client:
        await client.begin()
        await client.say(mail().as_bytes(policy=SMTP), b"\r\n.\r\n")
        async with asyncio.timeout(20):
            await pipeline.arrived.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.reader.readline()
        pipeline.open.set()
        assert await client.hear() == "250 2.0.0 Accepted"


@pytest.mark.parametrize(("error", "code"), [(Busy(), 451), (RuntimeError("bug"), 451), (MalformedPayload("x"), 554)])
async def test_what_the_pipeline_cannot_take_is_not_accepted(office: Office, error: Exception, code: int) -> None:
    pipeline = await office.add()
    pipeline.error = error

    with pytest.raises(smtplib.SMTPDataError) as caught:
        await office.send(mail())

    assert caught.value.smtp_code == code
    assert b"bug" not in caught.value.smtp_error


async def test_attachments_are_stored_before_the_mail_is_handed_over(office: Office) -> None:
    pipeline = await office.add()
    message = mail()
    message.add_attachment(b"%PDF-1.7 \x00\xff", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="bug.png")

    await office.send(message)

    (raw,) = pipeline.taken
    (event,) = EmailCodec().decode(raw)
    assert isinstance(event, Event)
    assert isinstance(event.params, MessageParams)
    _, pdf, png = event.params.message.parts
    assert isinstance(pdf, File)
    assert isinstance(png, Image)
    assert (pdf.media.name, pdf.media.mime, pdf.media.size) == ("Rechnung März.pdf", "application/pdf", 11)
    assert pdf.media.status == png.media.status == "stored"
    assert (office.folder / str(pdf.media.sha256)).read_bytes() == b"%PDF-1.7 \x00\xff"
    assert (office.folder / str(png.media.sha256)).read_bytes() == b"\x89PNG"
    assert event.params.raw is not None
    assert (office.folder / str(event.params.raw.sha256)).read_bytes() == raw.body


async def test_a_replay_without_storage_gives_the_same_event(office: Office) -> None:
    pipeline = await office.add()
    message = mail()
    message.add_attachment(b"x" * 300_000, maintype="application", subtype="zip", filename="logs.zip")

    await office.send(message)
    (first,) = EmailCodec().decode(pipeline.taken[0])
    for path in office.folder.iterdir():
        path.unlink()

    assert list(EmailCodec().decode(pipeline.taken[0])) == [first]


async def test_one_mail_for_two_channels_is_one_delivery_each(office: Office) -> None:
    support = await office.add("support", ("support@shop.example",))
    sales = await office.add("sales", ("*@sales.example",))

    await office.send(mail(), "support@shop.example", "support+1@shop.example", "bob@sales.example")

    assert [json.loads(raw.meta["rcpt_to"]) for raw in support.taken] == [
        ["support@shop.example", "support+1@shop.example"]
    ]
    assert [json.loads(raw.meta["rcpt_to"]) for raw in sales.taken] == [["bob@sales.example"]]
    assert [raw.channel.id for raw in support.taken + sales.taken] == ["support", "sales"]


async def test_if_one_of_two_channels_is_busy_the_client_repeats_the_mail(office: Office) -> None:
    support = await office.add("support", ("support@shop.example",))
    sales = await office.add("sales", ("*@sales.example",))
    sales.error = Busy()

    with pytest.raises(smtplib.SMTPDataError) as caught:
        await office.send(mail(), "support@shop.example", "bob@sales.example")

    assert caught.value.smtp_code == 451
    assert len(support.taken) == 1


async def test_a_mail_that_is_noise_is_taken_all_the_same(office: Office) -> None:
    pipeline = await office.add()
    noise = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 40 + b"\r\n" + b"a" * 200_000

    async with office.raw() as client:
        await client.begin()
        assert await client.ask(noise, b"\r\n.\r\n") == "250 2.0.0 Accepted"

    assert pipeline.taken[0].body == noise + b"\r\n"


async def test_dots_are_undone_and_bare_line_feeds_stay_as_they_are_where_they_are_accepted(office: Office) -> None:
    pipeline = await office.add(bare_lf="accept")

    async with office.raw() as client:
        await client.begin()
        reply = await client.ask(b"Subject: x\r\n\r\n..\r\n...end\r\nbare\nline\r\n.\r\n")

    assert reply == "250 2.0.0 Accepted"
    assert pipeline.taken[0].body == b"Subject: x\r\n\r\n.\r\n..end\r\nbare\nline\r\n"


async def test_swaks_delivers_an_attachment_with_pipelining(office: Office, tmp_path: Path) -> None:
    swaks = require("swaks", "swaks")
    pipeline = await office.add()
    (tmp_path / "note.txt").write_text("attached")

    arguments = ["--to", "support@shop.example", "--from", "ann@example.net", "--pipeline", "--body", "Hello"]
    process = await asyncio.create_subprocess_exec(
        *(swaks, "--server", f"127.0.0.1:{office.port}", *arguments, "--attach", f"@{tmp_path / 'note.txt'}"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert b"Hello" in pipeline.taken[0].body
    assert list(json.loads(pipeline.taken[0].meta["stored"])["parts"]) == ["2"]


async def test_a_mail_over_starttls_says_so(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add(**certificate(tmp_path), require_tls=True)

    await office.send(mail("x" * 900_000), starttls=client_tls(tmp_path))

    assert pipeline.taken[0].meta["tls"] == "TLSv1.3"
    assert len(pipeline.taken[0].body) > 900_000


async def test_starttls_forgets_what_was_said_before_it(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add(**certificate(tmp_path))

    def talk() -> tuple[list[int], dict[str, str]]:
        with smtplib.SMTP("127.0.0.1", office.port, timeout=20) as client:
            client.ehlo()
            before = client.mail("ann@example.net")[0]
            client.starttls(context=client_tls(tmp_path))
            codes = [before, client.docmd("MAIL FROM:<ann@example.net>")[0]]
            client.ehlo()
            features = dict(client.esmtp_features)
            client.sendmail("ann@example.net", ["support@shop.example"], mail().as_bytes(policy=SMTP))
            return codes, features

    codes, features = await asyncio.to_thread(talk)

    assert codes == [250, 503]
    assert "starttls" not in features
    assert len(pipeline.taken) == 1


async def test_commands_slipped_in_before_the_handshake_are_forgotten(office: Office, tmp_path: Path) -> None:
    await office.add(**certificate(tmp_path))

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        assert (await client.ask("STARTTLS", "MAIL FROM:<mallory@example.net>")).startswith("220")
        await client.writer.start_tls(client_tls(tmp_path), server_hostname="mx.shop.example")
        assert await client.ask("EHLO client.example") != ""
        assert (await client.ask("RCPT TO:<support@shop.example>")).startswith("503")


async def test_without_starttls_nothing_goes_where_encryption_is_required(office: Office, tmp_path: Path) -> None:
    await office.add(**certificate(tmp_path), require_tls=True)

    with pytest.raises(smtplib.SMTPSenderRefused) as caught:
        await office.send(mail())

    assert caught.value.smtp_code == 530


async def test_twenty_clients_at_once(office: Office) -> None:
    pipeline = await office.add()

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            message = mail(message_id=f"<{number}@example.net>")
            group.create_task(office.send(message))

    assert len({raw.body for raw in pipeline.taken}) == 20


async def test_commands_may_be_pipelined_around_two_mails(office: Office) -> None:
    pipeline = await office.add()
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<nobody@shop.example>\r\nRCPT TO:<support@shop.example>\r\nDATA\r\n"

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await client.say(envelope)
        first = [(await client.hear())[:3] for _ in range(4)]
        await client.say(b"Subject: one\r\n\r\n1\r\n.\r\n" + envelope)
        second = [(await client.hear())[:3] for _ in range(5)]
        await client.say(b"Subject: two\r\n\r\n2\r\n.\r\nNOOP\r\nQUIT\r\n")
        third = [(await client.hear())[:3] for _ in range(3)]

    assert first == ["250", "550", "250", "354"]
    assert second == ["250", "250", "550", "250", "354"]
    assert third == ["250", "250", "221"]
    assert [raw.body for raw in pipeline.taken] == [b"Subject: one\r\n\r\n1\r\n", b"Subject: two\r\n\r\n2\r\n"]
    assert pipeline.taken[0].meta["mail_from"] == ""


async def test_international_addresses_and_8bit_text(office: Office) -> None:
    pipeline = await office.add("support", ("grüße@shop.example",))

    await office.send(
        "Subject: Grüße\r\n\r\nÄ\r\n".encode(), "grüße@shop.example", options=("SMTPUTF8", "BODY=8BITMIME")
    )

    assert json.loads(pipeline.taken[0].meta["rcpt_to"]) == ["grüße@shop.example"]
    (event,) = EmailCodec().decode(pipeline.taken[0])
    assert isinstance(event, Event)
    assert isinstance(event.params, MessageParams)
    assert isinstance(event.params.message.parts[0], Email)
    assert (event.params.message.subject, event.params.message.text) == ("Grüße", "Ä")
