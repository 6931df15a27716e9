"""Calls of WeChat's API, with an access token that all nodes share.

A new access token voids the one before (after five minutes), so one node fetches it and the others read it:
https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from connectors.api import Context
from connectors.errors import Misconfigured, SendError
from connectors.http import ANSWER_BYTES, Answer, call
from connectors.shared_token import SharedToken
from connectors.wechat_api import Token, TokenRefused, refusal, result
from normalizer import build
from normalizer.raw import Wire

T = TypeVar("T")
Check = Callable[[Answer, tuple[str, ...]], SendError | None]
"""Says what an answer means; None for a success."""


class WechatClient:
    """One account's API."""

    def __init__(
        self,
        context: Context,
        *,
        base: str,
        app_id: str,
        app_secret: str,
        stable: bool,
        timeout: float,
        hide: tuple[str, ...],
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Call the API at `base`, each call for at most `timeout` seconds; no error shows what is in `hide`."""
        self._context, self._base, self._timeout, self._hide = context, base.rstrip("/"), timeout, hide
        self._app_id, self._app_secret, self._stable = app_id, app_secret, stable
        self._force = False
        self._clock = clock
        self._token = SharedToken(context.state, f"wechat:{app_id}", self._fetch, clock=clock)

    async def call(self, wire: Wire, *, max_bytes: int = ANSWER_BYTES, check: Check = refusal) -> Answer:
        """Perform a call; with another token once more, when WeChat does not take this one. Raises `SendError`."""
        token = await self._token.get()
        try:
            return await self._once(wire, token, max_bytes, check)
        except TokenRefused:
            self._token.refuse(token)
            self._force = True
        return await self._once(wire, await self._token.get(), max_bytes, check)

    async def ask(self, wire: Wire, shape: type[T]) -> T:
        """Perform a call and read its answer; raises `SendError`."""
        return result(await self.call(wire), shape)

    async def get(self, path: str, shape: type[T], **query: str) -> T:
        """Perform a GET."""
        return await self.ask(Wire(method="GET", url=f"{path}?{urlencode(query)}" if query else path), shape)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Perform a POST of JSON."""
        return await self.ask(build.post(path, body), dict[str, Any])

    async def token_secs(self) -> float:
        """Say for how many seconds the access token is good; fetches one if there is none."""
        await self._token.get()
        return max(0.0, (self._token.expires or 0.0) - self._clock())

    async def _once(self, wire: Wire, token: str, max_bytes: int, check: Check) -> Answer:
        joint = "&" if "?" in wire.url else "?"
        answer = await self._send(
            replace(wire, url=f"{wire.url}{joint}{urlencode({'access_token': token})}"), max_bytes
        )
        error = check(answer, (*self._hide, token))
        if error is not None:
            raise error
        return answer

    async def _send(self, wire: Wire, max_bytes: int = ANSWER_BYTES) -> Answer:
        return await call(
            self._context.http,
            wire.method,
            self._base + wire.url,
            headers=wire.headers,
            body=wire.body or None,
            timeout=self._timeout,
            max_bytes=max_bytes,
        )

    async def _fetch(self) -> tuple[str, float]:
        """Ask for an access token; trouble is told as a state of the channel."""
        answer = await self._send(self._token_request())
        error = refusal(answer, self._hide)
        if isinstance(error, Misconfigured):
            self._context.report("access_token", str(error), down=True)
        if error is not None:
            raise error
        told = result(answer, Token)
        self._force = False
        self._context.report("access_token", None)
        return told.access_token, told.expires_in

    def _token_request(self) -> Wire:
        if not self._stable:
            query = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._app_secret}
            return Wire(method="GET", url=f"/cgi-bin/token?{urlencode(query)}")
        body = {
            "grant_type": "client_credential",
            "appid": self._app_id,
            "secret": self._app_secret,
            "force_refresh": self._force,
        }
        return Wire(
            method="POST",
            url="/cgi-bin/stable_token",
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(body),
        )
