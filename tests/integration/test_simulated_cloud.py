"""The cloud side of a simulator: a real server that answers like the provider, and fails on demand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import aiohttp
import pytest
from typing_extensions import override

from connectors.secrets import Secret
from connectors.telegram import TelegramConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.registry import cloud
from gateway.simulate.telegram_cloud import TelegramCloud


class Shop(Cloud):
    """A provider made up for these tests."""

    @override
    def refuse(self, call: Call) -> Answer | None:
        return self.error(401, "who are you?") if call.bearer != "word" else None

    @route("POST", "/v1/{account}/messages")
    def send(self, call: Call) -> Answer:
        return json_answer({"id": self.next_id("m-"), "account": call.match["account"], "got": call.json()})

    @route("GET", "/v1/files/{name:.+}")
    @route("HEAD", "/v1/files/{name:.+}")
    def download(self, call: Call) -> Answer:
        return Answer(body=call.match["name"].encode(), content_type="text/plain")

    @route("POST", "/v1/upload")
    def upload(self, call: Call) -> Answer:
        name, mime, content = call.files["file"]
        return json_answer({"name": name, "mime": mime, "size": len(content), "to": call.form["to"]})


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop(seed=1) as shop:
        yield shop


async def ask(
    server: Cloud, method: str, path: str, *, token: str = "word", **request: Any
) -> tuple[int, Any, dict[str, str]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, server.url + path, headers=headers, **request) as answer,
    ):
        text = await answer.text()
        told = json.loads(text) if answer.content_type == "application/json" else text
        return answer.status, told, dict(answer.headers)


async def test_calls_reach_their_handlers_and_are_recorded(shop: Shop) -> None:
    status, told, _ = await ask(shop, "POST", "/v1/a-7/messages?x=1", json={"to": "ann"})
    _, file, _ = await ask(shop, "GET", "/v1/files/a/b.txt")

    assert (status, told) == (200, {"id": "m-1", "account": "a-7", "got": {"to": "ann"}})
    assert file == "a/b.txt"
    (call,) = shop.named("send")
    assert (call.path, call.query, call.json()) == ("/v1/a-7/messages", {"x": "1"}, {"to": "ann"})


async def test_uploads_and_forms_are_read(shop: Shop) -> None:
    form = aiohttp.FormData({"to": "ann"})
    form.add_field("file", b"12345", filename="a.bin", content_type="image/png")
    _, told, _ = await ask(shop, "POST", "/v1/upload", data=form)
    await ask(shop, "POST", "/v1/a/messages", data={"To": "+49", "Body": "ä"})

    assert told == {"name": "a.bin", "mime": "image/png", "size": 5, "to": "ann"}
    assert shop.calls[-1].form == {"To": "+49", "Body": "ä"}


async def test_unknown_paths_and_credentials_are_refused_and_recorded(shop: Shop) -> None:
    unknown = await ask(shop, "GET", "/v2/else")
    stranger = await ask(shop, "POST", "/v1/a/messages", token="guess")

    assert (unknown[0], stranger[0]) == (404, 401)
    assert [call.name for call in shop.calls] == ["", "send"]


async def test_failures_come_in_the_order_planned(shop: Shop) -> None:
    shop.pass_next()
    shop.fail_next(429, retry_after=7)
    shop.fail_next(json_answer({"odd": True}, 418), times=2)
    answers = [await ask(shop, "POST", "/v1/a/messages") for _ in range(5)]

    assert [status for status, _, _ in answers] == [200, 429, 418, 418, 200]
    assert answers[1][2]["Retry-After"] == "7"
    assert len(shop.calls) == 5

    shop.fail_next(500, times=3)
    shop.fail_no_more()
    assert (await ask(shop, "POST", "/v1/a/messages"))[0] == 200


async def test_a_share_of_calls_fails_the_same_ones_with_the_same_seed() -> None:
    async def run() -> list[int]:
        async with Shop(seed=4) as shop:
            shop.fail_often(503, 0.4)
            return [(await ask(shop, "POST", "/v1/a/messages"))[0] for _ in range(30)]

    first = await run()
    assert set(first) == {200, 503}
    assert await run() == first


async def test_people_can_look_at_what_came(shop: Shop) -> None:
    await ask(shop, "POST", "/v1/a/messages", json={"to": "ann"})
    _, told, _ = await ask(shop, "GET", "/_calls", token="nobody")

    assert told == [
        {"name": "send", "method": "POST", "path": "/v1/a/messages", "query": {}, "body": {"to": "ann"}, "files": {}}
    ]


async def test_the_bot_api_checks_the_token_where_it_knows_it() -> None:
    options = TelegramConfig(token=Secret("1:right"), secret=Secret("s"))
    async with cloud("telegram", options) as known, cloud("telegram") as open_to_all:
        right = await ask(known, "POST", "/bot1:right/sendMessage", json={"chat_id": 5, "text": "hi"})
        wrong = await ask(known, "POST", "/bot1:wrong/sendMessage", json={"chat_id": 5, "text": "hi"})
        any_one = await ask(open_to_all, "POST", "/bot2:x/sendMessage", json={"chat_id": 5, "text": ""})

    assert (right[0], right[1]["result"]["text"]) == (200, "hi")
    assert (wrong[0], wrong[1]["description"]) == (401, "Unauthorized")
    assert any_one[1]["description"] == "Bad Request: message text is empty"


async def test_the_bot_api_gives_files_and_its_own_words_for_throttling() -> None:
    async with TelegramCloud() as api:
        api.bot.files["f1"] = b"content"
        path = (await ask(api, "POST", "/bot1:a/getFile", data={"file_id": '"f1"'}))[1]["result"]["file_path"]
        assert (await ask(api, "GET", f"/file/bot1:a/{path}"))[0] == 200
        assert (await ask(api, "GET", "/file/bot1:a/documents/f2"))[0] == 404
        api.fail_next(429, retry_after=3)
        status, told, _ = await ask(api, "POST", "/bot1:a/getMe")

    assert status == 429
    assert told["parameters"] == {"retry_after": 3}


class Half(Shop):
    """Another account of it."""

    base: ClassVar = {"api_base": "/v1", "files_base": "/v1/files"}


async def test_a_cloud_side_can_be_the_target_of_several_options() -> None:
    async with Half() as half:
        assert {name: half.url + path for name, path in half.base.items()} == {
            "api_base": f"{half.url}/v1",
            "files_base": f"{half.url}/v1/files",
        }
        assert (await ask(half, "POST", "/v1/a/messages"))[0] == 200  # handlers are inherited
