"""Options of the kind ``email``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct
from typing_extensions import override

from connectors.api import ChannelConfig, Positive, Remark, Seconds
from connectors.email.advice import remarks
from connectors.email.backstop import AnswersConfig
from connectors.email.imap_config import ImapConfig
from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.routing import Pattern
from connectors.secrets import Secret
from normalizer.mail.tokens import KEY_BYTES

Listen = Annotated[
    str, Meta(pattern=r"^(\[[0-9a-fA-F:.]*\]|[^:\s]*):\d{1,5}$", description="host:port; port 0 takes a free one")
]
WAYS = ("smtp", "lmtp", "imap", "outgoing")
"""Options that let mail in or out; a channel has at least one of them."""
LocalListen = Annotated[
    str,
    Meta(
        pattern=r"^(unix:/.+|(\[[0-9a-fA-F:.]*\]|[^:\s]*):\d{1,5})$",
        description="host:port, or unix: with the path of a socket file",
    ),
]
Count = Annotated[int, Meta(ge=0)]
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


class ListenerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ways of receiving have in common.

    Attributes:
        hostname: how the server introduces itself; default the machine's name.
        max_bytes: the largest mail, announced to the client (SIZE, RFC 1870).
        max_buffered_bytes: mails being received at the same time, all together; beyond it the answer is 452.
        max_recipients: per mail; beyond it the answer is 452, and the client sends the rest in another mail.
        max_connections: of all clients together; beyond it the answer is 421.
        max_connections_per_ip: of one client.
        connections_per_minute_per_ip: how often one client may connect; 0 is unlimited.
        mails_per_minute_per_ip: mails one client may begin, unless it has authenticated itself; beyond it the answer is
            450. 0 is unlimited; do not limit a server that relays everybody's mail.
        max_errors: refused commands after which a client is cut off.
        command_timeout_secs: how long a client may be silent between commands.
        data_timeout_secs: how long the transfer of one mail may take.
        settle_secs: how long after the port was opened an unknown recipient is told to try again, because its channel
            may be about to start; later it is refused.
        drain_secs: how long mails in the pipeline may take to finish when the listener closes.
        bare_lf: what becomes of a mail or command with a line feed that has no carriage return before it, which no
            client may send (RFC 5321 §2.3.8) and smugglers live on: ``refuse`` answers 554, ``accept`` takes it as it
            is. An end of data made of bare CR or LF is refused in both cases, and never taken for one.
    """

    hostname: str | None = None
    max_bytes: Positive = 36_700_160
    max_buffered_bytes: Positive = 268_435_456
    max_recipients: Positive = 100
    max_connections: Positive = 500
    max_connections_per_ip: Positive = 50
    connections_per_minute_per_ip: Count = 600
    mails_per_minute_per_ip: Count = 0
    max_errors: Positive = 20
    command_timeout_secs: Seconds = 120.0
    data_timeout_secs: Seconds = 600.0
    settle_secs: Annotated[float, Meta(ge=0)] = 1.0
    drain_secs: Seconds = 10.0
    bare_lf: Literal["refuse", "accept"] = "refuse"

    def __post_init__(self) -> None:
        """Check what one field says about another."""
        if self.hostname is not None and not _HOST.fullmatch(self.hostname):
            raise ValueError("`hostname` must be a host name such as mx.shop.example")
        if self.max_buffered_bytes < self.max_bytes:
            raise ValueError("`max_buffered_bytes` must be at least `max_bytes`")


class SmtpConfig(ListenerConfig, frozen=True, kw_only=True):
    """`smtp`: where mail is received; channels with the same `listen` share the port and must agree on the rest.

    Attributes:
        listen: address of the SMTP port.
        listen_tls: address of a second port, where TLS begins at once (RFC 8314), such as ``0.0.0.0:465``.
        tls_cert: PEM file with the certificate chain; offers STARTTLS.
        tls_key: PEM file with the key, unless it is in `tls_cert`.
        require_tls: refuse mail on unencrypted connections. Not for a public MX (RFC 3207 §4).
        users: name → password of clients that may authenticate themselves (AUTH PLAIN and LOGIN, over TLS only). Their
            mail is marked ``verified = "basic"``, not limited by `mails_per_minute_per_ip`, and not checked for SPF.
            The recipients are the same for everybody: nothing is relayed.
        require_auth: refuse mail from everybody else: a port for submission, not an MX.
        max_auth_failures_per_ip: wrong passwords per hour of one client, after which it is told to come back later.
    """

    listen: Listen
    listen_tls: Listen | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    require_tls: bool = False
    users: dict[str, Secret] = {}
    require_auth: bool = False
    max_auth_failures_per_ip: Positive = 30

    @override
    def __post_init__(self) -> None:
        """Check what one field says about another."""
        super().__post_init__()
        if self.tls_cert is None and (self.tls_key is not None or self.require_tls or self.listen_tls is not None):
            raise ValueError("`tls_key`, `require_tls` and `listen_tls` need `tls_cert`, the certificate file")
        if self.tls_cert is None and self.users:
            raise ValueError("`users` need `tls_cert`: passwords are only taken over TLS")
        if self.require_auth and not self.users:
            raise ValueError("`require_auth` needs `users`, or nobody could send")
        for address in filter(None, (self.listen, self.listen_tls)):
            if int(address.rpartition(":")[2]) > 65_535:
                raise ValueError(f"`{'listen' if address == self.listen else 'listen_tls'}` has a port above 65535")


