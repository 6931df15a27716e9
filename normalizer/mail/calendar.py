"""Invitations (iCalendar, RFC 5545; iTIP, RFC 5546) as a few readable lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

INPUT_MAX = 262_144
"""Characters that are looked at."""

_LINE = re.compile(
    r"([A-Za-z][A-Za-z0-9-]*)((?:;[A-Za-z0-9-]+=(?:\"[^\"]*\"|[^\";:,]*)(?:,(?:\"[^\"]*\"|[^\";:,]*))*)*):(.*)"
)
_PARAM = re.compile(r";([A-Za-z0-9-]+)=(?:\"([^\"]*)\"|([^\";:]*))")
_ESCAPED = re.compile(r"\\(.)")
_TITLES = {
    "REQUEST": "Invitation",
    "CANCEL": "Cancelled event",
    "REPLY": "Answer to an invitation",
    "COUNTER": "Counter-proposal to an invitation",
    "DECLINECOUNTER": "Declined counter-proposal",
    "REFRESH": "Question about an event",
}
_VALUE_MAX = 500
_ATTENDEES_MAX = 20
_PEOPLE_MAX = 1_000


class Invite(NamedTuple):
    """What a calendar says: a few lines for a human, and the organizer's own words, maybe empty."""

    summary: str
    description: str


class _Property(NamedTuple):
    name: str
    params: dict[str, str]
    value: str


def read(source: str) -> Invite | None:
    """Summarise the first event; None where there is none that says what or when. Never raises.

    Args:
        source: iCalendar with LF line breaks.
    """
    method, events = _collect(source[:INPUT_MAX])
    if not events:
        return None
    first: dict[str, _Property] = {}
    for one in events[0]:
        first.setdefault(one.name, one)
    when = _when(first.get("DTSTART"), first.get("DTEND"))
    what = _words(first.get("SUMMARY"))
    if not what and not when:
        return None
    cancelled = "STATUS" in first and first["STATUS"].value.upper() == "CANCELLED"
    title = _TITLES.get("CANCEL" if cancelled else method, "Event")
    lines = [f"{title}: {what}" if what else title]
    lines += [f"When: {when}"] if when else []
    lines += [f"Repeats: {_words(first['RRULE'])}"] if "RRULE" in first else []
    lines += [f"Where: {place}"] if (place := _words(first.get("LOCATION"))) else []
    lines += [f"Organizer: {_person(first['ORGANIZER'])}"] if "ORGANIZER" in first else []
    if method in {"REPLY", "COUNTER"}:
        lines += [f"{_person(one)}: {status}" for one in events[0] if (status := _answer(one))][:_ATTENDEES_MAX]
    if len(events) > 1:
        lines.append(f"({len(events) - 1} more in the calendar)")
    return Invite("\n".join(lines), _words(first.get("DESCRIPTION"), INPUT_MAX))


def _collect(source: str) -> tuple[str, list[list[_Property]]]:
    """Find the method and the events, without what is nested in them (alarms)."""
    method = ""
    stack: list[str] = []
    events: list[list[_Property]] = []
    for one in _properties(source):
        if one.name == "BEGIN":
            stack.append(one.value.strip().upper())
            if stack[-1] in {"VEVENT", "VTODO"}:
                events.append([])
        elif one.name == "END":
            if stack and stack[-1] == one.value.strip().upper():
                stack.pop()
        elif stack and stack[-1] in {"VEVENT", "VTODO"}:
            if len(events[-1]) < _PEOPLE_MAX:
                events[-1].append(one)
        elif one.name == "METHOD":
            method = method or one.value.strip().upper()
    return method, events


def _properties(source: str) -> Iterator[_Property]:
    for line in re.sub(r"\n[ \t]", "", source).split("\n"):
        if match := _LINE.match(line):
            params = {found[1].upper(): found[2] or found[3] or "" for found in _PARAM.finditer(match[2])}
            yield _Property(match[1].upper(), params, match[3])


def _words(one: _Property | None, limit: int = _VALUE_MAX) -> str:
    if one is None:
        return ""
    text = _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], one.value[:limit]).strip()
    return text if limit > _VALUE_MAX else " ".join(text.split())


def _person(one: _Property) -> str:
    address = re.sub(r"(?i)^mailto:", "", one.value.strip())[:_VALUE_MAX]
    name = one.params.get("CN", "").strip()
    return f"{name} <{address}>" if name and name != address else address


def _answer(one: _Property) -> str:
    status = one.params.get("PARTSTAT", "").lower() if one.name == "ATTENDEE" else ""
    return "" if status == "needs-action" else status.replace("-", " ")


def _when(start: _Property | None, end: _Property | None) -> str:
    begins = _moment(start)
    if start is None or begins is None:
        return ""
    if not isinstance(begins, datetime):
        last = _moment(end)
        until = last - timedelta(days=1) if last and not isinstance(last, datetime) and last > begins else begins
        return f"{begins} - {until}" if until > begins else f"{begins}"
    text, ends = f"{begins:%Y-%m-%d %H:%M}", _moment(end)
    if isinstance(ends, datetime) and ends != begins:
        text += f" - {ends:%H:%M}" if ends.date() == begins.date() else f" - {ends:%Y-%m-%d %H:%M}"
    zone = "UTC" if start.value.strip().upper().endswith("Z") else start.params.get("TZID", "")
    return f"{text} ({zone})" if zone else text


def _moment(one: _Property | None) -> date | None:
    """Read a date, or a date with time (a `datetime`, as written: zone names are not resolved here)."""
    value = one.value.strip().upper().removesuffix("Z") if one else ""
    try:
        if "T" in value:
            return datetime.strptime(value, "%Y%m%dT%H%M%S")  # noqa: DTZ007 -- shown as written, with its zone
        return datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None
