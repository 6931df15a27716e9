"""What a simulated mail says, and its header."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What a mail says, before it has a form.

    Attributes:
        sender: From, name and address.
        to: the gateway's address.
        text: plain.
        html: the same as HTML; empty where nobody gave one.
        message_id: without angle brackets, as `answers`; an empty one is left out.
        answers: Message-ID of the mail that is answered or reported about.
        quote: what of that mail is quoted.
        date: when it was written.
    """

    sender: str
    to: str
    subject: str
    text: str
    html: str = ""
    message_id: str = ""
    answers: str = ""
    quote: str = ""
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def address(self) -> str:
        """The sender's."""
        return parseaddr(self.sender)[1]

    @property
    def page(self) -> str:
        """The HTML, made of the text where there is none."""
        return self.html or f"<p>{escape(self.text)}</p>"


def head(letter: Letter, **fields: str) -> EmailMessage:
    """Begin a mail: its header with more `fields`, whose names have underscores for hyphens."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = fields.pop("From", letter.sender), letter.to
    mail["Subject"] = fields.pop("Subject", letter.subject)
    mail["Date"] = format_datetime(letter.date)
    if letter.message_id:
        mail["Message-ID"] = f"<{letter.message_id}>"
    if letter.answers:
        mail["In-Reply-To"] = mail["References"] = f"<{letter.answers}>"
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    return mail


def body(letter: Letter) -> str:
    """Write the text, and below it what it answers, as a mail program does."""
    if not letter.answers:
        return letter.text
    quoted = "".join(f"> {line}\n" for line in (letter.quote or "Thank you for your message.").splitlines())
    return f"{letter.text}\n\nOn {letter.date:%a, %d %b %Y at %H:%M}, <{letter.to}> wrote:\n{quoted}"
