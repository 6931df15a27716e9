"""`omnigate why`: what happened to a message, and where it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dedup.api import DedupUnavailable
from gateway.commands.console import Config, Failure
from gateway.commands.listing import for_people
from gateway.commands.local import NEVER_RAN, gateway_section, quarantine_of, spool_of
from gateway.commands.story import Place, Story, tell, write
from gateway.core import make_dedup
from gateway.journal import Entry, search
from gateway.quarantine import Quarantined
from gateway.settings.load import load_sections
from gateway.settings.model import DedupSection, GatewaySection
from gateway.settings.problems import SettingsError
from gateway.settings.sources import find

EVENT = "evt_"
MOST = 1000  # entries about one id
Flag = Annotated[bool, Parameter(negative=())]


async def why(wanted: str, /, *, config: Config = None, channel: str | None = None, json: Flag = False) -> int:
    """Tell what happened to a message, in order, and where it is now: in the broker, the spool, the quarantine.

    Looks into the files of this node; of several nodes ask each. A story on a terminal, JSON lines in a pipe: what
    happened, then where each event is now. For example: omnigate why 4711 --channel shop

    Args:
        wanted: an event id (evt_…), a dedup key, a message id (msg_…) or the provider's id of the message.
        config: the configuration.
        channel: only what happened on this channel.
        json: JSON on a terminal, too.
    """
    path = find(config)
    section = gateway_section(path)
    stories = [await _locate(story, section, path) for story in _stories(section, wanted, channel)]
    stories = [story for story in stories if story.entries or story.place.known]
    kept = () if stories else _mentioned(section, wanted, channel)
    if not (stories or kept):
        raise Failure(_unknown(section, wanted, channel))
    if for_people(as_json=json):
        tell(stories, kept)
    else:
        write(stories, kept)
    return 0


def _stories(section: GatewaySection, wanted: str, channel: str | None) -> list[Story]:
    """Return one story per event, the earliest first; what may be an event's id has one, if perhaps an empty one."""
    folder = Path(section.data_dir) / "journal"
    direct = [entry for entry in search(folder, wanted, limit=MOST) if channel in (None, entry.channel)]
    ids = list(dict.fromkeys(entry.event_id for entry in direct))
    if not ids:
        return [Story(event_id=EVENT + wanted.removeprefix(EVENT))]
    return [Story(event_id=name, entries=_entries(folder, name, channel, direct)) for name in ids]


def _entries(folder: Path, event_id: str, channel: str | None, direct: list[Entry]) -> list[Entry]:
    """Return everything about an event: what left the spool is noted under the event's id alone."""
    found = [entry for entry in search(folder, event_id, limit=MOST) if channel in (None, entry.channel)]
    return found or [entry for entry in direct if entry.event_id == event_id]


async def _locate(story: Story, section: GatewaySection, path: Path) -> Story:
    if (Path(section.data_dir) / "spool.db").exists():
        with spool_of(section) as spool:
            story.place.spool = spool.find(story.event_id)
    story.place.dedup = await _remembered(story.event_id.removeprefix(EVENT), section, path)
    row = story.quarantine_row
    if row is not None:
        story.place.quarantine = await _row(section, row)
    return story


async def _row(section: GatewaySection, number: int) -> Quarantined | None:
    with quarantine_of(section) as quarantine:
        found = await quarantine.get(number)
    return found[0] if found else None


async def _remembered(key: str, section: GatewaySection, path: Path) -> str:
    dedup: DedupSection
    try:
        (dedup,) = load_sections(path, "dedup")
    except SettingsError as exc:
        return f"unknown: {exc.problems[0]}"
    data_dir = Path(section.data_dir)
    if dedup.url == "embedded:" and not (data_dir / "dedup.db").exists():
        return Place.FORGOTTEN
    try:
        store = make_dedup(dedup, data_dir)
    except ValueError as exc:
        return f"unknown: dedup.url: {exc}"
    try:
        await store.open()
        return await store.status(key) or Place.FORGOTTEN
    except DedupUnavailable as exc:
        return f"unknown: {exc}"
    finally:
        await store.close()


def _mentioned(section: GatewaySection, wanted: str, channel: str | None) -> tuple[Quarantined, ...]:
    if not (Path(section.data_dir) / "quarantine.db").exists():
        return ()
    with quarantine_of(section) as quarantine:
        return tuple(row for row, _ in quarantine.mentions(wanted) if channel in (None, row.channel))


def _unknown(section: GatewaySection, wanted: str, channel: str | None) -> str:
    if not Path(section.data_dir).exists():
        return f"there is no {section.data_dir}: {NEVER_RAN}"
    if not section.journal_days:
        return f"nothing is known of {wanted!r}: no journal is kept (gateway.journal_days = 0)"
    where = f"in the last {section.journal_days} days" + (f" on channel {channel!r}" if channel else "")
    return (
        f"nothing is known of {wanted!r} {where}, below {section.data_dir}: check the id (of a mail: without < and >), "
        "ask the other nodes, and see with `omnigate channels` whether the channel receives anything at all"
    )
