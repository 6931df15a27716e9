"""What a doctor finds: the answer to `channel.verify`, of one shape for every kind of channel."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at.

    Attributes:
        name: of what was looked at: ``credentials``, ``handshake``, ``signature``, ``webhook``, ``certificate`` …
        ok: false needs somebody's attention, now or before `expires_at`; null could not be told, or does not apply.
        detail: what was found, without secrets.
        hint: what to do about it.
        expires_at: when it ends unless somebody renews it.
    """

    name: str
    ok: bool | None
    detail: str
    hint: str | None = None
    expires_at: datetime | None = None


class Verification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of `channel.verify`.

    Attributes:
        channel: its id.
        ok: no check is false.
        checks: what was looked at.
        provider: what the provider told about us, in its own words.
    """

    channel: str
    ok: bool
    checks: tuple[Check, ...]
    provider: dict[str, Any] = {}


def verification(channel: str, checks: tuple[Check, ...], provider: dict[str, Any] | None = None) -> Verification:
    """Put checks together."""
    sound = all(check.ok is not False for check in checks)
    return Verification(channel=channel, ok=sound, checks=checks, provider=provider or {})
