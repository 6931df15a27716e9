"""The same chat by HTTP, for networks that break WebSockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chat.helpers import Office, Poller, Rejected, office

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
PAGE = "https://shop.example"


async def greeted(it: Office) -> Poller:
    poller = it.poller()
    await poller.hello()
    return poller


async def test_a_message_goes_in_and_an_answer_comes_back(shop: Office) -> None:
    ann = await greeted(shop)
    sent = await ann.say("Hi", "c1")
    assert (await ann.say("Hi", "c1")) == {**sent, "duplicate": True}
    told = await shop.event("message.received")
    assert told["metadata"]["chat"]["transport"] == "poll"
    await shop.event("conversation.started")
    await shop.send(ann.id, "Hello!")
    heard = await ann.poll()
    assert [one["params"]["message"]["text"] for one in heard] == ["Hi", "Hello!"]
    assert len(shop.told("conversation.started")) == 1


async def test_a_poll_is_held_until_something_comes(shop: Office) -> None:
    ann = await greeted(shop)
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(ann.poll())
        await shop.until(lambda: shop.channel.sessions["poll"] == 1)
        await shop.send(ann.id, "now")
    (told,) = poll.result()
    assert told["params"]["message"]["text"] == "now"
    assert shop.channel.sessions["poll"] == 0


async def test_a_poll_ends_empty_when_nothing_comes(shop: Office) -> None:
    ann = await greeted(shop)
    assert await ann.poll() == []


async def test_what_is_fleeting_reaches_a_poll_that_is_held(shop: Office) -> None:
    ann = await greeted(shop)
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(ann.poll())
        await shop.until(lambda: shop.channel.sessions["poll"] == 1)
        await asyncio.sleep(0.1)
        await shop.perform("typing.send", to=ann.id)
    assert poll.result() == [{"jsonrpc": "2.0", "method": "typing", "params": {"active": True}}]


async def test_a_poll_goes_on_behind_what_was_had_and_acknowledges_it(shop: Office) -> None:
    ann = await greeted(shop)
    for number in range(150):
        await shop.send(ann.id, f"{number}", id_=f"msg_{number:032x}")
    heard: list[str] = []
    while len(heard) < 150:
        heard += [one["params"]["message"]["text"] for one in await ann.poll()]
    assert heard == [f"{number}" for number in range(150)]
    assert await ann.poll() == []
    await shop.event("receipt.delivered", 150)
    told = [one["message"]["provider_id"] for one in shop.told("receipt.delivered")]
    assert told == [f"msg_{number:032x}" for number in range(150)]


async def test_a_visitor_may_go_on_by_the_other_transport(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("by socket", "c1")
    poller = shop.poller()
    await poller.hello(token=ann.token)
    assert [one["params"]["message"]["text"] for one in await poller.poll()] == ["by socket"]
    await poller.say("by poll", "c2")
    async with shop.visitor(token=ann.token, after=poller.after) as again:
        await again.until(1)
        assert again.messages() == ["by poll"]


async def test_page_and_locale_come_with_the_message(shop: Office) -> None:
    ann = await greeted(shop)
    await ann.call("message.send", id="c1", text="Hi", page={"url": PAGE}, locale="fr")
    told = await shop.event("message.received")
    assert told["metadata"]["chat"]["page"] == {"url": PAGE}
    assert told["metadata"]["chat"]["locale"] == told["message"]["from"]["locale"] == "fr"


async def test_a_notification_is_answered_without_a_body(shop: Office) -> None:
    ann = await greeted(shop)
    body = {"jsonrpc": "2.0", "method": "typing", "params": {"active": True}}
    async with shop.http.post(f"{shop.url}/rpc", json=body, headers=ann.headers) as response:
        assert (response.status, await response.read()) == (204, b"")
    await shop.event("typing.started")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no json", 400, -32700),
        (b"[]", 400, -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "dance"}', 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "history", "params": {"limit": 0}}', 200, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "history", "params": [1]}', 200, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "message.send", "params": {"id": "c1"}}', 200, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ack", "params": {"seq": 1e300}}', 200, -32602),
    ],
)
async def test_what_makes_no_sense_is_answered_as_documented(shop: Office, body: bytes, status: int, code: int) -> None:
    ann = await greeted(shop)
    async with shop.http.post(f"{shop.url}/rpc", data=body, headers=ann.headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)


async def test_without_a_token_nothing_is_told(shop: Office) -> None:
    stranger = shop.poller()
    with pytest.raises(Rejected) as missing:
        await stranger.poll()
    assert (missing.value.status, missing.value.data["reason"]) == (401, "missing")
    with pytest.raises(Rejected) as first:
        await stranger.call("history")
    assert first.value.code == -32021
    for header in ("Bearer", "Bearer ", "Basic eDp5", "Bearer x.y.z"):
        async with shop.http.get(f"{shop.url}/poll", headers={"Authorization": header}) as response:
            assert response.status == 401


@pytest.mark.parametrize("after", ["-1", "x", "1e3", "²", str(2**53), "9" * 400])
async def test_an_after_that_is_no_number_is_refused(shop: Office, after: str) -> None:
    ann = await greeted(shop)
    async with shop.http.get(f"{shop.url}/poll", params={"after": after}, headers=ann.headers) as response:
        assert response.status == 400


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "rpc", 405), ("POST", "poll", 405), ("DELETE", "files", 405), ("GET", "nothing", 404), ("GET", "../x", 404),
    ("PUT", "config", 405), ("GET", "", 404), ("GET", "demo.html", 404), ("GET", "ws", 404),
])  # fmt: skip
async def test_paths_and_methods_that_are_none_are_refused(shop: Office, method: str, path: str, status: int) -> None:
    async with shop.http.request(method, f"{shop.url}/{path}") as response:
        assert response.status == status


async def test_settings_say_where_the_socket_is(shop: Office) -> None:
    async with shop.http.get(f"{shop.url}/config") as response:
        told = await response.json()
    assert told["ws"] == shop.ws
    assert told["limits"]["text_max"] == 8000
    assert told["protocol"] == 1


async def test_settings_say_where_the_socket_is_behind_a_proxy(tmp_path: Path) -> None:
    async with (
        office(tmp_path, public_url="wss://chat.shop.example/") as it,
        it.http.get(f"{it.url}/config") as response,
    ):
        assert (await response.json())["ws"] == "wss://chat.shop.example/chat/web/ws"


async def test_pages_that_may_not_are_refused_and_those_that_may_are_answered_exactly(tmp_path: Path) -> None:
    async with office(tmp_path, origins=(PAGE, "https://*.help.example")) as it:
        for origin, status in {
            PAGE: 200, "https://a.help.example": 200, "http://127.0.0.1:1": 200, "https://SHOP.example": 200,
            "https://help.example": 403, "https://evilhelp.example": 403, "http://shop.example": 403,
            "https://shop.example.evil.example": 403, "https://shop.example:444": 403, "null": 403, "https://": 403,
            "chrome-extension://127.0.0.1": 403, "https://shop.example/path": 403, "https://x@shop.example": 403,
        }.items():  # fmt: skip
            async with it.http.get(f"{it.url}/config", headers={"Origin": origin}) as response:
                assert response.status == status, origin
                allowed = response.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if status == 200 else None)
                assert "Access-Control-Allow-Credentials" not in response.headers
            async with it.http.options(f"{it.url}/rpc", headers={"Origin": origin}) as response:
                assert response.status == (204 if status == 200 else 403)
                assert "Set-Cookie" not in response.headers
                if status == 200:
                    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


async def test_errors_can_be_read_by_the_page_too(tmp_path: Path) -> None:
    async with office(tmp_path, origins=(PAGE,)) as it:
        for method, path, status in (("GET", "poll", 401), ("POST", "files", 401), ("PUT", "rpc", 405)):
            async with it.http.request(method, f"{it.url}/{path}", headers={"Origin": PAGE}) as response:
                assert response.status == status
                assert response.headers["Access-Control-Allow-Origin"] == PAGE


async def test_a_picture_goes_in_and_is_shown(shop: Office) -> None:
    ann = await greeted(shop)
    status, told = await ann.upload(PNG, "crack.png", "application/octet-stream")
    assert (status, told["mime"], told["type"], told["size"]) == (201, "image/png", "image", len(PNG))
    await ann.call("message.send", id="c1", parts=[{"type": "image", "file": told["file"], "caption": "here"}])
    heard = await shop.event("message.received")
    (part,) = heard["message"]["parts"]
    assert (part["type"], part["media"]["status"], part["media"]["caption"]) == ("image", "stored", "here")
    assert heard["message"]["text"] == "here"
    (shown,) = await ann.poll()
    (mine,) = shown["params"]["message"]["parts"]
    assert set(mine["media"]) == {"id", "mime", "name", "size", "caption", "url"}
    path = mine["media"]["url"].removeprefix("https://gw.example")
    async with shop.http.get(f"http://{shop.server.address}{path}") as response:
        assert (response.status, await response.read()) == (200, PNG)


async def test_a_file_is_for_the_conversation_it_was_uploaded_in(shop: Office) -> None:
    ann, ben = await greeted(shop), await greeted(shop)
    _, told = await ann.upload(PNG, "x.png", "image/png")
    for poller, file in ((ben, told["file"]), (ann, "file_unknown")):
        with pytest.raises(Rejected) as refused:
            await poller.call("message.send", id="c1", parts=[{"type": "image", "file": file}])
        assert refused.value.code == -32009


@pytest.mark.parametrize(
    ("data", "name", "mime", "status"),
    [
        (b"", "empty.txt", "text/plain", 400),
        (b"MZ\0\0" + b"\0" * 100, "setup.png", "image/png", 415),
        (b"\x7fELF" + b"\0" * 100, "x.png", "image/png", 415),
        (b"#!/bin/sh\nrm", "x.txt", "text/plain", 415),
        (b"<html><script>alert(1)</script></html>", "x.html", "text/html", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", "x.svg", "image/svg+xml", 415),
        (PNG, "holiday.exe", "image/png", 415),
        (b"\0\1\2\3" * 30, "x.bin", "image/png", 415),
        (b"plain words", "a.txt", "text/plain", 201),
        (b"PK\x03\x04" + b"\0" * 60, "a.docx",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 201),
        (b"%PDF-1.7\n", "a.pdf", "text/html", 201),
    ],
)  # fmt: skip
async def test_files_are_judged_by_what_they_are(shop: Office, data: bytes, name: str, mime: str, status: int) -> None:
    ann = await greeted(shop)
    assert (await ann.upload(data, name, mime))[0] == status


async def test_a_name_is_only_a_name(shop: Office) -> None:
    ann = await greeted(shop)
    _, told = await ann.upload(b"x", "../../etc/\u202epass\nwd.txt", "text/plain")
    assert told["name"] == "passwd.txt"


async def test_files_that_are_too_large_or_too_many_are_refused(tmp_path: Path) -> None:
    async with office(tmp_path, upload_max_bytes=1000, uploads_per_minute=2) as it:
        ann = await greeted(it)
        assert (await ann.upload(b"x" * 1001, "a.txt", "text/plain"))[0] == 413

        async def slowly() -> Any:
            for _ in range(11):
                yield b"x" * 100

        async with it.http.put(f"{it.url}/files", data=slowly(), headers=ann.headers) as response:
            assert response.status == 413
        for status in (201, 201, 429):
            assert (await ann.upload(b"x" * 1000, "a.txt", "text/plain"))[0] == status


async def test_a_file_of_nobody_is_refused_before_it_is_read(shop: Office) -> None:
    reader, writer = await asyncio.open_connection(*shop.server.address.split(":"))
    writer.write(b"POST /chat/web/files HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path, text_max=100, message_max_bytes=1024) as it:
        async with it.http.post(f"{it.url}/rpc", data=b"x" * 1025) as response:
            assert response.status == 413
        ann = await greeted(it)
        with pytest.raises(Rejected) as refused:
            await ann.say("x" * 101, "c1")
        assert refused.value.code == -32602
        await ann.say("ü" * 100, "c2")


async def test_who_writes_too_fast_is_told_when_to_go_on(tmp_path: Path) -> None:
    async with office(tmp_path, messages_per_minute=6) as it:
        ann, ben = await greeted(it), await greeted(it)
        for number in range(2):  # a third of it at once
            await ann.say("x", f"c{number}")
        with pytest.raises(Rejected) as refused:
            await ann.say("x", "c2")
        assert (refused.value.status, refused.value.code) == (429, -32005)
        assert 0 < refused.value.data["retry_after"] <= 10
        assert refused.value.data["retryable"]
        await ben.say("x", "c2")
        await ann.call("ping")


async def test_new_sessions_of_one_client_are_limited_and_old_ones_go_on(tmp_path: Path) -> None:
    async with office(tmp_path, sessions_per_minute_per_ip=2) as it:
        ann, _ = await greeted(it), await greeted(it)
        with pytest.raises(Rejected) as refused:
            await greeted(it)
        assert (refused.value.status, refused.value.code) == (429, -32005)
        again = it.poller()
        await again.hello(token=ann.session["session"]["token"])


async def test_polls_beyond_the_limit_are_answered_at_once(tmp_path: Path) -> None:
    async with office(tmp_path, max_polls=1, poll_secs=60) as it:
        ann, ben = await greeted(it), await greeted(it)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            held = group.create_task(ann.poll())
            await it.until(lambda: it.channel.sessions["poll"] == 1)
            assert await ben.poll() == []
            await it.send(ann.id, "now")
        assert len(held.result()) == 1


async def test_polls_are_let_go_when_the_process_ends(tmp_path: Path) -> None:
    async with office(tmp_path, poll_secs=60) as it:
        ann = await greeted(it)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            held = group.create_task(ann.poll())
            await it.until(lambda: it.channel.sessions["poll"] == 1)
            it.channel.dismiss()
        assert [one["method"] for one in held.result()] == ["reconnect"]
        assert [one["method"] for one in await ann.poll()] == ["reconnect"]


async def test_a_channel_that_does_not_run_is_busy(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        ann = await greeted(it)
        it.stop()
        await it.until(lambda: it.channel.probe_port() is None)
        with pytest.raises(Rejected) as refused:
            await ann.say("Hi", "c1")
        assert (refused.value.status, refused.value.code) == (503, -32012)
