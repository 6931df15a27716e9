"""Submission: who may, over what, and how often one may guess."""

from __future__ import annotations

import asyncio
import smtplib
from base64 import b64encode
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from connectors.secrets import Secret
from tests.integration.smtp.helpers import Client, Office, Pipeline, certificate, client_tls, mail
from tests.servers.process import require

USERS = {"scanner": Secret("open sesame"), "büro": Secret("pässword")}


async def open_office(office: Office, folder: Path, **options: Any) -> Pipeline:
    return await office.add(**certificate(folder), listen_tls="127.0.0.1:0", **{"users": USERS, **options})


def plain(user: str, password: str, acting: str = "") -> str:
    return b64encode(f"{acting}\0{user}\0{password}".encode()).decode()


async def greet(client: Client) -> None:
    await client.hear()
    await client.ask("EHLO client.example")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(("user", "password"), [("scanner", "open sesame"), ("büro", "pässword")])
async def test_a_known_client_sends_over_starttls(
    office: Office, tmp_path: Path, mechanism: str, user: str, password: str
) -> None:
    pipeline = await open_office(office, tmp_path, require_auth=True)

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", office.port, local_hostname="client.example", timeout=20) as client:
            client.starttls(context=client_tls(tmp_path))
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
            client.user, client.password = user, password
            client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
            client.send_message(mail())

    if user.isascii():
        await asyncio.to_thread(talk)
    else:  # smtplib sends ASCII only
        async with office.raw(client_tls(tmp_path)) as client:
            await greet(client)
            answers = [plain(user, password)] if mechanism == "PLAIN" else [encode(user), encode(password)]
            assert (await client.ask(f"AUTH {mechanism}")).startswith("334")
            replies = [await client.ask(answer) for answer in answers]
            assert replies[-1].startswith("235 2.7.0")
            await send(client)

    (raw,) = pipeline.taken
    assert raw.meta["user"] == user
    assert raw.security is not None
    assert raw.security.verified == "basic"


def encode(text: str) -> str:
    return b64encode(text.encode()).decode()


async def send(client: Client) -> str:
    await client.ask("MAIL FROM:<ann@example.net>")
    await client.ask("RCPT TO:<support@shop.example>")
    await client.ask("DATA")
    return await client.ask(b"Subject: x\r\n\r\n1\r\n.\r\n")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_curl_submits_with_tls_from_the_first_byte(office: Office, tmp_path: Path, mechanism: str) -> None:
    curl = require("curl", "curl")
    pipeline = await open_office(office, tmp_path, require_auth=True)
    (tmp_path / "mail.eml").write_bytes(mail().as_bytes(policy=SMTP))

    process = await asyncio.create_subprocess_exec(
        *(curl, "--silent", "--show-error", "--cacert", str(tmp_path / "ca.pem"), "--noproxy", "*"),
        *("--url", f"smtps://127.0.0.1:{office.listener.tls_port}/client.example", "--user", "scanner:open sesame"),
        *("--login-options", f"AUTH={mechanism}", "--mail-from", "ann@example.net"),
        *("--mail-rcpt", "support@shop.example", "--upload-file", str(tmp_path / "mail.eml")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    assert [raw.meta["user"] for raw in pipeline.taken] == ["scanner"]
    assert pipeline.taken[0].meta["tls"].startswith("TLSv1.")


async def test_no_password_is_heard_without_tls(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path)

    async with office.raw() as client:
        await client.hear()
        await client.say("EHLO client.example")
        features = []
        while not features or features[-1][3] == "-":
            features.append((await client.reader.readline()).decode())
        assert not any("AUTH" in line for line in features)
        assert (await client.ask("AUTH PLAIN " + plain("scanner", "open sesame"))).startswith("538 5.7.11")
        assert (await send(client)).startswith("250"), "strangers may write where authentication is not required"


async def test_strangers_are_refused_where_authentication_is_required(office: Office, tmp_path: Path) -> None:
    pipeline = await open_office(office, tmp_path, require_auth=True)

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        replies = [
            await client.ask(line) for line in ("MAIL FROM:<a@b.example>", "RCPT TO:<support@shop.example>", "DATA")
        ]

    assert [reply[:9] for reply in replies] == ["530 5.7.0"] * 3
    assert pipeline.taken == []


async def test_whoever_is_known_is_still_no_relay(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path)

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        assert (await client.ask("AUTH PLAIN " + plain("scanner", "open sesame"))).startswith("235")
        await client.ask("MAIL FROM:<ann@example.net>")
        assert (await client.ask("RCPT TO:<bob@elsewhere.example>")).startswith("550 5.1.1")


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["AUTH PLAIN " + plain("scanner", "wrong")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("nobody", "open sesame")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("scanner", "")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("", "")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("scanner", "open sesame", acting="root")], "535 5.7.8"),
        (["AUTH PLAIN =", ""], "501 5.5.2"),
        (["AUTH PLAIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", "c2Nhbm5lcg==", "*"], "501 5.7.0"),
        (["AUTH LOGIN", "c2Nhbm5lcg==", "!!"], "501 5.5.2"),
        (["AUTH PLAIN", "x" * 20_000], "500 5.5.6"),
        (["AUTH PLAIN", "x" * 200_000], "500 5.5.6"),
        (["AUTH PLAIN", encode("nonsense")], "501 5.5.2"),
        (["AUTH PLAIN /w=="], "501 5.5.2"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH"], "504 5.5.4"),
    ],
)
async def test_a_login_that_fails_says_no_more_than_needed(
    office: Office, tmp_path: Path, lines: list[str], reply: str
) -> None:
    await open_office(office, tmp_path)

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        heard = [await client.ask(line) for line in lines if line]
        assert heard[-1].startswith(reply)


