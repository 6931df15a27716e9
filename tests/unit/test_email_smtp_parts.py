"""End of data, recipient routing, options."""

from __future__ import annotations

import msgspec
import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.email import auth, replies
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.data import DataReader
from connectors.email.line import Line
from connectors.email.peers import Peers
from connectors.email.routing import Pattern, Routes
from connectors.secrets import Secret

LINES = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")), max_size=12)


@settings(deadline=None)
@given(LINES, st.binary(max_size=20), st.lists(st.integers(1, 9), min_size=1))
def test_a_mail_arrives_whole_however_it_is_cut(lines: list[bytes], rest: bytes, cuts: list[int]) -> None:
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    stream = stuffed + b".\r\n" + rest
    reader, left, position = DataReader(10_000), None, 0
    while left is None:
        size = cuts[position % len(cuts)]
        left = reader.feed(stream[:size])
        stream, position = stream[size:], position + 1

    assert left + stream == rest
    assert reader.mail() == b"".join(line + b"\r\n" for line in lines)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.", b"."]), max_size=12))
def test_line_breaks_are_judged_as_by_looking_at_each(pieces: list[bytes]) -> None:
    stuffed = b"".join(pieces) + b"\r\n.\r\n"
    reader = DataReader(1000)
    rest = reader.feed(stuffed)
    assert rest is not None
    data = b"\r\n" + stuffed[: len(stuffed) - len(rest)]
    imitated = any(
        data[at] in b"\r\n" and data[at + 1 : at + 2] == b"." and data[at + 2] in b"\r\n"
        for at in range(1, len(data) - 5)
    )

    body = reader.mail()

    assert (body is None) == imitated
    if body is not None:
        assert reader.bare_lf == any(data[at] == 10 and data[at - 1] != 13 for at in range(1, len(data)))
        lines = data[2:-3].split(b"\r\n")
        assert body == b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


@settings(deadline=None)
@given(
    st.from_regex(
        r"<[a-zA-Z0-9.+_-]{1,12}@[a-zA-Z0-9.-]{1,20}>( {0,2}(SIZE=[0-9]{1,6}|BODY=8BITMIME|SMTPUTF8)){0,2}",
        fullmatch=True,
    )
)
def test_a_plain_path_is_read_as_by_the_standard_library(argument: str) -> None:
    line = Line.__new__(Line)

    assert line._getaddr(argument) == SMTP._getaddr(line, argument) or SMTP._getaddr(line, argument)[0] is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1000])
def test_an_end_split_over_chunks_is_found(size: int) -> None:
    stream, reader = b"a\r\n.\r\nQUIT\r\n", DataReader(100)
    rests = [reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)]

    assert next(rest for rest in rests if rest is not None) is not None
    assert reader.feed(b".\r\n") is not None


def test_beyond_the_limit_nothing_is_kept_and_the_end_still_found() -> None:
    reader = DataReader(10)

    assert reader.feed(b"x" * 1000) is None
    assert reader.feed(b"\r\n.\r\nNOOP") == b"NOOP"
    assert reader.too_large


@pytest.mark.parametrize("body", [b"a\n.\nb\r\n", b".\nb\r\n", b"a\r.\r\n", b"a\r\n.\nb\r\n", b".\rb\r\n"])
def test_an_imitated_end_of_data_is_noticed(body: bytes) -> None:
    reader = DataReader(100)

    assert reader.feed(body + b".\r\n") == b""
    assert reader.mail() is None


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"..\r\n", b"a\n..\nb\r\n", b"\r.x\n.y\r\n", b""])
def test_other_dots_and_line_breaks_are_content(body: bytes) -> None:
    reader = DataReader(100)
    reader.feed(body + b".\r\n")

    assert reader.mail() is not None


def test_the_nearest_address_wins() -> None:
    routes: Routes[str] = Routes()
    routes.add([Pattern.parse("support@shop.example")], "support")
    routes.add([Pattern.parse("support+vip@shop.example")], "vip")
    routes.add([Pattern.parse("*@shop.example")], "rest")
    found = {
        address: routes.find(address) for address in ("support", "Support+x", "support+VIP", "support+vip+y", "+x", "z")
    }
    addresses = {name: routes.find(f"{name}@Shop.Example.") for name in found}

    assert set(found.values()) == {None}
    assert addresses == {
        "support": "support",
        "Support+x": "support",
        "support+VIP": "vip",
        "support+vip+y": "support",
        "+x": "rest",
        "z": "rest",
    }
    assert routes.find("support@sub.shop.example") is None


def test_an_international_domain_has_two_spellings() -> None:
    routes: Routes[str] = Routes()
    routes.add([Pattern.parse("info@Bücher.example")], "books")

    assert routes.find("INFO@xn--bcher-kva.example") == "books"
    assert routes.find("info@bücher.example") == "books"


