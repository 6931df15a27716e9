"""The way in, tried by the gateway itself: handshake, a delivery without proof, and one as the provider signs it.

They are real HTTP requests to `[http] public_url`, so they take the way the provider's take (DNS, TLS, proxy); where
that is not set, or this machine cannot reach it, they go to the listener. The kind's simulator
(`gateway/simulate/<kind>.py`) writes and signs them; marks (`gateway.doctor.marks`) keep them from becoming messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from msgspec import Struct
from yarl import URL

from connectors.api import ChannelConfig
from connectors.errors import SendError
from connectors.http import Answer, call
from gateway.doctor.marks import Marks
from gateway.simulate import registry
from gateway.simulate.api import Request, Simulator, json_post
from normalizer.checks import Check

TIMEOUT_SECS = 5.0
REFUSED = frozenset({401, 403})
NO_SIMULATOR = "this build has no simulator that signs like the provider"
LOCAL = "set [http] public_url, and enter that at the provider"


class Face(Struct, frozen=True, kw_only=True):
    """Where this gateway is reached.

    Attributes:
        http: the client.
        listener: base URL of the port it listens on.
        public_url: as configured.
        clock: Unix time.
    """

    http: aiohttp.ClientSession
    listener: str
    public_url: str | None = None
    clock: Callable[[], float] = time.time  # noqa: TID251 -- the edge: signed times

    def url(self, channel: str, *, listener: bool = False) -> str:
        """Return the URL of a channel, as the provider knows it, or at the listener."""
        base = self.listener if listener or self.public_url is None else self.public_url
        return f"{base.rstrip('/')}/c/{channel}"


class Mirror:
    """Tries the way into one channel."""

    def __init__(self, face: Face, channel: str, kind: str, options: ChannelConfig, marks: Marks) -> None:
        """Play the provider of a channel with these options."""
        self._face, self._channel, self._kind, self._options, self._marks = face, channel, kind, options, marks
        self._target, self._proxied = face.url(channel), dict[str, str]()

    async def checks(self, *, reachable: bool) -> AsyncIterator[Check]:
        """Try everything; at the listener where the public URL is not `reachable`.

        Raises:
            StateUnavailable: marks cannot be noted, so nothing may be delivered.
        """
        if not reachable:  # then we are the proxy, too, and say how the provider asked
            known = URL(self._face.url(self._channel))
            self._proxied = {"X-Forwarded-Proto": known.scheme, "X-Forwarded-Host": known.authority}
            self._target = self._face.url(self._channel, listener=True)
        simulator, why_not = await self._simulator()
        yield await self._handshake(simulator, why_not)
        yield await self._signature(simulator)
        yield await self._webhook(simulator, why_not)

    async def _simulator(self) -> tuple[Simulator[Any] | None, str]:
        try:
            made = await asyncio.to_thread(registry.simulator_of, self._kind)
            return made(self._options, url=self._face.url(self._channel)), ""
        except ImportError:
            return None, NO_SIMULATOR
        except ValueError as exc:  # it needs what only the provider has, or cannot read the channel's expressions
            return None, f"the provider's delivery cannot be imitated: {exc}"

    async def _handshake(self, simulator: Simulator[Any] | None, why_not: str) -> Check:
        asked = None if simulator is None else simulator.handshake(self._face.clock())
        if asked is None:
            detail = why_not or "the provider asks nothing when the URL is entered"
            return Check(name="handshake", ok=None, detail=detail)
        answer = await self._post(asked.request)
        if isinstance(answer, str):
            return Check(name="handshake", ok=False, detail=answer)
        complaint = asked.complaint(answer.status, answer.body)
        if complaint is None:
            return Check(name="handshake", ok=True, detail="answered as the provider wants it")
        hint = "what the provider is told and the channel's options must agree; is the URL this channel's?"
        return Check(name="handshake", ok=False, detail=complaint, hint=hint)

    async def _signature(self, simulator: Simulator[Any] | None) -> Check:
        """Deliver without proof; with a mark all the same, for the case that it is accepted."""
        request = None if simulator is None else simulator.marked(await self._marks.give(), self._face.clock())
        request = request or json_post({})
        if simulator is not None and simulator.sign(request, self._face.clock()) == request:
            hint = "let the sender sign, and set `verify`"
            return Check(name="signature", ok=None, detail="anybody can deliver to this channel", hint=hint)
        answer = await self._post(request)
        if isinstance(answer, str):
            return Check(name="signature", ok=False, detail=answer)
        if answer.status in REFUSED:
            return Check(name="signature", ok=True, detail="a delivery without proof is refused")
        detail = f"a delivery without proof is answered HTTP {answer.status}"
        hint = "what stands in front of the gateway must pass headers, query and answers on unchanged"
        return Check(name="signature", ok=False, detail=detail, hint=hint)

    async def _webhook(self, simulator: Simulator[Any] | None, why_not: str) -> Check:
        mark = await self._marks.give()
        request = None if simulator is None else simulator.marked(mark, self._face.clock())
        if simulator is None or request is None:
            detail = why_not or "nothing can be delivered without making a message of it"
            return Check(name="webhook", ok=None, detail=detail)
        answer = await self._post(simulator.sign(request, self._face.clock()))
        if isinstance(answer, str):
            return Check(name="webhook", ok=False, detail=answer)
        if 200 <= answer.status < 300 and await self._marks.came(mark):
            return Check(name="webhook", ok=True, detail=f"a signed delivery to {self._target} arrives")
        detail, hint = _gone_wrong(answer.status)
        return Check(name="webhook", ok=False, detail=f"a signed delivery to {self._target} {detail}", hint=hint)

    async def _post(self, request: Request) -> Answer | str:
        """Perform a request; says what went wrong where there is no answer."""
        target = URL(self._target + request.path).update_query(request.query)
        try:
            return await call(
                self._face.http,
                request.method,
                str(target),
                headers={**request.headers, **self._proxied},
                body=request.body or None,
                timeout=TIMEOUT_SECS,
            )
        except SendError as exc:
            return str(exc)


def _gone_wrong(status: int) -> tuple[str, str]:
    match status:
        case 401 | 403:
            hint = "is public_url what the provider was told, does the proxy pass everything on, is the clock right?"
            return f"is refused (HTTP {status})", hint
        case 404:
            return "finds no such channel (HTTP 404)", "is it this gateway that public_url leads to?"
        case _ if 200 <= status < 300:
            return f"is answered HTTP {status} by somebody else", "public_url leads to another gateway or program"
        case _ if 300 <= status < 400:
            return (
                f"is redirected (HTTP {status})",
                "providers do not follow redirects; write public_url as it is served",
            )
        case 503:
            return "is put off (HTTP 503)", "is the channel paused or starting, are broker and dedup store there?"
        case _:
            return f"is answered HTTP {status}", "the log has the details"
