"""What Feishu tells about an app's bot (`channel.verify`)."""

from __future__ import annotations

from typing import Any

from normalizer.checks import Check

STATES = {
    0: "not switched on", 1: "disabled by the tenant", 2: "on", 3: "to be switched on after installation",
    4: "to be upgraded", 5: "its licence has ended", 6: "the tenant's licence has ended",
}  # fmt: skip
ON = 2
TELLING = ("app_name", "open_id", "activate_status", "ip_white_list")


def told(token_secs: float, bot: dict[str, Any]) -> dict[str, Any]:
    """Say who we are (https://open.feishu.cn/document/client-docs/bot-v3/obtain-bot-info).

    Args:
        token_secs: for how long the access token is good.
        bot: of the answer.
    """
    found: dict[str, Any] = {name: bot[name] for name in TELLING if name in bot}
    accepted = Check(name="credentials", ok=True, detail=f"Feishu knows us as {bot.get('app_name') or 'an app'}")
    state = bot.get("activate_status")
    words = STATES.get(state, str(state)) if isinstance(state, int) else "unknown"
    hint = None if state == ON else "switch the bot on in the developer console, and publish a version"
    active = Check(name="bot", ok=state == ON, detail=f"the bot is {words}", hint=hint)
    return {"access_token": {"expires_in_secs": round(token_secs)}, **found, "checks": (accepted, active)}
