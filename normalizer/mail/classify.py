"""Was this mail written by a machine? An automatic answer to it would start a loop."""

from __future__ import annotations

from normalizer.mail.address import addresses
from normalizer.mail.headers import Fields
from normalizer.mail.mime import Entity

_BULK = {"bulk", "junk", "auto_reply", "auto-reply"}
_MARKS = ("x-autoreply", "x-autorespond", "x-auto-reply", "x-autoreply-from", "x-mail-autoreply")


def is_bounce(root: Entity) -> bool:
    """A delivery status notification (RFC 3464)."""
    return root.mime == "multipart/report" and root.params.get("report-type", "").strip().lower() == "delivery-status"


def is_automatic(root: Entity, mail_from: str | None) -> bool:
    """RFC 3834 and the fields that were there before it.

    Args:
        root: the mail.
        mail_from: the envelope sender; empty is the null return path, which no answer may go to (RFC 5321 §4.5.5);
            None where the transport did not tell, then Return-Path counts.
    """
    fields = root.fields
    submitted = fields.raw("auto-submitted").partition(";")[0].strip().lower()
    suppress = fields.raw("x-auto-response-suppress").lower()
    return_path = fields.raw("return-path") if mail_from is None else f"<{mail_from}>"
    return (
        root.mime == "multipart/report"
        or submitted not in {"", "no"}
        or fields.raw("precedence").strip().lower() in _BULK
        or suppress not in {"", "none"}
        or return_path == "<>"
        or any(name in fields for name in _MARKS)
        or any(box.key.startswith("mailer-daemon") for box in addresses(fields.raw("from")))
    )


def list_id(fields: Fields) -> str | None:
    """The identifier of the mailing list (RFC 2919), without its description."""
    value = fields.raw("list-id")
    inner = value.rpartition("<")[2].partition(">")[0].strip()
    return inner.lower() if inner and " " not in inner else None
