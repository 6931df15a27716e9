"""What IMAP looks like on the wire, and which options a mailbox may have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.email import EmailConfig
from connectors.email import imap_text as text
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_large import Head, without_torn
from connectors.email.oauth_config import OAuthConfig
from connectors.secrets import Secret
from gateway.settings.load import load
from gateway.settings.problems import SettingsError
from tests.mail_corpus import mails

PASSWORD = Secret("x")


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", '"INBOX"'),
        ("A & B", '"A &- B"'),
        ('a "quoted\\" one', '"a \\"quoted\\\\\\" one"'),
        ("~peter/mail/台北/日本語", '"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'),  # RFC 3501 §5.1.3
        ("Größe", '"Gr&APYA3w-e"'),
        ("😀", '"&2D3eAA-"'),
    ],
)
def test_folder_names_are_written_in_modified_utf7(name: str, wire: str) -> None:
    assert text.folder_name(name) == wire


def read_name(wire: str) -> str:
    """By another way than the writer's: Python's UTF-7 codec."""

    def unshift(match: re.Match[str]) -> str:
        return f"+{match[1].replace(',', '/')}-".encode().decode("utf-7") if match[1] else "&"

    return re.sub(r"&([^-]*)-", unshift, re.sub(r"\\(.)", r"\1", wire[1:-1]))


@given(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",))))
def test_folder_names_come_back(name: str) -> None:
    wire = text.folder_name(name)
    assert wire.isascii()
    assert read_name(wire) == name


def test_a_line_break_cannot_be_quoted() -> None:
    with pytest.raises(ValueError, match="line break"):
        text.quoted("a\r\nb LOGOUT")


@given(st.sets(st.integers(1, 300), min_size=1))
def test_sets_of_uids_are_short_and_complete(uids: set[int]) -> None:
    found: set[int] = set()
    for run in text.uid_set(uids).split(","):
        first, _, last = run.partition(":")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == uids
    assert text.uid_set(range(1, 5_001)) == "1:5000"


def test_a_body_is_found_whatever_stands_around_it() -> None:
    other = b"2 FETCH (FLAGS (\\Seen) UID 7)"
    literal = [b"1 FETCH (UID 5 BODY[]<0> {3}", bytearray(b"{9}"), b" FLAGS ())", b"done"]
    assert text.fetched([other, *literal]) == b"{9}"
    assert text.fetched([b"1 FETCH (BODY[HEADER]<0> {2}", bytearray(b"hi"), b" UID 5)", other, b"done"]) == b"hi"
    assert text.fetched([b'1 FETCH (BODY[]<0> "a \\"b\\" (" UID 5)', b"done"]) == b'a "b" ('
    assert text.fetched([b"1 FETCH (BODY[] NIL UID 5)", b"done"]) == b""
    assert text.fetched([other, b"done"]) is None
    assert text.sizes([b"1 FETCH (UID 5 RFC822.SIZE 12)", b"2 FETCH (RFC822.SIZE 3 UID 9)", other]) == {5: 12, 9: 3}


def test_a_selected_folder_is_understood_as_far_as_the_server_tells() -> None:
    lines = [b"FLAGS (\\Seen)", b"OK [PERMANENTFLAGS (\\Seen \\*)] x", b"172 EXISTS", b"OK [UIDVALIDITY 38] x"]
    found = text.selected([*lines, b"[READ-WRITE] done"])
    assert (found.validity, found.next_uid, found.exists) == (38, 0, 172)
    assert found.keeps == {"\\seen", "\\*"}
    assert text.selected([b"OK [UIDVALIDITY x] y", b"OK [UIDNEXT]"]).validity == 0


@given(st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(bytearray)), max_size=5))
def test_no_answer_breaks_the_reader(lines: list[bytes | bytearray]) -> None:
    text.fetched(lines)
    text.sizes(lines)
    text.selected(lines)
    text.search_result(lines)


async def test_the_head_of_a_large_mail_ends_before_a_torn_attachment() -> None:
    head = b'Content-Type: multipart/mixed; boundary="a b"\r\n\r\n--a b\r\n\r\ntext\r\n'
    file = b"--a b\r\nContent-Type: image/png\r\n\r\nxxxx"
    assert without_torn(head + file) == head
    attached = b"--a b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nxxxx"
    assert without_torn(head + attached) == head
    for whole in (
        head,
        head + b"--a b\r\nContent-Type: text/html\r\n\r\n<p>half",
        b"Subject: no parts\r\n\r\nlong text",
    ):
        assert without_torn(whole) == whole


@given(st.data())
def test_a_mail_torn_anywhere_is_still_a_mail(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([mail.body for mail in mails()]))
    torn = without_torn(body[: data.draw(st.integers(0, len(body)))])
    assert body.startswith(torn)


async def test_a_head_that_is_all_of_the_mail_is_left_alone() -> None:
    async def pieces() -> Any:
        for piece in (b"Content-Type: image/png; boundary=x\r\n", b"\r\n--x\r\nContent-Type: image/png\r\n\r\n"):
            yield piece

    head = Head(1_000)
    assert b"".join([bytes(piece) async for piece in head.of(pieces())]) == head.mail()
    assert head.size == len(head.mail())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either `password` or `oauth`"),
        ({"password": PASSWORD, "tls": "none"}, "in the clear"),
        ({"password": PASSWORD, "folder": "a\nb"}, "`folder` must be one line"),
        ({"password": PASSWORD, "after": "move", "move_to": "INBOX"}, "`move_to` is the folder that is read"),
        ({"password": PASSWORD, "quarantine_folder": "INBOX"}, "`quarantine_folder`"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImapConfig(host="imap.example", user="ann", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_secret": PASSWORD}, "needs `provider`"),
        ({"provider": "google"}, "`refresh_token`, or a `client_secret`"),
        ({"provider": "google", "client_secret": PASSWORD}, "`refresh_token` for Google"),
        ({"provider": "microsoft", "client_secret": PASSWORD}, "`tenant`"),
        ({"provider": "google", "refresh_token": PASSWORD, "ends": "2027-02-30"}, "no day"),
        ({"token_url": "http://token.example", "refresh_token": PASSWORD}, "must begin with https"),
    ],
)
def test_oauth_that_cannot_work_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OAuthConfig(client_id="c", **options)


def test_the_limit_of_a_mailbox_is_below_that_of_its_channel() -> None:
    box = ImapConfig(host="imap.example", user="ann", password=PASSWORD, max_bytes=50_000_000)
    with pytest.raises(ValueError, match=r"`imap.max_bytes` is larger"):
        EmailConfig(imap=box)


def test_a_mailbox_is_configured_in_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_SECRET", "s")
    file = tmp_path / "omnigate.toml"
    file.write_text(
        '[channels.m]\nkind = "email"\n[channels.m.imap]\nhost = "outlook.office365.com"\nuser = "a@b.example"\n'
        '[channels.m.imap.oauth]\nprovider = "microsoft"\ntenant = "b.example"\nclient_id = "c"\n'
        'client_secret = "env:MAIL_SECRET"\nends = "2027-03-01"\n'
    )
    options = load(file).settings.channels["m"].options
    assert isinstance(options, EmailConfig)
    assert options.imap is not None
    assert options.imap.server_port == 993
    assert options.imap.oauth is not None
    assert options.imap.oauth.ends == "2027-03-01"
    assert options.imap.oauth.url == "https://login.microsoftonline.com/b.example/oauth2/v2.0/token"
    file.write_text(file.read_text().replace('"env:MAIL_SECRET"', '"in clear"'))
    with pytest.raises(SettingsError):
        load(file)
