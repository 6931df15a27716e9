"""What the error codes of WeCom's API mean, for apps and for customer service, and what its answers look like.

https://developer.work.weixin.qq.com/document/path/90313
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from connectors import http, weixin_api
from connectors.codes import Codes
from connectors.errors import Misconfigured, RecipientGone, SendError
from connectors.http import Answer
from connectors.weixin_client import Access
from normalizer.raw import Wire

CODES = Codes(
    provider="WeCom",
    token=frozenset({40014, 41001, 42001}),
    busy=frozenset({-1, 6000}),
    # Customer service: five messages sent, 48 hours over, session ended. Only the customer can open it again.
    window=frozenset({95001, 95002, 95013}),
    # Unknown, left, outside of what the app may see (60011), or not a customer of ours (40096).
    gone=frozenset({40003, 40096, 43004, 46004, 60011, 60111, 81013}),
    # 45009: too many calls, counted by the minute and by the hour. 45033: too many at the same time.
    slow={45009: 60.0, 45033: 1.0},
    # Our credentials, our rights, or the address we call from (60020: not in the IP list) are not right.
    ours=frozenset({
        40001, 40013, 40056, 40091, 41002, 41004, 41011, 42013, 48002, 48007, 50002, 50003, 60020, 84014, 95000, 95004,
        95011, 95012, 95017, 301002,
    }),
    hints={
        40001: "check the secret",
        40013: "check `corp_id`",
        40056: "check `agent_id`",
        48002: "this app has no right to this interface; give it under customer service > apps that may call",
        48007: "this customer-service account is not given to this app",
        60011: "this user is outside of what the app may see",
        60020: "add this gateway's address to the app's trusted IPs",
        81013: "no such user, or outside of what the app may see",
        95000: "check the customer-service account (`open_kfid`)",
        95001: "five messages were sent; the customer has to write again",
        95002: "the customer has not written within 48 hours",
        95011: "this account is managed in WeCom; use the secret of an app there",
        95012: "this account is not managed in WeCom; give it to the app",
        95013: "the session has ended; the customer has to write again",
        95018: "a servicer has taken over, or the customer waits for one; the API may not write now",
        301002: "this app may not use this `agent_id`",
    },
)  # fmt: skip
RIGHTS = frozenset({"48002", "48007", "84014", "301002"})
"""Codes by which WeCom says that the app may not ask this; the credentials are right all the same."""
MSGTOKEN = "95007"
"""The token of a callback has ended (after ten minutes); the same call works without it."""


def unasked(error: SendError) -> dict[str, Any]:
    """Describe a question of the doctor's that may not be asked; raises `error` where the credentials are wrong."""
    if isinstance(error, Misconfigured) and error.provider_code not in RIGHTS:
        raise error
    return {"error": error.code, "provider_code": error.provider_code, "message": str(error)}


class Left(Struct, frozen=True):
    """Of the answer to a message: who does not get it.

    Attributes:
        invaliduser: recipients that were left out of the message, which is no error to WeCom.
        unlicenseduser: recipients for whom the corp has no licence (any more).
    """

    invaliduser: str | None = None
    unlicenseduser: str | None = None


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success. See `weixin_api.refusal`."""
    error = weixin_api.refusal(answer, hide, CODES)
    if error is not None:
        return error
    told = http.decoded(answer, Left, CODES.provider)
    if told.invaliduser:
        return RecipientGone("WeCom left the recipient out: unknown, or outside of what the app may see")
    return RecipientGone("WeCom left the recipient out: no licence for it") if told.unlicenseduser else None


class SentMessage(Struct, frozen=True):
    """The answer to a message."""

    msgid: str | None = None


def access(corp_id: str, secret: str) -> Access:
    """Say how an app of a corp gets at its API (https://developer.work.weixin.qq.com/document/path/91039)."""
    wire = Wire(method="GET", url=f"/cgi-bin/gettoken?{urlencode({'corpid': corp_id, 'corpsecret': secret})}")
    return Access(provider=CODES.provider, name=f"wecom:{corp_id}", grant=lambda _: wire, refusal=refusal)