class LmtpConfig(ListenerConfig, frozen=True, kw_only=True):
    """`lmtp`: where a mail server next door hands mail over (RFC 2033), with an answer for each recipient.

    Attributes:
        listen: host:port, or ``unix:/run/omnigate/lmtp.sock``. A socket file serves one worker; of several the last to
            start has it.
        socket_mode: permissions of the socket file, octal; the mail server must be able to write to it.
    """

    listen: LocalListen
    socket_mode: Annotated[str, Meta(pattern="^[0-7]{3}$")] = "660"
    connections_per_minute_per_ip: Count = 0
    max_connections_per_ip: Positive = 500

    @override
    def __post_init__(self) -> None:
        """Check the port."""
        super().__post_init__()
        port = self.listen.rpartition(":")[2]
        if not self.listen.startswith("unix:") and int(port) in {25, *range(65_536, 100_000)}:
            raise ValueError("`listen` has a port above 65535, or 25, which is for SMTP (RFC 2033 §5)")


class TrustConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trust`: who says whether DKIM, SPF, DMARC and ARC hold; the results are in `security` of every message.

    Attributes:
        mode: ``check`` looks DNS up and checks here; ``upstream`` takes the results of the mail server in front
            (Authentication-Results, RFC 8601); ``off`` says nothing about them.
        authserv_id: how that server names itself, such as ``mx.google.com``; results of anybody else, and any but the
            topmost, are ignored. Empty for a server that gives no name, which is what Microsoft 365 does.
        timeout_secs: how long a check may wait for the DNS; what is not known by then is ``temperror``, and the mail
            goes on.
        nameservers: addresses of DNS servers, ``192.0.2.53`` or ``127.0.0.1:5353``; by default the system's.
    """

    mode: Literal["off", "check", "upstream"] = "off"
    authserv_id: str | None = None
    timeout_secs: Seconds = 5.0
    nameservers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what one field says about another."""
        if self.mode == "upstream" and self.authserv_id is None:
            raise ValueError('`mode = "upstream"` needs `authserv_id`, the name in its Authentication-Results')
        for one in self.nameservers:
            nameserver(one)


def nameserver(text: str) -> tuple[str, int]:
    """Read ``192.0.2.53``, ``192.0.2.53:5353`` or ``[2001:db8::53]:5353``; raises `ValueError`."""
    host, colon, port = text.rpartition(":") if "." in text or text.startswith("[") else (text, "", "")
    host, port = (host, port) if colon and not text.endswith("]") else (text, "53")
    try:
        address = str(ip_address(host.strip("[]")))
    except ValueError:
        raise ValueError(f"`nameservers` has {text!r}, which is no IP address with or without a port") from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"`nameservers` has {text!r}, whose port is none")
    return address, int(port)


class EmailConfig(ChannelConfig, frozen=True, kw_only=True):
    """`kind = "email"`; needs at least one way in or out.

    Attributes:
        addresses: the channel's recipients: ``support@shop.example`` (and ``support+anything@``), or
            ``*@help.shop.example`` for a whole domain. Needed for `smtp` and `lmtp`, which refuse every other one.
        smtp: where mail is received.
        lmtp: where a mail server next door hands mail over.
        imap: a mailbox that is read; with SMTP beside it or without.
        outgoing: the mail server that takes our mails.
        trust: who is believed about the origin of a mail.
        answers: limits against loops.
        signing_key: signs Message-IDs, Reply-To addresses and markers, by which answers find their conversation; at
            least 16 characters, the same on all nodes. By default a key is made and kept in the data directory.
        old_signing_keys: keys used before; what they signed is still recognised.
        send_attempts: tries before a message is given up. With the waits of `outgoing.defer_secs` the default outlasts
            the usual greylisting, and ends before RabbitMQ takes a command back (30 minutes).
        send_timeout_secs: how long one try may take, attachments and answers of the mail server included.
    """

    addresses: tuple[str, ...] = ()
    smtp: SmtpConfig | None = None
    lmtp: LmtpConfig | None = None
    imap: ImapConfig | None = None
    outgoing: OutgoingConfig | None = None
    trust: TrustConfig = TrustConfig()
    answers: AnswersConfig = AnswersConfig()
    signing_key: Secret | None = None
    old_signing_keys: tuple[Secret, ...] = ()
    max_bytes: Positive = 36_700_160
    send_attempts: Positive = 8
    send_timeout_secs: Seconds = 300.0

    def __post_init__(self) -> None:
        """Check that there is a way in or out, the addresses, and that the listeners take no larger mail."""
        if all(getattr(self, way, None) is None for way in WAYS):
            raise ValueError("has no way in or out: give `smtp`, `lmtp`, `imap` or `outgoing`")
        for address in self.addresses:
            Pattern.parse(address)
        if self.old_signing_keys and self.signing_key is None:
            raise ValueError("`old_signing_keys` needs `signing_key`, the key that signs now")
        if any(len(key.reveal().encode()) < KEY_BYTES for key in self.signing_keys):
            raise ValueError("`signing_key` needs at least 16 characters; make one with: openssl rand -hex 32")
        if self.imap is not None and (self.imap.max_bytes or 0) > self.max_bytes:
            raise ValueError("`imap.max_bytes` is larger than the channel's `max_bytes`; raise that, too")
        for name, listener in (("smtp", self.smtp), ("lmtp", self.lmtp)):
            if listener is None:
                continue
            if not self.addresses:
                raise ValueError(f"`{name}` needs `addresses`, the recipients it takes mail for")
            if listener.max_bytes > self.max_bytes:
                raise ValueError(f"`{name}.max_bytes` is larger than the channel's `max_bytes`; raise that, too")

    @override
    def remarks(self, *, shared: bool) -> Iterable[Remark]:
        """See `connectors.email.advice`."""
        return remarks(self, shared=shared)

    @property
    def signing_keys(self) -> tuple[Secret, ...]:
        """All keys, the newest first; none where the data directory has them."""
        return (self.signing_key, *self.old_signing_keys) if self.signing_key is not None else ()
