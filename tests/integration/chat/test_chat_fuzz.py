"""Anything at all, sent to a chat: it answers or closes as documented, fails at nothing, and serves the next."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from normalizer.codecs.chat_types import CALLS
from tests.integration.chat.helpers import Office, office
from tests.integration.chat.test_chat_hostile import CLOSE, HELLO, TEXT, frame, raw

FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
DOCUMENTED = {-32700, -32600, -32601, -32602, -32005, -32007, -32009, -32012, -32020, -32021}
LAX = {"calls_per_minute": 1_000_000, "messages_per_minute": 1_000_000}

FRAMES = st.builds(
    frame,
    st.integers(0, 15),
    st.one_of(st.binary(max_size=300), st.just(HELLO.encode()), st.text(max_size=50).map(lambda one: one.encode())),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 1, 2, 4]),
    mask=st.sampled_from([True, True, True, False]),
    length=st.one_of(st.none(), st.none(), st.integers(0, 2**63)),
)
STREAMS = st.one_of(st.binary(min_size=1, max_size=500), st.lists(FRAMES, min_size=1, max_size=6).map(b"".join))

NAMES = ["protocol", "token", "after", "jwt", "page", "locale", "client", "id", "text", "parts", "reply_to", "revision",
         "seq", "active", "before", "limit", "email", "reason", "type", "body", "file", "lat", "lon", "item_id", "of",
         "form_id", "data", "url", "title"]  # fmt: skip
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["text", "image", "location", "choice_reply", "form_reply", "c1", "msg_1", "a@b.example", "\0", "\u202e"]
    ),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=12,
)
PARAMS = st.one_of(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), VALUES)
METHODS = st.sampled_from([*CALLS, "", "rpc.discover", "message.received"])
REQUESTS = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "method": METHODS,
        "id": st.one_of(st.integers(0, 100), st.text(max_size=5)),
        "params": PARAMS,
    }
)


def run(scenario: Any) -> None:
    """Let a scenario happen at a chat of its own, in whose log no failure of ours may stand."""

    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with office(Path(folder), **LAX) as it:
                await scenario(it)
                async with it.visitor() as other:
                    await other.say("still here", "c1")

    with capture_logs() as log:
        asyncio.run(live())
    assert [line for line in log if line["log_level"] in {"error", "critical"}] == []


@FEW
@given(streams=st.lists(STREAMS, min_size=20, max_size=30))
@pytest.mark.timeout(120)
def test_any_bytes_are_answered_or_closed_as_documented(streams: list[bytes]) -> None:
    async def scenario(it: Office) -> None:
        for stream in streams:
            async with raw(it) as client:
                await client.send(stream, frame(CLOSE, b"\x03\xe8"))
                client.writer.write_eof()
                code = await client.close_code()
                assert code in {None, 1000, 1002, 1003, 1005, 1007, 1008, 1009} or code >= 3000, code

    run(scenario)


@FEW
@given(requests=st.lists(REQUESTS, min_size=30, max_size=60))
@pytest.mark.timeout(120)
def test_any_call_by_socket_has_one_answer(requests: list[dict[str, Any]]) -> None:
    async def scenario(it: Office) -> None:
        for request in requests:
            async with connect(it.ws, proxy=None, compression=None) as ws:
                await ws.send(HELLO)
                json.loads(await ws.recv())
                await ws.send(json.dumps(request))
                check(request, await answer_of(ws))

    run(scenario)


async def answer_of(ws: Any) -> dict[str, Any]:
    """Read over notifications to the answer."""
    async with asyncio.timeout(20):
        while True:
            try:
                told: dict[str, Any] = json.loads(await ws.recv())
            except ConnectionClosed as exc:
                raise AssertionError("closed without an answer") from exc
            if "method" not in told:
                return told


def check(request: dict[str, Any], told: dict[str, Any]) -> None:
    if "error" in told:
        assert told["error"]["code"] in DOCUMENTED, (request, told)
    else:
        assert told["id"] == request["id"]
        assert request["method"] in CALLS


@FEW
@given(requests=st.lists(REQUESTS, min_size=30, max_size=60))
@pytest.mark.timeout(120)
def test_any_call_by_http_has_one_answer(requests: list[dict[str, Any]]) -> None:
    async def scenario(it: Office) -> None:
        poller = it.poller()
        for request in requests:
            await poller.hello()
            async with it.http.post(f"{it.url}/rpc", data=json.dumps(request), headers=poller.headers) as response:
                assert response.status in {200, 400, 401, 429}
                check(request, await response.json())

    run(scenario)


@FEW
@given(bodies=st.lists(st.binary(max_size=200), min_size=20, max_size=40))
def test_any_body_is_answered(bodies: list[bytes]) -> None:
    async def scenario(it: Office) -> None:
        for body in bodies:
            async with it.http.post(f"{it.url}/rpc", data=body) as response:
                assert response.status == 400
                assert (await response.json())["error"]["code"] in {-32700, -32600}

    run(scenario)


@FEW
@given(
    paths=st.lists(st.text(max_size=30), max_size=20),
    headers=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60), max_size=20),
)
def test_any_path_and_any_credentials_are_refused(paths: list[str], headers: list[str]) -> None:
    async def scenario(it: Office) -> None:
        for path in paths:
            async with it.http.get(f"http://{it.server.address}/chat/{path}") as response:
                assert response.status in {400, 404, 405}
        for header in headers:
            async with it.http.get(f"{it.url}/poll", headers={"Authorization": f"Bearer {header}"}) as response:
                assert response.status == 401
            async with it.http.get(f"{it.url}/config", headers={"Origin": header}) as response:
                assert response.status in {200, 403}

    run(scenario)


def test_a_frame_is_what_it_should_be() -> None:
    assert frame(TEXT, b"Hi", mask=False) == b"\x81\x02Hi"
