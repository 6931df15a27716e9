"""Twilio's signature (https://www.twilio.com/docs/usage/webhooks/webhooks-security#validating-signatures-from-twilio).

It covers the URL exactly as it stands at Twilio, and the fields of the form, sorted; of a JSON body a hash stands in
the query. It covers no time: a delivery that comes again is recognised by its MessageSid.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from connectors.api import Delivery
from connectors.errors import Unauthorized
from connectors.signatures import check_digest

SIGNATURE, SETTINGS = "x-twilio-signature", "x-twilio-webhooks-signature-settings"
BODY_HASH = "bodySHA256"
PORTS = {"https": 443, "http": 80}
FIELDS_MAX = 300
Hash = Literal["sha1", "sha256"]


def check(delivery: Delivery, url: str, tokens: tuple[str, ...], shared_key: str | None = None) -> None:
    """Check who sent a delivery.

    Args:
        delivery: as it came.
        url: of the channel, as it stands at Twilio; empty: as the request or its proxy says.
        tokens: the account's auth token, or two of them while it is being changed.
        shared_key: of a SharedKey, by which other deliveries are signed.

    Raises:
        Unauthorized: no signature fits, or the body is not the one that was signed.
    """
    settings = delivery.headers.get(SETTINGS, "")
    by_key = "algorithm=HMAC_SHA256" in settings.replace(" ", "")
    keys = ((shared_key,) if shared_key else ()) if by_key else tokens
    fields = _fields(delivery)
    expected = [
        digest(target + fields, key, "sha256" if by_key else "sha1")
        for target in _targets(delivery, url)
        for key in keys
    ]
    check_digest(delivery.headers.get(SIGNATURE), *expected, encoding="base64")


def digest(signed: str, key: str, algorithm: Hash = "sha1") -> bytes:
    """Sign a URL with the fields behind it."""
    return hmac.digest(key.encode(), signed.encode("utf-8", "surrogatepass"), algorithm)


def _fields(delivery: Delivery) -> str:
    """Write the fields of a form as they are signed, or compare the hash of any other body; raises `Unauthorized`."""
    told = delivery.query.get(BODY_HASH)
    if told is not None:
        if not hmac.compare_digest(hashlib.sha256(delivery.body).hexdigest().encode(), told.lower().encode()):
            raise Unauthorized("the body is not the one that was signed")
        return ""
    try:
        pairs = parse_qsl(delivery.body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Unauthorized("the body is no form, and its hash is missing") from None
    return "".join(name + value for name, value in sorted(set(pairs)))


def _targets(delivery: Delivery, url: str) -> Iterator[str]:
    """Name the URLs that may stand at Twilio, each with and without its port."""
    _, question, query = delivery.url.partition("?")
    for base in [url.rstrip("/") + (f"/{delivery.path}" if delivery.path else "")] if url else _asked(delivery):
        yield from _spellings(base + question + query)


def _spellings(whole: str) -> Iterator[str]:
    yield whole
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return
    default = PORTS.get(parts.scheme)
    if port is None:
        yield parts._replace(netloc=f"{parts.netloc}:{default}").geturl()
    elif port == default:
        yield parts._replace(netloc=host).geturl()


def _asked(delivery: Delivery) -> list[str]:
    """Read the URL from the request; without a word about TLS there is a proxy in front that ends it, or none."""
    headers = delivery.headers
    host = headers.get("x-forwarded-host", headers.get("host", "")).partition(",")[0].strip()
    told = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return [f"{scheme}://{host}{delivery.url.partition('?')[0]}" for scheme in ((told,) if told else ("https", "http"))]
