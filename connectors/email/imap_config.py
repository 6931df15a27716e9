"""Options of `imap`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from connectors.api import Positive, Seconds
from connectors.email.oauth_config import OAuthConfig
from connectors.leases import LEASE_SECS
from connectors.secrets import Secret

IDLE_MAX = 1_740
"""A server may end an IDLE of half an hour (RFC 2177 §3)."""


class ImapConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""`imap`: a mailbox that is read.

    What was read is remembered by UIDVALIDITY and UID, never by \Seen or by date: people may open, flag and answer
    mails in the same mailbox. Of all workers and nodes one reads it.

    Attributes:
        host: of the server.
        port: default 993, or 143 without implicit TLS.
        tls: ``implicit`` from the first byte, ``starttls``, or ``none``, which is refused for a password on another
            machine.
        tls_ca: PEM file with the certificates to trust, instead of the system's.
        user: login name.
        password: of the login; needed unless there is `oauth`.
        oauth: access tokens instead of a password (XOAUTH2): Google, Microsoft 365.
        folder: which folder is read.
        after: what becomes of a mail once it is durable: ``flag`` sets \Seen and the keyword $OmnigateHandled (where
            the server keeps keywords), ``move`` moves it to `move_to`, ``delete`` deletes it for good, ``nothing``
            leaves it alone.
        move_to: folder for `after = "move"`; created when it is missing.
        quarantine_folder: where mails go that could not be understood, unless `after` is ``nothing``; the raw mail is
            in the gateway's quarantine, too.
        start: what is read the very first time: ``all`` mails of the folder, or those that come from now on (``new``).
        idle_secs: how long to wait for news (IDLE) before the folder is looked at anyway; 0 never uses IDLE.
        poll_secs: how often the folder is looked at where the server has no IDLE.
        timeout_secs: how long the server may be silent while it owes an answer.
        max_bytes: the largest mail that is read as a whole; of a larger one the event holds what the first
            `large_head_bytes` say, and the whole is kept as a blob (`raw.ref`). At most the channel's `max_bytes`,
            which is the default.
        large_head_bytes: how much of a mail above `max_bytes` is read into its event.
        lease_secs: how long after a crash of the worker that reads another one takes over.
        retry_secs: the longest wait between two attempts to reach the server; after a refused login four times that.
    """

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    tls_ca: str | None = None
    user: Annotated[str, Meta(min_length=1)]
    password: Secret | None = None
    oauth: OAuthConfig | None = None
    folder: Annotated[str, Meta(min_length=1)] = "INBOX"
    after: Literal["flag", "move", "delete", "nothing"] = "flag"
    move_to: Annotated[str, Meta(min_length=1)] = "Processed"
    quarantine_folder: Annotated[str, Meta(min_length=1)] = "Quarantine"
    start: Literal["all", "new"] = "all"
    idle_secs: Annotated[float, Meta(ge=0, le=IDLE_MAX)] = 300.0
    poll_secs: Seconds = 60.0
    timeout_secs: Seconds = 60.0
    max_bytes: Positive | None = None
    large_head_bytes: Positive = 262_144
    lease_secs: Seconds = LEASE_SECS
    retry_secs: Seconds = 300.0

    def __post_init__(self) -> None:
        """Check what one field says about another."""
        if (self.password is None) == (self.oauth is None):
            raise ValueError("`imap` needs either `password` or `oauth`")
        if self.tls == "none" and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError('`tls = "none"` would send the password in the clear; only a server on this machine may')
        for name in ("user", "folder", "move_to", "quarantine_folder"):
            if any(char in getattr(self, name) for char in "\r\n\0"):
                raise ValueError(f"`{name}` must be one line")
        if self.after == "move" and self.move_to == self.folder:
            raise ValueError("`move_to` is the folder that is read; name another one")
        if self.quarantine_folder == self.folder:
            raise ValueError("`quarantine_folder` is the folder that is read; name another one")

    @property
    def server_port(self) -> int:
        """The port in use."""
        return self.port or (993 if self.tls == "implicit" else 143)
