"""Bounces: mails that say what became of a mail we sent.

Most are delivery status notifications (RFC 3464). Many systems write free text instead (qmail, Exim, old Exchange,
providers in Japan and Russia …): such a mail is a bounce if a mail system sent it *and* it says in one of the known
phrases that something was not delivered. A stranger's mail with such a phrase is a mail.
"""

from __future__ import annotations

import re

from msgspec import Struct

from normalizer.mail import bounce_text
from normalizer.mail.address import addresses
from normalizer.mail.headers import Fields
from normalizer.mail.identity import message_ids
from normalizer.mail.mime import Entity
from normalizer.mail.report import (
    RECIPIENTS_MAX,
    STATUS_TYPES,
    Action,
    Recipient,
    answered_ids,
    is_delivery_report,
    leaves,
    original_ids,
    recipients,
    returned,
    status_code,
)

_DAEMON = re.compile(r"mail(?:er)?[-_.]?daemon|postmaster|mdaemon|mail[-_. ]delivery.*|mmdf|uucp", re.IGNORECASE)
_INLINE = re.compile(r"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Bounce(Struct, frozen=True, kw_only=True):
    """What a delivery report says.

    Attributes:
        recipients: whom it is about; empty where nobody could be made out.
        originals: candidates for the Message-ID of the mail it is about, without brackets, the best first.
        standard: the recipients come from a machine-readable part (RFC 3464), not from free text.
    """

    recipients: tuple[Recipient, ...] = ()
    originals: tuple[str, ...] = ()
    standard: bool = False

    @property
    def action(self) -> Action:
        """The worst of all recipients; ``failed`` where a report names none, because that is what reports are for."""
        actions = {one.action for one in self.recipients}
        ranked: tuple[Action, ...] = ("failed", "delayed", "relayed", "expanded", "delivered")
        return next((one for one in ranked if one in actions), "failed")

    @property
    def failed(self) -> tuple[Recipient, ...]:
        """The recipients who will never get the mail."""
        return tuple(one for one in self.recipients if one.action == "failed")


def read(root: Entity, mail_from: str | None, ours: frozenset[str] = frozenset()) -> Bounce | None:
    """Read a bounce; None for any other mail.

    Args:
        root: the mail.
        mail_from: the envelope sender; empty is the null return path, None where the transport did not tell.
        ours: addresses the mail came to, in lower case: in free text they are not the ones that failed.
    """
    fields, listed = root.fields, leaves(root)
    system = _by_system(fields, mail_from)
    status = next((leaf for leaf in listed if leaf.mime in STATUS_TYPES), None)
    typed = is_delivery_report(root) or (status is not None and system)
    if not typed and not system:
        return None  # before any text is read: most mails are no bounces
    found = recipients(status.payload()) if typed and status is not None else []
    back = returned(listed)
    standard = bool(found)
    ids = [*message_ids(back.raw("message-id"))] if back is not None else []
    if not standard or not ids:
        notice = bounce_text.notice(listed)
        if not typed and not (system and notice.says_so(fields.text("subject"))):
            return None
        found = found or _from_text(fields, notice, ours | _known(fields), back or notice.header)
        ids += notice.ids
    ids += original_ids(listed)
    if typed or null_path(fields, mail_from):
        ids += answered_ids(fields)  # a postmaster who answers in person has not bounced
    return Bounce(recipients=tuple(found[:RECIPIENTS_MAX]), originals=tuple(dict.fromkeys(ids)), standard=standard)


def null_path(fields: Fields, mail_from: str | None) -> bool:
    """Say whether nobody can be answered (RFC 5321 §4.5.5); Return-Path counts where the transport did not tell."""
    return mail_from == "" if mail_from is not None else fields.raw("return-path").replace(" ", "") == "<>"


def _by_system(fields: Fields, mail_from: str | None) -> bool:
    """Say whether a mail system sent it: the null return path, or an address only mail systems have."""
    author, path = fields.raw("from"), fields.raw("return-path") if mail_from is None else mail_from
    names = [box.address.rpartition("@")[0] for box in addresses(author)[:1]] or [author.strip("<> ")]
    names.append(path.strip("<> ").rpartition("@")[0] or path.strip("<> "))
    known = any(_DAEMON.fullmatch(name.strip("<> ")) for name in names)
    return known or null_path(fields, mail_from) or "x-failed-recipients" in fields


def _from_text(fields: Fields, notice: bounce_text.Notice, known: frozenset[str], back: Fields) -> list[Recipient]:
    action: Action = "delayed" if notice.delayed(fields.text("subject")) else "failed"
    named = [box.key for value in fields.every("x-failed-recipients") for box in addresses(value)]
    found = recipients(notice.text.encode()) if _INLINE.search(notice.text) else []
    found = found or notice.recipients(action, known)
    if named:
        by_address = {one.address: one for one in found}
        whole = status_code(notice.text)
        found = [by_address.get(one) or Recipient(address=one, action=action, status=whole) for one in named]
    if not found:
        wanted = [box.key for name in ("to", "cc") for value in back.every(name) for box in addresses(value)]
        found = [Recipient(address=one, action=action, status=status_code(notice.text)) for one in wanted[:1]]
    return found


def _known(fields: Fields) -> frozenset[str]:
    """Addresses that stand in the report without having failed: its own sender and reader."""
    return frozenset(
        box.key
        for name in ("from", "sender", "reply-to", "to")
        for value in fields.every(name)
        for box in addresses(value)
    )
