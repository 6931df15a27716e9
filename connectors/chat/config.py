"""Options of the kind ``chat``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct
from typing_extensions import override

from connectors.addresses import parse_networks
from connectors.api import ChannelConfig, Positive, Remark, Seconds
from connectors.chat.site_keys import KEY_BYTES, Key, read_key, read_key_set
from connectors.secrets import Secret

Listen = Annotated[
    str, Meta(pattern=r"^(\[[0-9a-fA-F:.]*\]|[^:\s]*):\d{1,5}$", description="host:port; port 0 takes a free one")
]
Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])?(:\d{1,5})?")


class JwtConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`jwt`: how the customer's site says who a visitor is.

    Attributes:
        algorithms: those that are accepted; HS… need a shared secret, the others a public key.
        key: the key for tokens whose `kid` names none of `keys`: a shared secret of at least 32 bytes, or a public key
            or certificate in PEM.
        keys: `kid` → key; while keys are being changed the old and the new one stand here.
        jwks: a JSON Web Key Set (RFC 7517), such as ``file:/etc/omnigate/jwks.json``.
        audience: what `aud` must be, or contain.
        issuer: what `iss` must be.
        leeway_secs: how far the site's clock may be off.
        max_age_secs: the longest a token may be valid, from now to its `exp`.
        required: visitors who are not identified are refused.
    """

    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)]
    key: Secret | None = None
    keys: dict[str, Secret] = {}
    jwks: Secret | None = None
    audience: str | None = None
    issuer: str | None = None
    leeway_secs: Annotated[float, Meta(ge=0, le=600)] = 30.0
    max_age_secs: Seconds = 86_400.0
    required: bool = False

    def __post_init__(self) -> None:
        """Check that there is a key, and that all can be used."""
        if self.key is None and not self.keys and self.jwks is None:
            raise ValueError("`jwt` needs `key`, `keys` or `jwks`")
        self.read_keys()

    def read_keys(self) -> tuple[Key | None, dict[str, Key]]:
        """Return the key for tokens that name none, and the others by `kid`; raises `ValueError`."""
        allowed = frozenset(self.algorithms)
        named = {kid: read_key(secret, allowed, f"jwt.keys.{kid}") for kid, secret in self.keys.items()}
        if self.jwks is not None:
            named |= read_key_set(self.jwks, allowed)
        return None if self.key is None else read_key(self.key, allowed, "jwt.key"), named


