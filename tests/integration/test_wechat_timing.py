"""WeChat's five seconds, scaled down: replies in the HTTP answer, later ones by the API, and never both or neither."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.wechat_lab import CHANNEL, Lab, open_lab, replying

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("mode", ["aes", "plain"])
async def test_a_core_in_time_answers_in_the_http_answer(tmp_path: Path, monkeypatch: Patch, mode: str) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.2), mode=mode) as lab:
        answer = await lab.deliver(lab.text())
        await lab.until(lambda: lab.answered)

    assert answer.text == "re: Hello from the simulator"
    assert answer.seconds < 0.8
    assert lab.api_texts() == []
    assert lab.answered[0]["result"]["status"] == "sent"


async def test_a_late_core_gets_success_and_its_reply_goes_by_the_api(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.9), passive_secs=0.4) as lab:
        answer = await lab.deliver(lab.text())
        await lab.until(lab.api_texts)

    assert answer.body == b"success"
    assert answer.seconds >= 0.4
    assert lab.api_texts() == ["re: Hello from the simulator"]


async def test_the_worker_that_holds_need_not_be_the_one_that_sends(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.1), nodes=2, passive_secs=3) as lab:
        answers = [await lab.deliver(lab.text(number), node=1) for number in (1, 2)]

    assert [answer.text for answer in answers] == ["re: Hello from the simulator"] * 2
    assert lab.api_texts() == []


async def test_three_tries_make_one_message_and_one_reply(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.3), nodes=2, passive_secs=3) as lab:
        request = lab.text()
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(lab.deliver(request, node=node)) for node in (0, 1, 0)]
        late = await lab.deliver(request, node=1)

    answers = [task.result() for task in tries] + [late]
    assert {answer.text for answer in answers} == {"re: Hello from the simulator"}
    assert len({answer.body for answer in answers}) == 1, "the cached answer, byte for byte"
    assert len(lab.received) == 1
    assert len(lab.answered) == 1
    assert lab.api_texts() == []


async def test_a_try_that_wechat_broke_off_leaves_the_reply_to_the_next(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.5), nodes=2, passive_secs=2) as lab:
        request = lab.text()
        with pytest.raises(TimeoutError):
            await lab.deliver(request, timeout=0.2)
        answer = await lab.deliver(request, node=1)

    assert answer.text == "re: Hello from the simulator"
    assert len(lab.received) == 1
    assert lab.api_texts() == []


async def test_tries_after_the_deadline_get_success_at_once(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, passive_secs=0.3) as lab:
        request = lab.text()
        answers = [await lab.deliver(request) for _ in range(3)]

    assert {answer.body for answer in answers} == {b"success"}
    assert answers[0].seconds >= 0.3
    assert len(lab.received) == 1


async def test_two_replies_to_one_message_are_one_passive_and_one_by_the_api(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    async def twice(lab: Lab, event: dict[str, Any]) -> None:
        for text in ("first", "second"):
            await lab.send(conversation=event["conversation"]["id"], text=text)

    async with open_lab(tmp_path, monkeypatch, twice) as lab:
        answer = await lab.deliver(lab.text())
        await lab.until(lambda: len(lab.answered) == 2)

    assert answer.text == "first"
    assert lab.api_texts() == ["second"]


async def test_somebody_who_subscribes_is_greeted_in_the_http_answer(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.05)) as lab:
        answer = await lab.deliver(lab.text(content="subscribe"))

    assert answer.text == "re: event"


async def test_zero_seconds_hold_nothing(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.0), passive_secs=0) as lab:
        answer = await lab.deliver(lab.text())
        await lab.until(lab.api_texts)

    assert answer.body == b"success"
    assert lab.api_texts() == ["re: Hello from the simulator"]


async def test_held_requests_take_no_place_in_the_pipeline(tmp_path: Path, monkeypatch: Patch) -> None:
    people = 60
    async with open_lab(tmp_path, monkeypatch, passive_secs=1.5, in_flight=10) as lab, asyncio.TaskGroup() as group:
        held = []
        for person in range(1, people + 1):
            held.append(group.create_task(lab.deliver(lab.text(person, person))))
            if person % 5 == 0:
                await lab.until(lambda upto=person: len(lab.received) >= upto)  # not more than 10 at once before then
        await lab.until(lambda: len(lab.received) == people)
        assert lab.nodes[0].core.gate.taken == 0

    assert {task.result().body for task in held} == {b"success"}


async def test_the_receipt_deadline_does_not_cut_the_hold(tmp_path: Path, monkeypatch: Patch) -> None:
    more = "ack_deadline_secs = 0.3"
    async with open_lab(tmp_path, monkeypatch, replying(0.6), passive_secs=2, more=more) as lab:
        answer = await lab.deliver(lab.text())

    assert answer.text == "re: Hello from the simulator"


async def test_a_reload_of_the_channel_does_not_cut_the_hold(tmp_path: Path, monkeypatch: Patch) -> None:
    async with open_lab(tmp_path, monkeypatch, replying(0.5), passive_secs=3) as lab, asyncio.TaskGroup() as group:
        held = group.create_task(lab.deliver(lab.text()))
        await lab.until(lambda: lab.received)
        await lab.nodes[0].channels._match(lab.settings.channels[CHANNEL])

    assert held.result().text == "re: Hello from the simulator"
    assert lab.api_texts() == []


async def test_without_the_store_nothing_is_held_and_replies_go_by_the_api_at_once(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    async with open_lab(tmp_path, monkeypatch, passive_secs=4.9) as lab:
        await lab.nodes[0].core.dedup.close()
        answer = await lab.deliver(lab.text())
        began = time.monotonic()
        await lab.send(to="oSimulated000001", text="hi")
        seconds = time.monotonic() - began

    assert answer.body == b"success"
    assert max(answer.seconds, seconds) < 4
    assert lab.api_texts() == ["hi"]


async def test_when_everybody_answers_near_the_deadline_each_reply_goes_out_once(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    people = 40

    async def hesitating(lab: Lab, event: dict[str, Any]) -> None:
        person = int(event["message"]["from"]["addresses"][0]["value"].removeprefix("oSimulated"))
        await asyncio.sleep(0.2 + person * 0.03)  # the first come in time, the last come late, many at the deadline
        await lab.send(conversation=event["conversation"]["id"], text=f"to {person}")

    more = "max_sends = 50"
    async with open_lab(tmp_path, monkeypatch, hesitating, nodes=2, passive_secs=0.9, more=more) as lab:
        async with asyncio.TaskGroup() as group:
            tries = [
                group.create_task(lab.deliver(lab.text(person, person), node=person % 2))
                for person in range(1, people + 1)
            ]
        await lab.until(lambda: len(lab.answered) == people)
        passive = [task.result().text for task in tries if task.result().text]
        found = Counter(passive + lab.api_texts())

    assert found == Counter(f"to {person}" for person in range(1, people + 1))
    assert passive
    assert lab.api_texts()
