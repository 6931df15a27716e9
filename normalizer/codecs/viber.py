"""Viber REST Bot API wire format (https://developers.viber.com/docs/api/rest-bot-api/).

What is peculiar: one callback per request; `message_token` names what was sent as well as what was received, and
``delivered`` is told of both; a button sends its text as if the person had written it, marked ``silent``; who opens the
chat can be greeted in the HTTP answer only, before subscribing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from normalizer import build
from normalizer.codecs import viber_send as outgoing
from normalizer.codecs.viber_events import VERSION, event_of
from normalizer.codecs.viber_types import Callback
from normalizer.errors import MalformedPayload
from normalizer.raw import Decoded, Ignored, Outbound, RawEvent, Wire


class Told(Struct, frozen=True, kw_only=True):
    """What the connector wants to know of a callback.

    Attributes:
        token: the provider's id.
        user: whom it is about, empty if nobody.
    """

    event: str
    token: str
    user: str


class ViberCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(self, sender: str, avatar: str | None = None) -> None:
        """Send under the name `sender`, with the picture at `avatar`."""
        self._from = {"name": sender, **({"avatar": avatar} if avatar else {})}

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one callback."""
        told = build.parse(raw.body, Callback)
        if told.event == "webhook":
            return (Ignored(reason="verify"),)
        return (event_of(raw, told),)

    def told(self, raw: RawEvent) -> Told | None:
        """Look at a callback; None if nobody can read it."""
        try:
            told = build.parse(raw.body, Callback)
        except MalformedPayload:
            return None
        user = told.sender or told.user
        return Told(event=told.event, token=str(told.message_token), user=user.id if user else told.user_id or "")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of ``send_message``; raises `Unsendable`."""
        return outgoing.send(message, self._from)

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render a greeting in the HTTP answer; see `connectors.passive_webhook`."""
        body = outgoing.passive(message, self._from, info["user"])
        return None if body is None else msgspec.json.encode(body)
