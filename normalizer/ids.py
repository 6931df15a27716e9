"""Derived identifiers: the same input has the same id on every node, in every run.

A redelivery therefore carries the id of the first delivery even when the dedup store is empty,
and a consumer can be idempotent with one unique index. Fields are length-prefixed before they are
hashed, so that no choice of separator inside an id can make two different inputs collide.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

KEPT_CHARS = 256
"""Longer ids are worked out each time: a sender chooses them, up to the size of a delivery, and thousands are kept."""
DIGEST_BYTES = 16  # 128 bits: a collision among 10^12 messages has a chance of about 10^-15


def digest(*fields: str) -> str:
    """Hash `fields` to 32 hex digits; `("a", "b")` and `("ab", "")` differ. Lengths are counted in code points."""
    return _hashed(_packed(*fields))


def _packed(*fields: str) -> str:
    return "".join([f"{len(field)}:{field}" for field in fields])


_place = lru_cache(maxsize=4096)(_packed)
"""The same for fields that come again: where something is, not what it is."""
_known = lru_cache(maxsize=32_768)(digest)
"""Ids of who and where, which come again, too."""


def _hashed(packed: str) -> str:
    return blake2b(packed.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


def dedup_key(channel_id: str, kind: str, scope: str, native_id: str, revision: str = "") -> str:
    """Derive the dedup key of an event.

    Args:
        channel_id: id of the configured channel.
        kind: the noun of the event (``message``, ``reaction`` …): a reaction to a message is not the message.
        scope: what makes `native_id` unique inside the channel, such as Telegram's ``chat.id``; may be empty.
        native_id: the provider's own id.
        revision: ``edit_date`` and the like; empty for the original.
    """
    place = (_place if len(scope) <= KEPT_CHARS else _packed)(channel_id, kind, scope)
    return _hashed(f"{place}{len(native_id)}:{native_id}{len(revision)}:{revision}")


def event_id(key: str) -> str:
    """Name the event of a dedup key; also the AMQP ``message_id``."""
    return "evt_" + key


def message_id(channel_id: str, scope: str, native_id: str) -> str:
    """Name a message; all its revisions, reactions and receipts share this id."""
    place = (_place if len(scope) <= KEPT_CHARS else _packed)(channel_id, scope)
    return "msg_" + _hashed(f"{place}{len(native_id)}:{native_id}")


def conversation_id(channel_id: str, provider_id: str) -> str:
    """Name a conversation of a channel."""
    return "cnv_" + (_known if len(provider_id) <= KEPT_CHARS else digest)(channel_id, provider_id)


def contact_id(scheme: str, value: str) -> str:
    """Name a contact; not tied to a channel, so that one address is one contact everywhere."""
    return "ctc_" + (_known if len(value) <= KEPT_CHARS else digest)(scheme, value)


def media_id(channel_id: str, native_id: str) -> str:
    """Name a media item that the provider knows by `native_id`."""
    return "med_" + digest(channel_id, native_id)


def call_id(channel_id: str, sip_call_id: str, from_tag: str) -> str:
    """Name a telephone call; a Call-ID alone is not enough, as a fork repeats it with another tag."""
    return "call_" + digest(channel_id, sip_call_id, from_tag)
