"""What happens to commands when the provider, the gateway or the broker goes away in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from yarl import URL

from gateway.broker.rabbit import RabbitBroker
from gateway.settings.model import BrokerSection
from tests.integration.outbound_lab import Lab, open_lab
from tests.servers.proxy import TcpProxy


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab


def outage(times: int) -> list[dict[str, int]]:
    return [{"status": 503} for _ in range(times)]


async def test_a_dead_provider_suspends_sending_and_nothing_is_lost(lab: Lab) -> None:
    lab.options = replace(lab.options, send_attempts=20)
    lab.extras = replace(lab.extras, breaker_threshold=3, breaker_secs=0.3)
    lab.provider.script.extend(outage(5))
    lab.start()

    for number in range(4):
        await lab.tell(to=f"r{number}", text="x", message_id=f"{number}")
    await lab.until(lambda: lab.statuses("channel.status") == ["down"])
    assert lab.outbound.state["breaker"] == "open"
    assert lab.outbound.state["last_error"] == "unreachable"
    await lab.until(lambda: len(lab.statuses()) == 4)

    assert lab.statuses() == ["sent"] * 4
    assert lab.statuses("channel.status") == ["down", "ok"]
    assert lab.outbound.state["breaker"] == "closed"


async def test_while_sending_is_suspended_the_provider_is_left_alone(lab: Lab) -> None:
    lab.options = replace(lab.options, send_attempts=20)
    lab.extras = replace(lab.extras, breaker_threshold=3, breaker_secs=60.0)
    lab.provider.script.extend(outage(100))
    lab.start()
    for number in range(4):
        await lab.tell(to=f"r{number}", text="x", message_id=f"{number}")
    await lab.until(lambda: lab.outbound.breaker.state.value == "open")
    await lab.until(lambda: not lab.provider.at_once)
    asked = len(lab.provider.got)

    await lab.tell(to="late", text="x", message_id="late")
    await asyncio.sleep(0.3)

    assert len(lab.provider.got) == asked


async def test_wrong_credentials_suspend_sending_too(lab: Lab) -> None:
    lab.extras = replace(lab.extras, breaker_threshold=2, breaker_secs=60.0)
    lab.provider.script.extend([{"status": 401}, {"status": 401}])
    lab.start()

    answers = [await lab.call(to="anna", text="x") for _ in range(2)]
    await lab.until(lambda: lab.statuses("channel.status") == ["down"])

    assert [answer["error"]["code"] for answer in answers] == [-32002, -32002]


async def test_a_shutdown_finishes_what_is_under_way_and_gives_the_rest_back(lab: Lab) -> None:
    lab.start()
    lab.provider.hold.clear()
    await lab.tell(to="anna", text="under way", message_id="1")
    await lab.tell(to="anna", text="in line", message_id="2")
    await lab.until(lambda: lab.provider.at_once == 1)

    async with asyncio.TaskGroup() as group:
        group.create_task(lab.stop())
        await asyncio.sleep(0.1)
        lab.provider.hold.set()
    await lab.until(lambda: lab.statuses() == ["sent"])
    assert lab.provider.texts == ["under way"]

    lab.start()
    await lab.until(lambda: lab.statuses() == ["sent", "sent"])
    assert lab.provider.texts == ["under way", "in line"]


async def test_a_shutdown_does_not_wait_for_ever(lab: Lab) -> None:
    lab.extras = replace(lab.extras, drain_secs=0.2)
    lab.start()
    lab.provider.hold.clear()
    await lab.tell(to="anna", text="hello", message_id="1")
    await lab.until(lambda: lab.provider.at_once == 1)

    async with asyncio.timeout(3):
        await lab.stop()
    lab.provider.hold.set()
    lab.start()
    await lab.until(lambda: lab.statuses() == ["sent"])

    assert lab.provider.texts == ["hello", "hello"]  # at least once: nobody knew how the first try ended


async def test_a_message_waiting_for_its_next_try_is_given_back_at_once(lab: Lab) -> None:
    lab.provider.script.append({"status": 429, "headers": {"Retry-After": "3600"}})
    lab.start()
    await lab.tell(to="anna", text="hello", message_id="1")
    await lab.until(lambda: lab.outbound.state["paused_secs"])

    async with asyncio.timeout(2):
        await lab.stop()
    lab.start()
    await lab.until(lambda: lab.statuses() == ["sent"])


async def test_without_the_dedup_store_messages_go_out_unchecked(lab: Lab) -> None:
    lab.start()
    await lab.dedup.close()

    answer = await lab.call(to="anna", text="hello", idempotency_key="k1")

    assert answer["result"]["status"] == "sent"


async def test_where_configured_nothing_goes_out_without_the_dedup_store(lab: Lab) -> None:
    lab.extras = replace(lab.extras, strict=True)
    lab.start()
    await lab.dedup.close()

    error = (await lab.call(to="anna", text="hello", idempotency_key="k1"))["error"]

    assert error["code"] == -32012
    assert error["data"]["retryable"] is True
    assert lab.provider.got == []


@pytest.fixture
async def rabbit_lab(
    tmp_path: Path, rabbit_url: str, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> AsyncIterator[tuple[Lab, TcpProxy]]:
    url = URL(rabbit_url)
    proxy = await make_proxy(url.port or 5672)
    section = BrokerSection(url=str(url.with_port(proxy.port)))
    async with open_lab(tmp_path, RabbitBroker(section, node="lab")) as lab:
        yield lab, proxy


async def test_on_rabbitmq_a_message_is_sent_and_answered(rabbit_lab: tuple[Lab, TcpProxy]) -> None:
    lab, _ = rabbit_lab
    lab.start()

    answer = await lab.call(to="anna", text="hello", idempotency_key="k1")
    again = await lab.call(to="anna", text="hello", idempotency_key="k1")
    error = (await lab.call(to="anna"))["error"]

    assert answer["result"]["status"] == "sent"
    assert again == answer
    assert error["code"] == -32602
    assert lab.provider.texts == ["hello"]


async def test_a_broker_lost_between_sending_and_acknowledging_sends_nothing_twice(
    rabbit_lab: tuple[Lab, TcpProxy],
) -> None:
    lab, proxy = rabbit_lab
    lab.start()
    lab.provider.hold.clear()
    for number in range(3):
        await lab.tell(to=f"r{number}", text=f"x{number}", message_id=f"lost-{number}")
    await lab.until(lambda: lab.provider.at_once == 3)

    proxy.cut()
    lab.provider.hold.set()  # the provider takes them while the gateway has no broker
    await lab.until(lambda: lab.provider.at_once == 0)
    await asyncio.sleep(0.2)
    proxy.resume()
    await lab.until(lambda: lab.broker.ready, 30.0)
    async with asyncio.timeout(30):
        while lab.outbound.state["commands"] or not await lab.empty("gw.out.shop"):  # they may not be back yet
            await asyncio.sleep(0.05)

    assert sorted(lab.provider.texts) == ["x0", "x1", "x2"]


async def test_after_a_restart_a_redelivered_command_finds_its_answer_remembered(
    rabbit_lab: tuple[Lab, TcpProxy],
) -> None:
    lab, proxy = rabbit_lab
    lab.extras = replace(lab.extras, drain_secs=0.1)
    lab.start()
    lab.provider.hold.clear()
    await lab.tell(to="anna", text="hello", message_id="lost")
    await lab.until(lambda: lab.provider.at_once == 1)

    proxy.cut()
    lab.provider.hold.set()
    await asyncio.sleep(0.2)
    await lab.stop()
    proxy.resume()
    await lab.until(lambda: lab.broker.ready, 30.0)
    lab.start()
    await lab.until(lab.statuses, 30.0)

    assert lab.statuses() == ["sent"]
    assert lab.provider.texts == ["hello"]
