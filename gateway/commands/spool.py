"""`omnigate spool`: what waits on local disk for the broker; works whether the gateway runs or not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from gateway.commands.console import Config, line, warn
from gateway.commands.listing import age, for_people, json_line, plural, size, table
from gateway.commands.local import confirm, gateway_section, journal_of, spool_of
from gateway.journal import Entry
from gateway.spool import Row, Spool

AT_ONCE = 500  # rows of one transaction
HEADS = ("row>", "channel", "event", "method", "age>", "tries>", "size>", "next")
EXAMPLES = """\
What the broker could not take is here, and leaves by itself in order once the broker is back:

    omnigate spool list
    omnigate spool replay                  # do not wait for the next try
    omnigate spool drop --channel shop     # give messages up for ever

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

Ids = Annotated[tuple[int, ...] | None, Parameter(name="--id", negative=(), consume_multiple=True)]
Limit = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Flag = Annotated[bool, Parameter(negative=())]

app = App(name="spool", help="What waits for the broker.", help_epilogue=EXAMPLES, help_format="plaintext")


@app.command(name="list")
async def show(*, config: Config = None, channel: str | None = None, limit: Limit = 100, json: Flag = False) -> None:
    """List what waits, oldest first: a table on a terminal, one JSON object per line in a pipe.

    Args:
        config: the configuration.
        channel: only this channel.
        limit: how many rows at most.
        json: JSON on a terminal, too.
    """
    with spool_of(gateway_section(config)) as spool:
        rows = await spool.list_rows(limit, channel=channel)
        waiting = len(spool.channels(channel=channel))
    if not for_people(as_json=json):
        for row in rows:
            json_line(_document(row))
    elif rows:
        table(HEADS, [_cells(row) for row in rows])
    else:
        line("nothing waits: the spool is empty", "green")
    if len(rows) < waiting:
        warn(f"these are {len(rows)} of {waiting} rows; --limit shows more")


@app.command
async def replay(*, config: Config = None, id: Ids = None, channel: str | None = None) -> None:  # noqa: A002 -- the option
    """Try again at once what the broker refused, instead of waiting for the next try (at most 30 s apart).

    A running gateway does it; one that is started later does it anyway.

    Args:
        config: the configuration.
        id: only these rows.
        channel: only rows of this channel.
    """
    with spool_of(gateway_section(config)) as spool:
        chosen = _chosen(spool, id, channel)
        count = await spool.replay(chosen)
    line(f"{plural(len(chosen), 'row')} in the spool, {count} of them no longer wait for their next try")


@app.command
async def drop(
    *,
    config: Config = None,
    id: Ids = None,  # noqa: A002 -- the option
    channel: str | None = None,
    yes: Flag = False,
) -> int:
    """Give up messages that wait: they will never be published, and the providers will not send them again.

    Says what was lost, one line per message. The journal keeps it for `omnigate why`, and a running gateway's ledger
    counts it as ignored ("dropped"). Rows that are with the broker at this moment stay.

    Args:
        config: the configuration.
        id: only these rows.
        channel: only rows of this channel; without --id and --channel everything is dropped.
        yes: do not ask.
    """
    section = gateway_section(config)
    with spool_of(section) as spool, journal_of(section) as journal:
        chosen = _chosen(spool, id, channel)
        if not chosen:
            line("nothing to drop")
            return 0
        confirm(f"Drop {_sum(spool.channels(chosen))} for ever?", yes=yes)
        lost = 0
        for start in range(0, len(chosen), AT_ONCE):
            rows = await spool.drop(chosen[start : start + AT_ONCE])
            journal.append(_entries(rows))
            lost += len(rows)
            for row in rows:
                _tell_lost(row)
        left = spool.channels(chosen)
    warn(f"dropped {plural(lost, 'message')}")
    if left:
        warn(f"{_sum(left)} stay: the broker may have them already, or the gateway just died; try again in a minute")
    return 1 if left else 0


def _chosen(spool: Spool, ids: Iterable[int] | None, channel: str | None) -> list[int]:
    chosen = spool.channels(ids, channel)
    for number in ids or ():
        if number not in chosen:
            warn(f"row {number} is not in the spool{f' for channel {channel!r}' if channel else ''}")
    return list(chosen)


def _sum(rows: dict[int, str]) -> str:
    counts = Counter(rows.values())
    names = ", ".join(f"{count} of {channel}" for channel, count in sorted(counts.items()))
    return f"{plural(len(rows), 'message')} ({names})"


def _entries(rows: Iterable[Row], clock: Callable[[], float] = time.time) -> list[Entry]:  # noqa: TID251 -- of the journal
    return [
        Entry(
            ts=clock(),
            channel=row.channel,
            event_id=row.publication.message_id,
            method=row.publication.method,
            verdict="dropped",
            detail=f"spool row {row.id}, by an operator",
        )
        for row in rows
    ]


def _tell_lost(row: Row) -> None:
    if for_people(as_json=False):
        line(f"lost: {row.channel} {row.publication.method} {row.publication.message_id}")
    else:
        json_line({"dropped": row.id, **_names(row)})


def _names(row: Row) -> dict[str, Any]:
    return {"channel": row.channel, "event_id": row.publication.message_id, "method": row.publication.method}


def _document(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        **_names(row),
        "conversation": row.conversation or None,
        "created_at": row.created_at,
        "attempts": row.attempts,
        "possibly_sent": row.possibly_sent,
        "blocked_secs": round(row.blocked_secs, 1),
        "bytes": len(row.publication.body),
    }


def _cells(row: Row) -> tuple[str, ...]:
    item = row.publication
    wait = f"in {row.blocked_secs:.0f} s" if row.blocked_secs else "now"
    return (
        str(row.id),
        row.channel,
        item.message_id,
        item.method,
        age(row.created_at),
        str(row.attempts),
        size(len(item.body)),
        wait + (", may be out already" if row.possibly_sent else ""),
    )
