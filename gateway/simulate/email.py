"""`omnigate simulate email`: what is asked for, and the mails it becomes."""

from __future__ import annotations

import mimetypes
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid, parseaddr
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.simulate.email_kinds import KINDS, NULL_PATH
from gateway.simulate.email_letter import Letter

Flag = Annotated[bool, Parameter(negative=())]
Several = Parameter(negative=())
DOMAIN = "simulator.example"
SENDER = f"Simulated Customer <customer@{DOMAIN}>"
SUBJECT = TEXT = "Hello from the simulator"
ALL = "all"
INLINE_MAX = 100_000
"""Bytes up to which a mail is made large by its text; beyond it by an attachment."""
LINE = b"The quick brown fox jumps over the lazy dog, and the parcel is still not here.\r\n"


class Unreadable(Exception):
    """A file cannot be sent; the message says which, and why."""


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail and its envelope.

    Attributes:
        name: how the report calls it: its Message-ID where it has one.
        sender: MAIL FROM; empty is the null return path.
        to: the recipients.
        body: with CRLF.
    """

    name: str
    sender: str
    to: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Written:
    """What is written.

    Attributes:
        count: how many mails; with `kind` "all" and with `eml`, of each.
        kind: what sort of mails; "all" is each in turn. The sorts are named below.
        sender: who writes; its address is the envelope sender, too, except of reports and automatic mails.
        to: recipients; by default an address of the channel.
        subject: of each mail; {n} becomes its number.
        text: of each mail; {n} becomes its number.
        html: the same as HTML.
        attach: files to attach.
        size: make each mail about so many bytes large.
        reply_to: Message-ID of the mail that is answered, or that a report is about, as `message.send` told it.
        quote: what of that mail is quoted below the answer.
        message_id: of the mail; {n} becomes its number. The same id is the same mail; by default each has its own.
        chats: how many persons write, in turn.
        late: how many seconds ago it was written.
        eml: mails to send as they are, instead of the options above: files, or folders of *.eml.
        malformed: add a mail that nobody can read.
    """

    count: int = 1
    kind: str = "plain"
    sender: Annotated[str, Parameter(name=["--from", "--sender"])] = SENDER
    to: Annotated[tuple[str, ...], Several] = ()
    subject: str = SUBJECT
    text: str = TEXT
    html: str = ""
    attach: Annotated[tuple[Path, ...], Several] = ()
    size: int = 0
    reply_to: str = ""
    quote: str = ""
    message_id: str = ""
    chats: int = 1
    late: float = 0.0
    eml: Annotated[tuple[Path, ...], Several, Parameter(name=["--eml", "--file"])] = ()
    malformed: Flag = False

    def problem(self) -> str | None:
        """Say what cannot be done; None if all can."""
        if self.kind not in {ALL, *KINDS}:
            return f"--kind {self.kind}: there are {', '.join(KINDS)}, and {ALL}"
        if min(self.count, self.size, self.chats, self.late) < 0:
            return "numbers must not be negative"
        if "@" not in parseaddr(self.sender)[1]:
            return f"--from {self.sender}: is no address, such as Ann <ann@customer.example>"
        return None


def mails(
    wanted: Written,
    to: tuple[str, ...],
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge: the date of what is new
) -> Iterator[Mail]:
    """Write them, one by one.

    Args:
        wanted: what.
        to: the recipients; the first stands in the header.
        clock: Unix time.

    Raises:
        Unreadable: of a file that is to be sent.
    """
    if wanted.eml:
        yield from _files(wanted, to)
    else:
        kinds = _kinds(wanted)
        for number in range(wanted.count * len(kinds)):
            yield _mail(kinds[number % len(kinds)], _letter(wanted, to[0], number + 1, clock()), wanted, to)
    if wanted.malformed:
        yield _mail("malformed", _letter(wanted, to[0], 0, clock()), Written(), to)


def expected(wanted: Written) -> int:
    """Count the mails, without duplicates; raises `Unreadable`."""
    each = len(_listed(wanted.eml)) if wanted.eml else len(_kinds(wanted))
    return each * wanted.count + wanted.malformed


def _kinds(wanted: Written) -> list[str]:
    return [name for name in KINDS if name != "malformed"] if wanted.kind == ALL else [wanted.kind]


def _letter(wanted: Written, to: str, number: int, now: float) -> Letter:
    def filled(text: str) -> str:
        return text.replace("{n}", str(number))

    given = filled(wanted.message_id).strip("<>")
    return Letter(
        sender=_person(wanted.sender, 1 + (number - 1) % max(wanted.chats, 1)),
        to=to,
        subject=(_answer(wanted.subject) if wanted.reply_to else filled(wanted.subject)),
        text=filled(wanted.text),
        html=filled(wanted.html),
        message_id=given or make_msgid(domain=DOMAIN).strip("<>"),
        answers=wanted.reply_to.strip("<>"),
        quote=wanted.quote,
        date=datetime.fromtimestamp(now - wanted.late, UTC),
    )


def _answer(subject: str) -> str:
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def _person(sender: str, number: int) -> str:
    """Name the person of that number: the first is the sender itself."""
    name, address = parseaddr(sender)
    if number == 1:
        return sender
    local, _, domain = address.rpartition("@")
    return f"{name} {number} <{local}{number}@{domain}>".strip()


def _mail(kind: str, letter: Letter, wanted: Written, to: tuple[str, ...]) -> Mail:
    made = KINDS[kind](letter)
    if isinstance(made, EmailMessage):
        for path in wanted.attach:
            _attach(made, path)
        body = _grown(made, wanted.size)
    else:
        body = made
    return Mail(name=letter.message_id, sender="" if kind in NULL_PATH else letter.address, to=to, body=body)


def _attach(mail: EmailMessage, path: Path) -> None:
    major, _, minor = (mimetypes.guess_type(path.name)[0] or "application/octet-stream").partition("/")
    if major in {"text", "message", "multipart"}:
        major, minor = "application", "octet-stream"
    try:
        mail.add_attachment(path.read_bytes(), maintype=major, subtype=minor, filename=path.name)
    except OSError as exc:
        raise Unreadable(f"--attach {path}: {exc.strerror}") from exc


def _grown(mail: EmailMessage, size: int) -> bytes:
    """Make a mail about `size` bytes large, as customers do: by a long text, or by a file."""
    body = mail.as_bytes(policy=SMTP)
    missing = size - len(body)
    if missing <= 0:
        return body
    if size <= INLINE_MAX and not mail.is_multipart():
        lines = missing // len(LINE)
        return body + LINE * lines + b"." * (missing % len(LINE))
    mail.add_attachment(_noise(missing * 3 // 4), maintype="application", subtype="zip", filename="files.zip")
    return mail.as_bytes(policy=SMTP)


def _noise(size: int) -> bytes:
    """Return bytes that cannot be made smaller, and are others in every mail."""
    return random.randbytes(max(size, 0))


def _files(wanted: Written, to: tuple[str, ...]) -> Iterator[Mail]:
    sender = parseaddr(wanted.sender)[1]
    for _ in range(wanted.count):
        for path in _listed(wanted.eml):
            try:
                yield Mail(name=path.name, sender=sender, to=to, body=path.read_bytes())
            except OSError as exc:
                raise Unreadable(f"--eml {path}: {exc.strerror}") from exc


def _listed(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.eml")) if path.is_dir() else [path]
        if not inside:
            raise Unreadable(f"--eml {path}: no *.eml in this folder")
        found += inside
    return found
