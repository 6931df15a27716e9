"""DKIM, SPF, DMARC and ARC of mails that were really signed, against a DNS server on the loopback."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.signing import SigningKey

from connectors.email.config import TrustConfig
from connectors.email.trust import Origin, Trust
from normalizer.model import Security
from tests.servers.dns import DnsServer

MAIL = b"From: Ann <ann@shop.example>\r\nTo: us@help.example\r\nSubject: Parcel\r\n\r\nWhere  is\t my parcel? \r\n\r\n"
SENDER = Origin(peer="192.0.2.10", helo="mail.shop.example", mail_from="ann@shop.example")
STRANGER = Origin(peer="198.51.100.66", helo="evil.example", mail_from="ann@shop.example")


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture
def dns(key: RSAPrivateKey) -> Iterator[DnsServer]:
    server = DnsServer()
    server.txt("s1._domainkey.shop.example", f"v=DKIM1; k=rsa; p={public(key)}")
    server.txt("s1._domainkey.list.example", f"v=DKIM1; k=rsa; p={public(key)}")
    server.txt("shop.example", "v=spf1 ip4:192.0.2.0/28 -all")
    server.txt("_dmarc.shop.example", "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@shop.example")
    yield server
    server.stop()


def public(key: RSAPrivateKey) -> str:
    data = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(data).decode()


def signed(key: RSAPrivateKey, mail: bytes = MAIL, domain: str = "shop.example", **options: Any) -> bytes:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return bytes(dkim.sign(mail, b"s1", domain.encode(), pem, **options)) + mail


def sealed(key: RSAPrivateKey, mail: bytes) -> bytes:
    """Pass a mail on as a list server does that verifies and seals."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    told = b"Authentication-Results: list.example; dkim=pass header.d=shop.example; arc=none\r\n" + mail
    return b"".join(dkim.arc_sign(told, b"s1", b"list.example", pem, b"list.example")) + told


async def judge(dns: DnsServer, mail: bytes, origin: Origin | None = SENDER, timeout: float = 5.0) -> Security:
    config = TrustConfig(mode="check", nameservers=(dns.address,), timeout_secs=timeout)
    return await Trust(config).judge(mail, origin)


def words(found: Security) -> tuple[str | None, ...]:
    return found.dkim, found.spf, found.dmarc, found.arc


async def test_a_mail_signed_and_sent_by_its_author_s_domain_passes(dns: DnsServer, key: RSAPrivateKey) -> None:
    found = await judge(dns, signed(key))

    assert words(found) == ("pass", "pass", "pass", "none")
    assert (found.dkim_domain, found.spf_domain, found.dmarc_policy) == ("shop.example", "shop.example", "reject")
    assert found.authserv_id is None


async def test_a_forged_mail_fails(dns: DnsServer) -> None:
    found = await judge(dns, MAIL, STRANGER)

    assert words(found) == ("none", "fail", "fail", "none")
    assert found.dmarc_policy == "reject"


async def test_a_forger_s_own_signature_and_sender_prove_nothing_about_the_author(
    dns: DnsServer, key: RSAPrivateKey
) -> None:
    dns.txt("evil.example", "v=spf1 +all")
    dns.txt("s1._domainkey.evil.example", f"v=DKIM1; p={public(key)}")
    origin = Origin(peer="198.51.100.66", helo="evil.example", mail_from="x@evil.example")

    found = await judge(dns, signed(key, domain="evil.example"), origin)

    assert words(found) == ("pass", "pass", "fail", "none")
    assert (found.dkim_domain, found.spf_domain) == ("evil.example", "evil.example")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"my parcel", b"your parcel"), (b"Subject: Parcel", b"Subject: Money"), (b"\r\n\r\n", b"\r\nFrom: x@y\r\n\r\n")],
    ids=["body", "subject", "second From"],
)
async def test_a_changed_mail_is_noticed(dns: DnsServer, key: RSAPrivateKey, old: bytes, new: bytes) -> None:
    found = await judge(dns, signed(key).replace(old, new, 1), None)

    assert found.dkim != "pass"
    assert found.dmarc != "pass"


