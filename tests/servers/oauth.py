"""An OAuth 2.0 token server (RFC 6749) that can tell a mail server whether a token is good (RFC 7662)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

CLIENT, CLIENT_SECRET = "the-client", "the-client's-secret"


class TokenServer:
    """Gives access tokens for refresh tokens it knows, or for the client itself.

    Attributes:
        refresh_tokens: those that are good.
        access_tokens: those that are good.
        forms: every request for a token.
        rotate: give a new refresh token each time, and void the old one.
        failure: answer this status and body instead.
        secs: how long an access token is good.
        more: further fields of a token answer.
    """

    def __init__(self, email: str) -> None:
        """Give tokens for the mailbox of `email`."""
        self.email = email
        self.refresh_tokens = {"first-refresh-token"}
        self.access_tokens: set[str] = set()
        self.forms: list[dict[str, str]] = []
        self.rotate = False
        self.failure: tuple[int, Any] | None = None
        self.secs = 3600
        self.more: dict[str, Any] = {}
        self.port = 0

    @property
    def url(self) -> str:
        """Where tokens are given out."""
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def introspection_url(self) -> str:
        """Where a mail server asks; the token is appended."""
        return f"http://127.0.0.1:{self.port}/introspect?token="

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[TokenServer]:
        """Listen while the context is open."""
        app = web.Application()
        app.add_routes([web.post("/token", self._token), web.get("/introspect", self._introspect)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.failure is not None:
            status, body = self.failure
            return web.json_response(body, status=status)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, CLIENT_SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        answer: dict[str, Any] = {"token_type": "Bearer", "expires_in": self.secs, **self.more}
        if form["grant_type"] == "refresh_token":
            old = form["refresh_token"]
            if old not in self.refresh_tokens:
                told = {"error": "invalid_grant", "error_description": f"no such token: {old}"}
                return web.json_response(told, status=400)
            if self.rotate:
                self.refresh_tokens = {secrets.token_hex(16)}
                answer["refresh_token"] = next(iter(self.refresh_tokens))
        answer["access_token"] = secrets.token_hex(16)
        self.access_tokens.add(answer["access_token"])
        return web.json_response(answer)

    async def _introspect(self, request: web.Request) -> web.Response:
        good = request.query["token"] in self.access_tokens
        return web.json_response({"active": good, "email": self.email} if good else {"active": False})
