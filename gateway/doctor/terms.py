"""What ends by itself unless somebody renews it: when that is trouble, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime

from normalizer.checks import Check

DAY_SECS = 86_400.0
LATEST = 10**10
"""Unix time (the year 2286); what ends later does not end."""


def term(name: str, what: str, expires_at: datetime, *, now: float, days: float, hint: str) -> Check:
    """Judge what ends at `expires_at`.

    Args:
        name: of the check.
        what: of what ends, as a sentence begins.
        expires_at: when.
        now: Unix time in seconds.
        days: how long before its end it needs attention.
        hint: what to do then.
    """
    left = expires_at.timestamp() - now
    detail = f"{what} ends on {expires_at.astimezone(UTC):%Y-%m-%d}, {_in_words(left)}"
    soon = left < days * DAY_SECS
    return Check(name=name, ok=not soon, detail=detail, hint=hint if soon else None, expires_at=expires_at)


def _in_words(secs: float) -> str:
    if secs <= 0:
        return "which is past"
    days = int(secs // DAY_SECS)
    if days == 0:
        return "in less than a day"
    return f"in {days} day{'' if days == 1 else 's'}"


def moment(value: object) -> datetime | None:
    """Read a moment as providers write it: a datetime, ISO 8601 with a zone, or Unix seconds; None if it is none."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LATEST:
        return datetime.fromtimestamp(int(value), UTC)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        return found if found.tzinfo is not None else None
    return None
