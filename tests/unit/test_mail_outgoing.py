"""What sending decides without a server: options, refusals, waits, signatures, threads."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import dkim
import pytest
from aiosmtplib import SMTPAuthenticationError, SMTPException, SMTPServerDisconnected, SMTPTimeoutError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from connectors.email.outgoing_config import BOUNCE_ROOM, REPLY_ROOM, DkimConfig, OutgoingConfig
from connectors.email.outgoing_dkim import sign
from connectors.email.outgoing_domains import Domains, domain_of
from connectors.email.outgoing_errors import Refusal, of_connection, of_content, of_recipient, of_sender
from connectors.email.threads import Thread
from connectors.errors import Deferred, Misconfigured, RecipientGone, Refused, Throttled, Unreachable
from connectors.secrets import Secret
from normalizer.mail.tokens import Tokens


def options(**changes: Any) -> OutgoingConfig:
    return OutgoingConfig(**{"host": "smtp.example", "sender": "Shop <support@shop.example>", **changes})


@pytest.mark.parametrize(
    ("port", "tls", "kind"),
    [
        (587, None, "starttls"),
        (465, None, "implicit"),
        (25, None, "starttls"),
        (465, "starttls", "starttls"),
        (25, "none", "none"),
    ],
)
def test_the_port_says_how_tls_begins_unless_told_otherwise(port: int, tls: Any, kind: str) -> None:
    assert options(port=port, tls=tls).security == kind


def test_no_password_leaves_the_machine_in_clear() -> None:
    login = {"user": "u", "password": Secret("p")}
    with pytest.raises(ValueError, match="in clear"):
        options(tls="none", **login)
    assert options(tls="none", host="localhost", **login).security == "none"
    with pytest.raises(ValueError, match="belong together"):
        options(user="u")


@pytest.mark.parametrize("name", ["sender", "reply_to", "bounce_to"])
@pytest.mark.parametrize("bad", ["nobody", "a@b, c@d", "", "a@b\r\nBcc: c@d, e@f"])
def test_addresses_are_checked_when_the_configuration_is_read(name: str, bad: str) -> None:
    with pytest.raises(ValueError, match="address"):
        options(**{name: bad})


@pytest.mark.parametrize(("name", "room"), [("tag_reply_to", REPLY_ROOM), ("tag_bounces", BOUNCE_ROOM)])
def test_an_address_without_room_for_a_tag_is_refused_and_one_with_room_is_tagged(name: str, room: int) -> None:
    fits, long = ("x" * size + "@shop.example" for size in (room, room + 1))
    with pytest.raises(ValueError, match=name):
        options(sender=long, **{name: True})
    options(sender=fits, **{name: True})
    tokens, conversation, message = Tokens((b"a key of sixteen",)), "cnv_" + "0" * 32, "msg_" + "0" * 32
    if name == "tag_reply_to":
        assert "+r1" in tokens.reply_address(fits, "c", conversation, to="ann@example.net")
        assert tokens.reply_address(long, "c", conversation, to="ann@example.net") == long
    else:
        assert "+b1" in tokens.return_path(fits, "c", message)
        assert tokens.return_path(long, "c", message) == long


def test_names_are_checked_when_the_configuration_is_read() -> None:
    for name in ("hostname", "message_id_domain"):
        with pytest.raises(ValueError, match=name):
            options(**{name: "no name\r\n"})


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal(550, "5.1.1 x"), RecipientGone),
        (Refusal(550, "5.2.1 disabled"), RecipientGone),
        (Refusal(556, "5.1.10 null MX"), RecipientGone),
        (Refusal(552, "5.2.2 mailbox full"), Refused),
        (Refusal(550, "no"), Refused),
        (Refusal(452, "4.2.2 mailbox full"), Deferred),
        (Refusal(450, "5.1.1 a contradiction"), Deferred),
    ],
)
def test_a_refused_recipient(refusal: Refusal, error: type[Exception]) -> None:
    assert type(of_recipient(refusal)) is error


def test_a_refused_sender_is_our_business_and_a_refused_content_the_mails() -> None:
    assert type(of_sender(Refusal(550, "5.7.1 not yours"))) is Misconfigured
    assert type(of_sender(Refusal(552, "too large"))) is Refused
    assert type(of_sender(Refusal(452, "4.3.1 full"))) is Throttled
    assert type(of_content(Refusal(554, "5.7.1 spam"))) is Refused
    assert type(of_content(Refusal(530, "login first"))) is Misconfigured


def test_a_status_that_does_not_fit_its_reply_is_not_believed() -> None:
    assert Refusal(450, "5.1.1 x").status == "4.0.0"
    assert Refusal(550, "see 4.4.4").status == "5.0.0"
    assert Refusal(550, "5.7.26 x").status == "5.7.26"
    assert len(Refusal(550, "x\r\n" * 900).words) <= 200


def test_faults_of_the_connection() -> None:
    wrong = ssl.SSLCertVerificationError()
    wrong.verify_message = "self-signed certificate"
    wrapped = OSError("x")
    wrapped.__cause__ = wrong
    cases: list[tuple[Exception, type[Exception]]] = [
        (wrapped, Misconfigured),
        (SMTPAuthenticationError(535, "5.7.8 no"), Misconfigured),
        (SMTPAuthenticationError(454, "4.7.0 later"), Unreachable),
        (SMTPServerDisconnected("x"), Unreachable),
        (SMTPTimeoutError("x"), Unreachable),
        (TimeoutError(), Unreachable),
        (ConnectionRefusedError(111, "Connection refused"), Unreachable),
        (SMTPException("no STARTTLS"), Misconfigured),
    ]
    for fault, error in cases:
        assert type(of_connection(fault, "smtp.example")) is error
        assert "smtp.example" in str(of_connection(fault, "smtp.example"))


def test_a_domain_is_left_alone_for_longer_each_time_and_forgiven_at_once() -> None:
    now = [0.0]
    domains = Domains(base=10, cap=35, steady=lambda: now[0])
    assert domains.wait("a") == 0
    waits = []
    for _ in range(4):
        waits.append(domains.failed("a"))
        assert domains.wait("a") == waits[-1]
        assert domains.failed("a") == waits[-1], "mails that were under way count once"
        now[0] += waits[-1]
    assert waits == [10, 20, 35, 35]
    assert domains.wait("b") == 0
    domains.failed("a")
    domains.succeeded("a")
    assert domains.wait("a") == 0
    assert domain_of("Ann@Example.NET") == "example.net"


def rsa_key() -> tuple[str, bytes]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def ed25519_key() -> tuple[str, bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    seed = base64.b64encode(key.private_bytes_raw()).decode()
    return seed, b"v=DKIM1; k=ed25519; p=" + base64.b64encode(key.public_key().public_bytes_raw())


MAIL = (
    b"From: Shop <support@shop.example>\r\nTo: ann@example.net\r\nSubject: Your parcel\r\n"
    b"Message-ID: <1@shop.example>\r\nMIME-Version: 1.0\r\n\r\nIt is on its way.\r\n"
)


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
def test_a_signature_holds_for_this_mail_and_for_no_other(algorithm: Any) -> None:
    private, record = rsa_key() if algorithm == "rsa-sha256" else ed25519_key()
    config = DkimConfig(domain="shop.example", selector="mail", key=Secret(private), algorithm=algorithm)
    asked: list[bytes] = []

    def look_up(name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001 -- dkimpy gives it
        asked.append(name)
        return record

    signed = sign(MAIL, config)
    assert signed.endswith(MAIL)
    assert dkim.verify(signed, dnsfunc=look_up)
    assert asked == [b"mail._domainkey.shop.example."]
    relayed = b"Received: by mx.example.net\r\n" + signed.replace(b"Subject: Your parcel", b"subject:  Your\r\n parcel")
    assert dkim.verify(relayed, dnsfunc=look_up), "folding and added fields are what relays do"
    for forged in (
        signed.replace(b"on its way", b"lost"),
        signed.replace(b"To: ann@", b"To: eve@"),
        signed.replace(b"\r\nSubject:", b"\r\nSubject: You have won\r\nSubject:"),
        signed.replace(b"\r\nMIME-Version", b"\r\nReply-To: eve@example.org\r\nMIME-Version"),
    ):
        assert not dkim.verify(forged, dnsfunc=look_up)
    assert private not in repr(config)


def test_a_key_that_is_none_is_refused_when_the_configuration_is_read() -> None:
    for algorithm in ("rsa-sha256", "ed25519-sha256"):
        for key in ("no key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "AAAA"):
            with pytest.raises(ValueError, match="`key` must be"):
                DkimConfig(domain="shop.example", selector="s", key=Secret(key), algorithm=algorithm)
    with pytest.raises(ValueError, match="selector"):
        DkimConfig(domain="shop.example", selector="a b", key=Secret("x"))


def test_a_thread_grows_by_what_is_new() -> None:
    thread = Thread().joined(["1@a", "2@a"], "Parcel", ("bob@b",))
    assert thread.last == "2@a"
    assert thread.joined(["1@a"], "Other", ()) is thread
    longer = thread.joined(["2@a", "3@a"], "Re: Parcel")
    assert longer.ids == ("1@a", "2@a", "3@a")
    assert longer.others == ("bob@b",), "a mail of ours says nothing about who else reads"
    assert Thread().last is None


def test_a_thread_stays_small_whatever_it_is_told() -> None:
    thread = Thread()
    for number in range(200):
        thread = thread.joined(["x" * 800 + f"{number}@a", f"{number}@b"], "s" * 10_000, ("a@b",) * 500)
    assert len(thread.ids) <= 20
    assert sum(map(len, thread.ids)) <= 5_000
    assert len(thread.subject) <= 500
    assert len(thread.others) <= 50
