"""What a mail server's refusals mean (RFC 5321 §4.2, enhanced status codes of RFC 3463).

4yz may pass, 5yz will not. Beyond that it matters whom a refusal is about: the recipient, this mail, or us.
"""

from __future__ import annotations

import re
import ssl
from typing import NamedTuple

from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from connectors.errors import Deferred, Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable

TEXT_MAX = 200
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_GONE = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}
"""No such mailbox, no such domain, no mail there, moved, or disabled."""
_SIZE = {"5.2.3", "5.3.4"}
_LOGIN = {"5.7.8", "5.7.9", "5.7.0"}


class Refusal(NamedTuple):
    """A server's answer that is no success."""

    code: int
    text: str

    @property
    def status(self) -> str:
        """The enhanced status code, or one that says no more than the reply code."""
        found = _STATUS.search(self.text[:20])
        return found[1] if found and found[1][0] == str(self.code)[0] else f"{self.code // 100}.0.0"

    @property
    def passing(self) -> bool:
        """Trying again may help."""
        return self.code < 500

    @property
    def words(self) -> str:
        """Code and text in one line."""
        return f"{self.code} {' '.join(self.text.split())}"[:TEXT_MAX]

    @property
    def details(self) -> dict[str, str]:
        """For a `SendError`."""
        return {"provider_code": self.status, "provider_text": self.words}


def deferred(message: str, refusal: Refusal, retry_after: float | None = None) -> Deferred:
    """Say that this mail may be taken later."""
    return Deferred(message, retry_after=retry_after, provider_code=refusal.status, provider_text=refusal.words)


def of_recipient(refusal: Refusal) -> SendError:
    """Say what a refused RCPT means."""
    if refusal.passing:
        return deferred(f"the recipient's server cannot take it now ({refusal.status})", refusal)
    if refusal.status in _GONE:
        return RecipientGone(f"the recipient does not exist or takes no mail ({refusal.status})", **refusal.details)
    return of_content(refusal)


def of_sender(refusal: Refusal) -> SendError:
    """Say what a refused MAIL means: it is about us, unless it is about the size."""
    if refusal.passing:
        return Throttled(f"the mail server takes no mail from us now ({refusal.status})", provider_text=refusal.words)
    if refusal.code == 552 or refusal.status in _SIZE:
        return Refused("the mail is larger than the mail server takes", **refusal.details)
    return Misconfigured(
        f"the mail server refuses our sender ({refusal.status}); check `from`, `bounce_to` and the login",
        **refusal.details,
    )


def of_content(refusal: Refusal) -> SendError:
    """Say what a refused DATA means."""
    if refusal.passing:
        return deferred(f"the mail server cannot take the mail now ({refusal.status})", refusal)
    if refusal.code == 530 or refusal.status in _LOGIN:
        return Misconfigured(
            f"the mail server wants a login ({refusal.status}); set `user` and `password`", **refusal.details
        )
    return Refused(f"the mail was refused ({refusal.status})", **refusal.details)


def of_connection(exc: Exception, host: str) -> SendError:
    """Say what went wrong before, between or instead of answers; never quotes more than the server's words."""
    if (fault := _certificate(exc)) is not None:
        return Misconfigured(f"the certificate of {host} is not trusted: {fault}; check `host` and `tls_ca`")
    match exc:
        case SMTPResponseException(code=code, message=text) if code > 0:
            return _of_greeting(exc, Refusal(code, str(text)), host)
        case TimeoutError() | SMTPTimeoutError():
            return Unreachable(f"{host} did not answer in time")
        case SMTPServerDisconnected():
            return Unreachable(f"{host} closed the connection")
        case ConnectionError() | OSError():
            reason = exc.__cause__ if isinstance(exc.__cause__, OSError) else exc
            return Unreachable(f"{host} cannot be reached: {reason.strerror or type(reason).__name__}")
        case SMTPException():
            return Misconfigured(
                f"{host} does not do what it must: {str(exc)[:TEXT_MAX]}; check `port`, `tls` and `user`"
            )
        case _:
            return Unreachable(f"{host} failed ({type(exc).__name__})")


def _of_greeting(exc: SMTPResponseException, refusal: Refusal, host: str) -> SendError:
    if refusal.passing:
        return Unreachable(f"{host} is not ready ({refusal.status})", **refusal.details)
    if isinstance(exc, SMTPAuthenticationError):
        return Misconfigured(f"{host} refuses the login ({refusal.status})", **refusal.details)
    return Misconfigured(f"{host} does not talk to us ({refusal.status})", **refusal.details)


def _certificate(exc: BaseException) -> str | None:
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        seen = seen.__cause__
    return None
