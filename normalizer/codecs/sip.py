"""What the SIP connector tells of calls (`Told`, an own format), as events of `normalizer.calls`.

The dedup key is made of Call-ID, From tag, event and its number within the call: a re-INVITE and a fork repeat the
Call-ID, and what is told again after a crash must have the same key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from normalizer import build, ids, sip_uri
from normalizer.calls import CALL_NOTIFICATIONS, CallParams
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.model import SCHEMA_VERSION, Address, Party
from normalizer.raw import Decoded, Event, Outbound, RawEvent, Wire

VERSION = "sip/1"
Role = Literal["customer", "bot"]
Word = Annotated[str, Meta(min_length=1, max_length=1024)]


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that happened to a call.

    Attributes:
        method: of the event.
        sip_call_id, from_tag: of the INVITE; together they name the call.
        direction: ``in`` or ``out``.
        sender: the From of the INVITE.
        to: the To of the INVITE.
        at: when.
        number: counts what can happen more than once in a call (`call.dtmf` …).
        fields: the remaining params of the event.
    """

    method: str
    sip_call_id: Word
    from_tag: Annotated[str, Meta(max_length=1024)] = ""
    direction: Literal["in", "out"] = "in"
    sender: str
    to: str
    at: datetime
    number: int = 0
    fields: dict[str, Any] = {}


class SipCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one `Told`."""
        told = build.parse(raw.body, Told)
        shape = CALL_NOTIFICATIONS.get(told.method)
        if shape is None:
            raise MalformedPayload("a method that is no event of a call - at `$.method`")
        if told.at.tzinfo is None:
            raise MalformedPayload("a time without an offset - at `$.at`")
        return (event(raw, told, shape),)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Refuse: a telephone line takes no messages."""
        raise Unsendable(str(message.parts[0].__struct_config__.tag) if message.parts else "text", ())


def event(raw: RawEvent, told: Told, shape: type[CallParams]) -> Event:
    """Make the event; raises `MalformedPayload` for fields the params have not."""
    scope = f"{told.sip_call_id};{told.from_tag}"
    key = ids.dedup_key(raw.channel.id, "call", scope, told.method, str(told.number or ""))
    call = ids.call_id(raw.channel.id, told.sip_call_id, told.from_tag)
    theirs: Role = "customer"
    ours: Role = "bot"
    base = {
        "event_id": ids.event_id(key),
        "channel": raw.channel,
        "schema": SCHEMA_VERSION,
        "conversation": build.conversation(raw, call, "call"),
        "security": raw.security,
        "raw": build.raw_info(VERSION),
        "call_id": call,
        "at": told.at,
        "direction": told.direction,
        "from": party(told.sender, theirs if told.direction == "in" else ours),
        "to": party(told.to, ours if told.direction == "in" else theirs),
    }
    known = {field.encode_name for field in msgspec.structs.fields(shape)} - set(base)
    if unknown := set(told.fields) - known:
        raise MalformedPayload(f"{told.method} has no field {min(unknown)!r:.40} - at `$.fields`")
    try:
        params = msgspec.convert(
            {**build.bounded(told.fields), **{name: msgspec.to_builtins(value) for name, value in base.items()}}, shape
        )
    except msgspec.ValidationError as exc:
        raise MalformedPayload(str(exc)) from exc
    return Event(method=told.method, params=params, key=key)


def party(text: str, role: Role) -> Party:
    """Describe who stands in a From or To.

    A number in E.164 form is ``tel``, and ``sip`` as well; everything else is ``sip``. Who hides is ``anonymous``.
    """
    found = sip_uri.parse(text)
    if found is None:
        return build.party("sip", "unknown", role=role)
    sip = Address(scheme="sip", value=found.address)
    number = found.number
    if number is not None:
        also = () if found.scheme == "tel" else (sip,)
        return build.party("tel", number, name=found.name, role=role, also=also)
    if found.host.lower() == "anonymous.invalid":  # RFC 3323 §4.1
        return build.party("sip", "anonymous", role=role)
    return build.party("sip", sip.value, name=found.name, role=role)
