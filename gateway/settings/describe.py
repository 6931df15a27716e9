"""Types in words, for error messages and for the reference."""

from __future__ import annotations

import types
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct

from connectors.secrets import Secret

SCALARS: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    datetime: "a date and time",
    Secret: "a secret (env:NAME or file:/path)",
    Any: "anything",
}
LONGEST = 40


def strip(annotation: Any) -> tuple[Any, list[Meta]]:
    """Split ``Annotated[T, Meta(…)]`` into T and its constraints."""
    if get_origin(annotation) is Annotated:
        base, *extras = get_args(annotation)
        return base, [extra for extra in extras if isinstance(extra, Meta)]
    return annotation, []


def is_union(base: Any) -> bool:
    """Tell whether a type is ``A | B``."""
    return get_origin(base) in {Union, types.UnionType}


def alternatives(base: Any) -> list[Any]:
    """List what a union is made of, without None, which TOML does not have."""
    return [option for option in get_args(base) if option is not types.NoneType]


def describe(annotation: Any) -> str:
    """Say what a value of this type looks like: ``a number > 0``, ``one of json, console``."""
    base, metas = strip(annotation)
    for meta in metas:
        if meta.description:
            return meta.description
    return _shape(base, " ".join(_limits(meta) for meta in metas))


def _shape(base: Any, limits: str) -> str:
    origin, args = get_origin(base), get_args(base)
    if is_union(base):
        return _union(alternatives(base))
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(arg) for arg in args)
    if origin in {list, tuple, set, frozenset}:
        return f"a list of {limits}, each {describe(args[0])}" if limits else f"a list, each {describe(args[0])}"
    if origin is dict or base is dict:
        return f"a table, each value {describe(args[1])}" if args else "a table"
    if isinstance(base, type) and issubclass(base, Struct):
        return "a table"
    name = SCALARS.get(base) or str(getattr(base, "__name__", base))
    return f"{name} {limits}" if limits else name


def _union(options: list[Any]) -> str:
    """Join alternatives with "or", tables that differ by a tag as one."""
    tagged = [option.__struct_config__ for option in options if getattr(option, "__struct_config__", None)]
    tags = [config.tag for config in tagged if config.tag_field]
    words = [describe(option) for option in options]
    if tags:
        table = f"a table with {tagged[0].tag_field} = {' or '.join(map(str, tags))}"
        words = [table if word == "a table" else word for word in words]
    return " or ".join(dict.fromkeys(words))


def _limits(meta: Meta) -> str:
    bounds = ((">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le))
    words = [f"{sign} {bound}" for sign, bound in bounds if bound is not None]
    if meta.multiple_of is not None:
        words.append(f"a multiple of {meta.multiple_of}")
    if meta.min_length is not None:
        words.append(f"at least {meta.min_length}")
    if meta.max_length is not None:
        words.append(f"at most {meta.max_length}")
    if meta.pattern is not None:
        words.append(f"matching {meta.pattern}")
    return ", ".join(words)


def show(value: Any) -> str:
    """Say what was written, shortened; tables and lists are named, not shown."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
