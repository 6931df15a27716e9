"""The spool among real processes: killed, sharing one file, on a full disk."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.spool import Row, Spool

WRITER = r"""
import asyncio, os, resource, signal, sys
from pathlib import Path
from gateway.broker.api import Publication
from gateway.spool import Spool, SpoolFull, SpoolItem

path, who, tasks, batches, limit = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def item(task, batch, n, size):
    name = f"{who}/{task}/{batch}/{n}/{size}"
    publication = Publication(routing_key="k", body=bytes(500), message_id=name, method="m", timestamp=1, headers={})
    return SpoolItem(publication, "tg", f"{who}/{task}")

async def write(spool, task):
    for batch in range(batches):
        size = 1 + (task + batch) % 5
        try:
            await spool.put([item(task, batch, n, size) for n in range(size)])
        except SpoolFull:
            os.write(1, b"full\n")
            await asyncio.sleep(0.001)
        else:
            os.write(1, f"{who}/{task}/{batch}/{size}\n".encode())

async def main():
    spool = Spool(path, max_bytes=10**9, reserve_bytes=0)
    spool.open()
    async with asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(write(spool, task))
    spool.close()

asyncio.run(main())
"""


class Writers:
    """Processes that write to one spool and say on stdout which batches were accepted."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._stack = path, stack

    def start(self, who: str, *, tasks: int = 8, batches: int = 1_000_000, limit: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(self._path), who, str(tasks), str(batches), str(limit)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        return process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def writers(path: Path) -> Iterator[Writers]:
    with ExitStack() as stack:
        yield Writers(path, stack)


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = Spool(path, max_bytes=10**9)
    spool.open()
    yield spool
    spool.close()


def lines(process: subprocess.Popen[str], most: int | None = None) -> list[str]:
    assert process.stdout is not None
    read = []
    for line in process.stdout:
        if line.endswith("\n"):
            read.append(line.strip())
        if len(read) == most:
            break
    return read


def kept(rows: list[Row]) -> Counter[str]:
    """Count the rows of each batch; its name is the line the writer prints."""
    counts: Counter[str] = Counter()
    for row in rows:
        who, task, batch, _, size = row.publication.message_id.split("/")
        counts[f"{who}/{task}/{batch}/{size}"] += 1
    return counts


@pytest.mark.parametrize("accepted", [1, 50, 400])
async def test_every_accepted_batch_outlives_a_kill_and_none_is_half(
    writers: Writers, spool: Spool, accepted: int
) -> None:
    process = writers.start("w")
    promised = lines(process, accepted)
    process.send_signal(signal.SIGKILL)
    promised += lines(process)
    process.wait()

    found = kept(await spool.list_rows(1_000_000))

    assert len(promised) >= accepted
    assert [batch for batch in promised if batch not in found] == []
    assert [batch for batch, rows in found.items() if rows != int(batch.rsplit("/", 1)[1])] == []
    assert spool.waiting({"w/0", "w/1", "nobody"}) == {"w/0", "w/1"} or accepted == 1


async def test_writers_and_drains_share_a_spool_without_losing_doubling_or_reordering(
    writers: Writers, spool: Spool, path: Path
) -> None:
    processes = [writers.start(who, tasks=4, batches=60) for who in ("a", "b")]
    other = Spool(path, max_bytes=10**9)
    other.open()
    taken: list[Row] = []
    expected = 2 * sum(1 + (task + batch) % 5 for task in range(4) for batch in range(60))

    async def drain(mine: Spool) -> None:
        while len(taken) < expected:
            rows = await mine.take(20)
            taken.extend(rows)
            await mine.remove([row.id for row in rows])
            await asyncio.sleep(0.001)

    async with asyncio.timeout(110), asyncio.TaskGroup() as group:
        group.create_task(drain(spool))
        group.create_task(drain(other))
    other.close()
    promised = [line for process in processes for line in lines(process)]

    assert kept(taken) == {line: int(line.rsplit("/", 1)[1]) for line in promised}
    orders = defaultdict(list)
    for row in taken:
        orders[row.conversation].append(row.id)
    assert [order for order in orders.values() if order != sorted(order)] == []
    assert spool.empty


async def test_full_disk_refuses_and_keeps_what_was_accepted(writers: Writers, spool: Spool) -> None:
    process = writers.start("w", tasks=4, batches=200, limit=400_000)

    promised = lines(process)

    assert process.wait() == 0
    accepted = [line for line in promised if line != "full"]
    assert promised.count("full") > 0
    assert kept(await spool.list_rows(1_000_000)) == {line: int(line.rsplit("/", 1)[1]) for line in accepted}
