"""Whether receivers can verify our DKIM signatures: is the public key in the DNS, and does it fit?"""

from __future__ import annotations

import asyncio
import base64
import re
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from dns.resolver import NoResolverConfiguration

from connectors.email.outgoing_config import DkimConfig
from connectors.email.trust_dns import Dns, NotNow
from normalizer.checks import Check

SECS = 3.0
_KEY = re.compile(rb"(?:^|;)\s*p\s*=([^;]*)")


async def published(config: DkimConfig, servers: tuple[str, ...] = ()) -> Check:
    """Compare the record of the selector (RFC 6376 §3.6.1) with the private key."""
    name = f"{config.selector}._domainkey.{config.domain}"
    ours = public_key(config)
    try:
        records = await asyncio.to_thread(lambda: Dns(servers).texts(name, time.monotonic() + SECS))
    except (NotNow, NoResolverConfiguration):
        return Check(name="dkim", ok=None, detail=f"the DNS does not say now what is at {name}")
    keys = {re.sub(rb"\s", b"", match[1]) for record in records if (match := _KEY.search(record))}
    if ours.encode() in keys:
        return Check(name="dkim", ok=True, detail=f"the key at {name} fits")
    detail = f"the key at {name} is another one" if keys else f"there is no key at {name}"
    algorithm = "rsa" if config.algorithm == "rsa-sha256" else "ed25519"
    hint = f'publish it as TXT: "v=DKIM1; k={algorithm}; p={ours}"'
    return Check(name="dkim", ok=False, detail=f"{detail}: our signatures fail", hint=hint)


def public_key(config: DkimConfig) -> str:
    """Write the public key as it stands in the DNS."""
    secret = config.key.reveal()
    if config.algorithm == "ed25519-sha256":
        raw = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)).public_key().public_bytes_raw()
        return base64.b64encode(raw).decode()
    key = load_pem_private_key(secret.encode(), None).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
