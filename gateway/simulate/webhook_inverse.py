"""JMESPath backwards: from an expression and what it should find to a document in which it finds that.

Only what has an obvious inverse: keys, indexes, lists, alternatives (the first is chosen), filters that compare with a
literal, `to_string`, `to_number` and `join` (its last invertible piece makes it unique).
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import jmespath


class NotInvertible(ValueError):
    """The expression has no obvious inverse."""


def document_for(expression: str, value: Any) -> Any:
    """Return a document in which `expression` finds `value`; raises `NotInvertible`."""
    return _make(jmespath.compile(expression).parsed, value)


def merge(one: Any, other: Any) -> Any:
    """Put two documents into each other; where they disagree, `other` stands."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: merge(one.get(key), other.get(key)) if key in other else one[key] for key in {**one, **other}}
    return one if other is None else other


def _make(node: Any, value: Any) -> Any:
    children = node.get("children", ())
    match node["type"]:
        case "identity" | "current":
            return value
        case "field":
            return {node["value"]: value}
        case "subexpression" | "pipe" | "index_expression":
            return reduce(lambda inner, child: _make(child, inner), reversed(children), value)
        case "index":
            return [value]
        case "or_expression" | "flatten" | "multi_select_list":
            return _make(children[0], value)
        case "projection" | "filter_projection":
            condition = _fulfilled(children[2]) if len(children) > 2 else {}
            return _make(children[0], [merge(_make(children[1], one), condition or None) for one in value])
        case "function_expression":
            return _called(node["value"], children, value)
        case other:
            raise NotInvertible(other)


def _fulfilled(node: Any) -> dict[str, Any]:
    """Return a document for which a condition of the form ``key == 'word'`` is true."""
    if node["type"] == "comparator" and node["value"] == "eq":
        for one, other in (node["children"], reversed(node["children"])):
            if other["type"] == "literal":
                found = _make(one, other["value"])
                return found if isinstance(found, dict) else {}
    raise NotInvertible("a condition")


def _called(name: str, arguments: Any, value: Any) -> Any:
    if name in {"to_string", "to_number"}:
        return _make(arguments[0], value)
    if name == "join" and arguments[1]["type"] == "multi_select_list":
        for piece in reversed(arguments[1]["children"]):
            if piece["type"] != "literal":
                return _make(piece, value)
    raise NotInvertible(f"{name}()")
