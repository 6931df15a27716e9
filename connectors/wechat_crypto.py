"""Signature and encryption of messages of WeChat and WeCom.

AES-256-CBC with the key Base64-decoded from EncodingAESKey + ``=``, its first 16 bytes as IV, PKCS#7 padding to 32
bytes; the plain text is 16 random bytes, the length of the content in 4 bytes (big endian), the content, and the id of
the receiver (AppID, or CorpID in WeCom).
https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Technical_Plan.html
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import struct
from contextlib import suppress
from hashlib import sha1

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from connectors.errors import Unauthorized
from normalizer.errors import MalformedPayload

FORBIDDEN = 403
"""The HTTP answer to what is not authentic; WeChat's own libraries give it, and so do we."""
AES_KEY = r"^[A-Za-z0-9+/]{43}$"
"""What an EncodingAESKey looks like."""
_BLOCK, _RANDOM = 32, 16


class ForeignReceiver(Unauthorized):
    """It was encrypted for another app than ours."""

    def __init__(self) -> None:
        """Say so without the id."""
        super().__init__("encrypted for another app id", FORBIDDEN)


def signature(*fields: str) -> str:
    """Compute WeChat's signature: SHA-1 of the sorted fields (the token, timestamp, nonce and what is encrypted)."""
    return sha1("".join(sorted(fields)).encode()).hexdigest()  # noqa: S324 -- the provider's choice


def check_signature(given: str | None, *fields: str) -> None:
    """Compare a signature in constant time; raises `Unauthorized` (403)."""
    if not given:
        raise Unauthorized("the signature is missing", FORBIDDEN)
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), signature(*fields).encode()):
        raise Unauthorized("the signature does not fit", FORBIDDEN)


class Crypto:
    """Encrypts and decrypts for one receiver."""

    def __init__(self, encoding_aes_key: str, receiver: str) -> None:
        """Take the EncodingAESKey (43 characters) and the AppID or CorpID; raises `ValueError`."""
        if not re.fullmatch(AES_KEY, encoding_aes_key):
            raise ValueError("an EncodingAESKey has 43 characters of A-Z a-z 0-9 + /")
        # Of the last character only 4 bits count; its other 2 may be set, so it is not checked strictly.
        key = base64.b64decode(encoding_aes_key + "=")
        self._cipher, self._receiver = Cipher(AES(key), CBC(key[:16])), receiver.encode()

    def decrypt(self, encrypted: str) -> bytes:
        """Return the content.

        Raises:
            ForeignReceiver: it is for another app.
            MalformedPayload: it was not encrypted with this key, or was cut.
        """
        try:
            data = base64.b64decode(encrypted, validate=True)
            decryptor = self._cipher.decryptor()
            plain = decryptor.update(data) + decryptor.finalize()
        except (binascii.Error, ValueError) as exc:
            raise MalformedPayload("Encrypt is not Base64 of whole AES blocks") from exc
        padding = plain[-1] if plain else 0
        end = len(plain) - padding
        if not 1 <= padding <= _BLOCK or end < _RANDOM + 4:
            raise MalformedPayload("Encrypt cannot be decrypted; check `encoding_aes_key`")
        (size,) = struct.unpack_from(">I", plain, _RANDOM)
        start = _RANDOM + 4
        if start + size > end:
            raise MalformedPayload("Encrypt cannot be decrypted; check `encoding_aes_key`")
        if not hmac.compare_digest(plain[start + size : end], self._receiver):
            raise ForeignReceiver
        return plain[start : start + size]

    def check_receiver(self, encrypted: str) -> None:
        """Raise `ForeignReceiver` if it is for another app; what cannot be decrypted at all passes, to be kept."""
        with suppress(MalformedPayload):
            self.decrypt(encrypted)

    def encrypt(self, content: bytes) -> str:
        """Return `content` encrypted, in Base64."""
        data = secrets.token_bytes(_RANDOM) + struct.pack(">I", len(content)) + content + self._receiver
        padding = _BLOCK - len(data) % _BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()).decode()

    def envelope(self, content: bytes, token: str, timestamp: int, nonce: str) -> dict[str, str]:
        """Encrypt and sign an answer: the fields ``Encrypt``, ``MsgSignature``, ``TimeStamp`` and ``Nonce``."""
        encrypted = self.encrypt(content)
        signed = signature(token, str(timestamp), nonce, encrypted)
        return {"Encrypt": encrypted, "MsgSignature": signed, "TimeStamp": str(timestamp), "Nonce": nonce}
