"""`omnigate simulate email`: mails sent to a running gateway, as a customer's mail server does it."""

from __future__ import annotations

import mimetypes
import smtplib
import ssl
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path

import msgspec
from msgspec import Struct

TIMEOUT_SECS = 30.0
ATTEMPTS = 8
FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.5, 10.0
MALFORMED = b"\x00\xff not: a mail\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n\xc3\x28 =?utf-8?b?w6?=\r\n"


class Report(Struct):
    """What became of the mails: accepted, refused for good, given up after trying again, and the last refusal."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    retried: int = 0
    reason: str = ""


class Server(Struct, frozen=True, kw_only=True):
    """Where to send.

    Attributes:
        host: name or address.
        port: of the SMTP server.
        starttls: encrypt; the certificate is not checked, as between mail servers.
        attempts: tries before a mail is given up; only after "try again" and lost connections.
    """

    host: str
    port: int
    starttls: bool = False
    attempts: int = ATTEMPTS

    @classmethod
    def at(cls, listen: str, *, starttls: bool, attempts: int) -> Server:
        """Name the server that listens on `listen`, host:port, on this machine where the host is any."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound
        return cls(host=local, port=int(port), starttls=starttls, attempts=attempts)


def compose(
    sender: str,
    to: str,
    subject: str,
    text: str,
    html: str = "",
    *,
    attach: tuple[Path, ...] = (),
    message_id: str | None = None,
    reply_to: str | None = None,
) -> bytes:
    """Write a mail; raises `OSError` for an attachment that cannot be read."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message_id.strip('<>')}>" if message_id else make_msgid(domain="simulator.example")
    if reply_to is not None:
        mail["In-Reply-To"] = mail["References"] = f"<{reply_to.strip('<>')}>"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for path in attach:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        major, _, minor = kind.partition("/")
        mail.add_attachment(path.read_bytes(), maintype=major, subtype=minor, filename=path.name)
    return mail.as_bytes(policy=SMTP)


def deliver(server: Server, sender: str, to: str, mails: Iterator[bytes]) -> Report:
    """Send mails one after the other, again where the server asks for it."""
    report = Report()
    for mail in mails:
        _deliver_one(server, sender, to, mail, report)
    return report


def _deliver_one(server: Server, sender: str, to: str, mail: bytes, report: Report) -> None:
    pause = FIRST_PAUSE_SECS
    for attempt in range(server.attempts):
        if attempt:
            report.retried += 1
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECS)
        try:
            _transact(server, sender, to, mail)
        except (smtplib.SMTPException, OSError) as exc:
            code, report.reason = _explain(exc)
            if 500 <= code < 600:
                report.refused += 1
                return
        else:
            report.accepted += 1
            return
    report.failed += 1


def _transact(server: Server, sender: str, to: str, mail: bytes) -> None:
    with smtplib.SMTP(server.host, server.port, local_hostname="simulator.example", timeout=TIMEOUT_SECS) as client:
        if server.starttls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=context)
        client.sendmail(sender, [to], mail)


def _explain(exc: Exception) -> tuple[int, str]:
    words: bytes | str
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        code, words = next(iter(exc.recipients.values()))
    elif isinstance(exc, smtplib.SMTPResponseException):
        code, words = exc.smtp_code, exc.smtp_error
    else:
        return 0, str(exc) or type(exc).__name__
    return code, f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"


def command(
    *,
    listen: str,
    to: str,
    sender: str = "Simulated Customer <customer@simulator.example>",
    subject: str = "Hello from the simulator",
    text: str = "Hello from the simulator",
    html: str | None = None,
    attach: tuple[Path, ...] = (),
    message_id: str | None = None,
    reply_to: str | None = None,
    file: Path | None = None,
    count: int = 1,
    duplicates: int = 0,
    malformed: bool = False,
    starttls: bool = False,
    retry: bool = True,
) -> int:
    """Send mails to a running gateway, again where it asks for it; returns 0 if all were accepted, else 1.

    Args:
        listen: where the gateway takes mail, such as 127.0.0.1:2525.
        to: a recipient of the channel.
        sender: who writes; its address is the envelope sender, too.
        subject: of each mail; {n} becomes its number.
        text: of each mail; {n} becomes its number.
        html: the same as HTML.
        attach: files to attach.
        message_id: the same id is the same mail; by default every mail has its own.
        reply_to: Message-ID of the mail that is answered.
        file: a mail to send as it is, instead of the options above.
        count: how many mails.
        duplicates: how often each mail is sent again although it was accepted.
        malformed: add a mail that is hardly one.
        starttls: encrypt the connection.
        retry: send again after 4xx and lost connections, as mail servers do.
    """
    server = Server.at(listen, starttls=starttls, attempts=ATTEMPTS if retry else 1)

    def mails() -> Iterator[bytes]:
        for number in range(1, count + 1):
            words = [one.replace("{n}", str(number)) for one in (subject, text, html or "")]
            made = compose(sender, to, *words, attach=attach, message_id=message_id, reply_to=reply_to)
            yield from [file.read_bytes() if file else made] * (1 + duplicates)
        if malformed:
            yield MALFORMED

    return _tell(deliver(server, parseaddr(sender)[1], to, mails()))


def _tell(report: Report) -> int:
    """Print the report, words on a terminal and JSON elsewhere; returns the exit status."""
    if sys.stdout.isatty():
        counts = (report.accepted, report.retried, report.refused, report.failed)
        sys.stdout.write("{} accepted, {} retried, {} refused, {} failed\n".format(*counts))
    else:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    if report.reason:
        sys.stderr.write(f"omnigate: the server said: {report.reason}\n")
    return 0 if report.refused == report.failed == 0 else 1
