"""`omnigate simulate telegram`: updates as Telegram posts them (https://core.telegram.org/bots/api#update)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.telegram import TelegramConfig
from gateway.simulate.api import Item, Request, Simulator, json_post, raw_post
from gateway.simulate.telegram_cloud import TelegramCloud

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 -- the name of the header
CONNECTIONS = 40
"""Telegram's own default (`max_connections` of setWebhook)."""

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


_CONTENT: dict[str, Callable[[int, int, int, str], dict[str, Any]]] = {
    "text": _text,
    "photo": _photo,
    "voice": _voice,
    "edit": _edit,
    "callback": _callback,
    "reaction": _reaction,
}


class TelegramSimulator(Simulator[TelegramConfig]):
    """Updates with a constant token in a header: it covers neither body nor time, so repetitions are deduplicated."""

    contents: ClassVar = tuple(_CONTENT)
    connections: ClassVar = CONNECTIONS
    signs_body: ClassVar = False

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """One update per delivery."""
        (item,) = items
        content = _CONTENT[item.content]
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


SIMULATOR, CLOUD = TelegramSimulator, TelegramCloud
