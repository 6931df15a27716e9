"""The sorts of mails that customers, their programs and mail servers send (``omnigate simulate email --kind``)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from gateway.simulate.email_letter import Letter, body, head
from gateway.simulate.email_reports import bounce, delay, receipt
from gateway.simulate.email_smime import signed

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f0005000201a6b7e1c60000000049454e44ae426082"
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n"


def plain(letter: Letter) -> EmailMessage:
    """Text, and HTML where one was given."""
    mail = head(letter)
    mail.set_content(body(letter))
    if letter.html:
        mail.add_alternative(letter.html, subtype="html")
    return mail


def html(letter: Letter) -> EmailMessage:
    """A page with a picture in it, a quote, a signature, and what no page should be shown with."""
    mail = head(letter)
    mail.set_content(body(letter))
    quote = f"<blockquote type=cite>{escape(letter.quote)}</blockquote>" if letter.quote else ""
    mail.add_alternative(
        f'<html><body>{letter.page}<p><img src="cid:logo@simulator.example" alt="our logo"></p>'
        f'<script>alert(1)</script><img src="https://tracker.simulator.example/p.gif" width=1 height=1>{quote}'
        "<div class=gmail_signature>-- <br>Simulated Customer</div></body></html>",
        subtype="html",
    )
    page = mail.get_body(("html",))
    if isinstance(page, MIMEPart):
        page.add_related(PNG, "image", "png", cid="<logo@simulator.example>", filename="logo.png")
    return mail


def attachments(letter: Letter) -> EmailMessage:
    """Files with names in several scripts, of which two have the same."""
    mail = plain(letter)
    for name in ("invoice.pdf", "invoice.pdf", "Rechnung März.pdf", "请求书.pdf"):
        mail.add_attachment(PDF, maintype="application", subtype="pdf", filename=name)
    return mail


def forward(letter: Letter) -> EmailMessage:
    """Somebody else's mail, attached as a whole."""
    inner = plain(Letter(sender="Third Party <third@party.example>", to=letter.address, subject="Offer", text="Look."))
    mail = head(letter, Subject=f"Fwd: {letter.subject}")
    mail.set_content(letter.text)
    mail.add_attachment(inner)
    return mail


def auto_reply(letter: Letter) -> EmailMessage:
    """A machine's answer (RFC 3834)."""
    mail = head(letter, Subject=f"Auto: {letter.subject}", Auto_Submitted="auto-replied")
    mail.set_content("We have received your mail and will answer soon.")
    return mail


def ooo(letter: Letter) -> EmailMessage:
    """An out-of-office notice, as Exchange and Sieve write it."""
    marks = {"Auto_Submitted": "auto-replied (vacation)", "X_Auto_Response_Suppress": "All", "Precedence": "bulk"}
    mail = head(letter, Subject=f"Out of office: {letter.subject}", **marks)
    mail.set_content("I am away until Monday.")
    return mail


def mailing_list(letter: Letter) -> EmailMessage:
    """A post to a mailing list (RFC 2919, RFC 2369)."""
    marks = {
        "List_Id": "Simulated list <users.lists.simulator.example>",
        "List_Unsubscribe": "<mailto:users-leave@lists.simulator.example>",
        "Precedence": "list",
    }
    mail = head(letter, Subject=f"[users] {letter.subject}", **marks)
    mail.set_content(letter.text)
    return mail


def spam(letter: Letter) -> EmailMessage:
    """What a filter in front of the gateway has marked."""
    mail = head(letter, X_Spam_Flag="YES", X_Spam_Status="Yes, score=15.1 required=5.0")
    mail.set_content(letter.text)
    return mail


def calendar(letter: Letter) -> EmailMessage:
    """An invitation (RFC 5545, RFC 6047)."""
    start = letter.date.replace(hour=14, minute=0, second=0, microsecond=0)
    event = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//omnigate//simulator//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
        f"UID:{letter.message_id or 'event'}\r\nDTSTAMP:{letter.date:%Y%m%dT%H%M%SZ}\r\n"
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}\r\n"
        f"DURATION:PT30M\r\nSUMMARY:{letter.subject}\r\nLOCATION:Room 7\r\nORGANIZER:mailto:{letter.address}\r\n"
        f"ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:{letter.to}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    mail = head(letter)
    mail.set_content(letter.text)
    mail.add_alternative(event, subtype="calendar", params={"method": "REQUEST"})
    return mail


