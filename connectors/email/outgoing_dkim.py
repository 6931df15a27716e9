"""DKIM signatures (RFC 6376)."""

from __future__ import annotations

import dkim

from connectors.email.outgoing_config import DkimConfig

SIGNED = (
    *(b"from", b"from", b"to", b"to", b"cc", b"cc", b"subject", b"subject", b"date", b"date"),
    *(b"message-id", b"message-id", b"in-reply-to", b"references", b"reply-to", b"reply-to"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding", b"auto-submitted"),
)
"""Fields under the signature; those named twice cannot be added to later (RFC 6376 §8.15)."""


def sign(mail: bytes, config: DkimConfig) -> bytes:
    """Put a signature before a mail; header and body may be folded anew on the way (relaxed)."""
    present = {line.partition(b":")[0].strip().lower() for line in mail.partition(b"\r\n\r\n")[0].split(b"\r\n")}
    oversigned = {name for name in SIGNED if SIGNED.count(name) > 1}
    header: bytes = dkim.sign(
        mail,
        config.selector.encode(),
        config.domain.encode(),
        config.key.reveal().encode(),
        canonicalize=(b"relaxed", b"relaxed"),
        signature_algorithm=config.algorithm.encode(),
        include_headers=[name for name in SIGNED if name in present or name in oversigned],
    )
    return header + mail
