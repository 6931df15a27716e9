"""Plain deliveries, which do not go through aiohttp's request handling, and how the two ways get on with each other."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable

import pytest
from typing_extensions import override

from connectors.api import Delivery, Reply
from gateway.web.public import Endpoint
from gateway.web.tap import Parsed, Tap, possible
from tests.integration.test_public_server import GOOD, LIMIT, Client, Lab, Shop, post, serving


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


class Quick(Shop):
    """Answers without a task: at once, or when the test calls one of `answers`."""

    def __init__(self, at_once: Reply | None = None) -> None:
        super().__init__()
        self.at_once, self.answers = at_once, list[Callable[[Reply], None]]()

    def begin(self, delivery: Delivery, answer: Callable[[Reply], None]) -> None:
        self.taken.append(delivery)
        if self.at_once is not None:
            answer(self.at_once)
        else:
            self.answers.append(answer)
        self.arrived.set()


TO_QUICK = post(b"{}", path="/c/quick")
REFUSAL = Reply(status=503, body=b"busy", headers={"Retry-After": "7"})


async def asked(lab: Lab) -> tuple[Quick, Client]:
    """Deliver to a connector that is about to answer."""
    quick, client = Quick(), await lab.connect()
    lab.endpoints["quick"] = Endpoint(quick, LIMIT)
    await client.send(TO_QUICK)
    await quick.arrived.wait()
    return quick, client


async def test_a_delivery_that_waits_has_no_task(lab: Lab) -> None:
    quick = Quick()
    lab.endpoints["quick"] = Endpoint(quick, LIMIT)
    client = await lab.connect()
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        quick.arrived.clear()
        await client.send(TO_QUICK)
        await quick.arrived.wait()
        assert len(asyncio.all_tasks()) == tasks
        quick.answers.pop()(Reply(body=b"later"))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"later")
    assert aiohttps(lab) == 0


@pytest.mark.parametrize("reply", [Reply(body=b"now"), REFUSAL], ids=["constant", "with-headers"])
async def test_an_answer_may_be_given_at_once(lab: Lab, reply: Reply) -> None:
    lab.endpoints["quick"] = Endpoint(Quick(reply), LIMIT)
    client = await lab.connect()
    for _ in range(3):
        answer = await client.ask(TO_QUICK)
        assert (answer.status, answer.body) == (reply.status, reply.body)
        assert answer.headers.get("retry-after") == reply.headers.get("Retry-After")
        assert (await client.ask(GOOD)).status == 200


async def test_an_answer_for_a_client_that_has_gone_harms_nobody(lab: Lab) -> None:
    quick = Quick()
    lab.endpoints["quick"] = Endpoint(quick, LIMIT)
    for reply in (Reply(), REFUSAL):
        quick.arrived.clear()
        client = await lab.connect()
        await client.send(TO_QUICK)
        await quick.arrived.wait()
        client.writer.transport.abort()
        await asyncio.sleep(0.05)
        quick.answers.pop()(reply)
    assert (await lab.ask(GOOD)).status == 200
    async with asyncio.timeout(20):
        while lab.server._server.idle:  # what has gone is not taken for idle
            await asyncio.sleep(0.01)


async def test_who_hangs_up_while_answers_are_written_keeps_nobody_from_theirs(lab: Lab) -> None:
    quick = Quick()
    lab.endpoints["quick"] = Endpoint(quick, LIMIT)
    clients = [await lab.connect() for _ in range(3)]
    for client in clients:
        quick.arrived.clear()
        await client.send(TO_QUICK)
        await quick.arrived.wait()
    connections = lab.server._server.connections

    for number, answer in enumerate(quick.answers):  # all in one turn of the event loop
        answer(Reply(body=b"%d" % number))
    for connection, end in zip(connections, ("abort", "close"), strict=False):
        assert connection.transport is not None
        getattr(connection.transport, end)()

    assert (await clients[2].answer()).body == b"2"
    assert (await clients[2].ask(GOOD)).status == 200


async def test_requests_behind_a_delivery_without_a_task_wait_for_it(lab: Lab) -> None:
    quick, client = await asked(lab)
    await client.send(GOOD)
    await asyncio.sleep(0.05)
    assert lab.shop.taken == []
    quick.answers.pop()(Reply(body=b"first"))
    assert (await client.answer()).body == b"first"
    assert (await client.answer()).body == b"shop"


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect what is shown to a parser from now on."""
    shown: list[bytes] = []
    feed = Tap.feed_data

    def feed_data(self: Tap, data: bytes) -> Parsed:
        shown.append(data)
        return feed(self, data)

    monkeypatch.setattr(Tap, "feed_data", feed_data)
    return shown