@pytest.mark.parametrize("canonical", [b"simple", b"relaxed"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n\r\n",
        b" \r\n",
        b"a \t b\t\r\n\r\nc",
        b"\t\r\n \r\nx\r\n",
        b"x" * 200_000 + b" \r\n",
        b"  \t",
    ],
    ids=["none", "empty line", "empty lines", "blank", "blanks", "blank lines", "long line", "no line break"],
)
async def test_signatures_over_any_body_hold_in_both_canonical_forms(
    dns: DnsServer, key: RSAPrivateKey, body: bytes, canonical: bytes
) -> None:
    mail = signed(key, b"From: a@shop.example\r\n\r\n" + body, canonicalize=(canonical, canonical))

    assert (await judge(dns, mail, None)).dkim == "pass"


async def test_the_canonical_form_is_that_of_rfc_6376() -> None:
    """The example of §3.4.5."""
    relaxed, simple = (dkim.canonicalization.ALGORITHMS[name] for name in (b"relaxed", b"simple"))
    body = b" C \r\nD \t E\r\n\r\n\r\n"

    assert relaxed.canonicalize_body(body) == b" C\r\nD E\r\n"
    assert simple.canonicalize_body(body) == b" C \r\nD \t E\r\n"
    assert (relaxed.canonicalize_body(b""), simple.canonicalize_body(b"")) == (b"", b"\r\n")


async def test_of_half_a_mail_no_signature_is_checked(dns: DnsServer, key: RSAPrivateKey) -> None:
    trust = Trust(TrustConfig(mode="check", nameservers=(dns.address,)))

    assert await trust.judge(signed(key)[:-5], whole=False) == Security(verified="none")


async def test_one_good_signature_of_several_is_enough(dns: DnsServer, key: RSAPrivateKey) -> None:
    mail = signed(key)
    broken = signed(key, MAIL.replace(b"Parcel", b"Money"), "other.example").partition(b"From:")[0]

    found = await judge(dns, broken + mail, None)

    assert (found.dkim, found.dkim_domain, found.dmarc) == ("pass", "shop.example", "pass")


async def test_an_ed25519_signature_is_verified(dns: DnsServer) -> None:
    secret = SigningKey.generate()
    dns.txt(
        "ed._domainkey.shop.example", f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(secret.verify_key)).decode()}"
    )
    header = dkim.sign(
        MAIL, b"ed", b"shop.example", base64.b64encode(bytes(secret)), signature_algorithm=b"ed25519-sha256"
    )

    assert (await judge(dns, header + MAIL, None)).dmarc == "pass"


async def test_a_signature_that_lets_text_be_added_proves_nothing(dns: DnsServer, key: RSAPrivateKey) -> None:
    found = await judge(dns, signed(key, length=True) + b"and send your password to evil.example\r\n", None)

    assert (found.dkim, found.dmarc) == ("policy", None)


async def test_a_revoked_or_missing_key_is_a_permanent_error(dns: DnsServer, key: RSAPrivateKey) -> None:
    missing = await judge(dns, signed(key, domain="nokey.shop.example"), None)
    dns.txt("s1._domainkey.shop.example", "v=DKIM1; p=" + "A" * 3000)

    assert missing.dkim == "permerror"
    assert (await judge(dns, signed(key), None)).dkim == "permerror"


async def test_a_chain_of_forwarders_is_verified(dns: DnsServer, key: RSAPrivateKey) -> None:
    mail = sealed(key, signed(key))

    assert (await judge(dns, mail, None)).arc == "pass"
    assert (await judge(dns, mail.replace(b"my parcel", b"your parcel"), None)).arc == "fail"


@pytest.mark.parametrize("trouble", ["silent", "broken"])
async def test_a_dns_without_answers_costs_bounded_time_and_is_told(
    dns: DnsServer, key: RSAPrivateKey, trouble: str
) -> None:
    getattr(dns, trouble).update({"s1._domainkey.shop.example", "shop.example", "_dmarc.shop.example"})
    started = time.monotonic()

    found = await judge(dns, signed(key), timeout=0.5)

    assert words(found) == ("temperror", "temperror", "temperror", "none")
    assert time.monotonic() - started < 3


async def test_the_loop_goes_on_and_other_mails_are_judged_while_the_dns_is_slow(
    dns: DnsServer, key: RSAPrivateKey
) -> None:
    dns.silent.add("slow.example")
    slow = signed(key, MAIL.replace(b"@shop", b"@slow"), "slow.example")
    trust = Trust(TrustConfig(mode="check", nameservers=(dns.address,), timeout_secs=1.0))

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(trust.judge(slow)) for _ in range(12)]
        good = await trust.judge(signed(key), SENDER)
        assert not any(task.done() for task in waiting)

    assert good.dmarc == "pass"
    assert {task.result().dkim for task in waiting} == {"temperror"}


