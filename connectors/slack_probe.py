"""What Slack tells about an app's set-up (`channel.verify`)."""

from __future__ import annotations

from typing import Any

from connectors.http import Answer
from connectors.slack_api import result
from normalizer.checks import Check

NEEDED = ("chat:write", "files:read", "files:write", "reactions:read", "reactions:write", "im:write")
"""Scopes without which something of this channel does not work; reading needs one `…:history` per sort of channel."""

NAMES = ("team", "team_id", "user", "user_id", "bot_id", "url")


def told(answer: Answer) -> dict[str, Any]:
    """Read who we are and what we may (https://docs.slack.dev/reference/methods/auth.test); raises `SendError`."""
    said = result(answer, dict[str, Any])
    found: dict[str, Any] = {name: said[name] for name in NAMES if name in said}
    if isinstance(said.get("expires_in"), int):  # only of an app with token rotation
        found["token_expires_in_secs"] = said["expires_in"]
    scopes = [one.strip() for one in answer.headers.get("x-oauth-scopes", "").split(",") if one.strip()]
    accepted = Check(name="credentials", ok=True, detail=f"Slack knows us as {said.get('user')} in {said.get('team')}")
    if not scopes:
        return {**found, "checks": (accepted,)}
    missing = [one for one in NEEDED if one not in scopes]
    if not any(one.endswith(":history") for one in scopes):
        missing.append("channels:history")
    return {**found, "scopes": scopes, "checks": (accepted, _scopes(missing))}


def _scopes(missing: list[str]) -> Check:
    if not missing:
        return Check(name="scopes", ok=True, detail="the token has every scope this channel uses")
    hint = "add them to the app under OAuth & Permissions, install it again, and set `bot_token`"
    return Check(name="scopes", ok=False, detail=f"the token lacks {', '.join(missing)}", hint=hint)
