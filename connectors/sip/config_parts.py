"""Tables below a channel of the kind ``sip``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta, Struct

from connectors.api import Seconds
from connectors.secrets import Secret

Listen = Annotated[
    str,
    Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):\d{1,5}$", description="address:port; port 0 takes a free one"),
]
SipUri = Annotated[str, Meta(pattern=r"^sips?:[^\s<>]+$")]
Ports = tuple[Annotated[int, Meta(ge=1024, le=65_534)], Annotated[int, Meta(ge=1024, le=65_535)]]
Key = Annotated[str, Meta(pattern=r"^[0-9A-D*#]$")]


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tls`: SIP over TLS. PyPI's build of pjsua2 speaks TLS 1.2 at best (OpenSSL 1.0.2).

    Attributes:
        cert: PEM file with the certificate chain.
        key: PEM file with the key.
        ca: PEM file with the authorities we trust; with it peers are verified, in both directions.
        port: that we listen on; by default the one after that of `listen`.
    """

    cert: str
    key: str
    ca: str | None = None
    port: Annotated[int, Meta(ge=0, le=65_535)] | None = None


class Registrar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`registrar`: a line we register as (RFC 3261 §10), with digest authentication.

    Attributes:
        uri: of the registrar, such as ``sip:pbx.example`` or ``sip:pbx.example:5061;transport=tls``.
        user: user part of the line, and the name that authenticates.
        password: the line's.
        auth_user: the name that authenticates, where it is another.
        realm: the one the password is for; by default any.
        domain: of our address of record; by default the host of `uri`.
        expires_secs: how long a registration holds; it is renewed before.
        retry_secs: how long to wait after a registration that failed.
        proxy: SIP URI through which the requests of this line go.
    """

    uri: SipUri
    user: str
    password: Secret | None = None
    auth_user: str | None = None
    realm: str = "*"
    domain: str | None = None
    expires_secs: Annotated[int, Meta(ge=10)] = 300
    retry_secs: Annotated[int, Meta(ge=1)] = 30
    proxy: SipUri | None = None


class Voicemail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`voicemail`: what a caller meets when nobody answers.

    Attributes:
        greeting: name of a prompt.
        beep: a tone before the recording.
        max_secs: longest message.
        silence_secs: a caller who says nothing for so long has finished; 0 is never.
        end_key: the key that ends the message.
        transcribe: recognise the message.
    """

    greeting: str | None = None
    beep: bool = True
    max_secs: Seconds = 180.0
    silence_secs: Annotated[float, Meta(ge=0)] = 10.0
    end_key: Key = "#"
    transcribe: bool = True


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`consent`: callers are told, or asked, before they are recorded and transcribed.

    Attributes:
        prompt: name of the prompt that says so, and which key declines.
        decline_key: who presses it is neither recorded nor transcribed.
        accept_key: with it only who presses it is recorded; without it whoever does not decline.
        wait_secs: how long after the prompt a key is waited for.
        transcript: the answer is about the transcript as well.
    """

    prompt: str
    decline_key: Key = "9"
    accept_key: Key | None = None
    wait_secs: Annotated[float, Meta(ge=0, le=60)] = 3.0
    transcript: bool = True


class Languages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`languages`: callers choose what they speak.

    Attributes:
        keys: key → language.
        prompt: name of the prompt that says so.
        wait_secs: how long after the prompt a key is waited for; then it is the channel's `language`.
    """

    keys: Annotated[dict[Key, str], Meta(min_length=1)]
    prompt: str | None = None
    wait_secs: Annotated[float, Meta(gt=0, le=60)] = 5.0


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port; raises `ValueError` for a host that is no address."""
    host, _, port = listen.rpartition(":")
    return str(ip_address(host.strip("[]"))), int(port)