async def test_more_slow_checks_than_threads_are_cut_off_as_well(dns: DnsServer, key: RSAPrivateKey) -> None:
    dns.silent.add("slow.example")
    slow = signed(key, MAIL.replace(b"@shop", b"@slow"), "slow.example")
    trust = Trust(TrustConfig(mode="check", nameservers=(dns.address,), timeout_secs=0.3))
    started = time.monotonic()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(trust.judge(slow)) for _ in range(60)]

    assert {task.result().dkim for task in tasks} == {"temperror"}
    assert time.monotonic() - started < 3


async def test_a_relay_of_our_own_and_a_mailbox_say_nothing_about_spf(dns: DnsServer, key: RSAPrivateKey) -> None:
    relay = Origin(peer="10.1.2.3", helo="mx.help.example", mail_from="ann@shop.example")

    for origin in (relay, None):
        unsigned = await judge(dns, MAIL, origin)
        assert words(unsigned) == ("none", None, None, "none")
        assert words(await judge(dns, signed(key), origin)) == ("pass", None, "pass", "none")


async def test_the_null_sender_is_judged_by_its_host_name(dns: DnsServer) -> None:
    dns.txt("mail.shop.example", "v=spf1 a -all")
    dns.records["mail.shop.example", "A"] = ["192.0.2.10"]
    bounce = Origin(peer="192.0.2.10", helo="mail.shop.example", mail_from="")

    found = await judge(dns, MAIL, bounce)

    assert (found.spf, found.spf_domain, found.dmarc) == ("pass", "mail.shop.example", "pass")


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 nonsense -all", "permerror"),
        ("v=spf1 redirect=shop.example", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 include:nowhere.example -all", "permerror"),
        ("v=spf1 exists:%{l}.%{d} -all", "pass"),
        ("v=spf1 a:" + "a" * 3_000 + " -all", "permerror"),
    ],
)
async def test_spf_records_of_all_kinds(dns: DnsServer, record: str, result: str) -> None:
    dns.txt("more.example", record)
    dns.records["more.example", "MX"] = ["10 mx.more.example."]
    dns.records["mx.more.example", "A"] = dns.records["ann.more.example", "A"] = ["192.0.2.10"]
    origin = Origin(peer="192.0.2.10", helo="x.more.example", mail_from="ann@more.example")

    assert (await judge(dns, MAIL, origin)).spf == result


@pytest.mark.parametrize(
    ("author", "sender", "dmarc", "policy"),
    [
        ("shop.example", "news.shop.example", "pass", "reject"),  # relaxed
        ("eu.shop.example", "shop.example", "pass", "quarantine"),
        ("eu.shop.example", "news.shop.example", "pass", "quarantine"),
        ("strict.example", "news.strict.example", "fail", "none"),
        ("strict.example", "strict.example", "pass", "none"),
        ("one.host.example", "two.host.example", "fail", "quarantine"),  # psd=y: customers of a hoster
        ("a.one.host.example", "one.host.example", "pass", "quarantine"),
        ("alone.own.example", "own.example", "fail", "none"),  # psd=n: an organization of its own
        ("nothing.test", "shop.example", "none", None),
        ("b.c.d.e.f.g.h.i.shop.example", "shop.example", "pass", "quarantine"),
    ],
)
async def test_domains_of_one_organization_align(
    dns: DnsServer, key: RSAPrivateKey, author: str, sender: str, dmarc: str, policy: str | None
) -> None:
    dns.txt("_dmarc.strict.example", "v=DMARC1; p=none; adkim=s; aspf=s")
    dns.txt("_dmarc.host.example", "v=DMARC1; p=quarantine; psd=y")
    dns.txt("_dmarc.own.example", "v=DMARC1; p=reject")
    dns.txt("_dmarc.alone.own.example", "v=DMARC1; p=none; psd=n")
    dns.txt(f"s1._domainkey.{sender}", f"p={public(key)}")
    origin = Origin(peer="203.0.113.1", helo="x.example", mail_from="x@nospf.example")

    found = await judge(dns, signed(key, MAIL.replace(b"shop.example", author.encode()), sender), origin)

    assert (found.dkim, found.dmarc, found.dmarc_policy) == ("pass", dmarc, policy)