async def test_a_login_needs_its_time_and_place(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path)
    login = "AUTH PLAIN " + plain("scanner", "open sesame")

    async with office.raw(client_tls(tmp_path)) as client:
        await client.hear()
        assert (await client.ask(login)).startswith("503")
        await client.ask("EHLO client.example")
        await client.ask("MAIL FROM:<ann@example.net>")
        assert (await client.ask(login)).startswith("503 5.5.1")
        await client.ask("RSET")
        assert (await client.ask(login)).startswith("235")
        assert (await client.ask(login)).startswith("503 5.5.1")


async def test_guessing_is_stopped_over_all_connections_of_a_client(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path, max_auth_failures_per_ip=2)

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        wrong = [await client.ask("AUTH PLAIN " + plain("scanner", f"{guess}")) for guess in range(2)]
    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        right = await client.ask("AUTH PLAIN " + plain("scanner", "open sesame"))

    assert [reply[:3] for reply in wrong] == ["535", "535"]
    assert right.startswith("454 4.7.0")


async def test_starttls_forgets_who_one_was(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path)

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        await client.ask("AUTH PLAIN " + plain("scanner", "open sesame"))
        assert (await client.ask("STARTTLS")).startswith("503")


async def test_without_users_there_is_nothing_to_log_in_to(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path, users={})

    async with office.raw(client_tls(tmp_path)) as client:
        await greet(client)
        assert (await client.ask("AUTH PLAIN " + plain("a", "b"))).startswith("502 5.5.1")


async def test_a_handshake_that_fails_gives_its_place_back(office: Office, tmp_path: Path) -> None:
    await open_office(office, tmp_path, max_connections_per_ip=2)

    for _ in range(5):
        async with office.raw() as client:
            assert (await client.hear()).startswith("220")
            await client.ask("EHLO client.example")
            await client.ask("STARTTLS")
            await client.say(b"this is no handshake\r\n")
            await client.reader.read()
        reader, writer = await asyncio.open_connection("127.0.0.1", office.listener.tls_port)
        writer.write(b"EHLO client.example\r\n")
        await reader.read()
        writer.close()

    async with office.raw(client_tls(tmp_path)) as client:
        assert (await client.hear()).startswith("220")
