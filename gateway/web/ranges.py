"""Range requests (RFC 9110 §14): one range of bytes; several, and what is none, are answered with the whole."""

from __future__ import annotations

import re
from collections.abc import Mapping

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII)


class Unsatisfiable(Exception):
    """The range begins behind the end: 416."""


def wanted(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """Return what part of `size` bytes is asked for, as start and stop, or None for all of it.

    Args:
        headers: of the request, names in lower case.
        size: of the whole.
        etag: a strong validator of it, quoted; with another in `If-Range` the whole is wanted.

    Raises:
        Unsatisfiable: none of the range exists.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        if not int(last) or not size:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(int(last) + 1, size) if last else size
