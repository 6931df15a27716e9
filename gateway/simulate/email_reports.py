"""Reports that mail servers and mail programs send about mails: delivery (RFC 3464) and disposition (RFC 8098)."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime

from gateway.simulate.email_letter import Letter, head

HOST = "mx.simulator.example"


def receipt(letter: Letter) -> bytes:
    """A read receipt (RFC 8098)."""
    about = f"Original-Message-ID: <{letter.answers}>\r\n" if letter.answers else ""
    told = (
        f"Reporting-UA: {HOST}; Simulator\r\nFinal-Recipient: rfc822;{letter.address}\r\n{about}"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n"
    )
    mail = head(letter, Subject=f"Read: {letter.subject}")
    return _report(mail, "disposition-notification", "Your message was displayed.", told)


def bounce(letter: Letter) -> bytes:
    """A delivery report (RFC 3464): the sender, as recipient of our mail, does not exist."""
    return _delivery_report(letter, "failed", "5.1.1", "550 5.1.1 no such user", "Undelivered Mail Returned to Sender")


def delay(letter: Letter) -> bytes:
    """A delivery report about a mail that still waits."""
    return _delivery_report(letter, "delayed", "4.4.1", "451 4.4.1 no answer", "Delayed Mail (still being retried)")


def _delivery_report(letter: Letter, action: str, status: str, answer: str, subject: str) -> bytes:
    told = (
        f"Reporting-MTA: dns; {HOST}\r\nArrival-Date: {format_datetime(letter.date)}\r\n\r\n"
        f"Final-Recipient: rfc822; {letter.address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Remote-MTA: dns; {HOST}\r\nDiagnostic-Code: smtp; {answer}\r\n"
    )
    returned = f"From: {letter.to}\r\nTo: {letter.address}\r\nSubject: {letter.subject}\r\n"
    returned += f"Message-ID: <{letter.answers}>\r\n" if letter.answers else ""
    mail = head(letter, From=f"Mail Delivery System <MAILER-DAEMON@{HOST}>", Subject=subject)
    for name in ("In-Reply-To", "References"):
        del mail[name]
    mail["Auto-Submitted"] = "auto-replied"
    words = f"I'm sorry to have to inform you about your message to <{letter.address}>: {answer}"
    return _report(mail, "delivery-status", words, told, returned)


def _report(mail: EmailMessage, kind: str, words: str, told: str, returned: str = "") -> bytes:
    """Put a multipart/report together (RFC 6522) by hand: Python's writer moves line ends of such parts."""
    mime = f'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={kind}; boundary="=_simulated"\r\n\r\n'
    parts = [("text/plain; charset=us-ascii", words), (f"message/{kind}", told)]
    parts += [("text/rfc822-headers", returned)] if returned else []
    body = "".join(f"--=_simulated\r\nContent-Type: {name}\r\n\r\n{text}\r\n" for name, text in parts)
    return mail.as_bytes().removesuffix(b"\r\n") + f"{mime}{body}--=_simulated--\r\n".encode()
