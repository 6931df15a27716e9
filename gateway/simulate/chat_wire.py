"""The two transports of the web chat, from the client's side."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import aiohttp
from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

ANSWER_SECS = 30.0
AGAIN = (OSError, WebSocketException, aiohttp.ClientError, json.JSONDecodeError)
"""What a broken network looks like. TimeoutError is an OSError."""

Heard = Callable[[dict[str, Any]], None]


class Refused(Exception):
    """An error answer.

    Attributes:
        code: of JSON-RPC.
        retryable: it may go another time.
        retry_after: seconds to wait first.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        """Read the `error` member."""
        super().__init__(error["message"])
        data = error.get("data", {})
        self.code = int(error["code"])
        self.retryable, self.retry_after = bool(data.get("retryable")), float(data.get("retry_after", 0))


class Line(ABC):
    """A way to the chat.

    Attributes:
        token: of the session, once there is one.
        after: the highest `seq` that was heard.
    """

    def __init__(self, heard: Heard) -> None:
        """Hand notifications to `heard`."""
        self._heard = heard
        self._last = 0
        self.token: str | None = None
        self.after = 0

    @classmethod
    @abstractmethod
    async def open(cls, target: str, heard: Heard, *, origin: str | None) -> Self:
        """Connect to the chat at `target`; raises one of `AGAIN`, or `Refused`."""

    @abstractmethod
    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call and return the result; raises `Refused` or one of `AGAIN`."""

    @abstractmethod
    async def listen(self, secs: float) -> None:
        """Take notifications for so long; raises `Refused` or one of `AGAIN`."""

    @abstractmethod
    async def close(self) -> None:
        """Go."""

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        return {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}


class Socket(Line):
    """By WebSocket."""

    def __init__(self, ws: ClientConnection, heard: Heard) -> None:
        """Use an open connection."""
        super().__init__(heard)
        self._ws = ws

    @classmethod
    @override
    async def open(cls, target: str, heard: Heard, *, origin: str | None) -> Self:
        headers = {} if origin is None else {"Origin": origin}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{target}/config") as response:
            if response.status != 200:
                text = f"HTTP {response.status}: {(await response.text())[:200]}"
                raise Refused({"code": response.status, "message": text})
            url = (await response.json())["ws"]
        if url is None:
            raise ConnectionError("the chat says of no WebSocket")
        try:
            return cls(await connect(url, proxy=None, additional_headers=headers), heard)
        except InvalidHandshake as exc:
            raise ConnectionError(str(exc)) from exc

    @override
    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        request = self._request(method, params)
        await self._ws.send(json.dumps(request))
        async with asyncio.timeout(ANSWER_SECS):
            while (told := json.loads(await self._ws.recv())).get("id") != request["id"]:
                self._took(told)
        return _result(told)

    @override
    async def listen(self, secs: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(secs):
                while True:
                    self._took(json.loads(await self._ws.recv()))

    def _took(self, told: dict[str, Any]) -> None:
        if "method" in told:
            self._heard(told)

    @override
    async def close(self) -> None:
        await self._ws.close()


class Poll(Line):
    """By HTTP."""

    def __init__(self, target: str, heard: Heard, origin: str | None) -> None:
        """Speak to the chat at `target`."""
        super().__init__(heard)
        self._target = target
        headers = {} if origin is None else {"Origin": origin}
        self._http = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=ANSWER_SECS * 3))

    @classmethod
    @override
    async def open(cls, target: str, heard: Heard, *, origin: str | None) -> Self:
        return cls(target, heard, origin)

    @override
    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        request = self._request(method, params)
        async with self._http.post(f"{self._target}/rpc", json=request, headers=self._headers()) as response:
            return _result(await _told(response))

    @override
    async def listen(self, secs: float) -> None:
        url = f"{self._target}/poll"
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(secs),
                self._http.get(url, params={"after": self.after}, headers=self._headers()) as response,
            ):
                told = await _told(response)
                if isinstance(told, dict):
                    _result(told)
                for one in told:
                    self.after = max(self.after, one["params"].get("seq", 0))
                    self._heard(one)

    def _headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    @override
    async def close(self) -> None:
        await self._http.close()


async def _told(response: aiohttp.ClientResponse) -> Any:
    if response.content_type != "application/json":
        text = f"HTTP {response.status}: {(await response.text())[:200]}"
        raise Refused({"code": response.status, "message": text, "data": {"retryable": response.status >= 500}})
    return await response.json()


def _result(told: dict[str, Any]) -> dict[str, Any]:
    if "error" in told:
        raise Refused(told["error"])
    result: dict[str, Any] = told["result"]
    return result
