"""Calls of DingTalk's API, with an access token that all nodes share.

https://open.dingtalk.com/document/orgapp/obtain-the-access_token-of-an-internal-app
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlencode

from msgspec.structs import replace

from connectors.api import Context
from connectors.dingtalk_api import AccessToken, TokenRefused, refusal, result
from connectors.dingtalk_config import DingTalkConfig
from connectors.errors import Misconfigured
from connectors.http import Answer, call
from connectors.shared_token import SharedToken
from normalizer import build
from normalizer.raw import Wire

HEADER = "x-acs-dingtalk-access-token"
UPLOAD = "/media/upload"
"""Of the older API, which takes the token as a parameter."""


class DingTalkClient:
    """One application's API."""

    def __init__(
        self,
        config: DingTalkConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- tokens end at a time of day
    ) -> None:
        """Call with the credentials of `config`."""
        self._config, self._context, self._clock = config, context, clock
        self._hide = (config.app_secret.reveal(),)
        self._token = SharedToken(context.state, f"dingtalk:{config.app_key}", self._fetch, clock=clock)

    async def call(self, wire: Wire) -> Answer:
        """Perform a call; with another token once more, when DingTalk does not take this one. Raises `SendError`."""
        token = await self._token.get()
        try:
            return await self._once(wire, token)
        except TokenRefused:
            self._token.refuse(token)
        return await self._once(wire, await self._token.get())

    async def post_session(self, url: str, wire: Wire) -> Answer:
        """Answer at a session webhook, which wants no token; raises `SendError`."""
        return await self._send(replace(wire, url=url), (*self._hide, url))

    async def token_secs(self) -> float:
        """Say for how many seconds the access token is good; fetches one if there is none."""
        await self._token.get()
        return max(0.0, (self._token.expires or 0.0) - self._clock())

    async def _once(self, wire: Wire, token: str) -> Answer:
        if wire.url == UPLOAD:
            base, headers = self._config.webhook_base, wire.headers
            path = f"{UPLOAD}?{urlencode({'access_token': token})}"
        else:
            base, path, headers = self._config.api_base, wire.url, {**wire.headers, HEADER: token}
        complete = replace(wire, url=base.rstrip("/") + path, headers=headers)
        return await self._send(complete, (*self._hide, token))

    async def _send(self, wire: Wire, hide: tuple[str, ...]) -> Answer:
        answer = await call(
            self._context.http,
            wire.method,
            wire.url,
            headers=wire.headers,
            body=wire.body or None,
            timeout=self._config.send_timeout_secs,
        )
        error = refusal(answer, hide)
        if error is not None:
            raise error
        return answer

    async def _fetch(self) -> tuple[str, float]:
        """Ask for an access token; trouble is told as a state of the channel."""
        asked = {"appKey": self._config.app_key, "appSecret": self._config.app_secret.reveal()}
        wire = build.post(self._config.api_base.rstrip("/") + "/v1.0/oauth2/accessToken", asked)
        try:
            told = result(await self._send(wire, self._hide), AccessToken)
        except Misconfigured as exc:
            self._context.report("access_token", str(exc), down=True)
            raise
        self._context.report("access_token", None)
        return told.access_token, told.expire_in
