"""What is odd about the options of a mail channel, for `omnigate check` and the log at start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from connectors.api import Remark
from connectors.errors import Misconfigured

if TYPE_CHECKING:
    from connectors.email.config import EmailConfig, SmtpConfig

DAY_SECS = 86_400.0
SOON_DAYS = 14


def remarks(
    config: EmailConfig,
    *,
    shared: bool,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- certificates end at a time of day
) -> Iterator[Remark]:
    """See `connectors.api.ChannelConfig.remarks`."""
    if config.imap is not None and find_spec("aioimaplib") is None:
        message = "needs aioimaplib, which is not installed: the mailbox will not be read"
        yield Remark("imap", message, "pip install 'omnigate[imap]'")
    if shared and config.signing_key is None and config.outgoing is not None:
        message = "is not set, and the dedup store is shared: each node signs with a key of its own"
        hint = "answers that reach another node are threaded like a stranger's; make one with: openssl rand -hex 32"
        yield Remark("signing_key", message, hint)
    if config.outgoing is not None and not any((config.smtp, config.lmtp, config.imap)):
        message = "has no way back: neither answers nor bounces will be received"
        yield Remark("outgoing", message, "give `smtp`, `lmtp` or `imap`")
    if config.smtp is not None and config.smtp.tls_cert is not None:
        yield from _certificate(config.smtp, clock())


def _certificate(smtp: SmtpConfig, now: float) -> Iterator[Remark]:
    from connectors.email.tls_files import read_certificate  # noqa: PLC0415 -- it needs the options' module

    try:
        found = read_certificate(smtp)
    except Misconfigured as exc:
        yield Remark("smtp.tls_cert", str(exc), "until then nobody can deliver here")
        return
    days = int((found.ends.timestamp() - now) // DAY_SECS) if found is not None else SOON_DAYS
    if days < SOON_DAYS:
        words = f"ends in {days} days" if days >= 0 else "has ended"
        yield Remark("smtp.tls_cert", f"the certificate {words}", "renew it, and reload the gateway")
