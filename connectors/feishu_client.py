"""Calls of Feishu's API, with an access token that all nodes share.

https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from connectors.api import Context
from connectors.codes import TokenRefused
from connectors.errors import Misconfigured, SendError
from connectors.feishu_api import Grant, refusal, result
from connectors.http import ANSWER_BYTES, Answer, call
from connectors.shared_token import SharedToken
from normalizer import build
from normalizer.raw import Wire

GRANT = "/open-apis/auth/v3/tenant_access_token/internal"
Check = Callable[[Answer, tuple[str, ...]], SendError | None]
"""Says what an answer means; None for a success."""


class FeishuClient:
    """One app's API."""

    def __init__(
        self,
        context: Context,
        *,
        base: str,
        app_id: str,
        app_secret: str,
        timeout: float,
        hide: tuple[str, ...],
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- tokens end at a time of day
    ) -> None:
        """Call the API at `base`, each call for at most `timeout` seconds; no error shows what is in `hide`."""
        self._context, self._base, self._timeout, self._hide = context, base.rstrip("/"), timeout, hide
        self._grant = {"app_id": app_id, "app_secret": app_secret}
        self._clock = clock
        self._token = SharedToken(context.state, f"feishu:{app_id}", self._fetch, clock=clock)

    async def call(self, wire: Wire, *, max_bytes: int = ANSWER_BYTES, check: Check = refusal) -> Answer:
        """Perform a call; with another token once more, when Feishu does not take this one. Raises `SendError`."""
        token = await self._token.get()
        try:
            return await self._once(wire, token, max_bytes, check)
        except TokenRefused:
            self._token.refuse(token)
        return await self._once(wire, await self._token.get(), max_bytes, check)

    async def token_secs(self) -> float:
        """Say for how many seconds the access token is good; fetches one if there is none."""
        await self._token.get()
        return max(0.0, (self._token.expires or 0.0) - self._clock())

    async def _once(self, wire: Wire, token: str, max_bytes: int, check: Check) -> Answer:
        headers = {**wire.headers, "Authorization": f"Bearer {token}"}
        answer = await self._send(replace(wire, headers=headers), max_bytes)
        error = check(answer, (*self._hide, token))
        if error is not None:
            raise error
        return answer

    async def _send(self, wire: Wire, max_bytes: int = ANSWER_BYTES) -> Answer:
        headers = dict(wire.headers)
        if headers.get("Content-Type") == "application/json":
            headers["Content-Type"] = "application/json; charset=utf-8"
        return await call(
            self._context.http,
            wire.method,
            self._base + wire.url,
            headers=headers,
            body=wire.body or None,
            timeout=self._timeout,
            max_bytes=max_bytes,
        )

    async def _fetch(self) -> tuple[str, float]:
        """Ask for an access token; trouble is told as a state of the channel."""
        answer = await self._send(build.post(GRANT, self._grant))
        error = refusal(answer, self._hide)
        if isinstance(error, Misconfigured):
            self._context.report("access_token", str(error), down=True)
        if error is not None:
            raise error
        told = result(answer, Grant)
        self._context.report("access_token", None)
        return told.tenant_access_token, told.expire
