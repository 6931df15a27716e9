"""S/MIME signatures for simulated mails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def signed(part: bytes, address: str) -> bytes:
    """Wrap a MIME part into ``multipart/signed`` (RFC 8551 §3.5.3), header fields and all, by a new certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, address)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .sign(key, hashes.SHA256())
    )
    builder = PKCS7SignatureBuilder().set_data(part).add_signer(certificate, key, hashes.SHA256())
    made = builder.sign(Encoding.SMIME, [PKCS7Options.DetachedSignature])
    return made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
