"""The story of an event as `omnigate why` tells it: what happened in order, then where it is now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from gateway.commands.console import line
from gateway.commands.listing import json_line, moment, printable
from gateway.journal import Entry
from gateway.quarantine import Quarantined
from gateway.spool import Row

_ROW = re.compile(r"quarantine row (\d+)")
_VERDICTS = {
    "published": "received and published",
    "duplicate": "received again: a duplicate, not published",
    "spooled": "received and kept in the spool, for the broker did not take it",
    "drained": "published from the spool",
    "refused": "not accepted; the provider was told to try again",
    "dropped": "dropped from the spool; it will never be published",
}
_COLOURS = {"published": "green", "drained": "green", "spooled": "yellow", "refused": "yellow", "dropped": "red"}


class Place(Struct):
    """Where an event is now.

    Attributes:
        spool: rows that hold it.
        dedup: ``done``, ``claimed``, ``forgotten`` or ``unknown: …``.
        quarantine: the row it tells of, if it is about one.
    """

    FORGOTTEN: ClassVar[str] = "forgotten"

    spool: list[Row] = []
    dedup: str = FORGOTTEN
    quarantine: Quarantined | None = None

    @property
    def known(self) -> bool:
        """Whether anything is known at all."""
        return bool(self.spool) or self.dedup in {"done", "claimed"}


class Story(Struct):
    """One event."""

    event_id: str
    entries: list[Entry] = []
    place: Place = field(default_factory=Place)

    @property
    def quarantine_row(self) -> int | None:
        """The row of the quarantine that the event tells of."""
        found = (_ROW.fullmatch(entry.detail) for entry in self.entries)
        return next((int(match[1]) for match in found if match), None)


def write(stories: Sequence[Story], kept: Sequence[Quarantined]) -> None:
    """Write JSON lines: the entries of each event, then where it is; then rows of the quarantine."""
    for story in stories:
        for entry in story.entries:
            json_line(entry)
        json_line({"event_id": story.event_id, "now": _now(story.place)})
    for row in kept:
        json_line({"quarantine": row})


def tell(stories: Sequence[Story], kept: Sequence[Quarantined]) -> None:
    """Tell the story to a person."""
    for story in stories:
        line(_title(story), "bold")
        for entry in story.entries:
            line(f"  {moment(entry.ts)}  {_happened(entry)}", _COLOURS.get(entry.verdict, ""))
        for words in _place(story):
            line(f"  now: {words}")
    for row in kept:
        line(f"not taken as a message, but row {row.id} of the quarantine contains this id: {_quarantined(row)}")


def _title(story: Story) -> str:
    if not story.entries:
        return f"{story.event_id}: the journal says nothing of it any more"
    first = story.entries[0]
    about = [f"message {first.message_id}"] if first.message_id else []
    about += [f"the provider's id {first.provider_id}"] if first.provider_id else []
    return printable(
        f"{story.event_id}  {first.method} on {first.channel}" + (f" ({', '.join(about)})" if about else "")
    )


def _happened(entry: Entry) -> str:
    words = _VERDICTS.get(entry.verdict, entry.verdict)
    if entry.method in {"message.status", "channel.status", "message.quarantined"}:
        words = words.removeprefix("received and ")  # the gateway's own word, not a provider's
    return printable(f"{words} [{entry.detail}]" if entry.detail else words)


def _place(story: Story) -> list[str]:
    place = story.place
    words = [
        f"row {row.id} of the spool, tried {row.attempts} times"
        + (", may have been published already" if row.possibly_sent else "")
        for row in place.spool
    ]
    words += (
        [f"row {place.quarantine.id} of the quarantine: {_quarantined(place.quarantine)}"] if place.quarantine else []
    )
    words.append(
        {
            "done": "the dedup store knows it: if it comes again, it is a duplicate",
            "claimed": "under way, or its process died a moment ago",
            Place.FORGOTTEN: "the dedup store does not know it: if it comes again, it is published",
        }.get(place.dedup, f"the dedup store could not be asked ({place.dedup})")
    )
    return words


def _quarantined(row: Quarantined) -> str:
    state = {"kept": "waits for a decision", "redrive": "about to be re-driven", "redriven": "was re-driven"}
    look = f"omnigate quarantine show {row.id}"
    return printable(f"{state.get(row.state, row.state)}, {row.note or row.reason} (`{look}`)")


def _now(place: Place) -> dict[str, Any]:
    rows = [{"id": row.id, "attempts": row.attempts, "possibly_sent": row.possibly_sent} for row in place.spool]
    return {"spool": rows, "dedup": place.dedup, "quarantine": msgspec.to_builtins(place.quarantine)}
