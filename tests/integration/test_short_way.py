"""Plain deliveries, which do not go through aiohttp's request handling, and how the two ways get on with each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from typing_extensions import override

from connectors.api import Delivery, Reply
from gateway.web.direct import possible
from gateway.web.public import Endpoint
from tests.integration.test_public_server import GOOD, LIMIT, Lab, Shop, post, serving


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with serving() as made:
        yield made


def aiohttps(lab: Lab) -> int:
    """Tell how many requests aiohttp has handled."""
    return lab.server._server.requests_count


class Picky(Shop):
    """Answers with more than a constant."""

    @override
    async def handle(self, delivery: Delivery) -> Reply:
        return Reply(status=503, body=b"busy", headers={"Retry-After": "7"})


def test_this_release_of_aiohttp_has_what_the_short_way_needs() -> None:
    assert possible()


async def test_plain_deliveries_go_the_short_way_and_all_else_goes_aiohttps(lab: Lab) -> None:
    client = await lab.connect()
    for _ in range(3):
        assert (await client.ask(GOOD)).status == 200
    assert aiohttps(lab) == 0

    assert (await lab.ask(post(path="/c/nowhere"))).status == 404
    assert (await client.ask(b"GET /media/x HTTP/1.1\r\nHost: gw\r\n\r\n")).status == 403
    assert (await client.ask(post(b"x" * 70_000))).status == 200
    assert aiohttps(lab) == 3

    for _ in range(3):
        assert (await client.ask(GOOD)).status == 200
    assert aiohttps(lab) == 3


async def test_an_answer_that_is_no_constant_leaves_the_connection_as_it_was(lab: Lab) -> None:
    lab.endpoints["picky"] = Endpoint(Picky(), LIMIT)
    client = await lab.connect()
    for _ in range(2):
        answer = await client.ask(post(path="/c/picky"))
        assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"busy", "7")
        assert (await client.ask(GOOD)).status == 200
    assert aiohttps(lab) == 0


async def test_requests_behind_one_under_way_wait_unread_and_are_answered_in_order(lab: Lab) -> None:
    client = await lab.connect()
    lab.shop.open.clear()
    await client.send(post(b"0"))
    await lab.shop.arrived.wait()
    many = [post(str(number).encode().ljust(60_000)) for number in range(1, 700)]  # more than sockets hold
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(client.send(*many))
        await asyncio.sleep(0.5)
        assert not sending.done()
        assert lab.shop.taken == []
        lab.shop.open.set()
        for _ in range(700):
            assert (await client.answer()).status == 200
    assert [int(delivery.body) for delivery in lab.shop.taken] == list(range(700))


async def test_a_connection_is_not_idle_while_its_delivery_is_under_way_and_is_closed_when_it_is() -> None:
    async with serving(header_timeout_secs=0.2) as lab:
        client = await lab.connect()
        lab.shop.open.clear()
        await client.send(GOOD)
        await asyncio.sleep(0.7)
        lab.shop.open.set()

        assert (await client.answer()).status == 200
        assert await client.closed()


async def test_half_a_request_behind_a_delivery_is_put_together_afterwards(lab: Lab) -> None:
    client = await lab.connect()
    lab.shop.open.clear()
    await client.send(post(b"1"), post(b"22")[:-1])
    await lab.shop.arrived.wait()
    lab.shop.open.set()

    assert (await client.answer()).status == 200
    assert (await client.ask(b"2")).status == 200
    assert [delivery.body for delivery in lab.shop.taken] == [b"1", b"22"]


async def test_what_is_no_http_behind_a_delivery_is_refused_after_its_answer(lab: Lab) -> None:
    client = await lab.connect()
    lab.shop.open.clear()
    await client.send(post(b"1"))
    await lab.shop.arrived.wait()
    await client.send(b"\x00 nonsense\r\n\r\n")
    await asyncio.sleep(0.1)
    lab.shop.open.set()

    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.closed()
