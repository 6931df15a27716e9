"""Signature and encryption of what Feishu delivers.

https://open.feishu.cn/document/ukTMukTMukTM/uYDNxYjL2QTM24iN0EjN/event-subscription-configure-/encrypt-key-encryption-configuration-case

The signature is the SHA-256 of time, nonce, key and raw body, one after the other, in hexadecimal digits. What is
encrypted is AES-256-CBC with PKCS #7 padding; its key is the SHA-256 of the Encrypt Key, and the first block is the
initialisation vector.

The older callback of cards is signed otherwise, as Feishu's own lark_oapi does it (`lark_oapi.card`): with the SHA-1 of
time, nonce, Verification Token and raw body, whether it is encrypted or not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from connectors.signatures import check_digest
from normalizer.errors import MalformedPayload

SIGNATURE, TIMESTAMP, NONCE = "x-lark-signature", "x-lark-request-timestamp", "x-lark-request-nonce"
BLOCK = 16
CARD_DIGITS = 40
"""Hexadecimal digits of the signature of an older callback; all others have 64."""


class Crypto:
    """What can be done with one Encrypt Key."""

    def __init__(self, encrypt_key: str) -> None:
        """Take the key as it stands in the developer console."""
        self._key = encrypt_key.encode()
        self._aes = hashlib.sha256(self._key).digest()

    def signature(self, timestamp: str, nonce: str, body: bytes) -> bytes:
        """Compute the signature of a delivery."""
        head = (timestamp + nonce).encode("utf-8", "surrogatepass")
        return hashlib.sha256(head + self._key + body).digest()

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Prove a delivery, apart from its time; raises `Unauthorized`."""
        expected = self.signature(headers.get(TIMESTAMP, ""), headers.get(NONCE, ""), body)
        check_digest(headers.get(SIGNATURE), expected)

    def encrypt(self, plain: bytes) -> str:
        """Encrypt the content of a delivery."""
        vector = secrets.token_bytes(BLOCK)
        padder = padding.PKCS7(BLOCK * 8).padder()
        encryptor = Cipher(algorithms.AES(self._aes), modes.CBC(vector)).encryptor()
        sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
        return base64.b64encode(vector + sealed).decode()

    def decrypt(self, encrypted: str) -> bytes:
        """Return the content of ``encrypt``; raises `MalformedPayload`."""
        try:
            packed = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedPayload("`encrypt` is not Base64") from None
        if len(packed) < 2 * BLOCK or len(packed) % BLOCK:
            raise MalformedPayload("`encrypt` is not of whole blocks")
        decryptor = Cipher(algorithms.AES(self._aes), modes.CBC(packed[:BLOCK])).decryptor()
        unpadder = padding.PKCS7(BLOCK * 8).unpadder()
        try:
            return unpadder.update(decryptor.update(packed[BLOCK:]) + decryptor.finalize()) + unpadder.finalize()
        except ValueError:
            raise MalformedPayload("the delivery cannot be decrypted; check `encrypt_key`") from None


def card_signature(token: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """Compute the signature of an older callback of a card."""
    head = (timestamp + nonce + token).encode("utf-8", "surrogatepass")
    return hashlib.sha1(head + body).digest()  # noqa: S324 -- Feishu's choice


def check_card(headers: Mapping[str, str], token: str, body: bytes) -> None:
    """Prove an older callback of a card, apart from its time; raises `Unauthorized`."""
    check_digest(
        headers.get(SIGNATURE), card_signature(token, headers.get(TIMESTAMP, ""), headers.get(NONCE, ""), body)
    )


class Sealed(msgspec.Struct, frozen=True):
    """An encrypted delivery."""

    encrypt: str


def sealed_in(body: bytes) -> str | None:
    """Return what is encrypted in a delivery; None where nothing is."""
    try:
        return msgspec.json.decode(body, type=Sealed).encrypt
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
