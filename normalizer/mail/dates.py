"""The Date field (RFC 5322 §3.3), and what else stands there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?")
_ZONE = re.compile(r"(?:\b(?:GMT|UTC|UT|Z))?\s*([+-]\d\d):?(\d\d)\b(?=\s*(?:\(|$))")
_LENGTH = 100


def read(value: str) -> datetime | None:
    """Read a date in UTC; None for one that is no date; no zone and ``-0000`` are taken for UTC."""
    text = value[:_LENGTH].strip()
    try:
        return _iso(text) or _mail(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _iso(text: str) -> datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    found = datetime.fromisoformat(match[0])
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _mail(text: str) -> datetime | None:
    fields = parsedate_tz(_ZONE.sub(r" \1\2", text))
    if fields is None or fields[0] < 1970:
        return None
    zone = timezone(timedelta(seconds=fields[9] or 0))
    return datetime(*fields[:5], second=min(fields[5], 59), tzinfo=zone).astimezone(UTC)