class ChatConfig(ChannelConfig, frozen=True, kw_only=True):
    """`kind = "chat"`: a web chat; WebSocket on `listen`, everything else on `[http]` below ``/chat/<channel>/``.

    Attributes:
        listen: address of the WebSocket; channels with the same one share it and must agree on TLS and limits.
        public_url: the WebSocket as clients reach it, such as ``wss://chat.shop.example``; by default `listen`, with
            the host by which the client asks for the settings.
        origins: pages that may open a chat: ``https://shop.example``, ``https://*.shop.example``, ``*`` for any. Pages
            of the host that is asked always may, whatever their port.
        tls_cert: PEM file with the certificate chain; WebSockets are then encrypted (wss).
        tls_key: PEM file with the key, unless it is in `tls_cert`.
        jwt: how visitors are identified; without it all are anonymous.
        token_key: signs the tokens of sessions; at least 32 characters, the same on all nodes. By default a key is made
            and kept in the data directory.
        old_token_keys: keys used before; tokens signed by them still work.
        session_secs: how long a session works after the visitor was last there.
        identity_secs: how long a visitor stays identified by one JWT.
        keep_secs: how long the conversation is kept: for visitors who were away, and as history.
        edit_secs: how long visitors may edit and delete a message; 0 is never.
        text_max: longest text of a visitor, in characters.
        message_max_bytes: largest frame and request.
        max_sends: answers put into conversations at the same time; there is no provider whom more would annoy.
        messages_per_minute: messages, edits and deletions of a session; a third of it may come at once.
        calls_per_minute: everything of a session.
        max_connections: WebSockets of this process; fewer where it may not open so many files (a warning says so).
        max_connections_per_ip: WebSockets of one client (IPv6: of one /64).
        max_polls: requests of this process that are held at the same time by long polling; beyond it they are answered
            at once.
        sessions_per_minute_per_ip: new sessions of one client; 0 is unlimited.
        poll_secs: how long a poll is held.
        ping_secs: between two pings of the server; without an answer for as long the connection is closed.
        upload_max_bytes: largest file; 0 takes none.
        upload_types: MIME types of files; those are judged by their content.
        uploads_per_minute: files of a session.
        trusted_proxies: addresses or networks whose X-Forwarded-For is believed on `listen`.
        compression: offer permessage-deflate.
        demo: serve a page to try the chat, at ``/chat/<channel>/``.
    """

    listen: Listen
    public_url: Annotated[str, Meta(pattern=r"^wss?://[^/\s]+/?$")] | None = None
    origins: tuple[str, ...] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    jwt: JwtConfig | None = None
    token_key: Secret | None = None
    old_token_keys: tuple[Secret, ...] = ()
    session_secs: Seconds = 2_592_000.0
    identity_secs: Seconds = 86_400.0
    keep_secs: Seconds = 2_592_000.0
    edit_secs: Annotated[float, Meta(ge=0)] = 900.0
    max_sends: Positive = 64
    text_max: Positive = 8000
    message_max_bytes: Annotated[int, Meta(ge=1024)] = 65_536
    messages_per_minute: Positive = 30
    calls_per_minute: Positive = 300
    max_connections: Positive = 20_000
    max_connections_per_ip: Positive = 100
    max_polls: Positive = 1024
    sessions_per_minute_per_ip: Annotated[int, Meta(ge=0)] = 60
    poll_secs: Annotated[float, Meta(ge=1, le=60)] = 25.0
    ping_secs: Annotated[float, Meta(ge=1)] = 20.0
    upload_max_bytes: Annotated[int, Meta(ge=0)] = 10_485_760
    upload_types: tuple[str, ...] = (
        *("image/*", "audio/*", "video/*", "text/plain", "text/csv", "application/pdf", "application/zip"),
        *("application/msword", "application/vnd.*"),
    )
    uploads_per_minute: Positive = 10
    trusted_proxies: tuple[str, ...] = ()
    compression: bool = True
    demo: bool = False

    def __post_init__(self) -> None:
        """Check what one option says about another."""
        if int(self.listen.rpartition(":")[2]) > 65_535:
            raise ValueError("`listen` has a port above 65535")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"`origins` has {origin!r}; write it like https://shop.example, without a path")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("`tls_key` needs `tls_cert`, the certificate file")
        if self.old_token_keys and self.token_key is None:
            raise ValueError("`old_token_keys` needs `token_key`, the key that signs now")
        if any(len(key.reveal().encode()) < KEY_BYTES for key in self.token_keys):
            raise ValueError("`token_key` needs at least 32 characters; make one with: openssl rand -hex 32")
        if self.text_max * 4 > self.message_max_bytes:
            raise ValueError("`message_max_bytes` must be at least four times `text_max`")
        parse_networks(self.trusted_proxies)

    @property
    def port_options(self) -> tuple[object, ...]:
        """What channels that share `listen` must have in common."""
        return (
            *(self.listen, self.tls_cert, self.tls_key, self.max_connections, self.max_connections_per_ip),
            *(self.ping_secs, self.compression),
        )

    @override
    def remarks(self, *, shared: bool) -> Iterable[Remark]:
        """See `ChannelConfig.remarks`."""
        if shared and self.token_key is None:
            message = "is not set, and the dedup store is shared: each node signs with a key of its own"
            hint = "a visitor who comes to another node begins anew; make one with: openssl rand -hex 32"
            yield Remark("token_key", message, hint)
        if "*" in self.origins:
            yield Remark("origins", "lets every page of the web open this chat", "name the pages of your site")

    @property
    def token_keys(self) -> tuple[Secret, ...]:
        """The configured keys of tokens, the newest first."""
        return (() if self.token_key is None else (self.token_key,)) + self.old_token_keys
