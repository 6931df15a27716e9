"""What nobody should send: all is answered, in bounded time and memory, and the next client finds the server well."""

from __future__ import annotations

import asyncio
import resource
import time

import pytest

from tests.integration.smtp.helpers import Office, mail

LINE = b"x" * 76 + b"\r\n"
MAILS = {
    "a header of 1 MB": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nhi\r\n",
    "a folded header of 1 MB": b"Subject: x" + b"\r\n y" * 250_000 + b"\r\n\r\nhi\r\n",
    "200 000 fields": b"X: y\r\n" * 200_000 + b"\r\nhi\r\n",
    "NUL bytes": b"Subject: a\x00b\r\nFrom: \x00@\x00\r\n\r\n" + b"\x00" * 100_000 + b"\r\n",
    "1 000 nested parts": b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(1_000)
    ),
    "100 000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 100_000
    + b"--b--\r\n",
    "nested mails": b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
    "base64 of nothing": b"Content-Transfer-Encoding: base64\r\nContent-Type: application/zip\r\n\r\n"
    + b"A\r\n" * 1_000_000,
    "one line of 5 MB": b"Subject: x\r\n\r\n" + b"x" * 5_000_000 + b"\r\n",
    "a boundary of 60 kB": b'Content-Type: multipart/mixed; boundary="'
    + b"-" * 60_000
    + b'"\r\n\r\n'
    + b"-" * 1_000_000,
}


@pytest.mark.parametrize("body", MAILS.values(), ids=MAILS)
async def test_a_mail_made_to_hurt_is_taken_in_bounded_time_and_memory(office: Office, body: bytes) -> None:
    pipeline = await office.add()
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async with office.raw() as client:
        await client.begin()
        await client.say(body, b"\r\n.\r\n" if not body.endswith(b"\r\n") else b".\r\n")
        async with asyncio.timeout(30):
            reply = (await client.reader.readline()).decode()

    assert reply.startswith("250 2.0.0")
    assert [len(raw.body) - len(body) for raw in pipeline.taken] in ([0], [2])
    assert time.monotonic() - started < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


async def test_ten_thousand_recipients_are_answered_one_by_one_and_the_limit_holds(office: Office) -> None:
    pipeline = await office.add(addresses=("*@shop.example",), max_recipients=50)
    started = time.monotonic()

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await client.ask("MAIL FROM:<ann@example.net>")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.say(*(f"RCPT TO:<{n}@shop.example>" for n in range(10_000))))
            replies = [(await client.hear())[:9] for _ in range(10_000)]
        await client.ask("DATA")
        assert (await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")).startswith("250")

    assert replies == ["250 2.1.5"] * 50 + ["452 4.5.3"] * 9_950
    assert [raw.meta["rcpt_to"].count("@") for raw in pipeline.taken] == [50]
    assert time.monotonic() - started < 30


async def test_whoever_guesses_recipients_is_cut_off(office: Office) -> None:
    await office.add(max_errors=20)

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        await client.ask("MAIL FROM:<ann@example.net>")
        await client.say(*(f"RCPT TO:<{n}@shop.example>" for n in range(1_000)))
        replies = [reply[:9] for reply in [await client.hear() for _ in range(22)]]

    assert replies == ["550 5.1.1"] * 20 + ["421 4.7.0", ""]


@pytest.mark.parametrize(
    "body", [b"Subject: x\n\nhello\n", b"Subject: x\r\n\r\nhello\nworld\r\n", b"\n", b"a\n..\nb\r\n"], ids=range(4)
)
async def test_a_bare_line_feed_is_refused_and_the_reason_told(office: Office, body: bytes) -> None:
    pipeline = await office.add()

    async with office.raw() as client:
        await client.begin()
        reply = await client.ask(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        again = await client.ask("MAIL FROM:<ann@example.net>")

    assert reply.startswith("554 5.6.0")
    assert "CRLF" in reply
    assert again.startswith("250")
    assert pipeline.taken == []


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\rRSET\r\n", b"\n", b"NOOP\r\r\n"], ids=range(4))
async def test_a_command_ends_with_crlf_and_with_nothing_less(office: Office, line: bytes) -> None:
    await office.add()

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        assert (await client.ask(line)).startswith("500 5.5.2 End lines with CRLF")
        assert (await client.ask("NOOP")).startswith("250")


async def test_bare_line_feeds_in_commands_pass_where_they_are_accepted(office: Office) -> None:
    await office.add(bare_lf="accept")

    async with office.raw() as client:
        await client.hear()
        assert (await client.ask(b"EHLO client.example\n")).startswith("250")


@pytest.mark.parametrize("accepting", ["refuse", "accept"])
@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"],
)
async def test_what_only_looks_like_the_end_of_a_mail_never_begins_another(
    office: Office, accepting: str, end: bytes
) -> None:
    pipeline = await office.add(bare_lf=accepting)
    smuggled = b"MAIL FROM:<ceo@shop.example>\r\nRCPT TO:<support@shop.example>\r\nDATA\r\nSubject: pay\r\n\r\nme"

    async with office.raw() as client:
        await client.begin()
        await client.say(b"Subject: x\r\n\r\nhello" + end + smuggled + b"\r\n.\r\nNOOP\r\n")
        first, second = await client.hear(), await client.hear()

    assert second.startswith("250 2.0.0")
    assert first.startswith("554 5.6.0" if b"\x00" not in end else "250 2.0.0")
    assert all(raw.meta["mail_from"] == "ann@example.net" for raw in pipeline.taken)


async def test_one_client_s_mails_are_limited_by_the_minute(office: Office) -> None:
    pipeline = await office.add(mails_per_minute_per_ip=2)

    async with office.raw() as client:
        await client.hear()
        await client.ask("EHLO client.example")
        heard = []
        for _ in range(3):
            heard.append(await client.ask("MAIL FROM:<ann@example.net>"))
            await client.ask("RCPT TO:<support@shop.example>")
            await client.ask("DATA")
            await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")

    assert [reply[:9] for reply in heard] == ["250 2.1.0", "250 2.1.0", "450 4.7.1"]
    assert len(pipeline.taken) == 2


async def test_after_all_that_a_mail_is_taken(office: Office) -> None:
    pipeline = await office.add()
    async with office.raw() as client:
        await client.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5_000)
        client.writer.transport.abort()

    await office.send(mail())

    assert len(pipeline.taken) == 1
