"""Deliveries of a declarative channel: bytes → items → events."""

from __future__ import annotations

import codecs
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from normalizer.build import parse
from normalizer.codecs.declarative_events import METHODS, STATUSES, build
from normalizer.codecs.declarative_expr import Unreadable
from normalizer.codecs.declarative_item import Item, Mapping
from normalizer.codecs.declarative_options import Receive
from normalizer.codecs.declarative_values import kind_of
from normalizer.errors import MalformedPayload
from normalizer.raw import BadItem, Decoded, Ignored, RawEvent

FIELDS_MAX = 1000
IGNORE = "ignore"


class Reader:
    """Reads deliveries by the option `receive`."""

    def __init__(self, options: Receive) -> None:
        """Compile; raises `ValueError` with every problem, in one line."""
        self._mapping = Mapping(options)
        for table, known in (("methods", METHODS | {IGNORE}), ("statuses", STATUSES)):
            for word, ours in getattr(options, table).items():
                if ours not in known:
                    raise ValueError(f"$.receive.{table}.{word}: {ours!r} is none of {', '.join(sorted(known))}")

    def read(self, raw: RawEvent) -> list[Decoded]:
        """Interpret a delivery; raises `MalformedPayload` when it has no items where they should be."""
        if raw.item:
            return [self._item(raw, parse(raw.body, object))]
        try:
            found = self._mapping.get["each"](self._document(raw))
        except Unreadable as exc:
            raise MalformedPayload(str(exc)) from exc
        items = found if isinstance(found, list) else [found]
        if found is None or (not isinstance(found, (list, dict))):
            raise MalformedPayload(f"$.receive.each: expected a list or an object, found {kind_of(found)}")
        if len(items) > self._mapping.options.max_items:
            limit = self._mapping.options.max_items
            raise MalformedPayload(f"$.receive.each: {len(items)} items, more than max_items = {limit}")
        return [self._item(raw, item) for item in items] or [Ignored(reason="empty")]

    def _document(self, raw: RawEvent) -> Any:
        body = raw.body.removeprefix(codecs.BOM_UTF8)
        return _form(body) if self._mapping.options.content_type == "form" else parse(body, object)

    def _item(self, raw: RawEvent, value: Any) -> Decoded:
        item = Item(self._mapping, raw, value)
        try:
            if item.true("skip"):
                return Ignored(reason="skip")
            method = item.choose("method", "methods", METHODS | {IGNORE})
            return Ignored(reason="method") if method == IGNORE else build(item, method)
        except Unreadable as exc:
            return BadItem(body=_encode(value), reason=str(exc))


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except RecursionError as exc:
        raise MalformedPayload("nested too deep") from exc


def _form(body: bytes) -> dict[str, Any]:
    """Read application/x-www-form-urlencoded; a name that is repeated becomes a list."""
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as exc:  # UnicodeError is one
        raise MalformedPayload("the body is not form-encoded UTF-8") from exc
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields
