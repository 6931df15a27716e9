"""One mail over one connection (RFC 5321 §3.3).

A server that has the whole mail and whose answer is lost may have taken it, or not: that is told as `Unreachable`, and
the next try has the same Message-ID, by which the receiving side can recognise the copy.
"""

from __future__ import annotations

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)
from msgspec import Struct

from connectors.email import outgoing_errors as errors
from connectors.email.outgoing_errors import Refusal
from connectors.errors import Refused, SendError, Unreachable

CLOSING = 421


class Envelope(Struct, frozen=True, kw_only=True):
    """A mail as SMTP sees it.

    Attributes:
        sender: the return path.
        international: an address in it or in the header is not ASCII.
    """

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    international: bool = False


class Handed(Struct, frozen=True, kw_only=True):
    """What the server said; with nobody in `accepted` it did not get the mail.

    Attributes:
        accepted: recipients it has taken responsibility for.
        refused: the others.
        reply: its answer to the mail.
    """

    accepted: tuple[str, ...]
    refused: dict[str, Refusal]
    reply: str = ""


async def hand_over(smtp: SMTP, envelope: Envelope, *, host: str, data_timeout: float) -> Handed:
    """Send a mail; raises `SendError` for what concerns all of its recipients.

    Recipients are sent one after the other: the library does not pipeline commands (RFC 2920).
    """
    try:
        await _mail(smtp, envelope)
        accepted, refused = await _recipients(smtp, envelope)
        if not accepted:
            return Handed(accepted=(), refused=refused)
        response = await smtp.data(envelope.data, timeout=data_timeout)
    except SMTPDataError as exc:
        raise _shared(Refusal(exc.code, exc.message), host) or errors.of_content(
            Refusal(exc.code, exc.message)
        ) from None
    except SMTPSenderRefused as exc:
        raise _shared(Refusal(exc.code, exc.message), host) or errors.of_sender(
            Refusal(exc.code, exc.message)
        ) from None
    except SendError:
        raise
    except (SMTPException, OSError) as exc:
        smtp.close()
        raise errors.of_connection(exc, host) from None
    return Handed(accepted=accepted, refused=refused, reply=response.message)


def _shared(refusal: Refusal, host: str) -> SendError | None:
    """Recognise a server that closes, whatever it was asked (RFC 5321 §3.8)."""
    if refusal.code == CLOSING:
        return Unreachable(f"{host} is closing ({refusal.status})", **refusal.details)
    return None


async def _mail(smtp: SMTP, envelope: Envelope) -> None:
    options: list[str] = []
    if smtp.supports_extension("size"):
        limit = smtp.esmtp_extensions.get("size", "").strip()
        if limit.isdecimal() and 0 < int(limit) < len(envelope.data):
            raise Refused(
                f"the mail has {len(envelope.data)} bytes, the mail server takes {limit}", provider_code="5.3.4"
            )
        options.append(f"SIZE={len(envelope.data)}")
    if envelope.international:
        if not smtp.supports_extension("smtputf8"):
            raise Refused("an address is not ASCII, and the mail server does not take such (no SMTPUTF8)")
        options += ["SMTPUTF8", *(["BODY=8BITMIME"] if smtp.supports_extension("8bitmime") else [])]
    await smtp.mail(envelope.sender, options=options, encoding="utf-8" if envelope.international else "ascii")


async def _recipients(smtp: SMTP, envelope: Envelope) -> tuple[tuple[str, ...], dict[str, Refusal]]:
    accepted: list[str] = []
    refused: dict[str, Refusal] = {}
    for recipient in envelope.recipients:
        try:
            await smtp.rcpt(recipient, encoding="utf-8" if envelope.international else "ascii")
        except SMTPRecipientRefused as exc:
            if exc.code == CLOSING:
                raise SMTPResponseException(exc.code, exc.message) from None
            refused[recipient] = Refusal(exc.code, exc.message)
        except SMTPNotSupported as exc:
            raise Refused(str(exc)) from None
        else:
            accepted.append(recipient)
    return tuple(accepted), refused