def tnef(letter: Letter) -> EmailMessage:
    """Outlook's winmail.dat with a file in it (MS-OXTNEF)."""

    def attribute(level: int, number: int, data: bytes) -> bytes:
        return struct.pack("<BII", level, number, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    pieces = (
        attribute(1, 0x00089006, b"\0\0\1\0"),  # attTnefVersion
        attribute(1, 0x00069007, struct.pack("<II", 1252, 0)),  # attOemCodepage
        attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0"),  # attMessageClass
        attribute(2, 0x00069002, b"\1\0" + b"\xff" * 12),  # attAttachRendData
        attribute(2, 0x00018010, b"invoice.pdf\0"),  # attAttachTitle
        attribute(2, 0x0006800F, PDF),  # attAttachData
    )
    stream = struct.pack("<IH", 0x223E9F78, 1) + b"".join(pieces)
    mail = plain(letter)
    mail.add_attachment(stream, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    return mail


def smime(letter: Letter) -> bytes:
    """Signed with S/MIME (RFC 8551), by a certificate made for the occasion."""
    inner = MIMEPart(policy=SMTP)
    inner.set_content(body(letter))
    return head(letter).as_bytes().removesuffix(b"\r\n") + signed(inner.as_bytes(), letter.address)


def charset(letter: Letter) -> bytes:
    """Words that are not ASCII, in raw bytes of a charset that the header names wrongly."""
    top = f"From: {letter.sender}\nTo: {letter.to}\nDate: {format_datetime(letter.date)}\n"
    top += f"Message-ID: <{letter.message_id}>\nSubject: =?gb2312?B?xOO6ww==?= {letter.subject}\n"
    top += "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    return (top.encode() + f"“{letter.text}” 5 €\n".encode("cp1252", "replace")).replace(b"\n", b"\r\n")


def no_message_id(letter: Letter) -> bytes:
    """As web forms and devices send it: without Message-ID and Date."""
    mail = plain(letter)
    del mail["Message-ID"], mail["Date"]
    return mail.as_bytes()


def broken(letter: Letter) -> bytes:
    """Hardly a mail: two contradicting lengths of everything, an unknown charset, a part that never ends."""
    return (
        (
            f"From: {letter.address}\r\nSubject: =?x-none?Q?{letter.subject.replace(' ', '_')}\r\n"
            f"Message-ID: {letter.message_id}\r\nMessage-ID: <>\r\nDate: the day after\r\n"
            'Content-Type: multipart/mixed; boundary="a"; boundary=b\r\nContent-Transfer-Encoding: x-secret\r\n\r\n'
            "--a\r\nContent-Type: text/plain; charset=klingon-8\r\n\r\n"
        ).encode()
        + b"\xff\xfe\x00"
        + f"{letter.text}\r\n--a\r\nContent-Type: multipart/mixed\r\n\r\n--".encode()
    )


def malformed(_letter: Letter) -> bytes:
    """Nothing anybody could read: goes to the quarantine."""
    return b"\r\n \r\n"


KINDS: dict[str, Callable[[Letter], EmailMessage | bytes]] = {
    "plain": plain,
    "html": html,
    "attachments": attachments,
    "forward": forward,
    "calendar": calendar,
    "tnef": tnef,
    "smime": smime,
    "charset": charset,
    "no-message-id": no_message_id,
    "bounce": bounce,
    "delay": delay,
    "receipt": receipt,
    "auto-reply": auto_reply,
    "ooo": ooo,
    "list": mailing_list,
    "spam": spam,
    "broken": broken,
    "malformed": malformed,
}
"""Name of the sort → what writes it; the usual one first."""
NULL_PATH = frozenset({"bounce", "delay", "receipt", "auto-reply", "ooo"})
"""Sorts that are sent with the null return path (RFC 5321 §4.5.5)."""
