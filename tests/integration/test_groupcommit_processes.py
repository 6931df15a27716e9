"""One SQLite file among several processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.synchronize
import sqlite3
from pathlib import Path

from dedup.groupcommit import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)"


def _open_and_write(path: Path, first: int, start: multiprocessing.synchronize.Barrier) -> None:
    async def write() -> None:
        start.wait(30)
        db = Database(path, SCHEMA)
        db.open()
        for n in range(first, first + 20):
            await db.write(lambda c, n=n: c.execute("INSERT INTO t VALUES (?)", (n,)).rowcount)  # type: ignore[misc]
        db.close()

    asyncio.run(write())


def test_processes_create_and_use_a_file_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    processes = [context.Process(target=_open_and_write, args=(path, 100 * n, start)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    assert [process.exitcode for process in processes] == [0] * 4
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (80,)
    connection.close()