@pytest.mark.parametrize("text", ["v=DMARC2; p=reject", "p=reject; v=DMARC1", "hello", "v=DMARC1", ""])
async def test_a_text_that_is_no_dmarc_record_is_none(dns: DnsServer, key: RSAPrivateKey, text: str) -> None:
    dns.txt("_dmarc.shop.example", text)

    found = await judge(dns, signed(key))

    assert (found.dmarc, found.dmarc_policy) == (("pass", "none") if text == "v=DMARC1" else ("none", None))


async def test_two_dmarc_records_are_none(dns: DnsServer, key: RSAPrivateKey) -> None:
    dns.txt("_dmarc.shop.example", "v=DMARC1; p=reject", "v=DMARC1; p=none")

    assert (await judge(dns, signed(key))).dmarc == "none"


@pytest.mark.parametrize(
    "sender",
    [b"From: a@shop.example\r\nFrom: b@evil.example", b"From: a@shop.example, b@evil.example", b"From: a@" + b"x" * 70],
    ids=["two fields", "two domains", "impossible"],
)
async def test_a_mail_without_one_author_passes_nothing(dns: DnsServer, key: RSAPrivateKey, sender: bytes) -> None:
    found = await judge(dns, signed(key, sender + b"\r\n\r\nhi\r\n"))

    assert found.dmarc in {"permerror", "none"}


async def test_an_international_domain_is_asked_for_in_ascii(dns: DnsServer) -> None:
    dns.txt("xn--bcher-kva.example", "v=spf1 ip4:192.0.2.10 -all")
    dns.txt("_dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject")
    origin = Origin(peer="192.0.2.10", helo="x", mail_from="ann@bücher.example")

    found = await judge(dns, "From: ann@Bücher.example\r\n\r\nhi\r\n".encode(), origin)

    assert (found.spf, found.dmarc) == ("pass", "pass")


HOSTILE = {
    "blanks without end": b"From: a@shop.example\r\n\r\n" + b" " * 3_000_000 + b"x\r\n",
    "empty lines": b"From: a@shop.example\r\n\r\n" + b"\r\n" * 3_000_000,
    "one line": b"From: a@shop.example\r\n\r\n" + b"x" * 20_000_000,
}


@pytest.mark.parametrize("mail", HOSTILE.values(), ids=HOSTILE)
async def test_a_body_made_to_keep_a_verifier_busy_does_not(dns: DnsServer, mail: bytes) -> None:
    header = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n"
    started, longest = time.monotonic(), 0.0
    async with asyncio.TaskGroup() as group:
        task = group.create_task(judge(dns, header * 12 + mail, None, timeout=20))
        while not task.done():
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)

    assert task.result().dkim == "fail"
    assert time.monotonic() - started < 10
    assert longest < 1


@pytest.mark.parametrize(
    "head",
    [
        b"DKIM-Signature: " + b"x" * 200_000 + b"\r\n",
        b"DKIM-Signature: v=1;\r\n" + b" \r\n x\r\n" * 100_000,
        b"DKIM-Signature: v=1; h=" + b":".join(b"a%d" % n for n in range(3_000)) + b"\r\n" + b"A: b\r\n" * 30_000,
        b"DKIM-Signature: v=1; b=" + b" " * 10_000 + b"\r\n",
        b"DKIM-Signature: \xff\xfe\x00\r\nX\x00: \xff\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=\xff; s=\xff; h=from; bh=AAAA; b=AAAA\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=" + b"a." * 300 + b"; s=x; h=from; bh=AAAA; b=AAAA\r\n",
        b"DKIM-Signature:\r\nARC-Seal: i=99999999999999999999999; cv=none\r\n",
        b"ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1\r\nDKIM-Signature: v\r\n" * 50,
        b" DKIM-Signature: folded from nowhere\r\n",
    ],
    ids=range(10),
)
async def test_a_header_made_to_keep_a_verifier_busy_does_not(dns: DnsServer, head: bytes) -> None:
    started = time.monotonic()
    found = await judge(dns, head + MAIL, None, timeout=20)

    assert found.dkim in {"neutral", "permerror", "none"}
    assert time.monotonic() - started < 5
