"""Checks of who sent a delivery, in constant time, on the bytes as received.

Every function returns nothing on success and raises `Unauthorized` otherwise; no message carries any part of what
was expected. Callers pass what the request carries as it stands, None where the header is missing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import UTC, datetime
from typing import Literal

from connectors.errors import Unauthorized

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

MAX_AGE_SECS = 300.0
"""Replay window where the provider states none (Slack and Stripe both say five minutes)."""

SIGNATURES_MAX = 8
"""Signatures looked at in one header; a provider that changes its key sends two."""


def check_hmac(
    signature: str | None,
    payload: bytes,
    *keys: str | bytes,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
    prefix: str = "",
) -> None:
    """Check an HMAC (RFC 2104).

    Args:
        signature: the header's value; several signatures may stand in it, separated by commas or spaces.
        payload: what was signed, byte for byte.
        keys: the shared secret, or several while it is being changed; one must fit.
        algorithm: the hash.
        encoding: how the signature is written; Base64 with either alphabet, padded or not.
        prefix: what stands before each signature (``sha256=``, ``v0=``); without it a signature does not count.

    Raises:
        Unauthorized: no signature fits, or none is there.
    """
    check_digest(
        signature, *(hmac.digest(_bytes(key), payload, algorithm) for key in keys), encoding=encoding, prefix=prefix
    )


def check_digest(signature: str | None, *expected: bytes, encoding: Encoding = "hex", prefix: str = "") -> None:
    """Compare a signature with digests computed by the caller (providers that hash without HMAC); see `check_hmac`."""
    given = _signatures(signature or "", encoding, prefix)
    fits = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(fits):
        raise Unauthorized("the signature is missing" if not signature else "the signature does not fit")


def check_token(given: str | None, *expected: str | bytes) -> None:
    """Compare a constant token, or one of several while it is being changed; an empty token never fits."""
    token, fits = _bytes(given or ""), False
    for one in expected:  # each of them, whichever fits
        fits |= bool(one) and hmac.compare_digest(token, _bytes(one))
    if not (token and fits):
        raise Unauthorized("the token is missing" if not token else "the token does not fit")


def check_basic(authorization: str | None, user: str, password: str) -> None:
    """Check HTTP Basic credentials (RFC 7617), in UTF-8."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("no Basic credentials")
    try:
        credentials = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Unauthorized("the Basic credentials are not Base64") from exc
    if not password or not hmac.compare_digest(credentials, f"{user}:{password}".encode()):
        raise Unauthorized("user or password do not fit")


def check_timestamp(value: str | None, now: float, *, max_age_secs: float = MAX_AGE_SECS) -> None:
    """Refuse a delivery signed too long ago, or too far in the future, to be anything but a replay.

    Call it together with a signature that covers `value`; alone it proves nothing.

    Args:
        value: Unix seconds or milliseconds, or ISO 8601; the header as it stands.
        now: Unix seconds.
        max_age_secs: how far the two may be apart, either way.
    """
    then = _unix(value or "")
    if then is None:
        raise Unauthorized("the signed timestamp is missing or unreadable")
    if not abs(now - then) <= max_age_secs:
        raise Unauthorized("the signed timestamp is outside the replay window; check the clocks")


def _bytes(key: str | bytes) -> bytes:
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


def _signatures(header: str, encoding: Encoding, prefix: str) -> list[bytes]:
    separators = "".join(char for char in ", " if char not in prefix)  # Svix's prefix is "v1," with the comma
    parts = re.split(f"[{separators}]+", header) if separators else [header]
    found = [one.removeprefix(prefix) for one in parts if one.startswith(prefix)]
    decoded = (_decode(one, encoding) for one in found[:SIGNATURES_MAX])
    return [one for one in decoded if one]


def _decode(signature: str, encoding: Encoding) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(signature)
        plain = signature.translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:  # binascii.Error is one
        return b""


_URL_SAFE = str.maketrans("-_", "+/")
_MILLISECONDS = 1e11  # as seconds this is the year 5138


def _unix(value: str) -> float | None:
    try:
        if re.fullmatch(r"\d{1,16}(\.\d{1,9})?", value, re.ASCII):
            number = float(value)
            return number / 1000 if number >= _MILLISECONDS else number
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
