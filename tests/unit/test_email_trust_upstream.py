"""Authentication-Results as real servers write them, and as forgers do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.email import trust_upstream
from connectors.email.config import TrustConfig
from connectors.email.trust import Trust
from normalizer.model import Security

GMAIL = """mx.google.com;
       dkim=pass header.i=@shop.example header.s=s1 header.b="Ab/+=;c";
       arc=pass (i=1 spf=pass spfdomain=shop.example dkim=pass);
       spf=pass (google.com: domain of ann@shop.example designates 192.0.2.1 as permitted;
       sender) smtp.mailfrom=ann@shop.example;
       dmarc=fail (p=NONE sp=NONE dis=NONE) header.from=shop.example"""
MICROSOFT = """spf=softfail (sender IP is 192.0.2.1)
 smtp.mailfrom=shop.example; dkim=none (message not signed)
 header.d=none;dmarc=bestguesspass action=none
 header.from=shop.example;compauth=pass reason=109"""
TWO_SIGNATURES = """mx.shop.example 1; dkim=fail (bad; "quoted ( \\) text") header.d=list.example;
 dkim=pass header.d=Shop.Example; dkim=neutral header.d=x.example"""


async def told(header: str, authserv_id: str = "mx.shop.example") -> Security:
    mail = header.replace("\n", "\r\n").encode() + b"\r\nFrom: a@shop.example\r\n\r\nhi\r\n"
    return await Trust(TrustConfig(mode="upstream", authserv_id=authserv_id)).judge(mail)


async def test_gmail() -> None:
    found = await told(f"Received: from x\nAuthentication-Results: {GMAIL}", "MX.google.com")

    assert (found.dkim, found.spf, found.dmarc, found.arc) == ("pass", "pass", "fail", "pass")
    assert (found.dkim_domain, found.spf_domain) == ("shop.example", "shop.example")
    assert found.authserv_id == "mx.google.com"


async def test_microsoft_365_which_gives_no_name() -> None:
    found = await told(f"Authentication-Results: {MICROSOFT}", "")

    assert (found.dkim, found.spf, found.dmarc, found.arc) == ("none", "softfail", None, None)
    assert found.authserv_id == ""


async def test_of_several_signatures_the_best_counts() -> None:
    found = await told(f"Authentication-Results: {TWO_SIGNATURES}")

    assert (found.dkim, found.dkim_domain) == ("pass", "shop.example")


@pytest.mark.parametrize(
    "header",
    [
        "X: y",
        "Authentication-Results: mx.evil.example; dmarc=pass",
        "Authentication-Results: mx.evil.example; none\nAuthentication-Results: mx.shop.example; dmarc=pass",
        "Authentication-Results: dmarc=pass",
        "Authentication-Results: (mx.shop.example; dmarc=pass)",
        "Authentication-Results: mx.shop.example.evil.example; dmarc=pass",
        "Authentication-Results: mx.shop.example; none",
        "Authentication-Results: mx.shop.example; x-dmarc=pass; dmarc=excellent; dmarc",
        "Authentication-Results:",
        "X-Authentication-Results: mx.shop.example; dmarc=pass",
        "Subject: x\n\nAuthentication-Results: mx.shop.example; dmarc=pass",
    ],
)
async def test_what_another_server_or_a_forger_says_is_ignored(header: str) -> None:
    assert await told(header) == Security(verified="none")


async def test_a_server_without_a_name_is_not_anybody() -> None:
    assert await told("Authentication-Results: mx.evil.example; dmarc=pass", "") == Security(verified="none")


async def test_a_method_may_have_a_version() -> None:
    assert (await told("Authentication-Results: mx.shop.example 1; spf/1=PASS smtp.helo=x.example")).spf == "pass"


async def test_nothing_is_said_when_nobody_is_asked() -> None:
    mail = b"Authentication-Results: mx.shop.example; dmarc=pass\r\n\r\nhi\r\n"

    assert await Trust(TrustConfig()).judge(mail, verified="basic") == Security(verified="basic")


@given(st.text(alphabet='();"\\ =ab./pass', max_size=200), st.sampled_from(["", "a"]))
def test_no_header_breaks_the_reader(value: str, authserv_id: str) -> None:
    assert all(line.result in trust_upstream.RESULTS for line in trust_upstream.read(value, authserv_id))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"mode": "upstream"}, "authserv_id"),
        ({"nameservers": ("dns.example",)}, "no IP address"),
        ({"nameservers": ("127.0.0.1:99999",)}, "port"),
        ({"nameservers": ("[::1]:x",)}, "port"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TrustConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]", "[::1]:5353"])
def test_nameservers_may_have_a_port(server: str) -> None:
    assert TrustConfig(nameservers=(server,)).nameservers == (server,)
