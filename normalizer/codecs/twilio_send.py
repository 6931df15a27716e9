"""From the model to Twilio: calls of the API, and TwiML in the HTTP answer.

https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource,
https://www.twilio.com/docs/messaging/twiml
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import msgspec
from msgspec import Struct

from normalizer import parts as p
from normalizer.codecs.twilio_events import SCHEME, TEL, WHATSAPP
from normalizer.errors import Unsendable
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split, utf16_length

TEXT_MAX = 1600
"""UTF-16 units in a body; beyond it Twilio answers 21617."""

SENDABLE = ("text", "image", "audio", "video", "file", "location", "template")
OPTIONS = {
    "from": "From",
    "messaging_service_sid": "MessagingServiceSid",
    "validity_period": "ValidityPeriod",
    "smart_encoded": "SmartEncoded",
    "shorten_urls": "ShortenUrls",
    "provide_feedback": "ProvideFeedback",
    "send_at": "SendAt",
    "schedule_type": "ScheduleType",
}
"""Words that may stand in `metadata.twilio`, and Twilio's."""

FORM = "application/x-www-form-urlencoded"
_ADDRESS = re.compile(r"(?:[a-z]{2,20}:)?(?:\+?\d{3,20}|[\w.@+-]{2,100})", re.ASCII)
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters no XML document may have (https://www.w3.org/TR/xml/#charsets)."""

Fields = list[tuple[str, str]]


class Sending(Struct, frozen=True, kw_only=True):
    """How a channel sends.

    Attributes:
        account_sid: part of the URL.
        sender: our number, for SMS and, with its prefix, for other channels.
        whatsapp_sender: ours on WhatsApp, where it is another.
        service: a Messaging Service, which chooses the number.
        callback: where statuses are to be told; empty: nowhere.
    """

    account_sid: str
    sender: str | None = None
    whatsapp_sender: str | None = None
    service: str | None = None
    callback: str = ""


def send(message: Outbound, sending: Sending) -> list[Wire]:
    """Render a message as calls of the API, in order; raises `Unsendable`."""
    to, own = target(message.to), message.metadata.get(SCHEME, {})
    common = [("To", to), *_from(to, sending, own)]
    if sending.callback:
        common.append(("StatusCallback", sending.callback))
    url = f"/2010-04-01/Accounts/{sending.account_sid}/Messages.json"
    bodies = [fields for part in message.parts for fields in _calls(part, to)]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    return [
        Wire(method="POST", url=url, headers={"Content-Type": FORM}, body=urlencode([*common, *body]).encode())
        for body in bodies
    ]


def target(to: Address) -> str:
    """Read an address: ``+49…`` (SMS) or ``whatsapp:+49…``, also as `tel` or `whatsapp`; raises `Unsendable`."""
    value = to.value
    if to.scheme == WHATSAPP:
        value = f"{WHATSAPP}:+{value.lstrip('+')}"
    if to.scheme not in {SCHEME, TEL, WHATSAPP} or not _ADDRESS.fullmatch(value):
        raise Unsendable("an address Twilio cannot reach", ("twilio:+<number>", "twilio:whatsapp:+<number>"))
    return value


def _from(to: str, sending: Sending, own: Mapping[str, str]) -> Fields:
    told = [(name, own[word]) for word, name in OPTIONS.items() if word in own]
    if {"from", "messaging_service_sid"} & own.keys():
        return told
    if sending.service:
        return [("MessagingServiceSid", sending.service), *told]
    ours = _our(to, sending)
    return [("From", ours), *told] if ours else told  # without any Twilio says what is to be set


def _our(to: str, sending: Sending) -> str:
    """Choose our address on the channel of `to`."""
    prefix, colon, _ = to.partition(":")
    ours = (sending.whatsapp_sender if prefix == WHATSAPP else None) or sending.sender or sending.whatsapp_sender or ""
    return f"{prefix}:{ours}" if ours and colon and ":" not in ours else ours


def _calls(part: AnyPart, to: str) -> Iterator[Fields]:
    match part:
        case p.Text(body=body, format=form):
            if form != "plain":
                raise Unsendable(f"text of format {form}", ("plain",))
            yield from ([("Body", piece)] for piece in _texts(body))
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield from _media(part)
        case p.Location():
            yield _location(part, to)
        case p.Template():
            yield _template(part)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(body: str) -> Iterator[str]:
    return (piece for piece in split(body, TEXT_MAX, utf16_length) if piece.strip())


def _media(part: p.Image | p.Audio | p.Video | p.File) -> Iterator[Fields]:
    media, tag = part.media, str(part.__struct_config__.tag)
    native = media.provider_id or ""
    url = media.url or (native if native.startswith("https://") else "")
    if not url:
        raise Unsendable(f"{tag} without `sha256` or `url`", SENDABLE)
    first, *rest = [*_texts(media.caption or "")] or [""]
    yield [*([("Body", first)] if first else []), ("MediaUrl", url)]
    yield from ([("Body", piece)] for piece in rest)


def _location(part: p.Location, to: str) -> Fields:
    """Send a place (https://www.twilio.com/docs/whatsapp/tutorial/send-and-receive-media-messages-whatsapp-python)."""
    if not to.startswith(f"{WHATSAPP}:"):
        raise Unsendable("location by SMS", tuple(one for one in SENDABLE if one != "location"))
    label = part.name or part.address or f"{part.lat:.6f}, {part.lon:.6f}"
    return [("Body", label), ("PersistentAction", f"geo:{part.lat},{part.lon}|{label}")]


_NAMED = re.compile(r"(?P<name>[A-Za-z_]\w{0,30}|\d{1,3})=(?P<value>.*)", re.DOTALL | re.ASCII)


def _template(part: p.Template) -> Fields:
    """Send a template of the Content API; variables are ``name=value``, and one without a name is its number.

    https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder
    """
    variables = {}
    for index, variable in enumerate(part.variables, 1):
        found = _NAMED.fullmatch(variable)
        name, value = (found["name"], found["value"]) if found else (str(index), variable)
        variables[name] = value
    fields = [("ContentSid", part.name)]
    return [*fields, ("ContentVariables", msgspec.json.encode(variables).decode())] if variables else fields


def twiml(message: Outbound, info: Mapping[str, str], sending: Sending) -> bytes | None:
    """Render a message as TwiML; None if it is not one that can be said so.

    Args:
        message: with its media linked.
        info: ``them``, whom the held message is from.
        sending: as for `send`.
    """
    if message.to.value != info["them"] or message.metadata.get(SCHEME):
        return None
    if not all(isinstance(part, p.Text | p.Image | p.Audio | p.Video | p.File) for part in message.parts):
        return None
    try:
        bodies = [fields for part in message.parts for fields in _calls(part, info["them"])]
    except Unsendable:
        return None
    action = f" action={quoteattr(sending.callback)}" if sending.callback else ""
    said = "".join(f"<Message{action}>{''.join(map(_verb, fields))}</Message>" for fields in bodies)
    whole = f'<?xml version="1.0" encoding="UTF-8"?><Response>{said}</Response>'
    return whole.encode() if bodies else None


def _verb(field: tuple[str, str]) -> str:
    name = {"Body": "Body", "MediaUrl": "Media"}[field[0]]
    return f"<{name}>{escape(_FORBIDDEN.sub('', field[1]))}</{name}>"
