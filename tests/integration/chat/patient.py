"""A client that keeps the three rules of the protocol, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.integration.chat.helpers import Office

TROUBLE = (OSError, WebSocketException, aiohttp.ClientError, TimeoutError, json.JSONDecodeError)
PAUSE_SECS = 0.03


class Trouble(Exception):
    """An error answer that means: try again."""


class Patient:
    """See the module.

    Attributes:
        shown: ids of the messages of the company in the order in which they were shown.
        acknowledged: ids of the visitor's messages that were answered with success.
        polling: go by HTTP from now on.
    """

    def __init__(self, nodes: list[Office | None]) -> None:
        self.nodes = nodes
        self.node, self.polling = 0, False
        self.token: str | None = None
        self.visitor = ""
        self.seq = 0
        self.seqs: list[int] = []
        self.shown: list[str] = []
        self.pending: deque[str] = deque()
        self.acknowledged: list[str] = []
        self._ws: ClientConnection | None = None
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Lose the connection, as in a tunnel."""
        self._cut.set()
        if self._ws is not None:
            self._ws.transport.abort()

    @property
    def office(self) -> Office:
        office = self.nodes[self.node]
        if office is None:
            raise ConnectionError("this node is down")
        return office

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            self._cut.clear()
            try:
                await (self._by_poll() if self.polling else self._by_socket())
            except* (*TROUBLE, Trouble):
                await asyncio.sleep(PAUSE_SECS)

    def take(self, told: dict[str, Any]) -> None:
        """Show a notification, unless it was shown before."""
        params = told["params"]
        if told["method"] != "message" or params["seq"] <= self.seq:
            return
        self.seq = params["seq"]
        self.seqs.append(self.seq)
        if params["message"]["from"]["role"] != "visitor":
            self.shown.append(params["message"]["id"])

    def _hello(self) -> dict[str, Any]:
        known = {"token": self.token, "after": self.seq} if self.token else {"after": 0}
        return {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"protocol": 1, **known}}

    def _greeted(self, told: dict[str, Any]) -> None:
        result = _result(told)
        if self.visitor and result["conversation"] != self.visitor:
            raise AssertionError("another conversation")
        self.token, self.visitor = result["session"]["token"], result["conversation"]

    def _next(self) -> dict[str, Any] | None:
        if not self.pending:
            return None
        params = {"id": self.pending[0], "text": f"text of {self.pending[0]}"}
        return {"jsonrpc": "2.0", "id": 1, "method": "message.send", "params": params}

    def _sent(self, told: dict[str, Any]) -> None:
        """Go on with the next message, if this one was taken."""
        result = _result(told)
        if self.pending and result["id"] == self.pending[0]:
            self.acknowledged.append(self.pending.popleft())

    async def _by_socket(self) -> None:
        async with connect(self.office.ws, proxy=None, open_timeout=2, close_timeout=1, compression=None) as ws:
            self._ws = ws
            await ws.send(json.dumps(self._hello()))
            async with asyncio.timeout(3):
                self._greeted(json.loads(await ws.recv()))
            asked = False
            while not self.polling:
                request = None if asked else self._next()
                if request is not None:
                    await ws.send(json.dumps(request))
                    asked = True
                try:
                    async with asyncio.timeout(PAUSE_SECS if not asked else 5):
                        told = json.loads(await ws.recv())
                except TimeoutError:
                    if asked:
                        raise
                    continue
                if "method" in told:
                    self.take(told)
                else:
                    asked = False
                    self._sent(told)

    async def _by_poll(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=4)) as http:
            self._greeted(await self._post(http, self._hello()))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_by_post(http))
                group.create_task(self._receive_by_poll(http))
                await self._cut.wait()
                raise ConnectionError("cut")

    async def _send_by_post(self, http: aiohttp.ClientSession) -> None:
        while self.polling:
            request = self._next()
            if request is not None:
                self._sent(await self._post(http, request))
            await asyncio.sleep(PAUSE_SECS)
        raise ConnectionError("goes on by socket")

    async def _receive_by_poll(self, http: aiohttp.ClientSession) -> None:
        while True:
            url = f"{self.office.url}/poll"
            async with http.get(url, params={"after": self.seq}, headers=self._headers()) as response:
                told = await response.json()
            if isinstance(told, dict):
                _result(told)
            for one in told:
                self.take(one)

    async def _post(self, http: aiohttp.ClientSession, request: dict[str, Any]) -> dict[str, Any]:
        async with http.post(f"{self.office.url}/rpc", json=request, headers=self._headers()) as response:
            told: dict[str, Any] = await response.json()
        return told

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def _result(told: dict[str, Any]) -> dict[str, Any]:
    if "error" in told:
        assert told["error"]["data"]["retryable"], told
        raise Trouble(told["error"]["message"])
    result: dict[str, Any] = told["result"]
    return result
