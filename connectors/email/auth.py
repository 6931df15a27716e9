"""AUTH (RFC 4954): the mechanisms PLAIN (RFC 4616) and LOGIN, which send the password and therefore need TLS."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from connectors.email import replies
from connectors.secrets import Secret

LINE_MAX = 12_288
"""Octets of a line with a response (RFC 4954 §4)."""
FAILURE_SECS = 0.5
"""How long the answer to a wrong password is held back."""
CHALLENGES = {"PLAIN": ("",), "LOGIN": ("VXNlcm5hbWU6", "UGFzc3dvcmQ6")}
"""What the server asks for, in Base64: nothing in particular; ``Username:`` and ``Password:``."""

Ask = Callable[[str], Awaitable[bytes]]
"""Sends a challenge and returns the client's line, without its end."""


class Credentials(NamedTuple):
    """What a client claims."""

    user: str
    password: str


class NoCredentials(Exception):
    """The exchange broke off.

    Attributes:
        reply: what to tell the client.
    """

    def __init__(self, reply: str) -> None:
        """Say why."""
        super().__init__(reply)
        self.reply = reply


async def exchange(argument: str, ask: Ask) -> Credentials:
    """Hear what a client claims.

    Args:
        argument: of the AUTH command: a mechanism, and perhaps the first response.
        ask: see `Ask`.

    Raises:
        NoCredentials: with the reply.
    """
    mechanism, _, first = argument.partition(" ")
    challenges = CHALLENGES.get(mechanism.upper())
    if challenges is None:
        raise NoCredentials(replies.NO_MECHANISM)
    texts = [_decoded(first.strip().encode("utf-8", "replace"))] if first.strip() else []
    texts += [_decoded(await ask(challenge)) for challenge in challenges[len(texts) :]]
    if mechanism.upper() == "LOGIN":
        return Credentials(texts[0], texts[1])
    acting, _, rest = texts[0].partition("\0")
    user, separator, password = rest.partition("\0")
    if not separator:
        raise NoCredentials(replies.BAD_RESPONSE)
    return Credentials(user if acting in {"", user} else "", password)  # nobody acts for somebody else


def genuine(claimed: Credentials, users: Mapping[str, Secret]) -> bool:
    """Compare in a time that tells neither how much of the password is right nor whether the user exists."""
    known = users.get(claimed.user)
    expected = _digest(known.reveal() if known is not None else "")
    return hmac.compare_digest(_digest(claimed.password), expected) and known is not None


def _digest(password: str) -> bytes:
    return sha256(password.encode("utf-8", "surrogatepass")).digest()


def _decoded(line: bytes) -> str:
    if line == b"*":
        raise NoCredentials(replies.AUTH_CANCELLED)
    if len(line) > LINE_MAX:
        raise NoCredentials(replies.RESPONSE_TOO_LONG)
    try:
        return b64decode(b"" if line == b"=" else line, validate=True).decode()  # "=" is an empty first response
    except (Base64Error, ValueError):
        raise NoCredentials(replies.BAD_RESPONSE) from None
