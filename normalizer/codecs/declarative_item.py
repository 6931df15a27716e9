"""One item of a delivery, seen through the expressions of its channel."""

from __future__ import annotations

import re
from typing import Any

from normalizer import ids
from normalizer.build import conversation, party
from normalizer.codecs import declarative_values as values
from normalizer.codecs.declarative_expr import Expression, Unreadable
from normalizer.codecs.declarative_options import Receive
from normalizer.model import Address, Conversation, MessageRef, Party
from normalizer.raw import RawEvent

_OURS = re.compile(r"msg_[0-9a-f]{32}")
DEPTH_MAX = 32
_COUNTER_MAX = 1_000_000_000  # a smaller number counts edits, a larger one is a time


class Mapping:
    """The compiled options of `Receive`.

    Attributes:
        options: as configured.
        get: option name → expression, only those that are configured.
        metadata: name → expression.
    """

    def __init__(self, options: Receive) -> None:
        """Compile; raises `ValueError` with every problem, in one line."""
        problems: list[str] = []

        def compiled(text: str, path: str) -> Expression | None:
            try:
                return Expression(text, path)
            except ValueError as exc:
                problems.append(str(exc))
                return None

        self.options = options
        texts = {name: getattr(options, name) for name in _EXPRESSIONS}
        found = {name: compiled(text, f"$.receive.{name}") for name, text in texts.items() if text is not None}
        extra = {name: compiled(text, f"$.receive.metadata.{name}") for name, text in options.metadata.items()}
        if problems:
            raise ValueError("; ".join(problems))
        self.get = {name: expression for name, expression in found.items() if expression}
        self.metadata = {name: expression for name, expression in extra.items() if expression}


_LITERALS = {"content_type", "max_items", "scheme", "text_format", "methods", "statuses", "metadata"}
_EXPRESSIONS = tuple(name for name in Receive.__struct_fields__ if name not in _LITERALS)


class Item:
    """Reads one item; every method raises `Unreadable`.

    Attributes:
        raw: the delivery.
        value: the item, as JSON.
        mapping: the expressions.
    """

    __slots__ = ("mapping", "raw", "value")

    def __init__(self, mapping: Mapping, raw: RawEvent, value: Any) -> None:
        """Look at `value` through `mapping`."""
        self.mapping, self.raw, self.value = mapping, raw, value

    def find(self, name: str) -> Any:
        """Evaluate an option; None when it is not configured or finds nothing."""
        expression = self.mapping.get.get(name)
        return None if expression is None else expression(self.value)

    def true(self, name: str) -> bool:
        """Evaluate a condition; false when it is not configured."""
        expression = self.mapping.get.get(name)
        return expression is not None and expression.true(self.value)

    def word(self, name: str) -> str | None:
        """Evaluate to an id or an address."""
        return values.word(self.find(name), f"$.receive.{name}")

    def text(self, name: str) -> str | None:
        """Evaluate to words for people."""
        return values.text(self.find(name), f"$.receive.{name}")

    def need(self, name: str) -> str:
        """Evaluate to an id or an address that must be there."""
        found = self.word(name)
        if found is None:
            raise Unreadable(f"$.receive.{name}: found nothing, and it is required")
        return found

    def choose(self, name: str, table: str, known: frozenset[str]) -> str | None:
        """Evaluate to one of our own words, through the option `table`, which maps the provider's."""
        found = self.word(name)
        if found is None:
            return None
        words: dict[str, str] = getattr(self.mapping.options, table)
        ours = words.get(found, found)
        if ours not in known:
            raise Unreadable(f"$.receive.{name}: found a word that is neither in {table} nor one of ours")
        return ours

    def revision(self) -> tuple[str, int] | None:
        """Evaluate the revision: as part of the dedup key, and as a number that rises; None for an original."""
        found, path = self.find("revision"), "$.receive.revision"
        if found in (None, "", 0, False):
            return None
        if isinstance(found, int) and not isinstance(found, bool) and 0 < found < _COUNTER_MAX:
            return str(found), found
        at = values.moment(found, path)
        key = values.text(found, path)
        return (key, round((at - values.EPOCH).total_seconds() * 1000)) if at and key else None

    def person(self, name: str) -> Party | None:
        """Describe the sender (a customer) or the recipient (us)."""
        address = self.word(name)
        if address is None:
            return None
        scheme = self.mapping.options.scheme or self.raw.channel.id
        if name == "recipient":
            return party(scheme, address, role="bot")
        return party(scheme, address, name=self.text("sender_name"), also=self._also())

    def _also(self) -> list[Address]:
        """Read the sender's further addresses."""
        found, path = self.find("also"), "$.receive.also"
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Unreadable(f"{path}: expected a list of {{scheme, value}}")
        pairs = [tuple(values.word(one.get(key), f"{path}[].{key}") for key in ("scheme", "value")) for one in found]
        return [Address(scheme=scheme, value=value) for scheme, value in pairs if scheme and value]

    def conversation(self, fallback: str | None) -> Conversation | None:
        """Describe the conversation, which by default is the one with `fallback`."""
        native = self.word("conversation") or fallback
        return conversation(self.raw, native, "group" if self.true("group") else "direct") if native else None

    def about(self) -> MessageRef:
        """Name the message this event is about, which is not always one we received."""
        native = self.word("about") or self.need("id")
        return MessageRef(id=native) if _OURS.fullmatch(native) else MessageRef(provider_id=native)

    def deleted(self) -> MessageRef:
        """Name the message that was deleted, one we received before."""
        native = self.word("about") or self.need("id")
        return MessageRef(id=ids.message_id(self.raw.channel.id, self.word("scope") or "", native), provider_id=native)

    def extras(self) -> dict[str, Any]:
        """Evaluate the metadata; what finds nothing is left out."""
        found: dict[str, Any] = {}
        for name, expression in self.mapping.metadata.items():
            value = expression(self.value)
            if not _shallow(value, DEPTH_MAX):
                raise Unreadable(f"{expression.path}: nested deeper than {DEPTH_MAX} levels")
            if value is not None:
                found[name] = value
        return {self.raw.kind: found} if found else {}


def _shallow(value: Any, levels: int) -> bool:
    """Tell whether `value` can be written as JSON without exhausting the stack, whoever writes it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_shallow(one, levels - 1) for one in inner))
