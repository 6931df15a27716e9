"""What commands need that work on the files of `data_dir` themselves, whether the gateway runs or not."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from gateway.commands.console import Failure
from gateway.journal import Journal
from gateway.quarantine import Quarantine
from gateway.settings.load import load_sections
from gateway.settings.model import GatewaySection
from gateway.settings.sources import find
from gateway.spool import Spool

NEVER_RAN = (
    "no gateway has run here with this configuration; "
    "run the command on the gateway's machine and in its working directory"
)


class Store(Protocol):
    """A file that is opened and closed."""

    def open(self) -> None:
        """Open or create it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


S = TypeVar("S", bound=Store)


def gateway_section(config: Path | None) -> GatewaySection:
    """Read where the gateway keeps its files; raises `SettingsError`."""
    section: GatewaySection
    (section,) = load_sections(find(config), "gateway")
    return section


@contextmanager
def spool_of(section: GatewaySection) -> Iterator[Spool]:
    """Open the spool of a node; raises `Failure`."""
    path = Path(section.data_dir) / "spool.db"
    with opened(Spool(path, max_bytes=section.spool_max_bytes), path) as spool:
        yield spool


@contextmanager
def quarantine_of(section: GatewaySection) -> Iterator[Quarantine]:
    """Open the quarantine of a node; raises `Failure`."""
    path = Path(section.data_dir) / "quarantine.db"
    with opened(Quarantine(path), path) as quarantine:
        yield quarantine


@contextmanager
def journal_of(section: GatewaySection) -> Iterator[Journal]:
    """Open the journal for what an operator does."""
    journal = Journal(Path(section.data_dir) / "journal", worker="operator", keep_days=section.journal_days)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def opened(store: S, path: Path) -> Iterator[S]:
    """Open a file that the gateway made; raises `Failure` that says what to do when it is not there or unusable."""
    if not path.exists():
        raise Failure(f"there is no {path}: {NEVER_RAN}")
    try:
        store.open()
        yield store
    except sqlite3.Error as exc:
        raise Failure(f"{path} cannot be used: {exc}") from exc
    finally:
        store.close()


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless `yes`; raises `Failure` when the answer is no or nobody can be asked."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Failure(f"{question} Nothing was done: add --yes to do it without being asked")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Failure("nothing was done")
