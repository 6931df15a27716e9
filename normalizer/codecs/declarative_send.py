"""Messages of a declarative channel: `Outbound` → one request, from structures and never from pasted strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from normalizer.codecs.declarative_expr import Expression, Unreadable
from normalizer.codecs.declarative_options import Send
from normalizer.errors import Unsendable
from normalizer.parts import type_names
from normalizer.raw import Outbound, Wire
from normalizer.text import plain

Filler = Callable[[Any], Any]
"""Makes a value from the message; None means "leave it out"."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2
_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class Misfit(Unsendable):
    """This message does not fit the channel's `send` table."""

    def __init__(self, reason: str, have: tuple[str, ...]) -> None:
        """Say which option, and what it found."""
        super().__init__(reason, have)
        self.args = (reason,)


class Writer:
    """Writes requests by the option `send`."""

    def __init__(self, options: Send) -> None:
        """Compile; raises `ValueError` that names the option."""
        self._options = options
        self._path = _compile_path(options.path)
        self._headers = {name: _compile_header(name, value) for name, value in options.headers.items()}
        self._query = {name: compile_value(value, f"$.send.query.{name}") for name, value in options.query.items()}
        self._body = None if options.body is None else compile_value(options.body, "$.send.body")
        if unknown := [name for name in options.parts if name not in type_names]:
            raise ValueError(f"$.send.parts: {unknown[0]!r} is none of {', '.join(type_names)}")
        if options.content_type == "form" and isinstance(options.body, dict):
            _check_flat(options.body)

    def write(self, message: Outbound) -> Wire:
        """Render the request; raises `Unsendable`."""
        for part in message.parts:
            if (kind := str(part.__struct_config__.tag)) not in self._options.parts:
                raise Unsendable(kind, self._options.parts)
        if not message.text:
            message = replace(message, text=plain(message.parts))
        # through JSON, because JMESPath takes no tuple for an array
        view = msgspec.json.decode(msgspec.json.encode(message))
        try:
            return self._render(view)
        except Unreadable as exc:
            raise Misfit(str(exc), self._options.parts) from exc

    def _render(self, view: Any) -> Wire:
        query = urlencode(_fields({name: fill(view) for name, fill in self._query.items()}, "$.send.query"))
        body = None if self._body is None else self._body(view)
        headers = {name: fill(view) for name, fill in self._headers.items()}
        if body is not None:
            headers = {"Content-Type": _CONTENT_TYPES[self._options.content_type], **headers}
        return Wire(
            method=self._options.method,
            url=self._path(view) + (f"?{query}" if query else ""),
            headers={name: value for name, value in headers.items() if value is not None},
            body=b"" if body is None else self._serialize(body),
        )

    def _serialize(self, body: Any) -> bytes:
        if self._options.content_type == "json":
            return msgspec.json.encode(body)
        if not isinstance(body, dict):
            raise Unreadable("$.send.body: a form needs an object")
        return urlencode(_fields(body, "$.send.body")).encode("ascii")


def compile_value(value: Any, path: str) -> Filler:
    """Compile a template of any depth; raises `ValueError` that names the place inside it."""
    if isinstance(value, dict):
        members = {name: compile_value(inner, f"{path}.{name}") for name, inner in value.items()}
        return lambda view: _present({name: fill(view) for name, fill in members.items()})
    if isinstance(value, list):
        items = [compile_value(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        return lambda view: [found for found in (fill(view) for fill in items) if found is not None]
    if isinstance(value, str) and value.startswith("="):
        return _literal(value[1:]) if value.startswith("==") else Expression(value[1:], path)
    return _literal(value)


def _literal(value: Any) -> Filler:
    return lambda _: value


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _compile_path(path: str) -> Filler:
    where = "$.send.path"
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        raise ValueError(f"{where}: must start with one slash; scheme and host belong into base_url")
    literals = _PLACEHOLDER.split(path)[::2]
    if any(char in literal for literal in literals for char in "{}?#"):
        raise ValueError(f"{where}: unbalanced braces, or a query (put that into send.query)")
    expressions = [Expression(text, where) for text in _PLACEHOLDER.findall(path)]

    def fill(view: Any) -> str:
        words = [_segment(expression(view), where) for expression in expressions]
        filled = "".join(piece for pair in zip(literals, [*words, ""], strict=True) for piece in pair)
        if any(segment in {".", ".."} for segment in filled.split("/")):
            raise Unreadable(f"{where}: a value of dots would change the path")
        return filled

    return fill


def _segment(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise Unreadable(f"{path}: a value in braces is missing, or neither a string nor a whole number")
    return quote(str(value), safe="")


def _compile_header(name: str, value: str) -> Filler:
    where = f"$.send.headers.{name}"
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{where}: not a header's name")
    if name.lower() in {"authorization", "host", "content-length", "transfer-encoding"}:
        raise ValueError(f"{where}: cannot be set here; credentials belong into auth")
    fill = compile_value(value, where)

    def checked(view: Any) -> str | None:
        found = fill(view)
        line = str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
        if found is not None and (not line or not line.isprintable()):
            raise Unreadable(f"{where}: expected one line of text")
        return None if found is None else line

    return checked


def _check_flat(body: dict[str, Any]) -> None:
    for name, value in body.items():
        inner = value if isinstance(value, list) else [value]
        if any(isinstance(one, (dict, list)) for one in inner):
            raise ValueError(f"$.send.body.{name}: a form is flat; write the value as an expression with to_string()")


def _fields(found: dict[str, Any], path: str) -> list[tuple[str, str]]:
    return [(name, value) for name, values in found.items() for value in _spelled(values, f"{path}.{name}")]


def _spelled(found: Any, path: str) -> Iterator[str]:
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, (dict, list)):
            raise Unreadable(f"{path}: expected a string, a number or a list of them")
        if isinstance(value, bool):
            yield "true" if value else "false"
        elif value is not None:
            yield str(value)
