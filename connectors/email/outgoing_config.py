"""Options of `outgoing`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from connectors.api import Positive, Seconds
from connectors.email.oauth_config import OAuthConfig
from connectors.secrets import Secret
from normalizer.mail import compose_fields
from normalizer.mail.address import Mailbox, addresses

REPLY_ROOM, BOUNCE_ROOM = 13, 16
"""Octets of a local part that leave room for a token (`normalizer.mail.tokens`) within 64 (RFC 5321 §4.5.3.1.1)."""
LOCAL = {"localhost", "127.0.0.1", "::1"}
_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
_ED25519_SEED = 32


class DkimConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dkim`: signs every mail (RFC 6376), where the server in front does not.

    Attributes:
        domain: the domain that vouches (``d=``), for DMARC that of `from`.
        selector: names the key in the DNS: ``<selector>._domainkey.<domain>``.
        key: the private key: for ``rsa-sha256`` PEM, for ``ed25519-sha256`` the seed of 32 bytes in base64 (RFC 8463).
        algorithm: every receiver knows ``rsa-sha256``; many do not know the other.
    """

    domain: str
    selector: str
    key: Secret
    algorithm: Literal["rsa-sha256", "ed25519-sha256"] = "rsa-sha256"

    def __post_init__(self) -> None:
        """Check names and key."""
        for name in ("domain", "selector"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"`{name}` must be a name as in the DNS")
        if self.algorithm == "rsa-sha256":
            _check_rsa(self.key.reveal().encode())
        else:
            _check_ed25519(self.key.reveal())


def _check_rsa(pem: bytes) -> None:
    from dkim.crypto import UnparsableKeyError, parse_pem_private_key  # noqa: PLC0415 -- only who signs pays for it

    try:
        parse_pem_private_key(pem)
    except (UnparsableKeyError, ValueError, KeyError, IndexError, TypeError):
        raise ValueError(
            "`key` must be an RSA private key in PEM, unencrypted; such as `openssl genrsa 2048` writes"
        ) from None


def _check_ed25519(seed: str) -> None:
    try:
        size = len(base64.b64decode(seed, validate=True))
    except binascii.Error:
        size = 0
    if size != _ED25519_SEED:
        raise ValueError("`key` must be an Ed25519 seed: 32 bytes in base64")


class OutgoingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`outgoing`: the mail server that takes our mails and carries them on.

    Attributes:
        host: of the server.
        port: 587 is for submission with STARTTLS, 465 for submission with implicit TLS.
        tls: ``implicit`` from the first byte, which is the default for port 465; ``starttls``, which is the default for
            every other; ``none``, which is refused with a password for another machine. A server that has no STARTTLS,
            or the wrong certificate, gets no mail.
        tls_ca: PEM file with the certificates to trust, instead of the system's.
        user: login name; without it there is no login.
        password: of the login; needed with `user`, unless there is `oauth`.
        oauth: access tokens instead of a password (XOAUTH2): Google, Microsoft 365.
        sender: whom mails are from, such as ``Shop <support@shop.example>``.
        reply_to: where answers go, if not to `from`.
        tag_reply_to: put a signed tag into the address of answers (``support+r1…@shop.example``), so that every answer
            joins its conversation, whatever the customer's mail program does to the headers. Only where mail for
            plus-addresses arrives.
        marker: end every mail with a line ``[ref:k1…]``, which answers quote. For servers that replace the Message-ID
            (Amazon SES does) where plus-addresses do not work.
        bounce_to: where reports about mails that could not be delivered go (the envelope's sender), if not to `from`;
            it must lead back to this channel, or nobody hears of them.
        tag_bounces: put a signed tag into that address (VERP), so that a report is understood that quotes nothing. Only
            where mail for plus-addresses arrives.
        message_id_domain: what stands behind the @ of our Message-IDs; by default the domain of `from`.
        subject: of a mail that is given none and answers none.
        hostname: how the gateway introduces itself; by default the machine's name.
        dkim: signs every mail.
        max_connections: open at the same time.
        mails_per_connection: after which a new connection is made.
        idle_secs: after which an unused connection is closed.
        connect_timeout_secs: for a connection, with TLS and login.
        timeout_secs: how long the server may take to answer a command.
        data_timeout_secs: how long it may take to receive a mail and to say that it has it (RFC 5321 §4.5.3.2.6).
        max_bytes: the largest mail, attachments included.
        max_recipients: of one mail, `cc` and `bcc` included.
        defer_secs: how long a domain is left alone after a temporary refusal; doubles up to `defer_cap_secs`.
        defer_cap_secs: the longest of these waits.
    """

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    tls: Literal["implicit", "starttls", "none"] | None = None
    tls_ca: str | None = None
    user: Annotated[str, Meta(min_length=1)] | None = None
    password: Secret | None = None
    oauth: OAuthConfig | None = None
    sender: str = field(name="from")
    reply_to: str | None = None
    tag_reply_to: bool = False
    marker: bool = False
    bounce_to: str | None = None
    tag_bounces: bool = False
    message_id_domain: str | None = None
    subject: str = ""
    hostname: str | None = None
    dkim: DkimConfig | None = None
    max_connections: Positive = 4
    mails_per_connection: Positive = 100
    idle_secs: Seconds = 30.0
    connect_timeout_secs: Seconds = 20.0
    timeout_secs: Seconds = 60.0
    data_timeout_secs: Seconds = 300.0
    max_bytes: Positive = 36_700_160
    max_recipients: Positive = 100
    defer_secs: Seconds = 30.0
    defer_cap_secs: Seconds = 300.0

    def __post_init__(self) -> None:
        """Check addresses and names, and that no password is sent in clear."""
        if self.password is not None and self.oauth is not None:
            raise ValueError("give either `password` or `oauth`")
        if (self.user is None) != (self.password is None and self.oauth is None):
            raise ValueError("`user` and `password` (or `oauth`) belong together")
        if self.security == "none" and self.user is not None and self.host not in LOCAL:
            raise ValueError(
                '`tls = "none"` would send the password in clear; only a server on this machine may get it'
            )
        for name, value in (("from", self.sender), ("reply_to", self.reply_to), ("bounce_to", self.bounce_to)):
            if value is not None:
                _named(value, name)
        for name, tagged, box, room in (
            ("tag_reply_to", self.tag_reply_to, (self.answers or self.author).address, REPLY_ROOM),
            ("tag_bounces", self.tag_bounces, self.return_path, BOUNCE_ROOM),
        ):
            if tagged and len(box.rpartition("@")[0].encode()) > room:
                raise ValueError(f"`{name}`: the part before the @ of {box} is longer than {room} characters")
        for name in ("message_id_domain", "hostname"):
            value = getattr(self, name)
            if value is not None and not _NAME.fullmatch(value):
                raise ValueError(f"`{name}` must be a host name such as mail.shop.example")

    @property
    def security(self) -> Literal["implicit", "starttls", "none"]:
        """The kind of TLS in use."""
        return self.tls or ("implicit" if self.port == 465 else "starttls")

    @property
    def author(self) -> Mailbox:
        """Name and address of `from`."""
        return _named(self.sender, "from")

    @property
    def answers(self) -> Mailbox | None:
        """Where answers go, if not to `from`."""
        return None if self.reply_to is None else _named(self.reply_to, "reply_to")

    @property
    def return_path(self) -> str:
        """The envelope's sender."""
        return self.author.address if self.bounce_to is None else _named(self.bounce_to, "bounce_to").address


def _named(text: str, option: str) -> Mailbox:
    found = addresses(text)
    if len(found) != 1:
        raise ValueError(f"`{option}` must be one address, such as Shop <support@shop.example>")
    try:
        return Mailbox(compose_fields.one_line(found[0].name), compose_fields.address(found[0].address))
    except ValueError as exc:
        raise ValueError(f"`{option}`: {exc}") from None
