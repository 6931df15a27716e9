"""What people do besides writing: where they came from, what they agree to, what they have got and read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from normalizer import ids
from normalizer.build import bounded
from normalizer.codecs import messaging_types as t
from normalizer.codecs.messaging_scope import Scope
from normalizer.codecs.meta import moment, present
from normalizer.model import ActivityParams, MessageRef, ReceiptParams, StatusParams
from normalizer.model import Referral as From
from normalizer.raw import Event

SOURCES: dict[str, Literal["ad", "post", "qr", "shortlink"]] = {
    "ADS": "ad",
    "ADS-ICEBREAKER": "ad",
    "MESSENGER_CODE": "qr",
    "POST": "post",
}
STOPPED = "STOP_NOTIFICATIONS"


def hashed(scope: Scope, what: str, *told: str | None) -> str:
    """Name what has no id: who, when, and what was told."""
    return f"{what}:{ids.digest(scope.native, scope.stamp, *(text or '' for text in told))}"


def came_from(referral: t.Referral | None) -> From | None:
    """Say what brought the person here."""
    if referral is None:
        return None
    source = "ad" if referral.ad_id is not None else SOURCES.get((referral.source or "").upper(), "shortlink")
    return From(
        source=source,
        ref=referral.ref,
        ad_id=None if referral.ad_id is None else str(referral.ad_id),
        url=referral.referer_uri,
    )


def told_of(referral: t.Referral | None) -> dict[str, Any] | None:
    """Collect what the model has no place for."""
    if referral is None:
        return None
    product = str(referral.product.id) if referral.product and referral.product.id is not None else None
    context = bounded(referral.ads_context_data) if referral.ads_context_data else None
    return present(source=referral.source, type=referral.type, product_id=product, ads_context_data=context)


def referral_event(scope: Scope, referral: t.Referral) -> Event:
    """Tell that somebody came by a link or an ad, into a conversation that there was."""
    told = told_of(referral)
    return scope.event(
        "conversation.referral",
        ActivityParams,
        native_id=hashed(scope, "referral", referral.ref, referral.source),
        at=scope.at,
        sender=scope.actor,
        referral=came_from(referral),
        metadata={scope.platform.kind: told} if told else {},
    )


def optin_event(scope: Scope, optin: t.Optin) -> Event:
    """Tell that somebody agreed to be written to, or does no more; the token to write with is in the metadata."""
    stopped = optin.notification_messages_status == STOPPED
    told = present(**msgspec.structs.asdict(optin))
    return scope.event(
        "contact.opted_out" if stopped else "contact.opted_in",
        ActivityParams,
        native_id=hashed(scope, "optin", optin.type, optin.payload or optin.ref, optin.notification_messages_status),
        at=scope.at,
        sender=scope.actor,
        reason=optin.type,
        metadata={scope.platform.kind: told},
    )


def delivered(scope: Scope, found: t.Delivered) -> Iterator[Event]:
    """Tell what arrived: message by message where they are named, else up to a time."""
    at = scope.at if found.watermark is None else moment(found.watermark, per_second=1000)
    for mid in dict.fromkeys(found.mids):
        yield _status(scope, mid, "delivered", at)
    if not found.mids:
        yield _receipt(scope, "receipt.delivered", found.watermark)


def seen(scope: Scope, found: t.Seen) -> Event:
    """Tell what was read: a message where it is named, else up to a time."""
    if found.mid is not None:
        return _status(scope, found.mid, "read", scope.at)
    return _receipt(scope, "receipt.read", found.watermark)


def _status(scope: Scope, mid: str, word: Literal["delivered", "read"], at: datetime) -> Event:
    return scope.event(
        "message.status",
        StatusParams,
        native_id=mid,
        revision=word,
        message=MessageRef(provider_id=mid),
        status=word,
        at=at,
    )


def _receipt(scope: Scope, method: str, watermark: int | None) -> Event:
    """Tell that everything up to a time arrived or was read; no message is named."""
    at = scope.at if watermark is None else moment(watermark, per_second=1000)
    return scope.event(
        method,
        ReceiptParams,
        native_id=f"{scope.native}:{watermark or scope.stamp}",
        scope=method,
        message=MessageRef(),
        at=at,
        sender=scope.actor,
        metadata={scope.platform.kind: present(watermark=watermark)},
    )
