"""What Slack tells about an app's set-up (`channel.verify`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.http import Answer
from connectors.slack_api import result

NEEDED = ("chat:write", "files:read", "files:write", "reactions:write")
"""Scopes without which something of this channel does not work; reading needs one `…:history` per sort of channel."""


async def probe(
    ask: Callable[[str], Awaitable[Answer]], handshake: Callable[[], Awaitable[bool]], clock: Callable[[], float]
) -> dict[str, Any]:
    """Ask who we are, what we may, and how late it is.

    https://docs.slack.dev/reference/methods/auth.test; scopes are in the header `x-oauth-scopes`.

    Raises:
        SendError: the token is not accepted.
    """
    answer = await ask("/auth.test")
    told = result(answer, dict[str, Any])
    found: dict[str, Any] = {
        name: told[name] for name in ("team", "team_id", "user", "user_id", "bot_id", "url") if name in told
    }
    found["handshake"] = "ok" if await handshake() else "failed"
    scopes = [one.strip() for one in answer.headers.get("x-oauth-scopes", "").split(",") if one.strip()]
    if scopes:
        found["scopes"] = scopes
        found["missing_scopes"] = [one for one in NEEDED if one not in scopes]
    skew = clock_skew(answer, clock())
    if skew is not None:
        found["clock_skew_secs"] = skew
    return found


def clock_skew(answer: Answer, now: float) -> int | None:
    """Say how many seconds our clock is ahead of the provider's, by its `Date`."""
    try:
        return round(now - parsedate_to_datetime(answer.headers.get("Date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
