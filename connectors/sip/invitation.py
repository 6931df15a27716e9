"""Reading an INVITE: who calls whom, and what may matter for routing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.sip.config import SipConfig
from normalizer import sip_uri
from normalizer.codecs.sip import Told
from normalizer.model import Security

KEPT_HEADERS = ("user-agent", "p-asserted-identity", "remote-party-id", "diversion", "history-info", "subject")
"""What is told, besides everything that begins with ``X-``."""
MOST_CHARACTERS, MOST_HEADERS = 512, 32


def read(event: dict[str, Any], now: datetime) -> tuple[Told, dict[str, Any]]:
    """Return the identity of the call, and the fields of its `call.offered`; `event` is the child's ``incoming``."""
    found = sip_uri.headers(event["message"])
    sender = found.get("from", [""])[0]
    parsed = sip_uri.parse(sender)
    told = Told(
        method="call.offered",
        sip_call_id=event["sip_call_id"],
        from_tag=parsed.tag if parsed else "",
        direction="in",
        sender=sender,
        to=found.get("to", [""])[0],
        at=now,
    )
    via = found.get("via", [""])[0].upper()
    kept = {
        name: values[0][:MOST_CHARACTERS]
        for name, values in found.items()
        if name in KEPT_HEADERS or name.startswith("x-")
    }
    fields = {
        "sip_call_id": event["sip_call_id"],
        "transport": next((one for one in ("tls", "tcp", "udp") if f"/{one.upper()}" in via), None),
        "source": event["source"],
        "headers": dict(list(kept.items())[:MOST_HEADERS]),
    }
    return told, fields


def proof(fields: dict[str, Any], config: SipConfig) -> Security:
    """Say how far we know who calls: by a certificate, where `tls.ca` asks for one; a From can be made up."""
    certified = fields["transport"] == "tls" and config.tls is not None and config.tls.ca is not None
    return Security(verified="mtls" if certified else "none")
