"""JSON Schema (2020-12) of everything that crosses the broker, generated from the types of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from normalizer.docstrings import attributes, summary
from normalizer.methods import NOTIFICATIONS, REQUESTS
from normalizer.model import SCHEMA_VERSION
from normalizer.rpc import ERROR_NAMES, RETRYABLE

Json = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFS = "#/$defs/{name}"


def messages() -> Json:
    """Return the schema of one message body: a notification, a request, a result or an error."""
    shapes = [*NOTIFICATIONS.values(), *REQUESTS.values()]
    refs, defs = components(shapes, DEFS)
    envelopes = {
        **{f"notification.{method}": notification(method, refs[shape]) for method, shape in NOTIFICATIONS.items()},
        **{f"request.{method}": request(method, refs[shape]) for method, shape in REQUESTS.items()},
        "response.result": result(),
        "response.error": error(),
    }
    return {
        "$schema": DIALECT,
        "title": "Omnigate messages",
        "description": f"JSON-RPC 2.0 bodies on RabbitMQ, schema {SCHEMA_VERSION}. Readers ignore unknown fields.",
        "oneOf": [{"$ref": DEFS.format(name=name)} for name in envelopes],
        "$defs": {**envelopes, **defs},
    }


def notification(method: str, params: Json) -> Json:
    """Return the schema of a notification: what the gateway tells."""
    return {
        "title": method,
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "method": {"const": method}, "params": params, "id": False},
        "required": ["jsonrpc", "method", "params"],
    }


def request(method: str, params: Json) -> Json:
    """Return the schema of a request: what the gateway may be asked; without `id` there is no answer."""
    needed = ["params"] if REQUESTS[method] is not None and _required(REQUESTS[method]) else []
    return {
        "title": method,
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "method": {"const": method},
            "id": {"type": ["string", "integer", "null"]},
            "params": params,
        },
        "required": ["jsonrpc", "method", *needed],
    }


def result() -> Json:
    """Return the schema of a successful answer."""
    return {
        "title": "result",
        "type": "object",
        "properties": {**_answer(), "result": {}, "error": False},
        "required": ["jsonrpc", "id", "result"],
    }


def error() -> Json:
    """Return the schema of a failure; `data.retryable` is always there."""
    codes = [
        {"const": code, "title": name, "description": "worth trying again" if code in RETRYABLE else "final"}
        for code, name in ERROR_NAMES.items()
    ]
    shape = {
        "type": "object",
        "properties": {
            "code": {"oneOf": codes},
            "message": {"type": "string"},
            "data": {"type": "object", "properties": {"retryable": {"type": "boolean"}}, "required": ["retryable"]},
        },
        "required": ["code", "message", "data"],
    }
    return {
        "title": "error",
        "type": "object",
        "properties": {**_answer(), "error": shape, "result": False},
        "required": ["jsonrpc", "id", "error"],
    }


def components(
    shapes: Iterable[type[Struct]], template: str, hook: Callable[[type], Json] | None = None
) -> tuple[dict[type[Struct], Json], dict[str, Json]]:
    """Generate the schemas of types, described by their docstrings.

    Args:
        shapes: the types; duplicates are fine.
        template: what a reference looks like, with ``{name}``.
        hook: the schema of a type that msgspec does not know.

    Returns:
        A reference for each shape, and every named schema.
    """
    wanted = list(dict.fromkeys(shapes))
    refs, defs = msgspec.json.schema_components(wanted, ref_template=template, schema_hook=hook)
    nested = _all(wanted)
    by_name = {f"{shape.__module__}.{shape.__qualname__}": shape for shape in nested}  # for names that occur twice
    by_name.update({shape.__name__: shape for shape in nested})
    for name, schema in defs.items():
        _describe(schema, by_name[name])
    return dict(zip(wanted, refs, strict=True)), defs


def _describe(schema: Json, shape: type[Struct]) -> None:
    schema["description"] = summary(shape)
    said = {item.encode_name: attributes(shape).get(item.name) for item in fields(shape)}
    for name, words in said.items():
        if words:
            schema["properties"][name] = {**schema["properties"][name], "description": words}


def _all(shapes: Iterable[type[Struct]]) -> set[type[Struct]]:
    """Return the types and every type that their fields are made of."""
    found: set[type[Struct]] = set()
    todo: list[Any] = list(msgspec.inspect.multi_type_info(shapes))
    while todo:
        node = todo.pop()
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls in found:
                continue
            found.add(node.cls)
        todo.extend(_children(node))
    return found


def _children(node: Any) -> Iterator[Any]:
    for name in getattr(node, "__struct_fields__", ()):
        value = getattr(node, name)
        if isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, (msgspec.inspect.Type, msgspec.inspect.Field)))
        elif isinstance(value, (msgspec.inspect.Type, msgspec.inspect.Field)):
            yield value


def _answer() -> Json:
    return {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "integer", "null"]}, "method": False}


def _required(shape: type[Struct]) -> bool:
    return any(item.required for item in fields(shape))
