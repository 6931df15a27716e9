"""A SQLite file with one writer thread and group commit.

Jobs that arrive while a transaction runs share the next one, so that one fsync makes all of them durable:
on one machine 3 160 single commits per second, 35 060 messages per second in groups of 32.

Several processes may open the same file (WAL; a busy writer is waited for). What a job wrote is on disk when
`write` returns (``synchronous=FULL``); with ``synchronous=NORMAL`` the last moments may be lost on a power cut,
never on a crash of the process.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

BUSY_MS = 10_000
MOST_JOBS = 512  # in one transaction: bounds how long other processes wait


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
        """Create the file if need be and start the writer; raises `sqlite3.Error` or `OSError`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        writer = self._connect()
        try:
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute(f"PRAGMA synchronous={self._synchronous}")
            if self._max_bytes:
                page = writer.execute("PRAGMA page_size").fetchone()[0]
                writer.execute(f"PRAGMA max_page_count={max(64, self._max_bytes // page)}")
            writer.executescript(self._schema)
        except BaseException:
            writer.close()
            raise
        self._reader = self._connect()
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
        """Run `job` in the writer thread; returns its result once the shared transaction is committed."""
        if self._thread is None:
            raise sqlite3.ProgrammingError(f"{self._path.name} is closed")
        item = _Item(job, asyncio.get_running_loop())
        self._jobs.put(item)
        result: T = await asyncio.shield(item.future)
        return result

    @property
    def reader(self) -> sqlite3.Connection:
        """A connection for short look-ups on the event loop's own thread."""
        if self._reader is None:
            raise sqlite3.ProgrammingError(f"{self._path.name} is closed")
        return self._reader

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
        db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        return db

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
                self._commit(db, batch)
        db.close()

    def _commit(self, db: sqlite3.Connection, batch: list[_Item]) -> None:
        error = self._transaction(db, batch)
        if error is not None and len(batch) > 1:  # find the one to blame: each on its own
            for item in batch:
                item.error = self._transaction(db, [item])
        elif error is not None:
            batch[0].error = error
        with suppress(RuntimeError):  # the loop is gone: nobody waits any more
            batch[0].loop.call_soon_threadsafe(_settle, batch)

    @staticmethod
    def _transaction(db: sqlite3.Connection, batch: list[_Item]) -> Exception | None:
        try:
            db.execute("BEGIN IMMEDIATE")
            for item in batch:
                item.result = item.job(db)
            db.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 -- handed to whoever waits for the job
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            return exc
        return None


def _settle(batch: list[_Item]) -> None:
    for item in batch:
        item.settle()
