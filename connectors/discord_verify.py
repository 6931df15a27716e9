"""Discord's signature: Ed25519 (RFC 8032) over the time and the body.

https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint. Discord also sends wrong signatures,
to see that they are refused.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connectors.errors import Unauthorized

SIGNATURE, TIMESTAMP = "x-signature-ed25519", "x-signature-timestamp"
SIGNATURE_BYTES = 64


class Verifier:
    """Checks signatures by one public key; there is nothing secret in it, so time tells nothing."""

    def __init__(self, public_key: str) -> None:
        """Take the key, 64 hexadecimal digits."""
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))

    def check(self, signature: str | None, timestamp: str, body: bytes) -> None:
        """Check that the provider wrote `timestamp` and `body`; raises `Unauthorized`."""
        try:
            given = bytes.fromhex(signature or "")
        except ValueError:
            raise Unauthorized("the signature is not hexadecimal") from None
        if len(given) != SIGNATURE_BYTES:
            raise Unauthorized("the signature is missing or cut off")
        try:
            self._key.verify(given, timestamp.encode("utf-8", "surrogatepass") + body)
        except InvalidSignature:
            raise Unauthorized("the signature does not fit") from None
