"""Lists: a table for people, one JSON document per line for pipes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

SIZES = ("B", "KiB", "MiB", "GiB")


def for_people(*, as_json: bool) -> bool:
    """Tell whether to write for people: on a terminal, unless JSON was asked for."""
    return not as_json and sys.stdout.isatty()


def json_line(document: Any) -> None:
    """Write a document to stdout as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """Write a table to a terminal.

    Args:
        columns: the heads; one that ends in ``>`` is for numbers.
        rows: the cells; text from outside is shown as it is, without markup.
        styles: a colour per row, or none.
    """
    from rich.console import Console  # noqa: PLC0415 -- pipes do without
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        if column.endswith(">"):
            shown.add_column(column.removesuffix(">"), justify="right", no_wrap=True)
        else:
            shown.add_column(column, overflow="fold")
    for index, row in enumerate(rows):
        shown.add_row(*(Text(printable(cell)) for cell in row), style=styles[index] if styles else None)
    Console().print(shown)


def printable(text: str) -> str:
    """Replace what could steer a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def moment(seconds: float) -> str:
    """Show a time (seconds since the epoch) in local time, with its offset."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="milliseconds")


def age(since: float, clock: Callable[[], float] = time.time) -> str:  # noqa: TID251 -- shown to a person
    """Show how long ago a time (seconds since the epoch) was."""
    past = max(0.0, clock() - since)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if past >= 2 * length:
            return f"{past / length:.0f} {unit}"
    return f"{past:.0f} s"


def size(count: float) -> str:
    """Show a number of bytes."""
    for unit in SIZES[:-1]:
        if count < 1024:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:.3g} {SIZES[-1]}"


def plural(count: int, noun: str) -> str:
    """Count things: ``1 row``, ``2 rows``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
