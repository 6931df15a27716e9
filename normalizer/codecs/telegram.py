"""Telegram Bot API wire format (https://core.telegram.org/bots/api, Bot API 10.0).

Telegram posts one update per request. What is peculiar: a message's id is unique in its chat only; an edit repeats
it with `edit_date`; a reaction update carries the lists before and after; `to` needs no more than the chat id.
Chats behind a business connection are addressed as ``<connection>/<chat>``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from normalizer import build
from normalizer.codecs import telegram_events as events
from normalizer.codecs import telegram_send as outgoing
from normalizer.codecs import telegram_types as t
from normalizer.codecs.telegram_message import SCHEME, VERSION, message_event
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import Decoded, Event, Outbound, RawEvent, Wire

MESSAGES = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_message",
    "edited_business_message",
    "guest_message",
)
"""Fields of an update that hold a message."""

_update = msgspec.json.Decoder(t.Update)
_anything = msgspec.json.Decoder(dict[str, Any])


class TelegramCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(self, bot_id: str | None = None, account: str | None = None) -> None:
        """Take the bot's id, to know its own messages; it is the public part of the token."""
        self._us = build.party(SCHEME, bot_id, name=account, role="bot") if bot_id else None

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one update, which may be several events."""
        update = _parse(raw.body, _update)
        for kind in MESSAGES:
            if (found := getattr(update, kind)) is not None:
                return (self._message(raw, found, update.update_id, kind),)
        if update.callback_query is not None:
            return (events.callback(raw, update.callback_query, self._us, update.update_id),)
        if update.message_reaction is not None:
            return tuple(events.reactions(raw, update.message_reaction, update.update_id))
        if update.my_chat_member is not None:
            return (events.membership(raw, update.my_chat_member, update.update_id),)
        if update.deleted_business_messages is not None:
            return tuple(events.deleted(raw, update.deleted_business_messages, update.update_id))
        return (self._other(raw, update.update_id),)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the Bot API; raises `Unsendable`."""
        return outgoing.send(message)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request as a call of the Bot API; raises `Unsendable`."""
        return outgoing.request(method, params)

    def _message(self, raw: RawEvent, found: t.Message, update_id: int, kind: str) -> Event:
        def fields() -> dict[str, Any]:
            return dict(_parse(raw.body, _anything)[kind])

        return message_event(raw, found, self._us, update_id=update_id, kind=kind, fields=fields)

    def _other(self, raw: RawEvent, update_id: int) -> Event:
        for kind, value in _parse(raw.body, _anything).items():
            if kind != "update_id" and value is not None:
                return events.other(raw, kind, value, update_id)
        raise MalformedPayload("the update is empty")


def _parse(body: bytes, decoder: msgspec.json.Decoder[build.T]) -> build.T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc
