"""What Meta tells about our token and set-up: for `channel.verify`, and for a warning ahead of the token's end.

https://developers.facebook.com/docs/graph-api/reference/debug_token
https://developers.facebook.com/docs/facebook-login/guides/access-tokens/debugging
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from connectors.api import Context
from connectors.errors import SendError
from connectors.http import Answer
from connectors.meta_api import result
from normalizer.raw import Wire

FIRST_SECS, EVERY_SECS = 30.0, 43_200.0
AHEAD_DAYS = 14
"""From when on the end of a token is a trouble of the channel."""

DAY_SECS = 86_400
COMPONENT = "token"

Ask = Callable[[Wire], Awaitable[Answer]]
"""Performs a call of the API; raises `SendError`."""


class Granted(Struct, frozen=True):
    """A permission, and the accounts it is for."""

    scope: str = ""
    target_ids: tuple[str, ...] = ()


class Token(Struct, frozen=True):
    """What Meta knows of a token; times are Unix seconds, 0 means never."""

    app_id: str = ""
    application: str = ""
    is_valid: bool = True
    expires_at: int = 0
    data_access_expires_at: int = 0
    scopes: tuple[str, ...] = ()
    granular_scopes: tuple[Granted, ...] = ()

    @property
    def ends(self) -> int:
        """When it ends, by whichever of the two comes first."""
        return min((at for at in (self.expires_at, self.data_access_expires_at) if at > 0), default=0)

    def accounts(self, scope: str) -> tuple[str, ...]:
        """List the accounts a permission is for."""
        return tuple(one for granted in self.granular_scopes if granted.scope == scope for one in granted.target_ids)


class _Debugged(Struct, frozen=True):
    data: Token


def get(path: str, **query: str) -> Wire:
    """Describe a GET."""
    return Wire(method="GET", url=f"{path}?{urlencode(query)}" if query else path)


class TokenWatch:
    """Looks after a token: reports the channel as degraded ahead of its end."""

    def __init__(
        self,
        context: Context,
        token: str,
        *,
        first_secs: float = FIRST_SECS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- tokens end at a time of day
    ) -> None:
        """Look for the first time after `first_secs`."""
        self._context, self._token, self._first, self._clock = context, token, first_secs, clock

    async def run(self, ask: Ask) -> None:
        """Look again and again, until cancelled."""
        await asyncio.sleep(self._first)
        while True:
            try:
                self._report(await self.debug(ask))
            except SendError as exc:  # what sending finds out is reported there
                self._context.log.debug("token_not_checked", code=exc.code)
            await asyncio.sleep(EVERY_SECS)

    async def debug(self, ask: Ask) -> Token:
        """Ask; raises `SendError`."""
        return result(await ask(get("/debug_token", input_token=self._token)), _Debugged).data

    def told(self, token: Token) -> dict[str, Any]:
        """Say it for `channel.verify`, and report what it means."""
        self._report(token)
        found: dict[str, Any] = {"valid": token.is_valid, "app": token.application, "scopes": list(token.scopes)}
        if token.ends:
            found["days_left"] = round((token.ends - self._clock()) / DAY_SECS, 1)
        return found

    def _report(self, token: Token) -> None:
        ends = datetime.fromtimestamp(token.ends, UTC) if token.ends else None
        if not token.is_valid:
            self._context.report(COMPONENT, "the access token is not valid (any more): make a new one", down=True)
        elif ends is not None and token.ends - self._clock() < AHEAD_DAYS * DAY_SECS:
            reason = f"the access token ends on {ends:%Y-%m-%d}: make a new one, of a system user"
            self._context.report(COMPONENT, reason, expires_at=ends)
        else:
            self._context.report(COMPONENT, None)


async def attempt(asked: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Ask, and tell an error as such: one answer that is missing must not hide the others."""
    try:
        return await asked
    except SendError as exc:
        return {"error": exc.code, "provider_code": exc.provider_code, "message": str(exc)}


def skew(answer: Answer, now: float) -> float | None:
    """Say by how many seconds our clock is ahead of the server's; None where it does not tell the time."""
    try:
        return round(now - parsedate_to_datetime(answer.headers.get("Date", "")).timestamp(), 1)
    except (ValueError, TypeError, OverflowError):
        return None
