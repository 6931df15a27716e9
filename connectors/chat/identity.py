"""Who a visitor is, by a JSON Web Token of the customer's site (RFC 7519, checked as RFC 8725 wants it)."""

from __future__ import annotations

from typing import Any

import jwt

from connectors.chat.config import JwtConfig
from connectors.chat.faults import Unauthentic
from connectors.chat.site_keys import Key
from connectors.chat.tokens import Who
from normalizer.model import Address

SCHEME = "chat-user"
"""Scheme of the address that is the visitor's id at the customer's site."""
SUB_MAX, NAME_MAX = 256, 200


class Identities:
    """The site's tokens for one channel."""

    def __init__(self, config: JwtConfig) -> None:
        """Read the keys."""
        self._config = config
        self._default, self._keys = config.read_keys()

    def who(self, token: str, now: float) -> Who:
        """Check a token and return whom it names; raises `Unauthentic`."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._choose(header.get("kid"))
            if key is None or header.get("alg") not in key.algorithms:
                raise Unauthentic("jwt")
            claims = jwt.decode(
                token,
                key.value,
                algorithms=sorted(key.algorithms),
                audience=self._config.audience,
                issuer=self._config.issuer,
                options={
                    "require": ["exp", "sub"],
                    "verify_aud": self._config.audience is not None,
                    "verify_exp": False,  # the times are checked below, by our own clock
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            self._in_time(claims, now)
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthentic("jwt") from None
        return _who(claims)

    def _choose(self, kid: object) -> Key | None:
        """Return the key a token names; a token without a name, or with one that nobody knows, is for the default."""
        named = self._keys.get(kid) if isinstance(kid, str) else None
        if named is None and kid is None and self._default is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return named or self._default

    def _in_time(self, claims: dict[str, Any], now: float) -> None:
        leeway = self._config.leeway_secs
        exp, since = _moment(claims["exp"]), _moment(claims.get("nbf", 0))
        if not (now - leeway < exp <= now + self._config.max_age_secs + leeway and since <= now + leeway):
            raise Unauthentic("jwt")


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a time is a number")
    return float(value)


def _who(claims: dict[str, Any]) -> Who:
    sub = claims["sub"]
    if not isinstance(sub, str) or not 0 < len(sub) <= SUB_MAX:
        raise Unauthentic("jwt")
    addresses = [Address(scheme=SCHEME, value=sub)]
    for name, scheme in (("email", "mailto"), ("phone_number", "tel")):
        value = claims.get(name)
        if isinstance(value, str) and 0 < len(value) <= 254 and claims.get(f"{name}_verified") is not False:
            addresses.append(Address(scheme=scheme, value=value.lower() if scheme == "mailto" else value))
    return Who(
        sub=sub,
        name=_text(claims.get("name")),
        picture=_text(claims.get("picture"), 2000),
        locale=_text(claims.get("locale"), 35),
        addresses=tuple(addresses),
    )


def _text(value: object, most: int = NAME_MAX) -> str | None:
    return value[:most] if isinstance(value, str) and value else None
