"""Tokens of sessions: a JWT of our own (HS256), so that any node knows a visitor without asking anybody.

What the customer's site said of an identified visitor stands in it, too. It goes through the client's hands, signed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import jwt
import msgspec
from msgspec import Struct

from connectors.chat.faults import Unauthentic
from normalizer.model import Address

ISSUER = "omnigate-chat"
_ALGORITHM = "HS256"


class Who(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identified visitor.

    Attributes:
        sub: the visitor's id at the customer's site.
        addresses: that the site has verified.
    """

    sub: str
    name: str | None = None
    picture: str | None = None
    locale: str | None = None
    addresses: tuple[Address, ...] = ()


class Pass(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says.

    Attributes:
        visitor: id of the conversation.
        session: id of the session, which can be revoked.
        until: when it ends, seconds since the epoch.
        who: the visitor, where he is identified.
    """

    visitor: str
    session: str
    until: float = 0.0
    who: Who | None = None


def new_session() -> str:
    """Make the id of a session."""
    return "s_" + secrets.token_urlsafe(12)


def new_visitor() -> str:
    """Make the id of an anonymous visitor."""
    return "v_" + secrets.token_urlsafe(16)


class Tokens:
    """The tokens of one channel."""

    def __init__(self, channel: str, keys: Sequence[bytes]) -> None:
        """Sign with the first of `keys`, believe all."""
        self._channel = channel
        self._keys = {sha256(key).hexdigest()[:8]: key for key in keys}
        self._newest = next(iter(self._keys))

    def issue(self, given: Pass) -> str:
        """Write a token."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self._channel,
            "sub": given.visitor,
            "sid": given.session,
            "exp": int(given.until),
        }
        if given.who is not None:
            claims["who"] = msgspec.to_builtins(given.who)
        key = self._keys[self._newest]
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": self._newest})

    def read(self, token: str, now: float) -> Pass:
        """Check a token and return what it says; raises `Unauthentic`."""
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""), b"")
            claims = jwt.decode(
                token,
                key or bytes(32),
                algorithms=[_ALGORITHM],
                audience=self._channel,
                issuer=ISSUER,
                options={"verify_exp": False, "require": ["exp", "sub", "sid", "aud", "iss"]},
            )
            who = msgspec.convert(claims["who"], Who) if "who" in claims else None
            given = Pass(visitor=str(claims["sub"]), session=str(claims["sid"]), until=float(claims["exp"]), who=who)
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError, KeyError):
            raise Unauthentic("invalid") from None
        if not key:
            raise Unauthentic("invalid")
        if given.until <= now:
            raise Unauthentic("identity_expired" if given.who else "expired")
        return given
