"""What is looked at before mail is entrusted to a channel: MX, certificates, logins, DKIM keys."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from connectors.email import EmailChannel, EmailConfig, OutgoingConfig, SmtpConfig
from connectors.email.config import TrustConfig
from connectors.email.outgoing_config import DkimConfig
from connectors.email.probe_dkim import public_key, published
from connectors.email.probe_mx import is_here
from connectors.secrets import Secret
from gateway.cli import main
from gateway.simulate.registry import cloud
from normalizer.checks import Check
from tests.contexts import make_context
from tests.integration.mail.helpers import CHANNEL, SHOP, PostOffice
from tests.servers.dns import DnsServer
from tests.servers.mailroom import PASSWORD, USER, Mailroom
from tests.servers.process import free_port

DOMAIN = "shop.omnigate"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    server = DnsServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def login_room() -> AsyncIterator[Mailroom]:
    async with Mailroom().open(login=True) as room:
        yield room


def certificate(folder: Path, *names: str) -> dict[str, str]:
    issued = trustme.CA().issue_cert(*names)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


def channel(post: PostOffice, dns: DnsServer, *domains: str, smtp: Any = None, **options: Any) -> EmailChannel:
    context = make_context(CHANNEL, post.folder, post.http, store=post.store)
    listen = None if smtp is None else SmtpConfig(listen="127.0.0.1:0", **smtp)
    config = EmailConfig(
        addresses=tuple(f"*@{one}" for one in domains or (DOMAIN,)),
        smtp=listen,
        trust=TrustConfig(nameservers=(dns.address,)),
        outgoing=OutgoingConfig(**options) if options else None,
    )
    return EmailChannel(config, context)


def outgoing(room: Mailroom | int, **options: Any) -> dict[str, Any]:
    port = room if isinstance(room, int) else room.port
    return {"host": "127.0.0.1", "port": port, "tls": "none", "sender": f"Shop <{SHOP}>", **options}


async def checks(made: EmailChannel) -> dict[str, Check]:
    return {check.name: check for check in (await made.probe())["checks"]}


async def test_everything_is_as_it_should_be(
    post: PostOffice, dns: DnsServer, login_room: Mailroom, tmp_path: Path
) -> None:
    dns.records[DOMAIN, "MX"] = [f"10 mx.{DOMAIN}."]
    dns.records[f"mx.{DOMAIN}", "A"] = ["127.0.0.1"]
    made = channel(
        post,
        dns,
        smtp=certificate(tmp_path, f"*.{DOMAIN}"),
        **outgoing(login_room, user=USER, password=Secret(PASSWORD)),
    )

    told = await made.probe()

    assert {check.name: check.ok for check in told["checks"]} == {"outgoing": True, f"mx.{DOMAIN}": True, "tls": True}
    assert (told["outgoing"]["login"], told["mx"], told["starttls"]) == (True, {DOMAIN: [f"mx.{DOMAIN}"]}, True)
    assert told["certificate_expires_at"] > "2026"
    assert "sure" not in told


async def test_a_server_that_refuses_us_hides_nothing_else(
    post: PostOffice, dns: DnsServer, login_room: Mailroom, tmp_path: Path
) -> None:
    dns.records[DOMAIN, "MX"] = [f"10 mx.{DOMAIN}."]
    dns.records[f"mx.{DOMAIN}", "A"] = ["127.0.0.1"]
    made = channel(
        post,
        dns,
        smtp=certificate(tmp_path, "other.example"),
        **outgoing(login_room, user=USER, password=Secret("wrong")),
    )

    found = await checks(made)

    assert {name: check.ok for name, check in found.items()} == {"outgoing": False, f"mx.{DOMAIN}": True, "tls": False}
    assert "password" in (found["outgoing"].hint or "")
    assert f"for other.example, and not for mx.{DOMAIN}" in found["tls"].detail


async def test_a_server_that_is_away_may_be_back_soon(post: PostOffice, dns: DnsServer) -> None:
    told = await channel(post, dns, **outgoing(free_port())).probe()

    assert (told["sure"], told["outgoing"]["error"]) == (False, "unreachable")


@pytest.mark.parametrize(
    ("records", "smtp", "ok", "words"),
    [
        ({"MX": ["10 mx.elsewhere.omnigate."]}, {}, None, "which is not this machine"),
        ({"MX": ["10 mx.elsewhere.omnigate."]}, None, True, "into the mailbox from there"),
        ({"MX": ["10 mx.elsewhere.omnigate."]}, {"hostname": "mx.elsewhere.omnigate"}, True, "here"),
        ({"MX": ["0 ."]}, {}, False, "takes no mail"),
        ({}, {}, False, "no MX record and no address"),
        ({"A": ["127.0.0.1"]}, {}, True, f"goes to {DOMAIN}: here"),
        ({"A": ["192.0.2.1"]}, {}, None, f"goes to {DOMAIN}, which is not"),
    ],
)
async def test_where_the_mail_of_a_domain_goes(
    post: PostOffice, dns: DnsServer, records: dict[str, list[str]], smtp: Any, ok: Any, words: str
) -> None:
    for kind, values in records.items():
        dns.records[DOMAIN, kind] = values
    dns.records["mx.elsewhere.omnigate", "A"] = ["192.0.2.1"]

    options = {} if smtp is not None else outgoing(free_port())
    check = (await checks(channel(post, dns, smtp=smtp, **options)))[f"mx.{DOMAIN}"]

    assert check.ok is ok
    assert words in check.detail


async def test_what_the_dns_does_not_say_now_is_not_held_against_anybody(post: PostOffice, dns: DnsServer) -> None:
    dns.broken.add("broken.omnigate")

    found = await checks(channel(post, dns, "broken.omnigate", "shop.example", smtp={}))

    assert {name: check.ok for name, check in found.items() if name.startswith("mx")} == {
        "mx.broken.omnigate": None,
        "mx.shop.example": None,
    }


async def test_a_certificate_that_cannot_be_used_is_named(post: PostOffice, dns: DnsServer, tmp_path: Path) -> None:
    files = certificate(tmp_path, "mx.shop.omnigate")
    (tmp_path / "key.pem").write_bytes(trustme.CA().issue_cert("x.example").private_key_pem.bytes())

    check = (await checks(channel(post, dns, smtp=files)))["tls"]

    assert check.ok is False
    assert str(tmp_path / "cert.pem") in check.detail


def test_only_an_address_of_this_machine_is_here() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.1")
    assert not is_here("2001:db8::1")


def rsa_config() -> DkimConfig:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return DkimConfig(domain=DOMAIN, selector="s1", key=Secret(pem.decode()))


def ed25519_config() -> DkimConfig:
    seed = base64.b64encode(ed25519.Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    return DkimConfig(domain=DOMAIN, selector="s1", key=Secret(seed), algorithm="ed25519-sha256")


@pytest.mark.parametrize("make", [rsa_config, ed25519_config])
async def test_the_dkim_key_in_the_dns_is_compared_with_ours(dns: DnsServer, make: Any) -> None:
    config, name = make(), f"s1._domainkey.{DOMAIN}"
    missing = await published(config, (dns.address,))
    dns.txt(name, f"v=DKIM1; p={public_key(make())}")
    another = await published(config, (dns.address,))
    ours = public_key(config)
    dns.txt(name, f"v=DKIM1; k=rsa; p= {ours[:40]} {ours[40:]}")
    fits = await published(config, (dns.address,))

    assert (missing.ok, another.ok, fits.ok) == (False, False, True)
    assert f"p={ours}" in (missing.hint or "")
    assert "another one" in another.detail


async def test_the_command_asks_every_channel_and_fails_if_something_is_wrong(
    login_room: Mailroom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "right").write_text(PASSWORD)
    (tmp_path / "wrong").write_text("wrong")
    (tmp_path / "token").write_text("1:a-token")
    async with cloud("telegram") as bots:
        config = tmp_path / "gw.toml"
        mail = f'kind = "email"\noutgoing = {{ host = "127.0.0.1", port = {login_room.port}, tls = "none"'
        mail += f', user = "{USER}", from = "{SHOP}", password = "file:'
        config.write_text(
            f'[gateway]\ndata_dir = "{tmp_path / "var"}"\n'
            f'[channels.good]\n{mail}right" }}\n[channels.bad]\n{mail}wrong" }}\n'
            f'[channels.off]\nenabled = false\n{mail}wrong" }}\n'
            f'[channels.bot]\nkind = "telegram"\ntoken = "file:token"\nsecret = "file:token"\napi_base = "{bots.url}"\n'
        )

        async def run(*words: str) -> tuple[int, list[dict[str, Any]], str]:
            status = await asyncio.to_thread(main, ["check", *words, "--config", str(config)])
            shown = capsys.readouterr()
            return status, [json.loads(line) for line in shown.out.splitlines()], shown.err

        everything = await run("--online")
        good = await run("--online", "good", "bot")
        unknown = await run("--online", "godo")
        named_without = await run("good")

    assert everything[0] == 1
    by_channel = {(one["channel"], one["name"]): one["ok"] for one in everything[1]}
    assert (by_channel["good", "outgoing"], by_channel["bad", "outgoing"]) == (True, False)
    assert by_channel["bot", "credentials"] is True
    assert "off" not in {channel for channel, _ in by_channel}
    assert "no way back" in everything[2]
    assert (good[0], {one["channel"] for one in good[1]}) == (0, {"good", "bot"})
    assert (unknown[0], "did you mean good?" in unknown[2]) == (1, True)
    assert (named_without[0], "--online" in named_without[2]) == (1, True)
    assert PASSWORD not in str(everything)
    assert not (tmp_path / "var").exists(), "nothing is made before the gateway has run"