def test_a_taken_address_is_refused_with_everything_beside_it() -> None:
    routes: Routes[str] = Routes()
    routes.add([Pattern.parse("a@x.example")], "one")

    with pytest.raises(ValueError, match=r"a@x\.example belongs to one already"):
        routes.add([Pattern.parse("b@x.example"), Pattern.parse("A@X.example")], "two")
    assert routes.find("b@x.example") is None
    routes.discard("one")
    assert len(routes) == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"addresses": []}, "addresses"),
        ({"addresses": ["support"]}, "no address"),
        ({"addresses": ["sup*@x.example"]}, "no address"),
        ({"addresses": ["a b@x.example"]}, "no address"),
        ({"addresses": ["a@*"]}, "no address"),
        ({"smtp": {"listen": "2525"}}, r"smtp\.listen"),
        ({"smtp": {"listen": ":70000"}}, "65535"),
        ({"smtp": {"listen": ":0", "tls_key": "k.pem"}}, "tls_cert"),
        ({"smtp": {"listen": ":0", "require_tls": True}}, "tls_cert"),
        ({"smtp": {"listen": ":0", "hostname": "a b"}}, "hostname"),
        ({"smtp": {"listen": ":0", "max_bytes": 40_000_000}}, "max_bytes"),
        ({"smtp": {"listen": ":0", "max_buffered_bytes": 1}}, "max_buffered_bytes"),
        ({"smtp": {"listen": ":0", "max_size": 1}}, "max_size"),
        ({"smtp": {"listen": ":0", "listen_tls": ":1"}}, "tls_cert"),
        ({"smtp": {"listen": ":0", "listen_tls": ":70000", "tls_cert": "c"}}, "listen_tls"),
        ({"smtp": {"listen": ":0", "require_auth": True}}, "users"),
        ({"smtp": {"listen": "unix:/run/mail.sock"}}, "listen"),
        ({"smtp": {"listen": ":0", "bare_lf": "bounce"}}, "bare_lf"),
        ({"smtp": None}, "no way in or out"),
        ({"smtp": None, "lmtp": {"listen": "127.0.0.1:25"}}, "for SMTP"),
        ({"smtp": None, "lmtp": {"listen": "127.0.0.1:70000"}}, "65535"),
        ({"smtp": None, "lmtp": {"listen": "unix:"}}, "listen"),
        ({"smtp": None, "lmtp": {"listen": "unix:/x", "max_bytes": 40_000_000}}, r"lmtp\.max_bytes"),
        ({"smtp": None, "lmtp": {"listen": "unix:/x"}, "addresses": []}, "addresses"),
        ({"lmtp": {"listen": "unix:/x", "socket_mode": "rw"}}, "socket_mode"),
        ({"trust": {"mode": "upstream"}}, "authserv_id"),
        ({"imap": {}}, "imap"),
    ],
)
def test_wrong_options_are_named(change: dict[str, object], complaint: str) -> None:
    options = {"addresses": ["support@shop.example"], "smtp": {"listen": "127.0.0.1:2525"}, **change}

    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(options, EmailConfig)


def test_passwords_are_only_taken_where_there_is_a_certificate() -> None:
    with pytest.raises(ValueError, match="over TLS"):
        SmtpConfig(listen=":0", users={"scanner": Secret("open sesame")})


def test_what_a_client_does_is_counted_by_the_minute_and_by_the_network() -> None:
    now = [1_000.0]
    config = SmtpConfig(listen=":0", mails_per_minute_per_ip=2, connections_per_minute_per_ip=3)
    peers = Peers(config, lambda: now[0])

    assert [peers.begin_mail("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert peers.begin_mail("192.0.2.2")
    assert [peers.begin_mail(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    assert [peers.enter("192.0.2.1") for _ in range(4)] == [None, None, None, replies.TOO_OFTEN]
    now[0] += 60.0
    assert peers.begin_mail("192.0.2.1")
    assert peers.enter("192.0.2.1") is None


def test_places_are_limited_for_one_client_and_for_all_and_given_back() -> None:
    peers = Peers(SmtpConfig(listen=":0", max_connections=3, max_connections_per_ip=2), lambda: 0.0)

    first = [peers.enter(peer) for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3")]
    peers.leave("192.0.2.1")

    assert first == [None, None, replies.CROWDED_BY_YOU, None, replies.CROWDED]
    assert peers.enter("192.0.2.3") is None


def test_wrong_passwords_are_remembered_for_an_hour() -> None:
    now = [0.0]
    peers = Peers(SmtpConfig(listen=":0"), lambda: now[0])
    for _ in range(3):
        peers.failed_logins("192.0.2.1", another=True)

    assert (peers.failed_logins("192.0.2.1"), peers.failed_logins("192.0.2.2")) == (3, 0)
    now[0] += 3600.0
    assert peers.failed_logins("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("user", "password", "known"),
    [("scanner", "open sesame", True), ("scanner", "open sesam", False), ("", "", False), ("empty", "", True)],
)
def test_a_password_fits_its_user(user: str, password: str, known: object) -> None:
    users = {"scanner": Secret("open sesame"), "empty": Secret("")}

    assert auth.genuine(auth.Credentials(user, password), users) is known


def test_every_reply_of_ours_has_an_enhanced_status_code() -> None:
    ours = [value for name, value in vars(replies).items() if name.isupper() and isinstance(value, str)]

    assert ours
    assert [reply for reply in ours if replies.enhanced(reply) != reply or reply[4] != reply[0]] == []
