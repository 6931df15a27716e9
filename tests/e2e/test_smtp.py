"""Mail as the internet sends it: what can be taken is taken, however ugly; the rest is refused with the right code."""

from __future__ import annotations

import json
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.servers.gateway import GatewayProcess
from tests.servers.process import free_port, wait_until

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
LIMIT = 200_000
SHOP, ME = "support@shop.example", "ann@example.net"
UGLY = {
    "nothing": b"",
    "only an empty line": b"\r\n",
    "no headers": b"Where is my order?\r\n",
    "headers that are none": b": \r\n:::\r\n\r\n" + b"\xff" * 500,
    "invalid UTF-8 everywhere": b"From: \xff\xfe <\xc0@\x80>\r\nSubject: \xed\xa0\x80\r\n\r\n\xf8\x88\x80",
    "NUL bytes": b"Subject: a\x00b\r\n\r\n\x00\x00\x00",
    "a boundary that never comes": b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--y\r\n\r\nbody',
    "a thousand multiparts in each other": b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(1_000)
    ),
    "base64 that is none": b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\xff=A=",
    "an unknown charset": b'Content-Type: text/plain; charset="klingon"\r\n\r\nqapla\r\n',
    "a date of the year 99999": b"Date: Mon, 99 Foo 99999 99:99:99 +9999\r\nFrom: x\r\n\r\nhi\r\n",
    "a header of 100 kB": b"Subject: " + b"x" * 100_000 + b"\r\n\r\nhi\r\n",
    "ten thousand headers": b"X: y\r\n" * 10_000 + b"\r\nhi\r\n",
    "an executable": b"\x7fELF" + bytes(range(256)).replace(b"\n", b"") * 20,
}


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def gateway(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    smtp = f'listen = "127.0.0.1:{port}", max_bytes = {LIMIT}, settle_secs = 0'
    smtp += ", command_timeout_secs = 1.0, data_timeout_secs = 1.0"
    channel = f'[channels.mail]\nkind = "email"\naddresses = ["{SHOP}", "*@help.shop.example"]\nsmtp = {{ {smtp} }}\n'
    made = GatewayProcess(tmp_path_factory.mktemp("smtp") / "gateway", channels=channel)
    try:
        yield made.start()
    finally:
        made.stop()


def send(port: int, body: bytes, *to: str) -> int:
    """Send as a mail server does; return the code of the final answer, or of the refusal."""
    try:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=20) as client:
            client.ehlo()
            for code, _ in (client.mail(ME), *(client.rcpt(one) for one in to or (SHOP,))):
                if code >= 400:
                    return code
            return client.data(body)[0]
    except smtplib.SMTPResponseException as exc:
        return exc.smtp_code


