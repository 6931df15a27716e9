"""The other side of sending: a small real HTTP server that takes a provider's API calls and answers as it does.

A kind subclasses `Cloud` and marks its handlers; tests start the class, people ``omnigate simulate cloud <kind>``::

    class AcmeCloud(Cloud):
        @route("POST", "/v2/{account}/messages")
        def send(self, call: Call) -> Answer:
            if not call.json().get("to"):
                return self.error(400, "to is missing")
            return json_answer({"id": self.next_id("m-")})

    async with AcmeCloud() as cloud:
        cloud.url, cloud.calls, cloud.fail_next(429, retry_after=2)
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import Struct

from connectors.api import ChannelConfig

CALLS_KEPT = 100_000
MAX_BYTES = 128 * 1024 * 1024


class Call(Struct, frozen=True, kw_only=True):
    """An API call as it came.

    Attributes:
        name: of the handler, such as ``send``; empty when there is none for it.
        match: what the places in braces of the route stand for.
        query: of repeated names the last.
        headers: names in lower case.
        body: the bytes; of an upload (`multipart/form-data`) they are in `files`.
        form: fields of a form or an upload.
        files: of an upload: field → (file name, content type, content).
    """

    method: str
    path: str
    name: str = ""
    match: dict[str, str] = {}
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""
    form: dict[str, str] = {}
    files: dict[str, tuple[str, str, bytes]] = {}

    def json(self) -> Any:
        """Decode the body; an empty object if it is none."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else ""


class Answer(Struct, frozen=True, kw_only=True):
    """The answer to a call."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    content_type: str = "application/json"


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(status=status, body=msgspec.json.encode(data), headers=dict(headers or {}))


Handler = Callable[[Any, Call], Answer]
H = TypeVar("H", bound=Handler)


def route(method: str, path: str) -> Callable[[H], H]:
    """Mark a method of a `Cloud` as handler; `path` may have ``{name}`` and ``{name:.+}``, as in aiohttp."""

    def mark(handler: H) -> H:
        handler.__dict__.setdefault("routes", []).append((method, path))
        return handler

    return mark


class Cloud:
    """One provider's API on a port of this machine.

    Attributes:
        options: of the channel whose credentials are checked; None takes any.
        base: the options of a channel that must point here, each with the path to put behind `url`.
        calls: every call, refused ones included, the newest last.
        url: where it listens, without a slash at the end; known once it runs.
    """

    base: ClassVar[Mapping[str, str]] = {"api_base": ""}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Be a provider that knows the channel with these options; `seed` makes failures by chance repeatable."""
        self.options = options
        self.url = ""
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self._planned: deque[Answer | None] = deque()
        self._chances: list[tuple[int, float]] = []
        self._random = random.Random(seed)
        self._ids = 0
        self._runner: web.AppRunner | None = None

    # What a kind may override.

    def refuse(self, call: Call) -> Answer | None:
        """Check the credentials of every call, before any handler; None lets it through."""
        return None

    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        """Write an error as the provider does, for `fail_next`, `fail_often` and handlers."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return json_answer({"error": {"code": status, "message": text or "simulated"}}, status, headers)

    # What tests and people use.

    def fail_next(self, status: int | Answer, times: int = 1, *, retry_after: float | None = None) -> None:
        """Answer the next calls with an error: the provider's own of that status, or exactly this answer."""
        answer = status if isinstance(status, Answer) else self.error(status, retry_after=retry_after)
        self._planned.extend([answer] * times)

    def pass_next(self, times: int = 1) -> None:
        """Let calls through before the errors planned after this."""
        self._planned.extend([None] * times)

    def fail_no_more(self) -> None:
        """Forget what was planned, and the shares."""
        self._planned.clear()
        self._chances.clear()

    def fail_often(self, status: int, share: float) -> None:
        """Answer a share of all calls (0 to 1), chosen by chance, with the provider's error of that status."""
        self._chances.append((status, share))

    def named(self, name: str) -> list[Call]:
        """Return the calls of one handler."""
        return [call for call in self.calls if call.name == name]

    def next_id(self, prefix: str = "") -> str:
        """Make an id that was not there before."""
        self._ids += 1
        return f"{prefix}{self._ids}"

    async def __aenter__(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; raises `OSError`."""
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_get("/_calls", self._tell)
        for name in dir(type(self)):
            handler = getattr(type(self), name)
            for method, path in getattr(handler, "routes", ()):
                app.router.add_route(method, path, self._answering(name))
        app.router.add_route("*", "/{unknown:.*}", self._answering(""))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.url = str(site.name)

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, call: Call) -> Answer:
        """Answer a call: by plan, by chance, by its credentials, by its handler."""
        planned = self._planned.popleft() if self._planned else self._by_chance()
        if planned is not None:
            return planned
        refused = self.refuse(call)
        if refused is not None:
            return refused
        if not call.name:
            return self.error(404, f"unknown path {call.path}")
        answer: Answer = getattr(self, call.name)(call)
        return answer

    def _by_chance(self) -> Answer | None:
        for status, share in self._chances:
            if self._random.random() < share:
                return self.error(status, retry_after=1 if status == 429 else None)
        return None

    def _answering(self, name: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            call = await _read(request, name)
            self.calls.append(call)
            answer = self.answer(call)
            return web.Response(
                status=answer.status, body=answer.body, headers=answer.headers, content_type=answer.content_type
            )

        return handle

    async def _tell(self, request: web.Request) -> web.Response:
        told = [
            {
                "name": call.name,
                "method": call.method,
                "path": call.path,
                "query": call.query,
                "body": call.form or call.json() or call.body.decode("utf-8", "replace"),
                "files": {field: [name, mime, len(content)] for field, (name, mime, content) in call.files.items()},
            }
            for call in self.calls
        ]
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


async def _read(request: web.Request, name: str) -> Call:
    form: dict[str, str] = {}
    files: dict[str, tuple[str, str, bytes]] = {}
    body = b""
    if request.content_type == "multipart/form-data":
        for field, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files[field] = (value.filename, value.content_type, value.file.read())
            else:
                form[field] = str(value)
    else:
        body = await request.read()
        if request.content_type == "application/x-www-form-urlencoded":
            form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return Call(
        method=request.method,
        path=request.path,
        name=name,
        match={key: value for key, value in request.match_info.items() if name},
        query=dict(request.query),
        headers={key.lower(): value for key, value in request.headers.items()},
        body=body,
        form=form,
        files=files,
    )
