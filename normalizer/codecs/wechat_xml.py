"""The XML of WeChat and WeCom: read into plain fields, and written with CDATA.

DTDs are refused, so there are no entities to expand ("billion laughs") and nothing to fetch from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from normalizer.errors import MalformedPayload

Fields = dict[str, Any]
"""Name → text, nested fields, or a list of these where a name is repeated."""

DEPTH_MAX = 16
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in XML 1.0, not even escaped (https://www.w3.org/TR/xml/#charsets)."""


class _Reader:
    """Collects the fields; one per document."""

    def __init__(self) -> None:
        self.root: Fields = {}
        self._stack: list[tuple[Fields, list[str]]] = []

    def start(self, name: str, _: Mapping[str, str]) -> None:
        if len(self._stack) >= DEPTH_MAX:
            raise MalformedPayload(f"the XML is nested deeper than {DEPTH_MAX}")
        self._stack.append(({}, []))

    def data(self, text: str) -> None:
        self._stack[-1][1].append(text)

    def end(self, name: str) -> None:
        fields, texts = self._stack.pop()
        value = fields or "".join(texts)
        if not self._stack:
            self.root = fields
            return
        above = self._stack[-1][0]
        if name not in above:
            above[name] = value
        elif isinstance(above[name], list):
            above[name].append(value)
        else:
            above[name] = [above[name], value]

    def refuse(self, *_: object) -> None:
        raise MalformedPayload("the XML has a DTD, which WeChat never sends")


def read(body: bytes) -> Fields:
    """Read a document, ``<xml>…</xml>``; raises `MalformedPayload`, with the place and without the content."""
    reader, parser = _Reader(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.data, reader.refuse
    try:
        parser.Parse(body, True)  # noqa: FBT003 -- pyexpat takes no keywords
    except expat.ExpatError as exc:
        raise MalformedPayload(f"not XML: {expat.ErrorString(exc.code)} at line {exc.lineno}") from exc
    except (ValueError, LookupError) as exc:  # an encoding it does not know
        raise MalformedPayload("the XML is in an encoding nobody knows") from exc
    return reader.root


def write(fields: Mapping[str, Any]) -> bytes:
    """Write a document: texts as CDATA, numbers as they are, mappings nested, each of a list under the same name."""
    return f"<xml>{_inner(fields)}</xml>".encode()


def _inner(fields: Mapping[str, Any]) -> str:
    return "".join(_element(name, value) for name, value in fields.items())


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    if isinstance(value, Mapping):
        return f"<{name}>{_inner(value)}</{name}>"
    if isinstance(value, int):
        return f"<{name}>{value}</{name}>"
    return f"<{name}>{cdata(str(value))}</{name}>"


def cdata(text: str) -> str:
    """Write a text as CDATA; what XML cannot carry is left out."""
    return "<![CDATA[" + _NOT_XML.sub("", text).replace("]]>", "]]]]><![CDATA[>") + "]]>"


def text(fields: Fields, *names: str) -> str:
    """Return the first of these fields that is there, as text; JSON deliveries have numbers. Empty if none is."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def nested(fields: Fields, name: str) -> Fields:
    """Return a group of fields; empty if it is not there."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}
