"""How a declarative channel proves who delivers, and who it is itself: the options `verify`, `handshake`, `auth`."""

from __future__ import annotations

import base64
import re
from typing import Literal

from msgspec import Struct

from connectors.api import Seconds
from connectors.secrets import Secret
from connectors.signatures import MAX_AGE_SECS, Algorithm, Encoding

PLACEHOLDER = re.compile(r"\{(body|timestamp|url|method|header\.[A-Za-z0-9-]+)\}")


class Scheme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme"):
    """One way to authenticate."""


class HmacVerify(Scheme, frozen=True, kw_only=True, tag="hmac"):
    """`verify = {scheme = "hmac", …}`: the provider signs each delivery with a shared secret.

    Attributes:
        header: which header carries the signature.
        secret: the shared secret.
        previous: the secret before, accepted as well while it is being changed.
        secret_encoding: how the secret is written: as it is, or ``hex`` or ``base64`` for its bytes.
        algorithm: the hash.
        encoding: how the signature is written.
        prefix: what stands before the signature in the header, such as ``sha256=``.
        payload: what is signed, of ``{body}``, ``{timestamp}``, ``{url}``, ``{method}`` and ``{header.<name>}``.
        timestamp_header: which header carries the signed time; it must be part of `payload`.
        timestamp_prefix: what stands before the time, where it shares a header with the signature (``t=``).
        max_age_secs: deliveries signed longer ago, or further in the future, are refused.
    """

    header: str
    secret: Secret
    previous: Secret | None = None
    secret_encoding: Literal["text", "hex", "base64"] = "text"  # noqa: S105 -- how a secret is written is none
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    payload: str = "{body}"
    timestamp_header: str | None = None
    timestamp_prefix: str = ""
    max_age_secs: Seconds = MAX_AGE_SECS

    def __post_init__(self) -> None:
        """Refuse what would verify less than it seems to; raises `ValueError`."""
        _not_empty(self.secret, "secret")
        if self.previous is not None:
            _not_empty(self.previous, "previous")
        if "{" in PLACEHOLDER.sub("", self.payload):
            raise ValueError("payload: known are {body}, {timestamp}, {url}, {method} and {header.<name>}")
        if "{body}" not in self.payload:
            raise ValueError("payload: without {body} anybody who saw one signature could sign any delivery")
        if (self.timestamp_header is not None) != ("{timestamp}" in self.payload):
            raise ValueError("payload and timestamp_header go together: a time that is not signed proves nothing")
        for key in (self.secret, self.previous):
            key_bytes(key, self.secret_encoding)


class TokenVerify(Scheme, frozen=True, kw_only=True, tag="token"):
    """`verify = {scheme = "token", …}`: every delivery carries the same secret word; use it with TLS only.

    Attributes:
        header: which header carries it.
        secret: the word.
        previous: the word before, accepted as well while it is being changed.
        prefix: what stands before the word in the header, such as ``Bearer`` and a blank.
    """

    header: str
    secret: Secret
    previous: Secret | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty word; raises `ValueError`."""
        _not_empty(self.secret, "secret")


class BasicVerify(Scheme, frozen=True, kw_only=True, tag="basic"):
    """`verify = {scheme = "basic", …}`: HTTP Basic (RFC 7617); use it with TLS only.

    Attributes:
        user: the user name.
        password: the password.
    """

    user: str
    password: Secret

    def __post_init__(self) -> None:
        """Refuse an empty password; raises `ValueError`."""
        _not_empty(self.password, "password")


class NoVerify(Scheme, frozen=True, kw_only=True, tag="none"):
    """`verify = {scheme = "none"}`: anybody who knows the URL may deliver; spelled out, never a default."""


Verify = HmacVerify | TokenVerify | BasicVerify | NoVerify


class Handshake(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`handshake`: the provider sends a challenge once, to see whether the URL is ours, and wants it echoed.

    Attributes:
        query: the GET parameter to echo (``hub.challenge``).
        token_query: the GET parameter that must equal `token` (``hub.verify_token``).
        token: what the provider was told to send there.
        field: expression (JMESPath) for the challenge in the JSON body of a POST, which must be signed like any other.
        reply: ``text`` answers the challenge alone, ``json`` answers ``{"challenge": …}``.
    """

    query: str | None = None
    token_query: str | None = None
    token: Secret | None = None
    field: str | None = None
    reply: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        """Refuse half a handshake; raises `ValueError`."""
        if self.query is None and self.field is None:
            raise ValueError("give query (a GET parameter) or field (an expression over the body of a POST)")
        if (self.token_query is None) != (self.token is None):
            raise ValueError("token_query and token go together")


class BasicAuth(Scheme, frozen=True, kw_only=True, tag="basic"):
    """`auth = {scheme = "basic", …}`: HTTP Basic (RFC 7617).

    Attributes:
        user: the user name.
        password: the password.
    """

    user: str
    password: Secret


class HeaderAuth(Scheme, frozen=True, kw_only=True, tag="header"):
    """`auth = {scheme = "header", …}`: a header of the provider's own.

    Attributes:
        header: its name, such as ``X-Api-Key``.
        value: its value.
        prefix: what stands before the value, such as ``Token`` and a blank.
    """

    header: str
    value: Secret
    prefix: str = ""


class BearerAuth(Scheme, frozen=True, kw_only=True, tag="bearer"):
    """`auth = {scheme = "bearer", …}`, the long form of `token` (RFC 6750).

    Attributes:
        token: the token.
    """

    token: Secret


Auth = BearerAuth | BasicAuth | HeaderAuth


def key_bytes(key: Secret | None, encoding: str) -> bytes:
    """Decode a shared secret; raises `ValueError` that shows no part of it."""
    text = "" if key is None else key.reveal()
    try:
        match encoding:
            case "hex":
                return bytes.fromhex(text)
            case "base64":
                return base64.b64decode(text, validate=True)
            case _:
                return text.encode()
    except ValueError:
        raise ValueError(f"secret: is not {encoding}, as secret_encoding says") from None


def _not_empty(secret: Secret, name: str) -> None:
    if not secret.reveal():
        raise ValueError(f"{name}: is empty")
