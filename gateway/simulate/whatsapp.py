"""`omnigate simulate whatsapp`: what the Cloud API posts.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.whatsapp import WhatsappConfig
from gateway.simulate.api import Item, Request, json_post
from gateway.simulate.meta import MetaSimulator
from gateway.simulate.whatsapp_cloud import WhatsappCloud

ACCOUNT, NUMBER = "102290129340398", "15550783881"
FIRST_PERSON = 16_505_550_000
BATCH_MAX = 100


def _wamid(item: Item, what: str = "in") -> str:
    return f"wamid.simulated-{what}-{item.number}"


def _person(item: Item) -> str:
    return str(FIRST_PERSON + item.person)


def _message(item: Item, kind: str, content: Any = None, **more: Any) -> dict[str, Any]:
    told = {"from": _person(item), "from_user_id": _bsuid(item), "id": _wamid(item), "timestamp": str(int(item.at))}
    return {"messages": [{**told, "type": kind, **({} if content is None else {kind: content}), **more}]}


def _bsuid(item: Item) -> str:
    return f"US.{1_000_000_000_000_000_000 + item.person}"


def _file(item: Item, mime: str, **more: Any) -> dict[str, Any]:
    return {"id": f"simulated-{item.number}", "mime_type": mime, "sha256": "c2ltdWxhdGVk", **more}


def _statuses(item: Item, *words: str) -> dict[str, Any]:
    """Tell of one message of ours, the last status first."""
    common = {"id": _wamid(item, "out"), "recipient_id": _person(item), "recipient_user_id": _bsuid(item)}
    return {
        "statuses": [
            {**common, "status": word, "timestamp": str(int(item.at) + at)}
            for at, word in reversed([*enumerate(words)])
        ]
    }


_CONTEXT = {"from": NUMBER, "id": "wamid.simulated-question"}
_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": lambda item: _message(item, "text", {"body": item.text}),
    "image": lambda item: _message(item, "image", _file(item, "image/jpeg", caption=item.text)),
    "voice": lambda item: _message(item, "audio", _file(item, "audio/ogg; codecs=opus", voice=True)),
    "location": lambda item: _message(item, "location", {"latitude": 52.52, "longitude": 13.4, "name": item.text}),
    "button": lambda item: _message(
        item, "interactive", {"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes"}}, context=_CONTEXT
    ),
    "reaction": lambda item: _message(item, "reaction", {"message_id": _wamid(item, "out"), "emoji": "👍"}),
    "edit": lambda item: _message(
        item,
        "edit",
        {"original_message_id": _wamid(item, "old"), "message": {"type": "text", "text": {"body": item.text}}},
    ),
    "statuses": lambda item: _statuses(item, "sent", "delivered", "read"),
    "failed": lambda item: {
        "statuses": [
            {**_statuses(item, "failed")["statuses"][0], "errors": [{"code": 131026, "title": "Message undeliverable"}]}
        ]
    },
}


class WhatsappSimulator(MetaSimulator[WhatsappConfig]):
    """Batches: every message in a change of its own or several in one, as WhatsApp does under load."""

    contents: ClassVar = tuple(_CONTENT)
    batch_max: ClassVar = BATCH_MAX

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write each two items as one change, in one entry."""
        if len(items) > BATCH_MAX:
            raise ValueError(f"at most {BATCH_MAX} items")
        metadata = {"display_phone_number": NUMBER, "phone_number_id": self.options.phone_number_id}
        changes = [
            {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **_value(pair)}}
            for pair in (items[at : at + 2] for at in range(0, len(items), 2))
        ]
        return json_post({"object": "whatsapp_business_account", "entry": [{"id": ACCOUNT, "changes": changes}]})


def _value(items: Sequence[Item]) -> dict[str, Any]:
    contacts = {
        item.person: {
            "profile": {"name": f"Simulated person {item.person}"},
            "wa_id": _person(item),
            "user_id": _bsuid(item),
        }
        for item in items
    }
    value: dict[str, Any] = {"contacts": list(contacts.values())}
    for item in items:
        for name, found in _CONTENT[item.content](item).items():
            spoilt = [{**one, "id": {"not": "an id"}} for one in found] if item.spoilt else found
            value.setdefault(name, []).extend(spoilt)
    return value


SIMULATOR, CLOUD = WhatsappSimulator, WhatsappCloud
