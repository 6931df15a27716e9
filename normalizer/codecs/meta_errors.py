"""What Meta's error codes mean: one table for the answers of its APIs and for the statuses of its webhooks.

* WhatsApp: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
* Messenger: https://developers.facebook.com/documentation/business-messaging/messenger-platform/error-codes
* Instagram: https://developers.facebook.com/docs/messenger-platform/instagram/error-codes
* Graph API: https://developers.facebook.com/docs/graph-api/guides/error-handling
"""

from __future__ import annotations

from typing import Literal

from normalizer import rpc
from normalizer.model import StatusError

Meaning = Literal["window", "throttled", "later", "gone", "refused", "misconfigured", "unreachable", "media"]
"""``later``: only this recipient must wait; ``throttled``: the whole channel."""

SUBCODES: dict[tuple[int, int], Meaning] = {
    (10, 2018278): "window",  # outside of the allowed window
    (10, 2018065): "window",
    (10, 2534022): "window",  # Instagram
    (10, 2018108): "gone",  # this person cannot receive messages
    (100, 33): "refused",  # the object does not exist
    (100, 2018001): "gone",  # no matching user found
    (100, 2534014): "gone",  # Instagram: the user cannot be found
    (200, 1545041): "gone",  # this person is not available right now
    (200, 2018021): "gone",  # with a user_ref that is used up
    (551, 1545041): "gone",
    (613, 2018028): "throttled",
    (100, 2018109): "refused",  # attachment too large
}
"""(code, subcode) → meaning; what is not here goes by its code alone."""

CODES: dict[int, Meaning] = {
    0: "misconfigured",  # the app user cannot be authenticated
    1: "unreachable",  # unknown error, possibly of the server
    2: "unreachable",  # temporary
    3: "misconfigured",  # capability or permission
    4: "throttled",  # too many calls of the app
    10: "misconfigured",  # permission denied or withdrawn
    17: "throttled",
    32: "throttled",
    33: "misconfigured",  # the business phone number has been deleted
    100: "refused",  # invalid parameter
    102: "misconfigured",  # session expired
    190: "misconfigured",  # access token expired
    368: "misconfigured",  # blocked for a violation of policies
    470: "window",  # of old versions
    551: "gone",  # this person is not available right now
    613: "throttled",
    1200: "unreachable",  # temporary failure to send
    80007: "throttled",  # rate limit of the WhatsApp business account
    130429: "throttled",  # throughput of the Cloud API
    130472: "refused",  # the number is part of an experiment
    130497: "refused",  # restricted in this country
    131000: "unreachable",
    131005: "misconfigured",
    131008: "refused",
    131009: "refused",
    131016: "unreachable",
    131021: "refused",  # sender and recipient are the same
    131026: "gone",  # undeliverable: no WhatsApp number, or its terms not accepted
    131030: "refused",  # not in the list of a test number
    131031: "misconfigured",  # account locked
    131037: "misconfigured",  # display name not approved
    131042: "misconfigured",  # payment
    131045: "misconfigured",  # the phone number is not registered
    131047: "window",  # more than 24 hours since the recipient's last message
    131048: "throttled",  # this number is limited as a sender of spam
    131049: "refused",  # not delivered "to maintain healthy ecosystem engagement"
    131050: "gone",  # the recipient stopped marketing messages
    131051: "refused",
    131052: "media",
    131053: "media",
    131056: "later",  # too many messages to this recipient
    131057: "unreachable",  # maintenance
    131062: "refused",  # not to be sent to a business-scoped user id
    131064: "throttled",  # messaging limit
    132015: "refused",  # template paused
    132069: "throttled",  # flow throttled
    133004: "unreachable",
    133010: "misconfigured",  # the phone number is not registered
    134011: "misconfigured",
    135000: "refused",
    137000: "refused",
}
"""Code → meaning; a code that is not here is a refusal of this one message."""

_RPC = {
    "window": rpc.WINDOW_CLOSED,
    "throttled": rpc.THROTTLED,
    "later": rpc.THROTTLED,
    "gone": rpc.CONTACT_STOPPED,
    "refused": rpc.REJECTED,
    "misconfigured": rpc.CHANNEL_CONFIG,
    "unreachable": rpc.CONNECTION_FAILED,
    "media": rpc.MEDIA_UNAVAILABLE,
}
_AGAIN = frozenset({"throttled", "later", "unreachable"})


def meaning(code: int, subcode: int | None = None) -> Meaning:
    """Look an error up."""
    found = SUBCODES.get((code, subcode)) if subcode else None
    if found is None and 200 <= code < 300:
        found = "misconfigured"  # permissions of every sort
    return found or CODES.get(code, "refused")


def status_error(code: int, text: str) -> StatusError:
    """Say why a message failed, in our words and code; `text` is Meta's."""
    what = meaning(code)
    return StatusError(code=_RPC[what], message=f"{code}: {text}" if text else str(code), retryable=what in _AGAIN)
