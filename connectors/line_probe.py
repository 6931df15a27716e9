"""What LINE tells about an account's set-up (`channel.verify`)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from connectors.api import Context
from connectors.errors import SendError
from connectors.http import Answer
from connectors.line_api import result
from normalizer import build
from normalizer.raw import Wire

WARN_SECS = 14 * 86_400.0
"""A token that ends so soon is trouble worth telling."""

Ask = Callable[[Wire], Awaitable[Answer]]


async def probe(
    ask: Ask,
    context: Context,
    token: str,
    *,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- a token ends at a time of day
) -> dict[str, Any]:
    """Ask; what the account has no right to ask is told as an error of its own.

    * who the bot is, and whether its chat is on, which marking as read needs (`/v2/bot/info`);
    * where LINE delivers, whether that is switched on, and how a test delivery fares (`channel/webhook/…`);
    * the month's quota and its use;
    * how long the access token lasts, told as a state of the channel when that is less than two weeks.

    https://developers.line.biz/en/reference/messaging-api/#get-bot-info
    https://developers.line.biz/en/reference/messaging-api/#test-webhook-endpoint
    https://developers.line.biz/en/reference/messaging-api/#get-quota
    https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token

    Raises:
        SendError: LINE does not take the token, or does not answer.
    """

    async def get(path: str) -> dict[str, Any]:
        return result(await ask(Wire(method="GET", url=path)), dict[str, Any])

    async def post(path: str) -> dict[str, Any]:
        return result(await ask(build.post(path, {})), dict[str, Any])

    me = await get("/v2/bot/info")
    found: dict[str, Any] = {
        "id": me.get("userId"),
        "basic_id": me.get("basicId"),
        "name": me.get("displayName"),
        "chat": me.get("chatMode") == "chat",
        "webhook": await _try(get("/v2/bot/channel/webhook/endpoint")),
        "webhook_test": await _try(post("/v2/bot/channel/webhook/test")),
        "quota": await _try(get("/v2/bot/message/quota")),
        "quota_used": await _try(get("/v2/bot/message/quota/consumption")),
    }
    left = await _token_secs(ask, get, token)
    if left is not None:
        found["token_expires_in_secs"] = left
        until = datetime.fromtimestamp(int(clock() + left), UTC)
        reason = "the channel access token ends soon; issue another" if left < WARN_SECS else None
        context.report("channel_access_token", reason, expires_at=until if reason else None)
    return found


async def _try(asked: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return await asked
    except SendError as exc:
        return {"error": exc.code, "provider_code": exc.provider_code, "message": str(exc)}


async def _token_secs(ask: Ask, get: Callable[[str], Awaitable[dict[str, Any]]], token: str) -> int | None:
    """Say how long the token lasts; there are two kinds, each with its own check. None if neither tells."""
    form = urlencode({"access_token": token}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        answer = await ask(Wire(method="POST", url="/v2/oauth/verify", headers=headers, body=form))
        told = result(answer, dict[str, Any])
    except SendError:
        told = await _try(get(f"/oauth2/v2.1/verify?access_token={quote(token, safe='')}"))
    left = told.get("expires_in")
    return left if isinstance(left, int) and 0 <= left < 10**10 else None
