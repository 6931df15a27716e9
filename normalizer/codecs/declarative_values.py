"""Scalars of a delivery, whichever way a provider chose to write them. Every error is `Unreadable`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from normalizer.codecs.declarative_expr import Unreadable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d{1,19}(\.\d{1,9})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)


def kind_of(value: Any) -> str:
    """Name the JSON type of a value."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def word(value: Any, path: str) -> str | None:
    """Read an id or an address: a string, or a whole number in decimal; empty and null are None.

    A number with a fraction is refused: JSON numbers that large lose digits, and two ids would become one.
    """
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        found = "a number with a fraction" if isinstance(value, float) else kind_of(value)
        raise Unreadable(f"{path}: expected a string or a whole number, found {found}")
    try:
        return str(value)
    except ValueError:  # more than 4300 digits
        raise Unreadable(f"{path}: the number is too large") from None


def text(value: Any, path: str) -> str | None:
    """Read words meant for people: as `word`, and numbers with a fraction."""
    return repr(value) if isinstance(value, float) and isfinite(value) else word(value, path)


def whole(value: Any, path: str) -> int | None:
    """Read a count: a number or its digits; raises `Unreadable` when it is negative or no number."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53 and value == int(value):
        return int(value)
    raise Unreadable(f"{path}: expected a count")


def degrees(value: Any, path: str) -> float:
    """Read a coordinate."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and -360 <= value <= 360:
        return float(value)
    raise Unreadable(f"{path}: expected degrees")


def moment(value: Any, path: str) -> datetime | None:
    """Read a time: ISO 8601 (UTC when no zone is given), or Unix time whose unit shows in its size."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Unreadable(f"{path}: expected a time, found {kind_of(value)}")
    try:
        if not isinstance(value, str) or _NUMBER.fullmatch(value):
            return EPOCH + _since_epoch(float(value))
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"{path}: neither ISO 8601 nor Unix time") from None


def _since_epoch(number: float) -> timedelta:
    """Take the unit from the size; as seconds the first limit is the year 5138, as milliseconds it is 1973."""
    if abs(number) < 1e11:
        return timedelta(seconds=number)
    if abs(number) < 1e14:
        return timedelta(milliseconds=number)
    return timedelta(microseconds=number)
