"""Random instances of every type of the model, for property tests."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from msgspec import Meta, Struct
from msgspec.structs import fields

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGER,
    float: NUMBER,
    bool: st.booleans(),
    types.NoneType: st.none(),
    Any: JSON,
    datetime: st.datetimes(timezones=st.just(UTC)),
}


@cache
def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the model uses it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in LEAVES:
        return LEAVES[annotation]
    if origin is Annotated:
        return limited(args[0], args[1])
    if origin is Literal:
        return st.sampled_from(args)
    if origin in {Union, types.UnionType}:
        return st.one_of([values(arg) for arg in args])
    if origin is tuple:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values(args[1]), max_size=2)
    return structs(annotation)


def limited(base: Any, meta: Meta) -> st.SearchStrategy[Any]:
    """Values of a leaf within the limits that msgspec checks."""
    if meta.pattern is not None:
        return st.from_regex(meta.pattern, fullmatch=True).filter(lambda value: "\n" not in value)
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    if base is int:
        return st.integers(low, high)
    return st.floats(low, high, exclude_min=meta.gt is not None, exclude_max=meta.lt is not None)


def structs(shape: type[Struct]) -> st.SearchStrategy[Any]:
    """Instances with some of the optional fields given."""
    items = fields(shape)
    needed = {item.name: st.deferred(lambda item=item: values(item.type)) for item in items if item.required}
    extra = {item.name: st.deferred(lambda item=item: values(item.type)) for item in items if not item.required}
    return st.fixed_dictionaries(needed, optional=extra).map(lambda given: shape(**given))
