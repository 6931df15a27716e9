"""A SQLite file with one writer thread and group commit.

Jobs that arrive while a transaction runs share the next one, so that one fsync makes all of them durable:
on one machine 3 160 single commits per second, 35 060 messages per second in groups of 32.

Several processes may open the same file (WAL; a busy writer is waited for). What a job wrote is on disk when
`write` returns (``synchronous=FULL``); with ``synchronous=NORMAL`` the last moments may be lost on a power cut,
never on a crash of the process.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

BUSY_SECS = 10.0
BUSY_STEP_SECS = 0.002  # SQLite's own steps grow to 100 ms, which starves a process beside a busy one
MOST_JOBS = 512  # in one transaction: bounds how long other processes wait
WAL_BYTES = 67_108_864  # what a burst leaves of the write-ahead log


class _Item:
    __slots__ = ("error", "future", "job", "loop", "result")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job, self.loop = job, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            self.future.exception()  # whoever waited may have been cancelled: then nobody retrieves it


class Database:
    """One SQLite file; open it, then `write` and `read` from coroutines of one event loop.

    Errors of SQLite pass through as they are (`sqlite3.OperationalError` "database or disk is full" …); a job that
    raises loses only its own changes.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        max_bytes: int | None = None,
    ) -> None:
        """Say where the file is and what tables it has (`CREATE … IF NOT EXISTS`); `max_bytes` caps its size."""
        self._path, self._schema, self._synchronous, self._max_bytes = path, schema, synchronous, max_bytes
        self._jobs: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self) -> None:
        """Create the file if need be, readable for its owner only, and start the writer.

        Raises:
            sqlite3.Error: the file is not a database, or was busy for ten seconds.
            OSError: the folder or file cannot be made.
        """
        _create(self._path)
        writer = self._connect()
        try:
            self._prepare(writer)
            self._reader = self._connect()
        except BaseException:
            writer.close()
            raise
        self._thread = threading.Thread(target=self._run, args=(writer,), name=f"sqlite-{self._path.stem}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what was queued, then close the file."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in the writer thread; returns its result once the shared transaction is committed.

        The job may be run twice (when another job of its group spoiled the transaction), so it must do nothing but
        use the connection. Cancelling the caller does not undo it.
        """
        if self._thread is None:
            raise sqlite3.ProgrammingError(f"{self._path.name} is closed")
        item = _Item(job, asyncio.get_running_loop())
        self._jobs.put(item)
        result: T = await asyncio.shield(item.future)
        return result

    @property
    def reader(self) -> sqlite3.Connection:
        """A connection for short look-ups on the event loop's own thread; read every result to its end."""
        if self._reader is None:
            raise sqlite3.ProgrammingError(f"{self._path.name} is closed")
        return self._reader

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECS)
        try:
            db.execute(f"PRAGMA synchronous={self._synchronous}")
            db.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, writer: sqlite3.Connection) -> None:
        _patiently(lambda: writer.execute("PRAGMA journal_mode=WAL").fetchall())
        if self._max_bytes:
            page = writer.execute("PRAGMA page_size").fetchone()[0]
            writer.execute(f"PRAGMA max_page_count={max(64, self._max_bytes // page)}")
        _patiently(lambda: writer.executescript(f"BEGIN IMMEDIATE; {self._schema}; COMMIT"))
        writer.execute("PRAGMA busy_timeout=0")  # from here on `_patiently` waits

    def _run(self, db: sqlite3.Connection) -> None:
        stop = False
        while not stop:
            first = self._jobs.get()
            batch = [] if first is None else [first]
            stop = first is None
            while len(batch) < MOST_JOBS and not stop:
                try:
                    item = self._jobs.get_nowait()
                except queue.Empty:
                    break
                stop = item is None
                if item is not None:
                    batch.append(item)
            if batch:
                _commit(db, batch)
                with suppress(RuntimeError):  # the loop is gone: nobody waits any more
                    batch[0].loop.call_soon_threadsafe(_settle, batch)
        db.close()


def used_bytes(db: sqlite3.Connection) -> int:
    """Return how much of the file holds something; what was deleted is free for use again and does not count."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _create(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        above = os.open(path.parent.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(above)  # else a power cut can take the new folder; what is in it SQLite syncs itself
        finally:
            os.close(above)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's -wal and -shm copy the mode


def _patiently(action: Callable[[], object]) -> None:
    """Repeat `action` while another process has the file."""
    until = time.monotonic() + BUSY_SECS
    while True:
        try:
            action()
        except sqlite3.OperationalError as exc:
            if (exc.sqlite_errorcode & 0xFF) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
            if time.monotonic() >= until:
                raise
            time.sleep(BUSY_STEP_SECS)
        else:
            return


def _commit(db: sqlite3.Connection, batch: list[_Item]) -> None:
    """Commit a group; each of its jobs gets a result or an error."""
    try:
        _patiently(lambda: db.execute("BEGIN IMMEDIATE"))
    except sqlite3.Error as exc:  # no job is to blame
        for item in batch:
            item.error = exc
        return
    error = _transaction(db, batch)
    if error is not None and len(batch) > 1:  # the disk may be full for the group and not for each of its jobs
        for item in batch:
            item.error = None
            _commit(db, [item])
    elif error is not None:
        batch[0].error = error


def _transaction(db: sqlite3.Connection, batch: list[_Item]) -> Exception | None:
    """Run the jobs and commit; returns why nothing of it holds, or None. A failed job has its own error."""
    try:
        for item in batch:
            _run_job(db, item, alone=len(batch) == 1)
        db.execute("COMMIT")
    except Exception as exc:  # noqa: BLE001 -- handed to whoever waits for the jobs
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        return exc
    return None


def _run_job(db: sqlite3.Connection, item: _Item, *, alone: bool) -> None:
    if alone:
        item.result = item.job(db)
        return
    db.execute("SAVEPOINT job")
    try:
        item.result = item.job(db)
    except Exception as exc:
        if not db.in_transaction:  # SQLite gave up the whole transaction, as it may on a full disk
            raise
        item.error = exc
        db.execute("ROLLBACK TO job")
    db.execute("RELEASE job")


def _settle(batch: list[_Item]) -> None:
    for item in batch:
        item.settle()
