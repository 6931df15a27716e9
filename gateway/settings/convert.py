"""From TOML values to the types of the model, noting every problem instead of stopping at the first.

msgspec would convert a whole table in one call, but ends at its first error; so tables, lists and unions are walked
here, and msgspec checks the leaves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from connectors.secrets import Secret
from gateway.settings.describe import alternatives, describe, is_union, show, strip
from gateway.settings.problems import did_you_mean, nearest


class _Invalid:
    """Stands for a value that could not be converted; its problem has been noted."""


INVALID = _Invalid()
LISTS = (list, tuple, set, frozenset)
_INNER = re.compile(r"^\$(?P<path>\S*): (?P<message>.*)$")
"""How a type's own check names one of its keys: ``$.receive.id: …``, one problem per line."""


class Note(Protocol):
    """Takes down one problem."""

    def __call__(self, path: str, message: str, hint: str = "") -> None:
        """Note what is wrong at `path`."""
        ...


class Converter:
    """Converts the tables of one file."""

    def __init__(self, resolve: Callable[[str], Secret], note: Note) -> None:
        """Take what turns a reference into a `Secret` (raises `ValueError`) and what takes down problems."""
        self._resolve = resolve
        self._note = note

    def convert(self, value: Any, annotation: Any, path: str) -> Any:
        """Return `value` as `annotation`, or `INVALID` after at least one problem was noted."""
        base, _ = strip(annotation)
        if is_union(base):
            return self._union(value, annotation, path)
        if isinstance(base, type) and issubclass(base, Struct):
            return self.table(value, base, path)
        if base is Secret:
            return self._secret(value, path)
        if get_origin(base) in LISTS and len([arg for arg in get_args(base) if arg is not Ellipsis]) == 1:
            return self._list(value, annotation, path)
        if get_origin(base) is dict:
            return self._mapping(value, base, path)
        return self._leaf(value, annotation, path)

    def table(self, value: Any, shape: type[Struct], path: str) -> Any:
        """Build `shape` from a table: unknown keys, missing keys, wrong values and the type's own checks are noted."""
        if not isinstance(value, dict):
            return self._wrong(value, shape, path)
        known = {item.encode_name: item for item in fields(shape)}
        tag_field = shape.__struct_config__.tag_field
        unknown = [key for key in value if key not in known and key != tag_field]
        for key in unknown:
            self._note(_join(path, key), "unknown key", did_you_mean(key, known))
        built = {
            item.name: self._field(value, item, _join(path, item.encode_name))
            for item in known.values()
            if item.encode_name in value or item.required
        }
        if unknown or any(part is INVALID for part in built.values()):
            return INVALID
        try:
            return shape(**built)
        except (ValueError, TypeError) as exc:
            for line in str(exc).splitlines() or ["is not valid"]:
                inner = _INNER.match(line)
                self._note(path + (inner["path"] if inner else ""), inner["message"] if inner else line)
            return INVALID

    def _field(self, table: dict[str, Any], item: FieldInfo, path: str) -> Any:
        if item.encode_name in table:
            return self.convert(table[item.encode_name], item.type, path)
        self._note(path, "is missing", f"give {describe(item.type)}")
        return INVALID

    def _secret(self, value: Any, path: str) -> Any:
        if not isinstance(value, str):
            self._note(path, "a secret is written as env:NAME or file:/path")
            return INVALID
        try:
            return self._resolve(value)
        except ValueError as exc:
            self._note(path, str(exc))
            return INVALID

    def _list(self, value: Any, annotation: Any, path: str) -> Any:
        base, metas = strip(annotation)
        if not isinstance(value, list) or (metas and not _valid(value, Annotated[list[Any], *metas])):
            return self._wrong(value, annotation, path)
        items = [self.convert(item, get_args(base)[0], f"{path}[{index}]") for index, item in enumerate(value)]
        return INVALID if any(item is INVALID for item in items) else get_origin(base)(items)

    def _mapping(self, value: Any, base: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(value, base, path)
        key_type, item_type = get_args(base)
        items = {}
        for key, item in value.items():
            where = _join(path, key)
            items[self._leaf(key, key_type, where)] = self.convert(item, item_type, where)
        return INVALID if any(part is INVALID for pair in items.items() for part in pair) else items

    def _union(self, value: Any, annotation: Any, path: str) -> Any:
        base, metas = strip(annotation)
        options = [Annotated[option, *metas] if metas else option for option in alternatives(base)]
        fitting = [option for option in options if _fits(value, option)]
        if len(fitting) > 1 and isinstance(value, dict):
            fitting = self._tagged(value, fitting, path)
            if not fitting:
                return INVALID
        for option in fitting:
            scratch: list[str] = []
            trial = Converter(self._resolve, lambda path, *_, scratch=scratch: scratch.append(path))
            found = trial.convert(value, option, path)
            if not scratch:
                return found
        inner = [option for option in fitting if isinstance(value, (dict, list)) or strip(option)[0] is Secret]
        return self.convert(value, inner[-1], path) if inner else self._wrong(value, annotation, path)

    def _tagged(self, value: dict[str, Any], options: list[Any], path: str) -> list[Any]:
        """Choose among tables by their tag; untagged ones are left to be tried in turn."""
        shapes = {strip(option)[0]: option for option in options}
        configs = {shape: getattr(shape, "__struct_config__", None) for shape in shapes}
        tags = {config.tag: shapes[shape] for shape, config in configs.items() if config and config.tag_field}
        if len(tags) != len(options):
            return options
        field = next(config.tag_field for config in configs.values() if config)
        key = _join(path, str(field))
        if field not in value:
            self._note(key, "is missing", "give one of " + ", ".join(map(str, tags)))
        elif value[field] not in tags:
            self._note(key, f"{show(value[field])} is not known", did_you_mean(str(value[field]), map(str, tags)))
        return [tags[value[field]]] if value.get(str(field)) in tags else []

    def _leaf(self, value: Any, annotation: Any, path: str) -> Any:
        if not _valid(value, annotation):
            return self._wrong(value, annotation, path)
        return msgspec.convert(value, annotation, strict=True)

    def _wrong(self, value: Any, annotation: Any, path: str) -> Any:
        """Note a value of the wrong type; a string is only repeated where no secret can have slipped in."""
        base, _ = strip(annotation)
        options = alternatives(base) if is_union(base) else [base]
        words = [str(word) for option in options if get_origin(option) is Literal for word in get_args(option)]
        hint = nearest(value, words) if isinstance(value, str) else ""
        visible = hint or base is str or not isinstance(value, str)
        self._note(path, f"expected {describe(annotation)}, got {show(value) if visible else 'a string'}", hint)
        return INVALID


def _valid(value: Any, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation, strict=True)
    except msgspec.ValidationError:
        return False
    return not isinstance(value, float) or math.isfinite(value)


def _join(path: str, key: str) -> str:
    word = key if key.replace("-", "").replace("_", "").isalnum() else f'"{key}"'
    return f"{path}.{word}" if path else word


def _fits(value: Any, option: Any) -> bool:
    """Tell whether a TOML value has the outer shape of a type, whatever is inside."""
    base, _ = strip(option)
    origin = get_origin(base)
    if base is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(arg) for arg in get_args(base))
    if origin in LISTS or base in LISTS:
        return isinstance(value, list)
    if origin is dict or base is dict or (isinstance(base, type) and issubclass(base, Struct)):
        return isinstance(value, dict)
    if base is Secret:
        return isinstance(value, str)
    if base is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is base
