"""What Twilio's error codes mean: one table for the answers of its API and for the statuses of its webhooks.

https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

from typing import Literal

from normalizer import rpc
from normalizer.model import StatusError

Meaning = Literal["gone", "window", "throttled", "unreachable", "misconfigured", "refused"]

CODES: dict[int, Meaning] = {
    10001: "misconfigured",  # account is not active
    14107: "throttled",  # SMS send rate limit exceeded
    20001: "refused",  # unknown parameters
    20003: "misconfigured",  # authentication error
    20005: "misconfigured",  # account not active
    20006: "misconfigured",  # access denied
    20008: "misconfigured",  # resource not accessible with test credentials
    20403: "misconfigured",  # forbidden
    20404: "misconfigured",  # not found: the account, or the service
    20429: "throttled",
    20500: "unreachable",
    20503: "unreachable",
    21211: "gone",  # invalid To number
    21212: "misconfigured",  # invalid From number
    21219: "misconfigured",  # To is not verified (trial account)
    21265: "gone",  # To is a short code
    21408: "refused",  # no permission to send to this region
    21603: "misconfigured",  # From or a Messaging Service is required
    21604: "refused",
    21606: "misconfigured",  # From cannot send to this To
    21607: "misconfigured",
    21608: "misconfigured",  # To is not verified (trial account)
    21610: "gone",  # unsubscribed
    21611: "throttled",  # the queue of this From is full
    21612: "gone",  # no route to this To with this From
    21614: "gone",  # not a mobile number
    21635: "gone",  # a landline
    21656: "refused",  # invalid content variables
    21660: "misconfigured",  # From is not of this account
    21701: "misconfigured",  # the Messaging Service does not exist
    21703: "misconfigured",  # the Messaging Service has no numbers
    21705: "misconfigured",
    21730: "unreachable",  # maintenance
    30001: "throttled",  # queue overflow
    30002: "misconfigured",  # account suspended
    30003: "unreachable",  # handset off or out of reach
    30004: "gone",  # blocked by the recipient or its carrier
    30005: "gone",  # unknown destination
    30006: "gone",  # landline or unreachable carrier
    30007: "refused",  # filtered
    30008: "refused",  # unknown error
    30022: "throttled",  # rate limit of US A2P 10DLC
    30023: "throttled",  # daily limit of US A2P 10DLC
    30034: "misconfigured",  # From is not registered for US A2P 10DLC
    63001: "misconfigured",  # the channel did not accept its credentials
    63003: "gone",  # the channel does not know To
    63007: "misconfigured",  # no channel with this From
    63010: "unreachable",
    63012: "unreachable",  # internal error of the channel
    63015: "gone",  # the sandbox: this person has not joined it
    63016: "window",  # free text outside of the 24 hours
    63018: "throttled",
    63020: "misconfigured",
    63024: "gone",  # invalid recipient
    63032: "refused",  # WhatsApp limits how many marketing messages this person gets
    63033: "gone",  # blocked by this person
    63038: "throttled",  # daily limit of the account
    63051: "misconfigured",  # the WhatsApp business account is locked
    63112: "misconfigured",  # disabled by Meta
}  # fmt: skip
"""Code → meaning; a code that is not here refuses this one message."""

_RPC: dict[Meaning, int] = {
    "gone": rpc.CONTACT_STOPPED,
    "window": rpc.WINDOW_CLOSED,
    "throttled": rpc.THROTTLED,
    "unreachable": rpc.CONNECTION_FAILED,
    "misconfigured": rpc.CHANNEL_CONFIG,
    "refused": rpc.REJECTED,
}


def meaning(code: int) -> Meaning:
    """Return what a code means to us."""
    return CODES.get(code, "refused")


def status_error(code: str | None, words: str) -> StatusError:
    """Say why a message failed, in the codes of JSON-RPC; Twilio's own is part of the text."""
    number = int(code) if code and code.isdecimal() and len(code) < 9 else 0
    found = meaning(number)
    text = f"{words} ({number})" if number else words
    return StatusError(code=_RPC[found], message=text, retryable=found in {"throttled", "unreachable"})
