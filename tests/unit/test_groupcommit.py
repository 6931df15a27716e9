"""Group commit: one transaction for many jobs, and each job's failure its own."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dedup import groupcommit
from dedup.groupcommit import Database, used_bytes

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, data BLOB)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "test.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    db = Database(path, SCHEMA)
    db.open()
    yield db
    db.close()


def insert(connection: sqlite3.Connection, n: int, data: bytes = b"") -> int:
    connection.execute("INSERT INTO t VALUES (?, ?)", (n, data))
    return n


def numbers(db: Database) -> list[int]:
    return [row[0] for row in db.reader.execute("SELECT n FROM t ORDER BY n").fetchall()]


class Gate:
    """Keeps the writer busy, so that jobs gather behind it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


async def gathered(db: Database, *jobs: object) -> list[object]:
    """Run jobs in one transaction; returns results and errors."""
    gate = Gate()
    async with asyncio.TaskGroup() as group:

        async def one(job: object) -> object:
            try:
                return await db.write(job)  # type: ignore[arg-type]
            except Exception as exc:  # noqa: BLE001 -- the test looks at it
                return exc

        blocker = group.create_task(db.write(gate))
        await asyncio.sleep(0)
        tasks = [group.create_task(one(job)) for job in jobs]
        await asyncio.sleep(0.01)
        gate.open()
        await blocker
        return [await task for task in tasks]


async def test_written_jobs_are_seen_by_the_reader(db: Database) -> None:
    assert await db.write(lambda c: insert(c, 7)) == 7
    assert numbers(db) == [7]


async def test_jobs_that_gather_share_one_transaction(db: Database) -> None:
    versions: list[int] = []

    def job(connection: sqlite3.Connection) -> None:
        insert(connection, len(versions))
        versions.append(connection.total_changes)

    before = db.reader.execute("PRAGMA data_version").fetchone()
    await gathered(db, *[job] * 20)

    assert numbers(db) == list(range(20))
    assert db.reader.execute("PRAGMA data_version").fetchone() != before
    assert versions == sorted(versions)


async def test_failing_job_loses_only_its_own_changes(db: Database) -> None:
    def bad(connection: sqlite3.Connection) -> None:
        insert(connection, 100)
        raise ValueError("of its own")

    results = await gathered(
        db, lambda c: insert(c, 1), bad, lambda c: insert(c, 2), lambda c: insert(c, 1), lambda c: insert(c, 3)
    )

    assert [type(result) for result in results] == [int, ValueError, int, sqlite3.IntegrityError, int]
    assert numbers(db) == [1, 2, 3]


async def test_failing_job_alone_raises_and_changes_nothing(db: Database) -> None:
    def bad(connection: sqlite3.Connection) -> None:
        insert(connection, 100)
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        await db.write(bad)
    assert numbers(db) == []
    assert await db.write(lambda c: insert(c, 1)) == 1


async def test_cancelled_caller_does_not_undo_its_job(db: Database) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        blocker = group.create_task(db.write(gate))
        await asyncio.sleep(0)
        victim = group.create_task(db.write(lambda c: insert(c, 5)))
        failing = group.create_task(db.write(lambda c: insert(c, 5)))
        await asyncio.sleep(0)
        victim.cancel()
        failing.cancel()
        gate.open()
        await blocker
    await db.write(lambda c: insert(c, 6))

    assert numbers(db) == [5, 6]


async def test_full_disk_fails_the_jobs_it_hits_and_no_other(db: Database) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
        results = await gathered(db, lambda c: insert(c, 1), lambda c: insert(c, 2, bytes(9_000_000)))
        await db.write(lambda c: insert(c, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert results[0] == 1
    assert isinstance(results[1], sqlite3.OperationalError)
    assert numbers(db) == [1, 3]


async def test_size_limit_is_an_error(path: Path) -> None:
    db = Database(path, SCHEMA, max_bytes=500_000)
    db.open()
    try:
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await db.write(lambda c: insert(c, 1, bytes(600_000)))
        await db.write(lambda c: insert(c, 2, bytes(100_000)))
        assert 100_000 < used_bytes(db.reader) < 500_000
        await db.write(lambda c: c.execute("DELETE FROM t").rowcount)
        assert used_bytes(db.reader) < 100_000
    finally:
        db.close()


async def test_close_finishes_what_was_queued(db: Database, path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(50):
            group.create_task(db.write(lambda c, n=n: insert(c, n)))  # type: ignore[misc]
        await asyncio.sleep(0)
        db.close()

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (50,)
    connection.close()


async def test_closed_database_says_so(db: Database) -> None:
    db.close()
    db.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await db.write(lambda c: insert(c, 1))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        numbers(db)


async def test_file_is_for_its_owner_only(db: Database, path: Path) -> None:
    await db.write(lambda c: insert(c, 1))

    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"not a database" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        Database(tmp_path / "t.db", SCHEMA).open()


async def test_busy_writer_is_waited_for(db: Database, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1, NULL)")
    async with asyncio.TaskGroup() as group:
        job = group.create_task(db.write(lambda c: insert(c, 2)))
        await asyncio.sleep(0.02)
        assert not job.done()
        other.execute("COMMIT")
    other.close()

    assert numbers(db) == [1, 2]


async def test_job_that_ends_the_shared_transaction_takes_no_other_with_it(db: Database) -> None:
    await db.write(lambda c: insert(c, 1))

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR ROLLBACK INTO t VALUES (1, NULL)")

    results = await gathered(db, lambda c: insert(c, 2), spoil, lambda c: insert(c, 3))

    assert [type(result) for result in results] == [int, sqlite3.IntegrityError, int]
    assert numbers(db) == [1, 2, 3]


async def test_file_that_stays_busy_is_an_error_for_all_who_wait(
    db: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groupcommit, "BUSY_SECS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await db.write(lambda c: insert(c, 1))

    other.execute("ROLLBACK")
    other.close()
    assert await db.write(lambda c: insert(c, 2)) == 2
