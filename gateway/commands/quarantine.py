"""`omnigate quarantine`: what could not be understood; works whether the gateway runs or not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators

from gateway.commands.console import Config, Failure, line, warn
from gateway.commands.inspection import describe
from gateway.commands.listing import age, for_people, json_line, plural, printable, size, table
from gateway.commands.local import confirm, gateway_section, quarantine_of
from gateway.commands.redriving import chosen, follow
from gateway.quarantine import Quarantined

HEADS = ("row>", "channel", "state", "age>", "times>", "size>", "reason")
STATES = {"kept": "", "redrive": "yellow", "redriven": "green", "discarded": "dim"}
EXAMPLES = """\
A delivery that was accepted and not understood is kept here with its bytes until somebody decides:

    omnigate quarantine list --state kept
    omnigate quarantine show 7
    omnigate quarantine redrive --channel shop         # after the channel's configuration was mended
    omnigate quarantine redrive 7 --file mended.json   # after the bytes were mended
    omnigate quarantine discard 7

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

State = Literal["kept", "redrive", "redriven", "discarded"]
Flag = Annotated[bool, Parameter(negative=())]

app = App(name="quarantine", help="What could not be understood.", help_epilogue=EXAMPLES, help_format="plaintext")


@app.command(name="list")
async def show_all(
    *,
    config: Config = None,
    channel: str | None = None,
    state: State | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 100,
    json: Flag = False,
) -> None:
    """List what was not understood, newest first: a table on a terminal, one JSON object per line in a pipe.

    Args:
        config: the configuration.
        channel: only this channel.
        state: kept waits for a decision, redrive for the gateway; redriven and discarded are dealt with.
        limit: how many rows at most.
        json: JSON on a terminal, too.
    """
    with quarantine_of(gateway_section(config)) as quarantine:
        rows = await quarantine.list(limit + 1, state=state, channel=channel)
    shown = rows[:limit]
    if not for_people(as_json=json):
        for row in shown:
            json_line(row)
    elif shown:
        table(HEADS, [_cells(row) for row in shown], [STATES[row.state] for row in shown])
    else:
        line("nothing is in quarantine", "green")
    if len(rows) > limit:
        warn(f"these are the newest {limit} rows; --limit shows more")


@app.command
async def show(id: int, /, *, config: Config = None, raw: Flag = False, original: Flag = False) -> None:  # noqa: A002
    """Show a row with its bytes: as text, or as a hex dump when they are none. It may hold customer data.

    Args:
        id: number of the row.
        config: the configuration.
        raw: write nothing but the bytes, such as into a file to mend.
        original: the bytes as they came, of a row that was mended with `redrive --file`.
    """
    with quarantine_of(gateway_section(config)) as quarantine:
        found = await quarantine.get(id)
        if found is None:
            raise Failure(f"there is no row {id} in quarantine; `omnigate quarantine list` shows what there is")
        row, delivery = found
        body = (quarantine.original(id) if original else None) or delivery.body
    if raw:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    else:
        describe(row, delivery, body)


@app.command
async def redrive(
    *ids: int,
    config: Config = None,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    channel: str | None = None,
    file: Path | None = None,
) -> int:
    """Try again to understand rows, after the configuration, the codec or the bytes were mended.

    The running gateway does it within a second; what it still cannot read stays, with the reason, and the exit status
    is 1. Without a running gateway it is done when one starts.

    Args:
        ids: numbers of the rows.
        config: the configuration.
        every: all rows that are kept.
        channel: all rows of this channel that are kept.
        file: bytes to use from now on instead of those of the one row; the original is kept, see `show --original`.
    """
    if file is not None and len(ids) != 1:
        raise Failure("--file mends the bytes of one row: give its number")
    mended = None if file is None else file.read_bytes()  # noqa: ASYNC240 -- nothing else runs
    with quarantine_of(gateway_section(config)) as quarantine:
        rows = await chosen(quarantine, ids, channel, every=every, states=("kept",))
        if mended is not None:
            await quarantine.mend(ids[0], mended)
        if not rows:
            line("nothing to re-drive")
            return 0
        await quarantine.request_redrive([row.id for row in rows])
        return await follow(quarantine, [row.id for row in rows])


@app.command
async def discard(
    *ids: int,
    config: Config = None,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    channel: str | None = None,
    yes: Flag = False,
) -> None:
    """Give rows up: they will not be published. They stay in the list as discarded.

    Args:
        ids: numbers of the rows.
        config: the configuration.
        every: all rows that nobody dealt with.
        channel: all such rows of this channel.
        yes: do not ask.
    """
    with quarantine_of(gateway_section(config)) as quarantine:
        rows = await chosen(quarantine, ids, channel, every=every, states=("kept", "redrive"))
        if rows:
            confirm(f"Discard {plural(len(rows), 'row')}?", yes=yes)
        count = await quarantine.discard([row.id for row in rows])
    line(f"discarded {plural(count, 'row')}")


def _cells(row: Quarantined) -> tuple[str, ...]:
    reason = printable(row.reason) + (f" ({printable(row.note)})" if row.note not in ("", row.reason) else "")
    return (str(row.id), row.channel, row.state, age(row.first_at), str(row.times), size(row.size), reason)
