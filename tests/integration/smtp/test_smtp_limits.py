"""What the SMTP server refuses, and how it protects itself."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from tests.integration.smtp.helpers import Office, mail


@pytest.mark.parametrize(
    "recipient",
    ["nobody@shop.example", "support@elsewhere.example", "support", "<>", "support@shop.example.evil.example"],
)
async def test_a_stranger_s_recipient_is_refused_at_once(office: Office, recipient: str) -> None:
    pipeline = await office.add()

    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        await office.send(mail(), recipient)

    assert {code for code, _ in caught.value.recipients.values()} <= {550, 501, 553}
    assert pipeline.taken == []


async def test_what_the_server_can_do_is_announced_and_what_it_runs_on_is_not(office: Office) -> None:
    await office.add(max_bytes=1_000_000)

    def talk() -> tuple[bytes, dict[str, str]]:
        with smtplib.SMTP(timeout=20) as client:
            _, banner = client.connect("127.0.0.1", office.port)
            client.ehlo("client.example")
            return banner, dict(client.esmtp_features)

    banner, features = await asyncio.to_thread(talk)

    assert banner == b"mx.shop.example ESMTP"
    assert features == {
        "size": "1000000",
        "8bitmime": "",
        "smtputf8": "",
        "pipelining": "",
        "enhancedstatuscodes": "",
    }


async def test_every_refusal_has_an_enhanced_status_code(office: Office) -> None:
    await office.add()
    commands = ["MAIL FROM:<a@example.net>", "NONSENSE", "EHLO", "EHLO x", "RCPT TO:<support@shop.example>", "DATA", ""]
    commands += [
        "MAIL FROM:<a@",
        "MAIL FROM:<a@example.net> FOO=BAR",
        "AUTH PLAIN x",
        "EXPN all",
        "VRFY x",
        "HELP",
        "NOOP",
    ]

    async with office.raw() as client:
        await client.hear()
        replies = [await client.ask(command) for command in commands]

    codes = [reply[:3] for reply in replies]
    assert codes == ["503", "500", "501", "250", "503", "503", "500", "553", "555", "502", "502", "252", "214", "250"]
    assert [reply for reply in replies if not reply[4:9].startswith((reply[0] + ".", "SMTP", "ENHA"))] == []


async def test_a_mail_announced_too_large_is_refused_before_it_is_sent(office: Office) -> None:
    await office.add(max_bytes=1000)

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        assert (await client.ask("MAIL FROM:<a@example.net> SIZE=1001")).startswith("552 5.3.4")


async def test_a_mail_that_turns_out_too_large_is_refused_and_the_next_one_taken(office: Office) -> None:
    pipeline = await office.add(max_bytes=10_000)

    async with office.raw() as client:
        await client.begin()
        assert (await client.ask(b"x" * 10_001, b"\r\n.\r\n")).startswith("552 5.3.4")
        await client.ask("MAIL FROM:<a@example.net>")
        await client.ask("RCPT TO:<support@shop.example>")
        await client.ask("DATA")
        assert (await client.ask(b"x" * 9_998, b"\r\n.\r\n")).startswith("250")

    assert [len(raw.body) for raw in pipeline.taken] == [10_000]


async def test_half_a_mail_is_no_mail(office: Office) -> None:
    pipeline = await office.add()

    for ending in (b"Subject: x\r\n\r\nhalf", b"Subject: x\r\n\r\nhalf\r\n.", b"Subject: x\r\n\r\nhalf\r\n.\r"):
        async with office.raw() as client:
            await client.begin()
            await client.say(ending)
    async with office.raw() as client:
        await client.begin()
        await client.say(b"Subject: x\r\n\r\nhalf\r\n")
        client.writer.transport.abort()
    await asyncio.sleep(0.05)

    assert pipeline.taken == []
    await office.send(mail())
    assert len(pipeline.taken) == 1


async def test_a_client_that_hangs_up_during_delivery_does_not_break_it_off(office: Office) -> None:
    pipeline = await office.add()
    pipeline.open.clear()

    async with office.raw() as client:
        await client.begin()
        await client.say(b"Subject: x\r\n\r\n1\r\n.\r\n")
        await pipeline.arrived.wait()
    await asyncio.sleep(0.05)
    pipeline.open.set()
    async with asyncio.timeout(20):
        while not pipeline.taken:
            await asyncio.sleep(0.01)

    assert len(pipeline.taken) == 1


@pytest.mark.parametrize(
    "imitation",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r"],
    ids=lambda value: value.decode().replace("\r", "CR").replace("\n", "LF"),
)
async def test_an_imitated_end_of_data_smuggles_nothing(office: Office, imitation: bytes) -> None:
    pipeline = await office.add()
    smuggled = b"MAIL FROM:<ceo@shop.example>\r\nRCPT TO:<support@shop.example>\r\nDATA\r\nSubject: pay\r\n\r\nme"

    async with office.raw() as client:
        await client.begin()
        await client.say(b"Subject: x\r\n\r\nhello" + imitation + smuggled + b"\r\n.\r\nNOOP\r\n")
        replies = [await client.hear(), await client.hear()]

    assert [reply[:9] for reply in replies] == ["554 5.6.0", "250 2.0.0"]
    assert pipeline.taken == []


async def test_a_silent_client_is_told_and_cut_off(office: Office) -> None:
    await office.add(command_timeout_secs=0.1)

    async with office.raw() as client:
        await client.hear()
        assert (await client.hear()).startswith("421 4.4.2")
        assert await client.hear() == ""


async def test_a_mail_that_comes_in_drops_is_cut_off(office: Office) -> None:
    pipeline = await office.add(data_timeout_secs=0.2)

    async with office.raw() as client:
        await client.begin()
        async with asyncio.TaskGroup() as group:
            reply = group.create_task(client.hear())
            while not reply.done():
                await client.say(b"a")
                await asyncio.sleep(0.05)
        assert reply.result().startswith("421 4.4.2")

    assert pipeline.taken == []


async def test_too_many_errors_end_the_connection(office: Office) -> None:
    await office.add(max_errors=3)

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await client.say(*["RCPT TO:<a@shop.example>"] * 10)
        heard = [await client.hear() for _ in range(5)]

    assert [reply[:3] for reply in heard] == ["503", "503", "503", "421", ""]


async def test_too_many_recipients_are_put_off(office: Office) -> None:
    pipeline = await office.add(addresses=("*@shop.example",), max_recipients=2)

    refused = await office.send(mail(), "a@shop.example", "b@shop.example", "c@shop.example")

    assert refused["c@shop.example"][0] == 452
    assert len(pipeline.taken) == 1


async def test_one_address_cannot_take_all_connections(office: Office) -> None:
    await office.add(max_connections_per_ip=2)

    async with office.raw() as first, office.raw() as second:
        assert [(await one.hear())[:3] for one in (first, second)] == ["220", "220"]
        async with office.raw() as third:
            assert (await third.hear()).startswith("421 4.7.0")
            assert await third.hear() == ""
        await first.ask("QUIT")
        async with asyncio.timeout(20):
            await first.reader.read()
        async with office.raw() as again:
            assert (await again.hear()).startswith("220")


async def test_connecting_too_often_is_refused(office: Office) -> None:
    await office.add(connections_per_minute_per_ip=2)
    greetings = []
    for _ in range(3):
        async with office.raw() as client:
            greetings.append((await client.hear())[:3])

    assert greetings == ["220", "220", "421"]


async def test_mails_under_way_have_a_common_limit(office: Office) -> None:
    pipeline = await office.add(max_bytes=100_000, max_buffered_bytes=100_000)
    pipeline.open.clear()

    async with office.raw() as first, office.raw() as second:
        await first.begin()
        await second.begin()
        await first.say(b"x" * 60_000 + b"\r\n.\r\n")
        await pipeline.arrived.wait()
        assert (await second.ask(b"y" * 60_000 + b"\r\n.\r\n")).startswith("452 4.3.1")
        pipeline.open.set()
        assert (await first.hear()).startswith("250")
        await second.ask("MAIL FROM:<a@example.net>")
        await second.ask("RCPT TO:<support@shop.example>")
        await second.ask("DATA")
        assert (await second.ask(b"y" * 60_000 + b"\r\n.\r\n")).startswith("250")


async def test_garbage_instead_of_commands_is_answered_politely(office: Office) -> None:
    await office.add()

    async with office.raw() as client:
        await client.hear()
        await client.say(b"\xff\xfe\x00\r\n", b"GET / HTTP/1.1\r\n", b"EHLO \xff\xfe\r\n", b"x" * 300_000 + b"\r\n")
        await client.say(b"MAIL FROM:<\xff@x\xfe>\r\n", b"RCPT TO:<" + b"(" * 400 + b">\r\n", b"QUIT\r\n")
        codes = [(await client.hear())[:3] for _ in range(7)]

    assert codes == ["500", "500", "250", "500", "553", "503", "221"]
