"""A Bot API server for tests: `gateway.simulate.telegram_bot` on a port, with faults in the order a test wants them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.simulate.telegram_bot import MEDIA, Bot, Fault

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
__all__ = ["TOKEN", "BotApi", "Fault"]


class BotApi(Bot):
    """The server's state.

    Attributes:
        calls: method and params of every call with the right token, refused ones included.
        faults: given out before anything else, one per call; None answers as usual.
        slow_after: how many messages are taken before the server stops answering.
        uploads: (file name, content type, content) of every file that came with a call, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[Fault | None] = []
        self.slow_after: int | None = None
        self.uploads: list[tuple[str, str, bytes]] = []
        self._awake = asyncio.Event()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[BotApi]:
        """Listen on a free port until the block ends; `url` is the `api_base`."""
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = str(site.name)
        try:
            yield self
        finally:
            self._awake.set()
            await runner.cleanup()

    def named(self, method: str) -> list[dict[str, Any]]:
        """Params of all calls of a method."""
        return [params for name, params in self.calls if name == method]

    async def _call(self, request: web.Request) -> web.Response:
        try:
            return web.json_response({"ok": True, "result": await self._result(request)})
        except Fault as fault:
            return web.json_response(fault.body(), status=fault.code)

    async def _result(self, request: web.Request) -> Any:
        if request.match_info["token"] != TOKEN:
            raise Fault(401, "Unauthorized")
        method, params = request.match_info["method"], self._with_uploads(await _params(request))
        self.calls.append((method, params))
        if self.slow_after is not None and len(self.messages) >= self.slow_after:
            await self._awake.wait()
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        return self.answer(method, params)

    def _with_uploads(self, params: dict[str, Any]) -> dict[str, Any]:
        """Take the files out of a form; a call that names one that is not there is refused, as Telegram does."""
        files = {name: value for name, value in params.items() if isinstance(value, web.FileField)}
        self.uploads += [(file.filename, file.content_type, file.file.read()) for file in files.values()]
        told = {name: value for name, value in params.items() if name not in files}
        inner = told.get("media")
        named = {**told, **inner} if isinstance(inner, dict) else told
        for value in (named.get(field) for field in (*MEDIA.values(), "media")):
            if isinstance(value, str) and value.startswith("attach://") and value[9:] not in files:
                raise Fault(400, "Bad Request: wrong file identifier/HTTP URL specified")
        return told

    async def _download(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["path"].removeprefix("documents/"))
        if request.match_info["token"] != TOKEN or content is None:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=content, content_type="application/octet-stream")


async def _params(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    params: dict[str, Any] = {}
    for name, value in (await request.post()).items():  # clients may send forms, with JSON inside
        try:
            params[name] = json.loads(str(value)) if name not in {"text", "caption", "callback_query_id"} else value
        except ValueError:
            params[name] = value
    return params
