"""JMESPath expressions (https://jmespath.org/specification.html) that fail early, and without customer text.

JMESPath finds an unknown function only when it is called, shows values in its type errors, and lets Python's own
exceptions through (``contains('abc', `1`)``). An `Expression` names unknown functions and wrong argument counts when
the configuration is read, and raises nothing but `Unreadable` afterwards.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathTypeError, LexerError, ParseError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

_FUNCTIONS: dict[str, Any] = Functions.FUNCTION_TABLE
_INTERPRETER: Any = TreeInterpreter()


class Unreadable(ValueError):
    """A delivery, an item or a message does not fit the configuration; the text names the option, never a value."""


class Expression:
    """One compiled expression.

    Attributes:
        path: which option it is (``$.receive.text``), for messages.
    """

    __slots__ = ("_ast", "_keys", "path")

    def __init__(self, text: str, path: str) -> None:
        """Compile; raises `ValueError` that starts with `path`."""
        self.path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", PendingDeprecationWarning)
                self._ast: Any = jmespath.compile(text).parsed
            _check_calls(self._ast)
            self._keys = _keys(self._ast)
        except PendingDeprecationWarning:
            raise ValueError(f"{path}: words stand in single quotes, 'word'; back quotes hold JSON: {text}") from None
        except (ValueError, TypeError, RecursionError) as exc:
            raise ValueError(f"{path}: {_fault(exc)}: {text}{_hint(text)}") from None

    def __call__(self, value: Any) -> Any:
        """Evaluate; raises `Unreadable`."""
        if self._keys is not None:
            for key in self._keys:
                value = value.get(key) if isinstance(value, dict) else None
            return value
        try:
            return _INTERPRETER.visit(self._ast, value)
        except JMESPathTypeError as exc:
            expected = " or ".join(exc.expected_types)
            reason = f"{exc.function_name}() expects {expected}, found {exc.actual_type}"
            raise Unreadable(f"{self.path}: {reason}") from None
        except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RuntimeError) as exc:
            raise Unreadable(f"{self.path}: cannot be evaluated ({type(exc).__name__})") from None

    def true(self, value: Any) -> bool:
        """Evaluate as a condition: null, false and empty strings, lists and objects are false, 0 is true."""
        found = self(value)
        return not (found is None or found is False or (isinstance(found, (str, list, dict)) and not found))


def _keys(node: Any) -> tuple[str, ...] | None:
    """Reduce a chain of keys (``from.phone``, what most expressions are) to its keys; it need not be interpreted."""
    if node["type"] == "field":
        return (node["value"],)
    chain = node["children"] if node["type"] == "subexpression" else []
    parts = [_keys(child) for child in chain]
    return tuple(key for part in parts if part for key in part) if parts and None not in parts else None


def _check_calls(node: Any) -> None:
    for call in _calls(node):
        name, given = call["value"], len(call["children"])
        if name not in _FUNCTIONS:
            near = difflib.get_close_matches(name, _FUNCTIONS, n=1)
            raise ValueError(f"unknown function {name}()" + (f", did you mean {near[0]}()?" if near else ""))
        signature = _FUNCTIONS[name]["signature"]
        wanted, open_ended = len(signature), bool(signature and signature[-1].get("variadic"))
        if given < wanted or (given > wanted and not open_ended):
            least = "at least " if open_ended else ""
            raise ValueError(f"{name}() takes {least}{wanted} argument{'s' * (wanted != 1)}, not {given}")


def _calls(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if node.get("type") == "function_expression":
            yield node
        for child in node.get("children", ()):
            yield from _calls(child)


def _fault(exc: Exception) -> str:
    match exc:
        case IncompleteExpressionError():
            return "the expression ends too early"
        case LexerError(message=message):
            return str(message)
        case ParseError(lex_position=column, token_value=token):
            return f'unexpected "{token}" at column {column}'
        case RecursionError():
            return "nested too deep"
        case _:
            return str(exc).rstrip(".")


def _hint(text: str) -> str:
    return ' (a key with a hyphen stands in double quotes: "sender-id")' if "-" in text else ""
