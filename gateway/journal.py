"""The verdict on every item, for `omnigate why`: files of one line per item, only ever appended to.

``<data_dir>/journal/YYYY-MM-DD.<worker>.jsonl`` (days in UTC), one `write` per batch and no fsync: the journal
explains, it guarantees nothing. It holds ids and verdicts, no text and no address of a customer beyond the
provider's own message id.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from gateway import telemetry

log = structlog.get_logger(__name__)

DAY = 86_400
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.[^.]+\.jsonl")
_ID_PREFIXES = ("", "evt_", "msg_")  # the dedup key is the bare `event_id`


class Entry(Struct, kw_only=True, omit_defaults=True):
    """What became of one item.

    Attributes:
        ts: seconds since the epoch.
        verdict: ``published``, ``duplicate``, ``spooled``, ``drained``, ``refused`` …
        detail: what else is worth knowing; no customer text.
    """

    ts: float
    channel: str
    event_id: str
    message_id: str = ""
    provider_id: str = ""
    method: str = ""
    verdict: str
    detail: str = ""


_encode_lines = msgspec.json.Encoder().encode_lines
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class Journal:
    """Writes one worker's files. Never raises: no item fails because its line is lost; losses are counted."""

    def __init__(self, folder: Path, *, worker: int | str, keep_days: int) -> None:
        """Write below `folder`, which is made when needed; `keep_days` of 0 writes nothing."""
        self._folder, self._worker, self._keep_days = folder, str(worker), keep_days
        self._day = -1
        self._fd = -1
        self._torn = False
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why lines are being lost, or None."""
        return self._problem

    def append(self, entries: Sequence[Entry]) -> None:
        """Write a batch with one system call."""
        if not entries or not self._keep_days:
            return
        try:
            self._write(entries)
        except OSError as exc:
            telemetry.JOURNAL_LOST.inc(len(entries))
            if self._problem is None:
                log.error(  # noqa: TRY400 -- the reason says it all
                    "journal_cannot_be_written", folder=str(self._folder), reason=str(exc)
                )
            self._problem = str(exc)
            return
        if self._problem is not None:
            self._problem = None
            log.info("journal_works_again")

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._day = -1, -1

    def _write(self, entries: Sequence[Entry]) -> None:
        day = int(entries[0].ts // DAY)
        if day != self._day:
            self._turn_over(day)
        data = _lines(entries)
        if self._torn:  # the disk was full in the middle of a line
            data = b"\n" + data
        written = os.write(self._fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def _turn_over(self, day: int) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_date(day)}.{self._worker}.jsonl"
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._day, self._torn = day, False
        oldest = _date(day - self._keep_days)
        for name, date in _files(self._folder):
            if date < oldest:
                with suppress(OSError):  # another worker was quicker
                    (self._folder / name).unlink()


def search(folder: Path, wanted: str, *, limit: int = 100) -> list[Entry]:
    """Find what was noted about an id, oldest first; of more than `limit` entries the latest.

    Args:
        folder: the journal's.
        wanted: an event id, a dedup key, a message id, or the provider's id of a message.
        limit: how many entries at most.
    """
    found: list[Entry] = []
    by_day: dict[str, list[str]] = {}
    for name, date in _files(folder):
        by_day.setdefault(date, []).append(name)
    for date in sorted(by_day, reverse=True):
        found += [entry for name in by_day[date] for entry in _search_file(folder / name, wanted, limit)]
        if len(found) >= limit:
            break
    found.sort(key=lambda entry: entry.ts)
    return found[-limit:]


def _search_file(path: Path, wanted: str, limit: int) -> Iterator[Entry]:
    ids = [prefix + wanted for prefix in _ID_PREFIXES]
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        with closing(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)) as data:
            starts = {start for text in ids for start in _lines_with(data, _encode(text), limit)}
            for start in sorted(starts)[-limit:]:
                end = data.find(b"\n", start)
                with suppress(msgspec.DecodeError):  # a torn line
                    entry = _decode(data[start : end if end >= 0 else size])
                    if {entry.event_id, entry.message_id, entry.provider_id}.intersection(ids):
                        yield entry


def _lines_with(data: mmap.mmap, text: bytes, limit: int) -> Iterator[int]:
    """Yield where the last `limit` lines with `text` begin, from the end; some 2 GB per second."""
    at = len(data)
    for _ in range(limit):
        at = data.rfind(text, 0, at)
        if at < 0:
            return
        at = data.rfind(b"\n", 0, at) + 1
        yield at


def _lines(entries: Sequence[Entry]) -> bytes:
    try:
        return _encode_lines(entries)
    except UnicodeEncodeError:  # a provider's id that is not Unicode
        return _encode_lines([_clean(entry) for entry in entries])


def _clean(entry: Entry) -> Entry:
    text = {
        name: value.encode("utf-8", "backslashreplace").decode()
        for name, value in msgspec.structs.asdict(entry).items()
        if isinstance(value, str)
    }
    return msgspec.structs.replace(entry, **text)


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return names and days of the journal's files."""
    files = folder.iterdir() if folder.is_dir() else ()
    return [(match[0], match[1]) for file in files if (match := _NAME.fullmatch(file.name))]


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
