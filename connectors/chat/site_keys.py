"""Keys of the customer's site, which its tokens are checked with."""

from __future__ import annotations

from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms

from connectors.secrets import Secret

KEY_BYTES = 32


class Key:
    """A key, and the algorithms it may be used with: never those of another family (RFC 8725 §3.1)."""

    def __init__(self, value: Any, algorithms: frozenset[str]) -> None:
        """Hold a key that PyJWT can use."""
        self.value, self.algorithms = value, algorithms


def read_key(secret: Secret, allowed: frozenset[str], path: str) -> Key:
    """Read a shared secret, or a public key in PEM; raises `ValueError` that names the option `path`."""
    text = secret.reveal()
    if "-----BEGIN" not in text:
        algorithms = frozenset(name for name in allowed if name.startswith("HS"))
        if not algorithms:
            raise ValueError(f"`{path}` is no PEM, and none of `jwt.algorithms` takes a shared secret")
        if len(text.encode()) < KEY_BYTES:
            raise ValueError(f"`{path}` needs at least {KEY_BYTES} bytes (RFC 7518 §3.2)")
        return Key(text.encode(), algorithms)
    able = {}
    for name in allowed:
        if not name.startswith("HS"):
            try:
                able[name] = get_default_algorithms()[name].prepare_key(text)
            except (jwt.InvalidKeyError, ValueError, TypeError):
                continue
    if not able:
        raise ValueError(f"`{path}` is no public key for any of `jwt.algorithms`")
    return Key(next(iter(able.values())), frozenset(able))


def read_key_set(secret: Secret, allowed: frozenset[str]) -> dict[str, Key]:
    """Read a JSON Web Key Set (RFC 7517), by `kid`; raises `ValueError`."""
    try:
        keys = jwt.PyJWKSet.from_json(secret.reveal()).keys
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise ValueError("`jwt.jwks` is no JSON Web Key Set with a key that can be used") from None
    found = {
        key.key_id: Key(key.key, frozenset({key.algorithm_name}))
        for key in keys
        if key.key_id and key.algorithm_name in allowed and key.public_key_use in {None, "sig"}
    }
    if not found:
        raise ValueError("`jwt.jwks` has no key with a `kid` for any of `jwt.algorithms`")
    return found