def mail(text: str, message_id: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Ann <{ME}>", SHOP, "An order"
    message["Message-ID"] = f"<{message_id}@example.net>"
    message.set_content(text)
    return message.as_bytes(policy=SMTP)


def books(gateway: GatewayProcess) -> dict[str, float]:
    received, rows = gateway.books(channel="mail")
    return {"received": received, **rows}


def arrives(gateway: GatewayProcess, words: str) -> bool:
    """Read the events of the channel from the start until one has this text."""
    command = [OMNIGATE, "tail", "--from-start", "--channel", "mail", "--config", str(gateway.config)]
    with subprocess.Popen(command, env=gateway.env, cwd=gateway.folder, stdout=subprocess.PIPE) as process:
        assert process.stdout
        found = any(
            json.loads(line)["params"].get("message", {}).get("text", "").strip() == words for line in process.stdout
        )
        process.kill()
    return found


def test_a_mail_is_in_the_queue_when_it_was_answered_250(gateway: GatewayProcess, port: int) -> None:
    before = books(gateway)
    assert send(port, mail("Where is it?", "first")) == 250
    assert books(gateway)["published"] == before["published"] + 1

    assert send(port, mail("Where is it?", "first")) == 250, "a repeated mail is accepted, and known"
    assert books(gateway)["duplicate"] == before["duplicate"] + 1


def test_an_unknown_recipient_is_refused_at_once(gateway: GatewayProcess, port: int) -> None:
    before = books(gateway)

    assert send(port, mail("Buy!", "spam"), "nobody@shop.example") == 550
    assert send(port, mail("Buy!", "spam"), "someone@elsewhere.example") == 550
    assert books(gateway) == before


def test_a_mail_that_is_too_large_is_refused_and_costs_no_memory(gateway: GatewayProcess, port: int) -> None:
    process = psutil.Process(gateway.pid)
    before, resident = books(gateway), process.memory_info().rss
    line = b"x" * 76 + b"\r\n"

    assert send(port, mail("big", "big") + line * (LIMIT // 78)) == 552
    with suppress(smtplib.SMTPServerDisconnected):  # cut off far beyond the limit, maybe before it reads why
        assert send(port, line * 500_000) in {552, 421}
    assert books(gateway) == before
    assert process.memory_info().rss - resident < 10_000_000


def test_half_a_mail_is_no_mail(gateway: GatewayProcess, port: int) -> None:
    before = books(gateway)
    whole = mail("half", "half")
    for cut in (1, len(whole) // 2, len(whole)):
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=20) as client:
            client.ehlo()
            client.mail(ME)
            client.rcpt(SHOP)
            client.putcmd("data")
            assert client.getreply()[0] == 354
            client.send(whole[:cut])
            client.close()

    assert send(port, mail("whole", "whole")) == 250
    assert books(gateway)["received"] == before["received"] + 1


@pytest.mark.parametrize("body", UGLY.values(), ids=UGLY)
def test_a_mail_is_never_refused_for_being_ugly(gateway: GatewayProcess, port: int, body: bytes) -> None:
    before = books(gateway)
    assert send(port, body) == 250
    after = books(gateway)

    kept = {name: after[name] - before[name] for name in after}
    assert kept["received"] >= 1
    assert kept.pop("received") == sum(kept.values())


@pytest.mark.parametrize("body", [b"Subject: x\n\nhi\n", b"Subject: x\r\n\r\nhi\n.\nMAIL FROM:<a@b.example>\r\n"])
def test_a_bare_line_feed_is_protocol_abuse(gateway: GatewayProcess, port: int, body: bytes) -> None:
    before = books(gateway)

    assert send(port, body) == 554
    assert books(gateway) == before


@pytest.mark.usefixtures("gateway")
def test_clients_that_send_nothing_or_drop_by_drop_are_cut_off(port: int) -> None:
    begun = b"EHLO client.example\r\nMAIL FROM:<" + ME.encode() + b">\r\nRCPT TO:<" + SHOP.encode() + b">\r\nDATA\r\n"
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(30)]
    try:
        for number, client in enumerate(clients):
            client.sendall((b"", b"EHL", begun)[number % 3])
        number = 0
        deadline = time.monotonic() + 30
        waiting = set(clients)
        while waiting and time.monotonic() < deadline:
            number += 1
            assert send(port, mail(f"meanwhile {number}", f"meanwhile-{number}")) == 250
            waiting = {client for client in waiting if not hung_up(client)}
    finally:
        for client in clients:
            client.close()

    assert not waiting
    assert number > 3


def hung_up(client: socket.socket) -> bool:
    """Send another byte; tell whether the server has closed."""
    client.settimeout(0.001)
    try:
        client.send(b"x")
        while data := client.recv(4096):
            if data.startswith(b"421"):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_after_all_that_mail_is_taken_and_the_books_balance(gateway: GatewayProcess, port: int) -> None:
    words = "the very words of a customer"
    assert send(port, mail(words, "last")) == 250

    received, rows = gateway.books(channel="mail")
    assert received == sum(rows.values())
    assert arrives(gateway, words)
    logs = gateway.logs()
    assert "Traceback" not in logs
    assert '"level": "error"' not in logs
    assert words not in logs
    assert ME not in logs


HURTFUL = {
    "a header of 1 MB": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nhi\r\n",
    "a folded header of 1 MB": b"Subject: x" + b"\r\n y" * 250_000 + b"\r\n\r\nhi\r\n",
    "1 000 nested parts": b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(1_000)
    ),
    "100 000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 100_000
    + b"--b--\r\n",
    "base64 like a bomb": b"Content-Transfer-Encoding: base64\r\nContent-Type: application/zip\r\n\r\n"
    + b"UEsD\r\n" * 300_000,
    "NUL bytes": b"Subject: a\x00b\r\n\r\n" + b"\x00" * 1_000_000,
}


def test_mails_made_to_hurt_cost_bounded_time_and_memory_and_hold_up_nobody(make_gateway: Any) -> None:
    port = free_port()
    smtp = f'listen = "127.0.0.1:{port}", settle_secs = 0, max_recipients = 100'
    channel = f'[channels.mail]\nkind = "email"\naddresses = ["*@shop.example"]\nsmtp = {{ {smtp} }}\n'
    gateway = make_gateway(channels=channel)
    first_client(port).quit()
    assert send(port, mail("first", "first")) == 250
    process = psutil.Process(gateway.pid)
    resident, took = process.memory_info().rss, {}

    for name, body in HURTFUL.items():
        started = time.monotonic()
        assert send(port, body) == 250, name
        took[name] = time.monotonic() - started
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60) as client:
        client.ehlo()
        client.mail(ME)
        codes = [client.rcpt(f"{number}@shop.example")[0] for number in range(10_000)]
        assert client.data(mail("many", "many"))[0] == 250
    assert send(port, mail("last", "last")) == 250

    assert {name: secs for name, secs in took.items() if secs > 15} == {}
    assert (codes[:100], set(codes[100:])) == ([250] * 100, {452})
    assert process.memory_info().rss - resident < 200_000_000
    received, rows = gateway.books(channel="mail")
    assert received == sum(rows.values())
    assert rows["published"] + rows["quarantined"] + rows["spooled"] == len(HURTFUL) + 3


def first_client(port: int) -> smtplib.SMTP:
    """Connect as soon as the port is open; the gateway is ready before its channels listen."""
    found: list[smtplib.SMTP] = []

    def connected() -> bool:
        with suppress(ConnectionRefusedError):
            found.append(smtplib.SMTP("127.0.0.1", port, timeout=20))
        return bool(found)

    wait_until(connected, timeout=20, what="the SMTP port is open")
    return found[0]


def test_a_full_house_is_told_to_come_back(make_gateway: Any) -> None:
    port = free_port()
    smtp = f'listen = "127.0.0.1:{port}", max_connections = 2, settle_secs = 0'
    make_gateway(channels=f'[channels.mail]\nkind = "email"\naddresses = ["{SHOP}"]\nsmtp = {{ {smtp} }}\n')
    with first_client(port), smtplib.SMTP("127.0.0.1", port, timeout=20):
        assert send(port, mail("hello", "crowd")) == 421

    wait_until(lambda: send(port, mail("hello", "crowd")) == 250, timeout=20, what="room again")
