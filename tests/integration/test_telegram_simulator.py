"""The simulator against a real HTTP server with a real Telegram channel behind it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.api import Delivery, Receipt
from connectors.secrets import Secret
from connectors.telegram import TelegramConfig
from gateway.commands.simulate_kind import play
from gateway.simulate.api import Simulator
from gateway.simulate.report import Report
from gateway.simulate.telegram import SIMULATOR
from gateway.simulate.traffic import Manner, deliver
from gateway.simulate.wanted import Wanted, deliveries
from normalizer.errors import MalformedPayload
from normalizer.raw import Event, RawEvent
from tests.servers.telegram import TOKEN
from tests.servers.telegram_bot import SECRET, running, telegram_bot


class Front:
    """Hands requests to a channel as the gateway does; refuses the first ones if told so."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.events: list[Event] = []
        self.malformed = 0
        self.refuse = 0
        self.codec: Any = None

    async def sink(self, raw: RawEvent) -> Receipt:
        self.bodies.append(raw.body)
        try:
            self.events += [one for one in self.codec.decode(raw) if isinstance(one, Event)]
        except MalformedPayload:
            self.malformed += 1
            return Receipt.QUARANTINED
        return Receipt.ACCEPTED


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    front = Front()
    async with telegram_bot(tmp_path, "http://127.0.0.1:1") as bot:

        async def handle(request: web.Request) -> web.Response:
            if request.match_info["channel"] != "tg":
                return web.Response(status=404)
            if front.refuse:
                front.refuse -= 1
                return web.Response(status=503)
            headers = {name.lower(): value for name, value in request.headers.items()}
            reply = await bot.handle(
                Delivery(method="POST", path="", url="", query={}, headers=headers, body=await request.read())
            )
            return web.Response(status=reply.status, body=reply.body)

        front.codec = bot.codec
        app = web.Application()
        app.router.add_post("/c/{channel}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        front.url = str(site.name)
        async with running(bot, front.sink):
            yield front
        await runner.cleanup()


async def simulate(
    front: Front, *, channel: str = "tg", secret: str = SECRET, malformed: int = 0, **what: Any
) -> Report:
    names = ("rate", "connections", "attempts", "duplicates", "retries", "reorder", "timeout_secs")
    manner = Manner(**{name: what.pop(name) for name in names if name in what})
    telegram = telegram_at(front, channel, secret)
    return await deliver(telegram.url, telegram, deliveries(Wanted(bad=malformed, **what), telegram), manner)


def telegram_at(front: Front, channel: str, secret: str) -> Simulator[Any]:
    options = TelegramConfig(token=Secret(TOKEN), secret=Secret(secret))
    return SIMULATOR(options, url=f"{front.url}/c/{channel}")


@pytest.mark.parametrize(
    ("kind", "method", "part"),
    [
        ("text", "message.received", "text"),
        ("photo", "message.received", "image"),
        ("voice", "message.received", "audio"),
        ("edit", "message.updated", "text"),
        ("callback", "message.received", "choice_reply"),
        ("reaction", "reaction.added", None),
    ],
)
async def test_each_kind_of_update_becomes_its_event(front: Front, kind: Any, method: str, part: str | None) -> None:
    report = await simulate(front, kind=kind, count=3, chats=2)

    assert (report.sent, report.accepted, report.failed) == (3, 3, 0)
    assert {event.method for event in front.events} == {method}
    assert len({event.key for event in front.events}) == 3
    if part is not None:
        messages = [event.params.message for event in front.events]  # type: ignore[attr-defined]
        assert {one.parts[0].__struct_config__.tag for one in messages} == {part}


async def test_refused_updates_are_sent_again_until_they_are_accepted(front: Front) -> None:
    front.refuse = 5

    report = await simulate(front, count=4)

    assert (report.accepted, report.retried, report.failed) == (4, 5, 0)
    assert len(front.events) == 4


async def test_without_retries_a_refused_update_counts_as_failed(front: Front) -> None:
    front.refuse = 1

    report = await simulate(front, count=3, attempts=1)

    assert (report.accepted, report.retried, report.failed) == (2, 0, 1)


async def test_duplicates_are_the_same_bytes_again(front: Front) -> None:
    await simulate(front, count=3, duplicates=2, reorder=True)

    assert sorted(Counter(front.bodies).values()) == [3, 3, 3]
    assert len({event.key for event in front.events}) == 3


async def test_the_same_first_number_makes_the_same_updates_and_none_makes_new_ones(front: Front) -> None:
    await simulate(front, count=2, first=700)
    await simulate(front, count=2, first=700)
    assert len({event.key for event in front.events}) == 2

    await simulate(front, count=2)
    assert len({event.key for event in front.events}) == 4


async def test_an_edit_with_the_number_of_a_text_is_an_edit_of_it(front: Front) -> None:
    await simulate(front, count=1, first=900)
    await simulate(front, count=1, first=900, kind="edit")

    first, edited = (event.params.message for event in front.events)  # type: ignore[attr-defined]
    assert first.id == edited.id


async def test_reordered_updates_are_all_there(front: Front) -> None:
    await simulate(front, count=40, first=1, reorder=True, connections=1)

    numbers = [json.loads(body)["update_id"] for body in front.bodies]
    assert sorted(numbers) == list(range(1, 41))
    assert numbers != sorted(numbers)


async def test_malformed_bodies_are_unreadable_every_one(front: Front) -> None:
    report = await simulate(front, count=2, malformed=5)

    assert (report.accepted, front.malformed, len(front.events)) == (7, 5, 2)


async def test_the_rate_is_kept(front: Front) -> None:
    report = await simulate(front, count=6, rate=50)

    assert report.seconds >= 5 / 50


@pytest.mark.parametrize(("options", "hint"), [({"secret": "wrong"}, "secret"), ({"channel": "x"}, "no such channel")])
async def test_a_wrong_secret_or_channel_is_given_up_at_once_with_a_hint(
    front: Front, options: dict[str, Any], hint: str
) -> None:
    report = await simulate(front, count=2, **options)

    assert (report.failed, report.retried) == (2, 0)
    assert hint in report.hints()[0]


async def test_a_gateway_that_is_not_there_is_tried_again(front: Front) -> None:
    front.url = "http://127.0.0.1:1"

    report = await simulate(front, count=1, attempts=3)

    assert (report.failed, report.retried, dict(report.statuses)) == (1, 2, {0: 3})


async def test_the_command_tells_a_script_how_it_went(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    def go(secret: str) -> int:
        telegram = telegram_at(front, "tg", secret)
        return play(telegram.url, telegram, Wanted(count=20, malformed=True), Manner(duplicates=1))

    good = await asyncio.to_thread(go, SECRET)
    told = json.loads(capsys.readouterr().out)
    bad = await asyncio.to_thread(go, "wrong")

    assert (good, bad) == (0, 1)
    assert (told["sent"], told["accepted"], told["failed"], told["statuses"]) == (44, 44, 0, {"200": 44})
    assert "secret" in capsys.readouterr().err
    assert front.malformed == 4


async def test_an_interrupted_run_leaves_nothing_behind(front: Front) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await simulate(front, count=100, rate=20)

    assert 0 < len(front.events) < 100
