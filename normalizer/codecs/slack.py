"""Slack wire format: Events API, interactivity and slash commands (https://docs.slack.dev/apis/events-api).

What is peculiar: a message is named by its `ts`, which is unique in its channel only; one message may come as several
events of different ids (`message` and `app_mention`); our own messages come back; edits are events about a message in
a message. Events are JSON, interactions are JSON in a field of a form, commands are forms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from normalizer.codecs import slack_send as outgoing
from normalizer.codecs import slack_types as t
from normalizer.codecs.slack_events import event_of
from normalizer.codecs.slack_frame import VERSION, Frame, convert
from normalizer.codecs.slack_interactions import command, interaction
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import Decoded, Ignored, Outbound, RawEvent, Wire

FIELDS_MAX = 200
_anything = msgspec.json.Decoder(dict[str, Any])


class SlackCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read an event, an interaction or a command."""
        if raw.body.lstrip().startswith(b"{"):
            return (_event(raw, _parse(raw.body)),)
        form = read_form(raw.body)
        if "payload" in form:
            return tuple(interaction(raw, _parse(form["payload"].encode("utf-8", "surrogatepass"))))
        if "command" in form:
            return (command(raw, form),)
        if "ssl_check" in form:
            return (Ignored(reason="ssl_check"),)
        raise MalformedPayload("neither an event, nor an interaction, nor a command")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the Web API; raises `Unsendable`."""
        return outgoing.send(message)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request as a call of the Web API; raises `Unsendable`."""
        return outgoing.request(method, params)


def _event(raw: RawEvent, fields: dict[str, Any]) -> Decoded:
    envelope = convert(fields, t.Envelope)
    if envelope.type in {"url_verification", "app_rate_limited"}:
        return Ignored(reason=envelope.type)
    event = fields.get("event")
    if envelope.type != "event_callback" or not isinstance(event, dict):
        raise MalformedPayload("not an `event_callback` with an `event`")
    frame = Frame(raw, envelope.team, envelope.api_app_id, envelope.bot)
    return event_of(frame, event, envelope.event_id)


def read_form(body: bytes) -> dict[str, str]:
    """Read a form; raises `MalformedPayload`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as exc:  # UnicodeDecodeError is one
        raise MalformedPayload("not a form in UTF-8") from exc
    return dict(pairs)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return _anything.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc
