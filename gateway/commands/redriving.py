"""Rows of the quarantine: which are meant, and what the running gateway makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.commands.console import Failure, line, warn
from gateway.commands.listing import for_people, json_line, plural, printable
from gateway.quarantine import Quarantine, Quarantined, State

MOST = 1_000_000  # rows of one command
POLL_SECS = 0.1
PATIENCE_SECS = 3.0  # without any row being dealt with; a running gateway looks twice a second


async def chosen(
    quarantine: Quarantine, ids: Sequence[int], channel: str | None, *, every: bool, states: Sequence[State]
) -> list[Quarantined]:
    """Return the rows that are meant, all of them in one of `states`.

    Raises:
        Failure: nothing was chosen, or a row that was named is not there or was dealt with.
    """
    if not (ids or channel or every):
        raise Failure("say which: numbers of rows, --channel or --all")
    rows = {row.id: row for row in await quarantine.list(MOST, channel=channel)}
    if not ids:
        return [row for row in rows.values() if row.state in states]
    for number in ids:
        if number not in rows:
            where = f"in quarantine for channel {channel!r}" if channel else "in quarantine"
            raise Failure(f"there is no row {number} {where}; `omnigate quarantine list` shows what there is")
        if rows[number].state not in states:
            raise Failure(f"row {number} is {_state(rows[number])} already; nothing was done")
    return [rows[number] for number in dict.fromkeys(ids)]


async def follow(quarantine: Quarantine, ids: Sequence[int]) -> int:
    """Report what becomes of rows that shall be re-driven; returns 1 when one is still not understood."""
    loop = asyncio.get_running_loop()
    waiting, failed, patience = list(ids), 0, loop.time() + PATIENCE_SECS
    while waiting:
        pending = {row.id for row in await quarantine.list(MOST, state="redrive")}
        for number in [number for number in waiting if number not in pending]:
            failed += not await _report(quarantine, number)
            patience = loop.time() + PATIENCE_SECS
        waiting = [number for number in waiting if number in pending]
        if waiting and loop.time() > patience:
            warn(f"no running gateway took {plural(len(waiting), 'row')} up: it will be done when the gateway runs")
            break
        await asyncio.sleep(POLL_SECS if waiting else 0)
    return int(failed > 0)


async def _report(quarantine: Quarantine, number: int) -> bool:
    found = await quarantine.get(number)
    if found is None:
        raise Failure(f"row {number} is gone")
    row = found[0]
    ok = row.state == "redriven"
    if not for_people(as_json=False):
        json_line(row)
    elif ok:
        line(f"row {number}: re-driven", "green")
    else:
        line(f"row {number}: {_state(row)}; {printable(row.note)}", "red")
    return ok


def _state(row: Quarantined) -> str:
    words = {"kept": "still in quarantine", "redrive": "about to be re-driven", "redriven": "re-driven"}
    return words.get(row.state, row.state)
