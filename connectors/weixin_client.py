"""Calls of WeChat's and WeCom's APIs, with an access token that all nodes share.

In WeChat a new access token voids the one before (after five minutes), in WeCom asking for it too often is throttled;
so one node fetches it and the others read it:
https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
https://developer.work.weixin.qq.com/document/path/91039
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from connectors import http
from connectors.api import Context
from connectors.codes import TokenRefused
from connectors.errors import Misconfigured, SendError
from connectors.http import ANSWER_BYTES, Answer
from connectors.shared_token import SharedToken
from connectors.weixin_api import Token
from normalizer import build
from normalizer.raw import Wire

T = TypeVar("T")
Check = Callable[[Answer, tuple[str, ...]], SendError | None]
"""Says what an answer means; None for a success."""


class Access(Struct, frozen=True, kw_only=True):
    """How an account, or an app, gets at its API.

    Attributes:
        provider: the platform's name, for error texts.
        name: the nodes share the access token under this name.
        grant: makes the request for an access token; it is told whether the one before was refused.
        refusal: says what an answer means.
    """

    provider: str
    name: str
    grant: Callable[[bool], Wire]
    refusal: Check


class WeixinClient:
    """One account's, or one app's, API."""

    def __init__(
        self,
        context: Context,
        access: Access,
        *,
        base: str,
        timeout: float,
        hide: tuple[str, ...],
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Call the API at `base`, each call for at most `timeout` seconds; no error shows what is in `hide`."""
        self._context, self._base, self._timeout, self._hide = context, base.rstrip("/"), timeout, hide
        self.access, self._clock, self._refused = access, clock, False
        self._token = SharedToken(context.state, access.name, self._fetch, clock=clock)

    async def call(self, wire: Wire, *, max_bytes: int = ANSWER_BYTES, check: Check | None = None) -> Answer:
        """Perform a call; with another token once more, when this one is not accepted.

        Args:
            wire: the call, without the token.
            max_bytes: the largest answer.
            check: says what the answer means, where that is not usual.

        Raises:
            SendError: as the answer says.
        """
        token = await self._token.get()
        try:
            return await self._once(wire, token, max_bytes, check)
        except TokenRefused:
            self._token.refuse(token)
            self._refused = True
        return await self._once(wire, await self._token.get(), max_bytes, check)

    async def ask(self, wire: Wire, shape: type[T], *, max_bytes: int = ANSWER_BYTES) -> T:
        """Perform a call and read its answer; raises `SendError`."""
        return http.decoded(await self.call(wire, max_bytes=max_bytes), shape, self.access.provider)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Perform a GET."""
        return await self.ask(Wire(method="GET", url=f"{path}?{urlencode(query)}" if query else path), dict[str, Any])

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Perform a POST of JSON."""
        return await self.ask(build.post(path, body), dict[str, Any])

    async def token_secs(self) -> float:
        """Say for how many seconds the access token is good; fetches one if there is none."""
        await self._token.get()
        return max(0.0, (self._token.expires or 0.0) - self._clock())

    async def _once(self, wire: Wire, token: str, max_bytes: int, check: Check | None) -> Answer:
        joint = "&" if "?" in wire.url else "?"
        asked = replace(wire, url=f"{wire.url}{joint}{urlencode({'access_token': token})}")
        answer = await self._send(asked, max_bytes)
        error = (check or self.access.refusal)(answer, (*self._hide, token))
        if error is not None:
            raise error
        return answer

    async def _send(self, wire: Wire, max_bytes: int = ANSWER_BYTES) -> Answer:
        return await http.call(
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
        answer = await self._send(self.access.grant(self._refused))
        error = self.access.refusal(answer, self._hide)
        if isinstance(error, Misconfigured):
            self._context.report("access_token", str(error), down=True)
        if error is not None:
            raise error
        told = http.decoded(answer, Token, self.access.provider)
        self._refused = False
        self._context.report("access_token", None)
        return told.access_token, told.expires_in
