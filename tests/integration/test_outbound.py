"""Commands in, provider out, answers and events back, on the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dirty_equals import IsPartialDict, IsStr
from msgspec.structs import replace

from connectors.staging import MediaUnavailable
from dedup.api import Take
from gateway.blobs import BlobStore
from gateway.limits import Backoff
from gateway.web.media import media_link
from normalizer import ids
from tests.integration.outbound_lab import CHANNEL, DEAD_QUEUE, Lab, open_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        lab.start()
        yield lab


async def remember_conversation(lab: Lab, address: str) -> str:
    conversation = ids.conversation_id(CHANNEL, address)
    await lab.dedup.exchange([Take("k", conversation, address, 1, 60.0)], lease=5.0)
    return conversation


async def test_a_message_is_sent_answered_and_reported(lab: Lab) -> None:
    answer = await lab.call(to="anna", text="hello")
    await lab.until(lab.statuses)

    sent = answer["result"]["message"]
    assert answer["result"] == {"message": {"id": IsStr(regex="msg_.+"), "provider_ids": ["p1"]}, "status": "sent"}
    assert lab.provider.got == [{"to": "anna", "text": "hello", "id": sent["id"]}]
    params = lab.events[0]["params"]
    assert params["status"] == "sent"
    assert params["message"] == {"id": sent["id"], "provider_id": "p1"}


async def test_a_conversation_can_be_answered_instead_of_an_address(lab: Lab) -> None:
    conversation = await remember_conversation(lab, "anna")

    await lab.call(conversation=conversation, text="hello")

    assert lab.provider.got[0]["to"] == "anna"


async def test_an_unknown_conversation_is_an_error_that_says_what_to_do(lab: Lab) -> None:
    error = (await lab.call(conversation="cnv_x", text="hello"))["error"]

    assert error["code"] == -32602
    assert "give `to`" in error["message"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": "hello"}, "give either `to` or `conversation`"),
        ({"to": "anna", "conversation": "cnv_x", "text": "hello"}, "not both"),
        ({"to": "", "text": "hello"}, "recipient is empty"),
        ({"to": "anna"}, "give either `parts` or `text`"),
        ({"to": "anna", "text": " "}, "empty"),
        ({"to": "anna", "text": 5}, "$.text"),
        ({"to": "anna", "text": "hello", "tetx": 1}, "tetx"),
        ({"to": "anna", "text": "hello", "not_after": "2026-01-01T00:00:00"}, "time zone"),
        ({"to": "anna", "text": "hello", "channel": "other"}, "$.channel"),
    ],
)
async def test_params_that_make_no_sense_are_answered_with_the_path(
    lab: Lab, params: dict[str, object], words: str
) -> None:
    error = (await lab.call(**params))["error"]

    assert error["code"] == -32602
    assert words in error["message"]
    assert error["data"]["retryable"] is False
    assert lab.provider.got == []


async def test_the_same_idempotency_key_gives_one_message_and_one_answer(lab: Lab) -> None:
    first = await lab.call(to="anna", text="hello", idempotency_key="k1")
    again = await lab.call(to="anna", text="hello", idempotency_key="k1")

    assert again == first
    assert lab.provider.texts == ["hello"]


async def test_two_requests_with_one_key_at_the_same_time_give_one_message(lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(lab.call(to="anna", text="hello", idempotency_key="k1")) for _ in range(5)]

    assert len({str(call.result()) for call in calls}) == 1
    assert lab.provider.texts == ["hello"]


async def test_one_key_for_different_content_is_a_duplicate_request(lab: Lab) -> None:
    first = await lab.call(to="anna", text="hello", idempotency_key="k1")
    error = (await lab.call(to="bert", text="hello", idempotency_key="k1"))["error"]

    assert error["code"] == -32010
    assert error["data"]["first_result"] == first["result"]
    assert lab.provider.texts == ["hello"]


async def test_a_passing_failure_is_tried_again(lab: Lab) -> None:
    lab.provider.script.extend([{"status": 502}, {"status": 500}])

    answer = await lab.call(to="anna", text="hello")

    assert answer["result"]["status"] == "sent"
    assert lab.provider.texts == ["hello"] * 3


async def test_giving_up_leaves_a_dead_letter_a_status_and_an_answer(lab: Lab) -> None:
    lab.provider.script.extend([{"status": 502}] * 3)

    error = (await lab.call(to="anna", text="hello"))["error"]
    dead = await lab.take(DEAD_QUEUE)
    await lab.until(lab.statuses)

    assert error["code"] == -32006
    assert error["data"] == {"retryable": True, "provider_code": "502"}
    assert dead.routing_key == f"send.{CHANNEL}"
    assert b'"hello"' in dead.body
    assert dead.headers["reason"] == "connection_failed"
    assert dead.headers["tries"] == 3
    assert lab.statuses() == ["failed"]
    assert lab.events[0]["params"]["error"]["code"] == -32006


async def test_after_a_failure_that_may_pass_the_same_key_may_try_again(lab: Lab) -> None:
    lab.provider.script.extend([{"status": 502}] * 3)

    failed = await lab.call(to="anna", text="hello", idempotency_key="k1")
    answer = await lab.call(to="anna", text="hello", idempotency_key="k1")

    assert "error" in failed
    assert answer["result"]["status"] == "sent"


async def test_a_refusal_is_final_at_once_and_remembered(lab: Lab) -> None:
    lab.provider.script.append({"status": 400, "text": "bad thing"})

    first = await lab.call(to="anna", text="hello", idempotency_key="k1")
    again = await lab.call(to="anna", text="hello", idempotency_key="k1")

    assert first["error"]["code"] == -32007
    assert first["error"]["data"] == {"retryable": False, "provider_code": "400", "provider_text": "bad thing"}
    assert again == first
    assert len(lab.provider.got) == 1
    assert (await lab.take(DEAD_QUEUE)).headers["reason"] == "rejected"


async def test_a_fault_of_the_connector_is_an_internal_error_after_its_tries(lab: Lab) -> None:
    lab.connector.fault = ZeroDivisionError("secret detail")

    error = (await lab.call(to="anna", text="hello"))["error"]

    assert error["code"] == -32603
    assert "secret detail" not in str(error)
    assert (await lab.take(DEAD_QUEUE)).headers["tries"] == 3


async def test_retry_after_pauses_the_whole_channel(lab: Lab) -> None:
    lab.provider.by_recipient["anna"].append({"status": 429, "headers": {"Retry-After": "1"}})
    loop = asyncio.get_running_loop()

    async with asyncio.TaskGroup() as group:
        group.create_task(lab.call(to="anna", text="one"))
        await lab.until(lambda: lab.outbound.state["paused_secs"])
        began = loop.time()
        await lab.call(to="bert", text="two")
        waited = loop.time() - began

    assert waited >= 0.3
    assert sorted(lab.provider.texts) == ["one", "one", "two"]


async def test_messages_of_one_recipient_keep_their_order_while_one_is_retried(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        lab.extras = replace(lab.extras, backoff=Backoff(base=0.5, cap=0.5, uniform=max))
        lab.provider.by_recipient["anna"].extend([{"status": 502}, {"status": 502}])
        lab.start()
        for number in range(6):
            await lab.tell(to="anna", text=f"a{number}", message_id=f"a{number}")
            await lab.tell(to="bert", text=f"b{number}", message_id=f"b{number}")
        await lab.until(lambda: len(lab.statuses()) == 12)

        delivered = lab.provider.texts
        assert [text for text in delivered if text[0] == "a"] == ["a0", "a0", "a0", "a1", "a2", "a3", "a4", "a5"]
        assert [text for text in delivered if text[0] == "b"] == [f"b{number}" for number in range(6)]
        assert delivered.index("b5") < delivered.index("a1")


async def test_an_address_and_its_conversation_share_one_line(lab: Lab) -> None:
    conversation = await remember_conversation(lab, "anna")
    lab.provider.hold.clear()
    await lab.tell(to="anna", text="one", message_id="1")
    await lab.tell(conversation=conversation, text="two", message_id="2")
    await lab.until(lambda: lab.provider.at_once == 1)
    await asyncio.sleep(0.1)
    assert lab.provider.at_once == 1
    lab.provider.hold.set()
    await lab.until(lambda: len(lab.statuses()) == 2)

    assert lab.provider.texts == ["one", "two"]


async def test_no_more_than_max_sends_leave_at_once(lab: Lab) -> None:
    lab.provider.hold.clear()
    for number in range(12):
        await lab.tell(to=f"r{number}", text="x", message_id=f"{number}")
    await lab.until(lambda: lab.provider.at_once == 4)
    await asyncio.sleep(0.1)
    lab.provider.hold.set()
    await lab.until(lambda: len(lab.statuses()) == 12)

    assert lab.provider.most_at_once == 4


async def test_a_part_beyond_the_channel_is_an_error_unless_it_may_degrade(lab: Lab) -> None:
    parts = [{"type": "text", "body": "here:"}, {"type": "contact", "name": "Bert", "phones": ["+49"]}]

    error = (await lab.call(to="anna", parts=parts))["error"]
    answer = await lab.call(to="anna", parts=parts, fallback="degrade")

    assert error["code"] == -32003
    assert error["data"] == {"retryable": False, "need": "contact", "have": ["text", "location"]}
    assert answer["result"]["status"] == "sent"
    assert lab.provider.texts == ["here:\n[contact] Bert +49"]


async def test_what_the_connector_cannot_express_after_all_degrades_too(lab: Lab) -> None:
    parts = [{"type": "location", "lat": 1.0, "lon": 2.0, "name": "home"}]

    await lab.call(to="anna", parts=parts, fallback="degrade")

    assert lab.provider.texts == ["[location home 1.000000,2.000000]"]


async def test_a_message_past_its_time_is_not_sent(lab: Lab) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    error = (await lab.call(to="anna", text="hello", not_after=past))["error"]
    await lab.until(lab.statuses)

    assert error["code"] == -32011
    assert lab.statuses() == ["expired"]
    assert lab.provider.got == []


async def test_retries_end_when_the_time_is_over(lab: Lab) -> None:
    lab.provider.by_recipient["anna"].append({"status": 429, "headers": {"Retry-After": "3600"}})
    soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()

    error = (await lab.call(to="anna", text="hello", not_after=soon))["error"]

    assert error["code"] == -32011
    assert len(lab.provider.got) == 1


async def test_what_is_not_json_becomes_a_dead_letter(lab: Lab) -> None:
    await lab.tell(body=b"\xff{nonsense")

    dead = await lab.take(DEAD_QUEUE)

    assert dead.body == b"\xff{nonsense"
    assert dead.headers["reason"] == "parse_error"


async def test_a_wrong_request_nobody_waits_for_becomes_a_dead_letter(lab: Lab) -> None:
    await lab.tell(to="anna")

    assert (await lab.take(DEAD_QUEUE)).headers["reason"] == "invalid_params"


async def test_an_asker_who_went_away_does_not_stop_the_channel(lab: Lab) -> None:
    lab.provider.hold.clear()
    with pytest.raises(TimeoutError):
        await lab.call(to="anna", text="one", timeout=0.3)
    lab.provider.hold.set()

    assert (await lab.call(to="anna", text="two"))["result"]["status"] == "sent"


async def test_an_unknown_method_is_answered(lab: Lab) -> None:
    assert (await lab.call("message.shout", to="anna"))["error"]["code"] == -32601


async def test_other_requests_reach_the_connector_with_the_recipient_filled_in(lab: Lab) -> None:
    conversation = await remember_conversation(lab, "anna")

    answer = await lab.call("message.edit", conversation=conversation, message={"provider_id": "p1"}, text="new")

    assert answer["result"] == {"done": True}
    assert lab.provider.got == [{"to": "anna", "text": "message.edit"}]


async def test_a_request_the_channel_does_not_know_names_what_it_knows(lab: Lab) -> None:
    error = (await lab.call("reaction.send", message={"provider_id": "p1"}, emoji="+"))["error"]

    assert error["code"] == -32003
    assert error["data"]["have"] == ["message.edit", "typing.send"]


async def test_a_fleeting_request_is_tried_once(lab: Lab) -> None:
    lab.provider.script.append({"status": 502})

    error = (await lab.call("typing.send", to="anna"))["error"]

    assert error["code"] == -32006
    assert len(lab.provider.got) == 1
    assert await lab.empty(DEAD_QUEUE)


async def test_a_request_for_the_gateway_is_handed_on(lab: Lab) -> None:
    await lab.tell("channel.get")

    assert (await lab.take("gw.rpc")).method == "channel.get"


async def test_the_rate_limit_holds(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        lab.options = replace(lab.options, rate_per_sec=20.0)
        lab.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(8):
            await lab.tell(to=f"r{number}", text="x", message_id=f"{number}")
        await lab.until(lambda: len(lab.statuses()) == 8)

        assert loop.time() - began >= 0.25  # two at once, six more at 20 per second


async def test_media_are_fetched_kept_and_linked(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        blobs = BlobStore(tmp_path)
        lab.extras = replace(lab.extras, blobs=blobs, link=media_link(blobs, "https://gw.example", lambda: 1e9))
        lab.start()
        media = {"id": "med_1", "status": "pending", "provider_id": "file-7", "mime": "image/png", "name": "a.png"}

        found = (await lab.call("media.get", media=media))["result"]
        unnamed = (await lab.call("media.get", media={"id": "med_1", "status": "pending"}))["error"]

        assert found == IsPartialDict(status="stored", size=6, mime="image/png", url=IsStr(), expires_at=IsStr())
        assert await blobs.get("sha256:" + found["sha256"]) == b"file-7"
        assert unnamed["code"] == -32602


async def test_a_link_that_has_expired_is_made_anew_without_asking_the_provider(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        blobs = BlobStore(tmp_path)
        lab.extras = replace(lab.extras, blobs=blobs, link=media_link(blobs, "https://gw.example", lambda: 1e9))
        lab.start()
        digest = (await blobs.put(b"kept")).removeprefix("sha256:")
        media = {"id": "med_1", "status": "stored", "sha256": digest, "provider_id": "file-7", "url": "https://old"}

        found = (await lab.call("media.get", media=media))["result"]
        gone = (await lab.call("media.get", media={**media, "sha256": "0" * 64}))["result"]

        assert (found["sha256"], found["url"].startswith("https://gw.example/media/" + digest)) == (digest, True)
        assert await blobs.get("sha256:" + gone["sha256"]) == b"file-7"  # not here any more: fetched again


async def test_media_that_are_nothing_are_told_with_what_to_do(lab: Lab) -> None:
    lab.connector.fault = MediaUnavailable("put it in by POST /api/media")

    error = (await lab.call(to="anna", text="x"))["error"]

    assert (error["code"], error["message"]) == (-32009, "put it in by POST /api/media")


async def test_a_gateway_that_keeps_no_media_says_so(lab: Lab) -> None:
    media = {"id": "med_1", "status": "pending", "provider_id": "file-7"}

    assert (await lab.call("media.get", media=media))["error"]["code"] == -32009
