"""Mails to a real server: what arrives, and what is told when it does not."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from email.utils import getaddresses
from typing import Any

import dkim
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.email.oauth_config import OAuthConfig
from connectors.email.outgoing_config import DkimConfig
from connectors.email.outgoing_probe import probe_mx, probe_outgoing
from connectors.errors import (
    Deferred,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
)
from connectors.secrets import Secret
from connectors.staging import MediaUnavailable
from normalizer.errors import Unsendable
from normalizer.model import MessageRef
from normalizer.parts import File, Image, Location, Media, Text
from tests.integration.mail.helpers import ANN, SHOP, PostOffice, outgoing_of
from tests.servers.dns import DnsServer
from tests.servers.mailroom import HOST, PASSWORD, USER, Mailroom
from tests.servers.oauth import CLIENT, CLIENT_SECRET, TokenServer

BOB = "bob@other.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_message_arrives_as_a_mail(post: PostOffice, mailroom: Mailroom) -> None:
    sent = await post.channel(mailroom).send(post.message("It is on its way.", subject="Your parcel"))

    (taken,) = mailroom.mails
    mail = taken.mail
    assert (taken.sender, taken.recipients) == (SHOP, [ANN])
    assert getaddresses([mail["From"]]) == [("Shop", SHOP)]
    assert mail["To"] == ANN
    assert mail["Subject"] == "Your parcel"
    assert mail["Message-ID"] == f"<{sent.provider_ids[0]}>"
    assert mail["In-Reply-To"] is None
    assert mail.get_content() == "It is on its way.\r\n"


async def test_attachments_and_images_in_the_text_come_from_the_blob_store(
    post: PostOffice, mailroom: Mailroom
) -> None:
    channel = post.channel(mailroom)
    blobs = channel._context.blobs
    logo, invoice = b"\x89PNG logo" * 99, b"%PDF invoice" * 40_000
    media = [
        Media(id=name, mime=mime, name=name, status="stored", sha256=(await blobs.put(data)).removeprefix("sha256:"))
        for name, mime, data in (("logo", "image/png", logo), ("Rechnung März.pdf", "application/pdf", invoice))
    ]
    text = Text(body='<p>Hello <img src="cid:logo"></p>', format="html")
    await channel.send(post.message(text, Image(media=media[0]), File(media=media[1])))

    mail = mailroom.mails[0].mail
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "Rechnung März.pdf"
    assert attachment.get_content() == invoice
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo>"
    assert image.get_content() == logo
    assert mail.get_body(("plain",)).get_content().strip() == "Hello"  # type: ignore[union-attr]


async def test_an_attachment_that_is_nowhere_is_told_and_nothing_is_sent(post: PostOffice, mailroom: Mailroom) -> None:
    with pytest.raises(MediaUnavailable):
        await post.channel(mailroom).send(post.message(File(media=Media(id="x", status="stored", sha256="0" * 64))))
    assert not mailroom.mails


async def test_a_part_no_mail_can_carry_is_refused_by_name(post: PostOffice, mailroom: Mailroom) -> None:
    with pytest.raises(Unsendable, match="location"):
        await post.channel(mailroom).send(post.message("Here:", Location(lat=52.5, lon=13.4)))
    assert not mailroom.mails


async def test_copies_go_to_everybody_once_and_blind_ones_stay_blind(post: PostOffice, mailroom: Mailroom) -> None:
    extras = {"cc": f"Bob <{BOB}>, {ANN.upper()}", "bcc": f"carol@example.net, {BOB}", "from_name": "Eve at Shop"}
    await post.channel(mailroom).send(post.message(to=f"Ann Example <{ANN}>", metadata={"email": extras}))

    (taken,) = mailroom.mails
    assert taken.recipients == [ANN, BOB, "carol@example.net"]
    assert taken.mail["To"] == f"Ann Example <{ANN}>"
    assert taken.mail["Cc"] == f"Bob <{BOB}>"
    assert b"carol" not in taken.body
    assert taken.mail["From"] == f"Eve at Shop <{SHOP}>"


@pytest.mark.parametrize("to", ["nobody", "a@b, c@d", "a@b\r\nRCPT TO:<eve@example.org>", "@x", ""])
async def test_what_is_no_address_is_refused_before_any_connection(
    post: PostOffice, mailroom: Mailroom, to: str
) -> None:
    with pytest.raises(Refused, match="address"):
        await post.channel(mailroom).send(post.message(to=to))
    assert mailroom.connections == 0


async def test_no_header_can_be_smuggled_in(post: PostOffice, mailroom: Mailroom) -> None:
    evil = "x\r\nBcc: eve@example.org\r\n\r\nbody"
    await post.channel(mailroom).send(
        post.message(
            evil,
            subject=evil,
            reply_to=MessageRef(provider_id=evil),
            thread=evil,
            metadata={"email": {"from_name": evil}},
        )
    )

    (taken,) = mailroom.mails
    assert taken.recipients == [ANN]
    assert taken.mail["Bcc"] is None
    assert [part for part in taken.mail.keys() if part.lower() == "bcc"] == []  # noqa: SIM118 -- keys may repeat


async def test_an_automatic_message_says_so(post: PostOffice, mailroom: Mailroom) -> None:
    await post.channel(mailroom).send(post.message(metadata={"email": {"auto": "true"}}))

    assert mailroom.mails[0].mail["Auto-Submitted"] == "auto-generated"


async def test_reply_to_return_path_and_marker_carry_tokens_on_demand(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom, tag_reply_to=True, tag_bounces=True, marker=True, bounce_to="bounces@shop.example")
    await channel.send(post.message())

    (taken,) = mailroom.mails
    ((_, answers),) = getaddresses([taken.mail["Reply-To"]])
    assert answers.startswith("support+r1")
    assert taken.sender.startswith("bounces+b1")
    assert taken.sender.endswith("@shop.example")
    assert "[ref:k1" in taken.mail.get_content()


async def test_connections_are_used_again_and_said_goodbye_to(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom, mails_per_connection=3)
    await post.start(channel)
    for _ in range(5):
        await channel.send(post.message())

    assert len(mailroom.mails) == 5
    assert mailroom.connections == 2
    assert mailroom.quits == 1
    await post.close()
    assert mailroom.quits == 2


async def test_a_connection_that_died_meanwhile_is_replaced(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom)
    await post.start(channel)
    await channel.send(post.message())
    mailroom.answer("RSET", "421 4.4.2 idle for too long")
    await channel.send(post.message())

    assert len(mailroom.mails) == 2
    assert mailroom.connections == 2


async def test_no_more_connections_than_allowed(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom, max_connections=2)
    await post.start(channel)
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(channel.send(post.message(to=f"c{number}@example.net")))

    assert len(mailroom.mails) == 12
    assert mailroom.connections == 2


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        (f"RCPT {ANN}", "550 5.1.1 No such user", RecipientGone),
        (f"RCPT {ANN}", "550 No such user", Refused),
        (f"RCPT {ANN}", "550 5.7.1 Blocked", Refused),
        (f"RCPT {ANN}", "554 5.7.1 Relay access denied", Refused),
        (f"RCPT {ANN}", "530 5.7.0 Authentication required", Misconfigured),
        (f"RCPT {ANN}", "450 4.7.1 Greylisted", Deferred),
        (f"RCPT {ANN}", "421 4.3.2 Closing", Unreachable),
        ("MAIL", "553 5.7.1 Sender not owned by user", Misconfigured),
        ("MAIL", "552 5.3.4 Too large", Refused),
        ("MAIL", "451 4.7.1 Slow down", Throttled),
        ("MAIL", "421 4.7.0 Closing", Unreachable),
        ("DATA", "554 5.7.1 Spam", Refused),
        ("DATA", "451 4.3.0 Scanner away", Deferred),
    ],
)
async def test_refusals_are_told_apart(
    post: PostOffice, mailroom: Mailroom, command: str, answer: str, error: type[SendError]
) -> None:
    channel = post.channel(mailroom)
    mailroom.answer(command, answer)
    with pytest.raises(error) as caught:
        await channel.send(post.message(to=ANN))

    assert type(caught.value) is error
    assert caught.value.retryable is (answer[0] == "4")
    assert not mailroom.mails
    if error is not Throttled:
        assert caught.value.provider_text == answer
    await channel.send(post.message(to=BOB))
    assert len(mailroom.mails) == 1, "the next one goes through"


async def test_one_domain_in_trouble_holds_nobody_else(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom, defer_secs=600, defer_cap_secs=900)
    mailroom.answer(f"RCPT {ANN}", "450 4.2.0 Greylisted")
    with pytest.raises(Deferred) as caught:
        await channel.send(post.message())
    assert caught.value.retry_after is not None
    assert 590 < caught.value.retry_after <= 600

    commands = mailroom.connections
    with pytest.raises(Deferred) as caught:
        await channel.send(post.message(to="dora@example.net"))
    assert caught.value.retry_after is not None
    assert mailroom.connections == commands, "the domain is left alone"
    await channel.send(post.message(to=BOB))
    assert [one.recipients for one in mailroom.mails] == [[BOB]]


async def test_of_several_recipients_each_has_its_own_fate(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom, defer_secs=0.01)
    gone, slow = "gone@example.org", "slow@example.com"
    mailroom.answer(f"RCPT {gone}", "550 5.1.1 No such user")
    mailroom.answer(f"RCPT {slow}", "451 4.7.1 Greylisted")
    message = post.message(metadata={"email": {"cc": f"{gone}, {slow}"}})
    with pytest.raises(Deferred, match="1 of 2 recipients"):
        await channel.send(message)
    assert mailroom.mails[0].recipients == [ANN]

    await asyncio.sleep(0.02)
    sent = await channel.send(message)
    assert [one.recipients for one in mailroom.mails] == [[ANN], [slow]], "nobody gets it twice"
    assert mailroom.mails[0].mail["Message-ID"] == mailroom.mails[1].mail["Message-ID"]
    assert sent.metadata["recipients"] == [
        {"address": gone, "action": "failed", "status": "5.1.1", "diagnostic": "550 5.1.1 No such user"}
    ]


async def test_a_lost_answer_leads_to_the_same_mail_again(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom)
    await post.start(channel)
    mailroom.drop = 1
    message = post.message(key="the same")
    with pytest.raises(Unreachable):
        await channel.send(message)
    await channel.send(message)

    first, second = mailroom.mails
    assert first.mail["Message-ID"] == second.mail["Message-ID"]
    assert second.mail["In-Reply-To"] is None, "a mail does not answer itself"


async def test_a_server_that_is_not_there_is_unreachable(post: PostOffice, mailroom: Mailroom) -> None:
    channel = post.channel(mailroom)
    mailroom.cut()
    with pytest.raises(Unreachable, match="cannot be reached"):
        await channel.send(post.message())


async def test_a_server_that_says_nothing_is_given_up(post: PostOffice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = post.channel(silent.getsockname()[1], connect_timeout_secs=0.1)
        with pytest.raises(Unreachable, match="in time"):
            await channel.send(post.message())


async def test_the_size_a_server_takes_is_honoured_before_anything_is_sent(post: PostOffice) -> None:
    async with Mailroom().open(size=20_000) as room:
        channel = post.channel(room)
        with pytest.raises(Refused, match="takes 20000"):
            await channel.send(post.message("x" * 30_000))
        await channel.send(post.message("x" * 10_000))
        assert len(room.mails) == 1
        assert any(option.startswith("SIZE=") for option in room.mails[0].options)


async def test_a_mail_above_our_own_limit_is_refused(post: PostOffice, mailroom: Mailroom) -> None:
    with pytest.raises(Refused, match="max_bytes"):
        await post.channel(mailroom, max_bytes=5_000).send(post.message("x" * 6_000))


async def test_an_address_that_is_not_ascii_needs_a_server_that_takes_it(post: PostOffice, mailroom: Mailroom) -> None:
    with pytest.raises(Refused, match="SMTPUTF8"):
        await post.channel(mailroom).send(post.message(to="jörg@example.net"))
    await post.channel(mailroom).send(post.message(to="ann@bücher.example"))
    assert mailroom.mails[0].recipients == ["ann@xn--bcher-kva.example"]

    async with Mailroom().open(utf8=True) as room:
        await post.channel(room).send(post.message(to="jörg@example.net"))
        assert room.mails[0].recipients == ["jörg@example.net"]
        assert "SMTPUTF8" in room.mails[0].options


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
async def test_tls_and_login(post: PostOffice, authority: trustme.CA, implicit: bool) -> None:  # noqa: FBT001
    ca = post.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    options: dict[str, Any] = {"tls": "implicit" if implicit else "starttls", "tls_ca": str(ca), "user": USER}
    async with Mailroom().open(tls=server_tls(authority), implicit=implicit, login=True) as room:
        await post.channel(room, **options, password=Secret(PASSWORD)).send(post.message())
        assert (room.mails[0].tls, room.mails[0].login) == (True, True)

        with pytest.raises(Misconfigured, match="refuses the login") as caught:
            await post.channel(room, **options, password=Secret("wrong-password")).send(post.message())
        assert "wrong-password" not in repr(caught.value)


async def test_a_certificate_of_somebody_else_gets_no_mail(post: PostOffice, authority: trustme.CA) -> None:
    ca = post.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    for implicit in (True, False):
        tls = "implicit" if implicit else "starttls"
        async with Mailroom().open(tls=server_tls(authority, "other.example"), implicit=implicit) as room:
            with pytest.raises(Misconfigured, match="certificate"):
                await post.channel(room, tls=tls, tls_ca=str(ca)).send(post.message())
        async with Mailroom().open(tls=server_tls(authority), implicit=implicit) as room:
            with pytest.raises(Misconfigured, match="certificate"):
                await post.channel(room, tls=tls).send(post.message())
        assert not room.mails


async def test_a_server_without_starttls_gets_no_mail(post: PostOffice, mailroom: Mailroom) -> None:
    with pytest.raises(Misconfigured, match="STARTTLS"):
        await post.channel(mailroom, tls="starttls").send(post.message())


async def test_the_probe_says_what_the_server_can_and_how_long_its_certificate_lasts(
    post: PostOffice, authority: trustme.CA
) -> None:
    ca = post.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    async with Mailroom().open(tls=server_tls(authority), login=True, size=1_000_000) as room:
        channel = post.channel(room, tls="starttls", tls_ca=str(ca), user=USER, password=Secret(PASSWORD))
        outgoing = outgoing_of(channel)
        told = await probe_outgoing(outgoing.pool, outgoing.config)

    assert told["login"] is True
    assert told["max_bytes"] == 1_000_000
    assert told["tls"]["version"].startswith("TLSv1")
    assert told["tls"]["certificate_days_left"] > 0
    assert "SIZE" in told["extensions"]
    assert not room.mails


async def test_the_probe_tells_what_is_wrong(post: PostOffice, mailroom: Mailroom) -> None:
    outgoing = outgoing_of(post.channel(mailroom, user=USER, password=Secret(PASSWORD)))
    with pytest.raises(Misconfigured, match=r"127\.0\.0\.1"):
        await probe_outgoing(outgoing.pool, outgoing.config)
    assert HOST not in repr(outgoing)


async def test_a_signed_mail_arrives_with_a_signature_that_holds(post: PostOffice, mailroom: Mailroom) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    config = DkimConfig(domain="shop.example", selector="mail", key=Secret(pem.decode()))
    text = "Grüße\n.\nFrom here on\n" + "x" * 3_000 + "\n trailing \n\n\n"
    await post.channel(mailroom, dkim=config).send(post.message(text, subject="Ein Gruß " * 20))

    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    assert dkim.verify(mailroom.mails[0].body, dnsfunc=lambda *_, **__: record)


async def test_a_login_by_access_token(post: PostOffice, authority: trustme.CA) -> None:
    ca = post.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    async with TokenServer(USER).serve() as tokens, Mailroom().open(tls=server_tls(authority), login=True) as room:
        room.access_tokens = tokens.access_tokens
        oauth = OAuthConfig(
            token_url=tokens.url,
            client_id=CLIENT,
            client_secret=Secret(CLIENT_SECRET),
            refresh_token=Secret("first-refresh-token"),
        )
        channel = post.channel(room, tls="starttls", tls_ca=str(ca), user=USER, oauth=oauth)
        await channel.send(post.message())
        assert room.mails[0].login

        tokens.access_tokens.clear()
        await channel.send(post.message())
        assert len(room.mails) == 2, "a token that was refused is replaced"

        room.access_tokens = set()
        with pytest.raises(Misconfigured, match="refuses the login"):
            await channel.send(post.message())


async def test_the_probe_tells_where_the_mail_of_our_addresses_goes() -> None:
    server = DnsServer()
    server.records["shop.example", "MX"] = ["20 backup.example.", "10 mx.shop.example."]
    server.records["null.example", "MX"] = ["0 ."]
    server.broken.add("broken.example")
    try:
        addresses = [SHOP, "sales@shop.example", "*@null.example", "a@broken.example", "a@nowhere.example"]
        told = await probe_mx(addresses, (server.address,))
    finally:
        server.stop()

    assert told == {
        "shop.example": ["mx.shop.example", "backup.example"],
        "null.example": ["."],
        "broken.example": None,
        "nowhere.example": [],
    }
