"""`omnigate simulate telegram`: updates as Telegram posts them (https://core.telegram.org/bots/api#update)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle, islice
from typing import Any, Literal, cast

import msgspec
from typing_extensions import override

from connectors.telegram import TelegramConfig
from gateway.simulate.api import Item, Request, Simulator, json_post, raw_post
from gateway.simulate.traffic import Bar, Delivery, Manner, Report, deliver, summarize

Kind = Literal["text", "photo", "voice", "edit", "callback", "reaction"]
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 -- the name of the header
CONNECTIONS = 40
"""Telegram's own default (`max_connections` of setWebhook)."""

ONE_MALFORMED_IN = 10
FIRST_PERSON = 5_200_000_000
BOT = {"id": 110201543, "is_bot": True, "first_name": "Simulated bot", "username": "simulated_bot"}

MALFORMED = (
    b"this is not JSON",
    b'{"update_id":1,"message":{"message_id":1,"date":1795000000,"chat":{"id":1,"ty',
    b'{"update_id":1,"message":{"message_id":"one","date":"yesterday","chat":[]}}',
    b'{"update_id":1,"message":{"message_id":1,"date":1,"chat":{"id":1},"text":"\xff\xfe"}}',
    b'{"update_id":1,"message":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
"""Not JSON, cut off, wrong types, invalid UTF-8, too deep."""


def updates(
    *,
    count: int = 1,
    text: str = "Hello from the simulator",
    kind: Kind = "text",
    chats: int = 1,
    first: int | None = None,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge: ids and dates of new messages
) -> Iterator[dict[str, Any]]:
    """Make updates, each with ids of its own.

    Args:
        count: how many.
        text: of messages and captions; `{n}` becomes the number of the update.
        kind: what happens in each.
        chats: how many persons write, in turn.
        first: number of the first update; the same number makes the same ids again. Default: milliseconds since
            1970, so that every run is new. An edit has the message id of the text with the same number.
        clock: Unix time.
    """
    now = clock()
    start = int(now * 1000) if first is None else first
    for number in range(start, start + count):
        person = FIRST_PERSON + (number - start) % max(chats, 1)
        yield {"update_id": number, **_CONTENT[kind](number, int(now), person, text.replace("{n}", str(number)))}


def _message(number: int, date: int, person: int, **content: Any) -> dict[str, Any]:
    names = {"first_name": "Simulated", "last_name": f"Person {person - FIRST_PERSON + 1}"}
    sender = {"id": person, "is_bot": False, "language_code": "en", **names}
    chat = {"id": person, "type": "private", **names}
    return {"message_id": number, "from": sender, "chat": chat, "date": date, **content}


def _file(number: int, **fields: Any) -> dict[str, Any]:
    return {"file_id": f"simulated-{number}", "file_unique_id": f"s{number}", "file_size": 20_480, **fields}


def _text(number: int, date: int, person: int, text: str) -> dict[str, Any]:
    return {"message": _message(number, date, person, text=text)}


def _photo(number: int, date: int, person: int, text: str) -> dict[str, Any]:
    return {"message": _message(number, date, person, photo=[_file(number, width=800, height=600)], caption=text)}


def _voice(number: int, date: int, person: int, text: str) -> dict[str, Any]:
    voice = _file(number, duration=4, mime_type="audio/ogg")
    return {"message": _message(number, date, person, voice=voice, caption=text)}


def _edit(number: int, date: int, person: int, text: str) -> dict[str, Any]:
    return {"edited_message": _message(number, date, person, text=text, edit_date=date + 1)}


def _callback(number: int, date: int, person: int, text: str) -> dict[str, Any]:
    message = _message(number, date, person, text=text)
    button = {"text": "Yes", "callback_data": "yes"}
    asked = {**message, "from": BOT, "reply_markup": {"inline_keyboard": [[button]]}}
    query = {"id": str(number), "from": message["from"], "message": asked, "chat_instance": "1", "data": "yes"}
    return {"callback_query": query}


def _reaction(number: int, date: int, person: int, _: str) -> dict[str, Any]:
    message = _message(number, date, person)
    new = [{"type": "emoji", "emoji": "👍"}]
    told = {"chat": message["chat"], "user": message["from"], "message_id": number, "date": date}
    return {"message_reaction": {**told, "old_reaction": [], "new_reaction": new}}


_CONTENT: dict[Kind, Callable[[int, int, int, str], dict[str, Any]]] = {
    "text": _text,
    "photo": _photo,
    "voice": _voice,
    "edit": _edit,
    "callback": _callback,
    "reaction": _reaction,
}


class TelegramSimulator(Simulator[TelegramConfig]):
    """Updates with a constant token in a header: it covers neither body nor time, so repetitions are deduplicated."""

    contents = tuple(_CONTENT)
    connections = CONNECTIONS
    signs_body = False

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """One update per delivery."""
        (item,) = items
        content = _CONTENT[cast("Kind", item.content)]
        person = FIRST_PERSON + item.person - 1
        return json_post({"update_id": item.number, **content(item.number, int(item.at), person, item.text)})

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Repeat the `secret_token` of setWebhook."""
        return request.adding(headers={SECRET_HEADER: self.options.secret.reveal()})

    @override
    def malformed(self, number: int) -> Request:
        """Not JSON, cut off, wrong types, invalid UTF-8, too deep."""
        return raw_post(MALFORMED[number % len(MALFORMED)])


SIMULATOR = TelegramSimulator


def deliveries(found: Iterator[dict[str, Any]], malformed: int = 0) -> Iterator[Delivery]:
    """Write updates as Telegram does, and after them `malformed` bodies that nobody can read."""
    good = (Delivery(name=str(one["update_id"]), body=msgspec.json.encode(one)) for one in found)
    bad = (Delivery(name=f"malformed-{number}", body=body) for number, body in enumerate(cycle(MALFORMED)))
    return chain(good, islice(bad, malformed))


async def run(
    *,
    url: str,
    channel: str,
    secret: str,
    updates: Iterator[dict[str, Any]],
    manner: Manner,
    malformed: int = 0,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Post updates to a running gateway.

    Args:
        url: of the gateway, without path.
        channel: id of the channel.
        secret: the channel's secret token.
        updates: what happens.
        manner: how to post.
        malformed: unreadable bodies to add.
        progress: called after each delivery.
    """
    headers = {"Content-Type": "application/json", SECRET_HEADER: secret}
    target = f"{url.rstrip('/')}/c/{channel}"
    return await deliver(target, headers, deliveries(updates, malformed), manner, progress=progress)


def command(
    *,
    url: str,
    channel: str,
    secret: str,
    count: int = 1,
    text: str = "Hello from the simulator",
    kind: Kind = "text",
    chats: int = 1,
    first: int | None = None,
    rate: float = 0.0,
    connections: int = CONNECTIONS,
    duplicates: int = 0,
    reorder: bool = False,
    malformed: bool = False,
    retry: bool = True,
) -> int:
    """Post updates, show progress, print the report; the options are those of `omnigate simulate telegram`.

    Returns:
        0 if everything was accepted, else 1.
    """
    broken = -(-count // ONE_MALFORMED_IN) if malformed else 0
    attempts = Manner.attempts if retry else 1
    manner = Manner(
        rate=rate, connections=max(1, connections), attempts=attempts, duplicates=duplicates, reorder=reorder
    )
    found = updates(count=count, text=text, kind=kind, chats=chats, first=first)
    with Bar((count + broken) * (1 + duplicates)) as progress:
        job = run(
            url=url,
            channel=channel,
            secret=secret,
            updates=found,
            manner=manner,
            malformed=broken,
            progress=progress,
        )
        report = asyncio.run(job)
    return _tell(report)


def _tell(report: Report) -> int:
    sys.stdout.write(summarize(report) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == 0 else 1
