"""AsyncAPI 3.0 document of the broker layout (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from normalizer import schema
from normalizer.docstrings import summary
from normalizer.methods import NOTIFICATIONS, REQUESTS
from normalizer.model import SCHEMA_VERSION
from normalizer.schema import Json

EVENTS, COMMANDS, RPC_QUEUE = "gw.events", "gw.commands", "gw.rpc"
GLOBAL = tuple(
    method
    for method, shape in REQUESTS.items()
    if not any(item.name == "channel" and item.required for item in fields(shape))
)
"""Requests that concern the gateway, not one channel; they end in the queue `gw.rpc`."""


def document() -> Json:
    """Return the document: what to bind to for events, where to send commands, and what comes back."""
    refs, schemas = schema.components([*NOTIFICATIONS.values(), *REQUESTS.values()], "#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Omnigate",
            "version": SCHEMA_VERSION,
            "description": "JSON-RPC 2.0 on RabbitMQ: events are notifications, commands are requests.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(refs), "schemas": _plain(schemas)},
    }


def _channels() -> Json:
    channel_id = {"description": "Id of the configured channel; `.`, `*` and `#` are replaced by `-`."}
    kind = {"description": "Kind of the channel: `telegram`, `email` …"}
    return {
        "events": {
            "address": "v1.{channel_type}.{channel_id}.{method}",
            "title": EVENTS,
            "description": "What happened. Bind `v1.*.*.message.#` for messages, `v1.email.#` for mail only.",
            "parameters": {
                "channel_type": kind,
                "channel_id": channel_id,
                "method": {"description": "The notification's method.", "enum": list(NOTIFICATIONS)},
            },
            "messages": _list("components/messages", NOTIFICATIONS),
            "bindings": _exchange(EVENTS),
        },
        "commands": {
            "address": "v1.{channel_id}.{method}",
            "title": COMMANDS,
            "description": "What one channel shall do; kept in the queue `gw.out.<channel_id>`.",
            "parameters": {
                "channel_id": channel_id,
                "method": {"description": "The method.", "enum": _without(GLOBAL)},
            },
            "messages": _list("components/messages", _without(GLOBAL)),
            "bindings": _exchange(COMMANDS),
        },
        "gateway": {
            "address": "v1._.{method}",
            "title": RPC_QUEUE,
            "description": "Questions to the gateway as a whole; kept in the queue `gw.rpc`.",
            "parameters": {"method": {"description": "The method.", "enum": list(GLOBAL)}},
            "messages": _list("components/messages", GLOBAL),
            "bindings": _exchange(COMMANDS),
        },
        "answers": {
            "address": None,
            "title": "reply_to",
            "description": "The queue named by the request's `reply_to`; `correlation_id` is the request's.",
            "messages": _list("components/messages", ("result", "error")),
        },
    }


def _operations() -> Json:
    return {
        "tell": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "summary": "The gateway tells what happened.",
            "messages": list(_list("channels/events/messages", NOTIFICATIONS).values()),
            "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True}},
        },
        "command": _asked("commands", _without(GLOBAL), "The core asks a channel to do something."),
        "ask": _asked("gateway", GLOBAL, "The core asks the gateway itself."),
    }


def _asked(channel: str, methods: Iterable[str], words: str) -> Json:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": words,
        "messages": list(_list(f"channels/{channel}/messages", methods).values()),
        "reply": {
            "address": {"location": "$message.header#/reply_to", "description": "AMQP property `reply_to`."},
            "channel": {"$ref": "#/channels/answers"},
        },
    }


def _messages(refs: dict[type[Struct], Json]) -> Json:
    bodies: dict[str, tuple[Json, type[Struct]]] = {
        method: (schema.notification(method, refs[shape]), shape) for method, shape in NOTIFICATIONS.items()
    }
    bodies.update({method: (schema.request(method, refs[shape]), shape) for method, shape in REQUESTS.items()})
    described = {
        name: {"name": name, "summary": summary(shape).partition("\n")[0], "payload": payload}
        for name, (payload, shape) in bodies.items()
    }
    described["result"] = {"name": "result", "summary": "The request succeeded.", "payload": schema.result()}
    described["error"] = {"name": "error", "summary": "The request failed.", "payload": schema.error()}
    return described


def _exchange(name: str) -> Json:
    return {"amqp": {"is": "routingKey", "exchange": {"name": name, "type": "topic", "durable": True}}}


def _list(where: str, names: Iterable[str]) -> dict[str, Json]:
    return {name: {"$ref": f"#/{where}/{name}"} for name in names}


def _without(methods: tuple[str, ...]) -> list[str]:
    return [method for method in REQUESTS if method not in methods]


def _plain(value: Any) -> Any:
    """Spell discriminators AsyncAPI's way: a property name, where OpenAPI and msgspec have an object."""
    if isinstance(value, dict):
        return {
            key: item["propertyName"] if key == "discriminator" and isinstance(item, dict) else _plain(item)
            for key, item in value.items()
        }
    return [_plain(item) for item in value] if isinstance(value, list) else value