async def test_a_head_that_came_before_is_not_parsed_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = parsed(monkeypatch)
    client = await lab.connect()
    for number in range(10, 20):
        assert (await client.ask(post(b"%d" % number))).body == b"shop"
    assert (await lab.ask(post(b"20"))).body == b"shop"  # on another connection
    assert len(shown) == 2
    assert [int(delivery.body) for delivery in lab.shop.taken] == list(range(10, 21))
    assert {delivery.headers["host"] for delivery in lab.shop.taken} == {"gw"}


async def test_a_head_that_came_before_says_nothing_about_who_may_deliver(lab: Lab) -> None:
    client = await lab.connect()
    for _ in range(3):
        assert (await client.ask(GOOD)).status == 200
    endpoint = lab.endpoints.pop("shop")
    assert (await client.ask(GOOD)).status == 404
    lab.endpoints["shop"] = endpoint
    assert (await lab.ask(GOOD)).status == 200


@pytest.mark.parametrize("seed", range(12))
async def test_however_a_stream_is_cut_the_same_deliveries_come_out(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    client = await lab.connect()
    for _ in range(3):  # what is sent below is known by now, when it comes in one piece
        assert (await client.ask(post(b"00"))).status == 200
    bodies = [b"%02d" % number if dice.random() < 0.8 else post(b"no request") for number in range(40)]
    stream, cuts = b"".join(map(post, bodies)), set[int]()
    for end in itertools.accumulate(len(post(body)) for body in bodies):
        if dice.random() < 0.8:
            cuts.add(end)
        if dice.random() < 0.3:
            cuts.add(dice.randrange(1, len(stream)))
    for start, end in itertools.pairwise(sorted({0, *cuts, len(stream)})):
        await client.send(stream[start:end])
        await asyncio.sleep(dice.choice([0, 0, 0.002]))
    for _ in bodies:
        assert (await client.answer()).status == 200
    assert [delivery.body for delivery in lab.shop.taken[3:]] == bodies


async def test_the_end_of_a_body_does_not_become_part_of_a_head(lab: Lab) -> None:
    """Else whoever sends two requests could teach us a head of his own making."""
    first = b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nContent-Length: 6\r\n\r\n"
    joined = b"POST x" + post(b"{}")
    for _ in range(3):
        client = await lab.connect()
        await client.send(first)
        await asyncio.sleep(0.01)
        await client.send(joined)
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
    assert (await (await lab.connect()).ask(joined)).status == 400


async def test_headers_are_looked_up_in_lower_case_and_joined_where_there_are_several(lab: Lab) -> None:
    head = b"POST /c/shop?a=1&b=%20 HTTP/1.1\r\nHost: gw\r\nX-One: 1\r\nX-ONE: 2\r\nContent-Length: 2\r\n\r\n{}"
    assert (await lab.ask(head)).status == 200
    told = lab.shop.taken[0]
    assert aiohttps(lab) == 0
    assert (told.url, told.path, told.query) == ("/c/shop?a=1&b=%20", "", {"a": "1", "b": " "})
    assert (told.headers["x-one"], told.headers.get("x-one"), told.headers.get("x-two")) == ("1, 2", "1, 2", None)
    assert ("x-one" in told.headers, "x-two" in told.headers) == (True, False)
    assert dict(told.headers) == {"host": "gw", "x-one": "1, 2", "content-length": "2"}
    with pytest.raises(KeyError):
        told.headers["x-two"]


async def test_deliveries_with_the_same_head_are_told_alike_and_another_head_is_not_taken_for_it() -> None:
    requests = [
        b"POST /c/shop/%d?n=%d HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 203.0.113.%d\r\nContent-Length: 1\r\n\r\n%d"
        % (n, n, n, n)
        for n in (1, 2)
    ]
    async with serving(trusted_proxies=("127.0.0.0/8",)) as lab:
        client = await lab.connect()
        for _ in range(3):  # a head is kept at the second time, and found at the third
            for request in requests:
                assert (await client.ask(request)).status == 200
    told = [(one.path, one.query, one.remote, one.body) for one in lab.shop.taken]
    assert told == 3 * [("1", {"n": "1"}, "203.0.113.1", b"1"), ("2", {"n": "2"}, "203.0.113.2", b"2")]


async def test_an_answer_that_became_ready_while_the_server_ends_is_still_written(lab: Lab) -> None:
    quick, client = await asked(lab)
    quick.answers.pop()(Reply(body=b"done"))
    await lab.server.close(5.0)
    assert (await client.answer()).body == b"done"
    assert await client.closed()
