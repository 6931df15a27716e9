"""Servers that do what Dovecot does not: habits of Exchange and others, and hostile ones."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from connectors.api import Receipt
from connectors.email import imap_reader
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_session import login
from connectors.errors import Misconfigured, Throttled, Unreachable
from connectors.secrets import Secret
from tests.integration.imap.helpers import mail, reading
from tests.servers.odd_imap import OddImap

PASSWORD = 'a "quoted\\" password'


def options(server: OddImap, **changes: object) -> ImapConfig:
    base: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "tls": "none", "user": "Ann Other"}
    base |= {"password": Secret(PASSWORD), "poll_secs": 0.1, "idle_secs": 0.5, "timeout_secs": 1.0, "retry_secs": 0.1}
    return ImapConfig(**base | changes)  # type: ignore[arg-type]


async def test_names_and_passwords_are_quoted_where_only_login_is_known() -> None:
    async with OddImap().serve() as server, login(options(server), None):
        pass
    assert 'LOGIN "Ann Other" "a \\"quoted\\\\\\" password"' in server.commands


async def test_a_password_waits_for_the_challenge_where_the_server_wants_that() -> None:
    server = OddImap()
    server.capabilities += " AUTH=PLAIN"
    async with server.serve(), login(options(server), None):
        pass
    assert b64decode(server.commands[2]) == f"\0Ann Other\0{PASSWORD}".encode()


async def test_a_server_that_takes_no_passwords_gets_none() -> None:
    server = OddImap()
    server.capabilities += " LOGINDISABLED"
    async with server.serve():
        with pytest.raises(Misconfigured, match="no password on this connection"):
            async with login(options(server), None):
                pass
    assert server.commands == ["CAPABILITY"]


async def test_an_error_told_in_a_challenge_gets_its_empty_response() -> None:
    server = OddImap()
    server.capabilities += " AUTH=PLAIN SASL-IR"
    told = b"+ " + b64encode(b'{"status":"401"}') + b"\r\n{tag} NO [AUTHENTICATIONFAILED] no\r\n"
    server.answers["AUTHENTICATE"] = lambda _: told
    async with server.serve():
        with pytest.raises(Misconfigured, match="does not accept"):
            async with login(options(server), None):
                pass
        async with asyncio.timeout(20):
            while server.commands[-1] != "":
                await asyncio.sleep(0.01)


async def test_a_server_without_time_is_no_wrong_password() -> None:
    server = OddImap()
    server.answers["LOGIN"] = lambda _: b"{tag} NO [UNAVAILABLE] later\r\n"
    async with server.serve():
        with pytest.raises(Throttled):
            async with login(options(server), None):
                pass


@pytest.mark.parametrize("greeting", [b"* BYE too many\r\n", b"", b"* BYE", b"SSH-2.0-x\r\n"])
async def test_a_server_that_does_not_greet_is_given_up_in_time(greeting: bytes) -> None:
    server = OddImap()
    server.greeting = greeting
    async with server.serve():
        with pytest.raises(Unreachable):
            async with login(options(server), None):
                pass


async def test_a_server_that_falls_silent_is_given_up_in_time() -> None:
    server = OddImap()
    server.answers["SELECT"] = lambda _: b"* {tag} nothing more comes\r\n"
    async with server.serve(), login(options(server), None) as session:
        with pytest.raises(Unreachable, match="did not answer SELECT"):
            await session.open("INBOX")


async def test_without_uidvalidity_nothing_is_read() -> None:
    server = OddImap({1: mail(1)})
    server.select = b""
    async with server.serve(), login(options(server), None) as session:
        with pytest.raises(Misconfigured, match="UIDVALIDITY"):
            await session.open("INBOX")


async def test_without_uidnext_only_new_mail_is_read_where_that_is_wanted(tmp_path: Path) -> None:
    server = OddImap({5: mail(5)})
    async with server.serve(), reading(tmp_path, options(server, start="new", idle_secs=0.0)) as post:
        await post.until(lambda: ("imap", None, False, None) in post.reports)
        server.mails[9] = mail(9)
        await post.accepted(1)
    assert post.subjects == ["Question 9"]


@pytest.mark.parametrize("size", [1, 10_000_000])
async def test_a_server_may_be_wrong_about_sizes(tmp_path: Path, size: int) -> None:
    server = OddImap({1: mail(1), 2: mail(2, more=b"y" * 1_500_000)})
    server.sizes = {1: size, 2: size}
    async with server.serve(), reading(tmp_path, options(server, max_bytes=1_000_000)) as post:
        await post.accepted(2)
        blobs = [await post.channel._context.blobs.get(raw.meta["raw_ref"]) for raw, _ in post.taken]
    assert blobs == list(server.mails.values())


async def test_short_bodies_may_come_as_quoted_strings_and_empty_ones_as_nothing(tmp_path: Path) -> None:
    server = OddImap({1: b"", 2: b"", 3: b""})
    bodies = {"1": b'"Subject: (one \\"\\\\"', "2": b"NIL", "3": b"{0}\r\n"}
    server.answers = {
        f"UID FETCH {uid} (UID BODY": lambda _, body=body: b"* 1 FETCH (BODY[]<0> " + body + b" UID 1)\r\n"  # type: ignore[misc]
        for uid, body in bodies.items()
    }
    async with server.serve(), reading(tmp_path, options(server)) as post:
        await post.accepted(1)
        await asyncio.sleep(0.05)
    assert [raw.body for raw, _ in post.taken] == [b'Subject: (one "\\']


async def test_a_mail_that_the_server_does_not_give_is_set_aside_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_reader, "AGAIN_SECS", (0.01, 0.01))
    server = OddImap({1: mail(1), 2: mail(2), 3: mail(3)})
    refused = b"{tag} NO The requested message could not be converted to an RFC-822 compatible format.\r\n"
    server.answers["UID FETCH 2 "] = lambda _: refused
    async with server.serve(), reading(tmp_path, options(server)) as post:
        await post.until(lambda: 'UID COPY 2 "Quarantine"' in server.commands)
        rows = await post.rig.quarantine.list()
        kept = await post.rig.quarantine.get(rows[0].id)
    assert post.subjects == ["Question 1", "Question 3"]
    assert "could not be converted" in rows[0].reason
    assert kept is not None
    assert b"INBOX; UIDVALIDITY=9; UID=2" in kept[1].body


async def test_a_mail_with_which_reading_always_ends_is_found_and_set_aside(tmp_path: Path) -> None:
    server = OddImap({uid: mail(uid) for uid in range(1, 6)})

    def hang_up(_command: str) -> bytes:
        server.writers[-1].transport.abort()
        return b"{tag}"

    server.answers["UID FETCH 3 (UID BODY.PEEK[]"] = hang_up
    async with server.serve(), reading(tmp_path, options(server, retry_secs=0.01)) as post:
        await post.accepted(4)
        await post.until(lambda: Receipt.QUARANTINED in post.receipts())
        rows = await post.rig.quarantine.list()
    assert sorted(set(post.subjects)) == [f"Question {uid}" for uid in (1, 2, 4, 5)]
    assert len(post.subjects) == 4
    assert "did not come to an end" in rows[0].reason


async def test_a_server_that_refuses_everything_loses_no_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_reader, "AGAIN_SECS", (0.0,))
    server = OddImap({1: mail(1), 2: mail(2)})
    refusing = iter(range(6))
    server.answers["UID FETCH"] = lambda _: (
        b"{tag} NO [SERVERBUG] try again\r\n" if next(refusing, None) is not None else None
    )
    async with server.serve(), reading(tmp_path, options(server)) as post:
        await post.accepted(2)
    assert post.receipts() == [Receipt.ACCEPTED] * 2
    assert any("try again" in (reason or "") and down for _, reason, down, _ in post.reports)


async def test_a_flood_of_news_is_survived(tmp_path: Path) -> None:
    server = OddImap({1: mail(1)})
    flood = b"".join(b"* %d EXPUNGE\r\n" % number for number in range(20_000, 0, -1))
    server.answers["NOOP"] = lambda _: flood + b"* 1 EXISTS\r\n"
    async with server.serve(), reading(tmp_path, options(server, idle_secs=0.0)) as post:
        await post.accepted(1)
        await post.until(lambda: server.commands.count("NOOP") > 2)
    assert server.connections == 1


async def test_more_than_was_asked_for_is_not_taken() -> None:
    server = OddImap({1: mail(1)})
    server.answers["UID FETCH 1 (UID BODY.PEEK[]"] = lambda _: b"* 1 FETCH (UID 1 BODY[] {999999999}\r\nxxx{tag}"
    async with server.serve(), login(options(server), None) as session:
        await session.open("INBOX")
        with pytest.raises(Unreachable, match="closed the connection"):
            async for _ in session.pieces(1):
                pass


async def test_a_folder_is_searched_in_windows_of_uids_however_thinly_it_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_reader, "WINDOW", 3)
    server = OddImap({uid: mail(uid) for uid in (2, 3, 4, 5, 11, 90_000, 4_000_000)})
    server.select += b"* OK [UIDNEXT 4000002] x\r\n"
    async with server.serve(), reading(tmp_path, options(server)) as post:
        await post.accepted(7)
        server.mails[4_000_005] = mail(8)
        await post.accepted(8)
    assert post.subjects == [f"Question {number}" for number in (2, 3, 4, 5, 11, 90_000, 4_000_000, 8)]
    windows = [command for command in server.commands if command.startswith("UID SEARCH")]
    assert 8 < len(windows) < 60
