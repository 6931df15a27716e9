"""The verdict journal: what is written is found, and nothing that goes wrong with it reaches the pipeline."""

from __future__ import annotations

import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway import telemetry
from gateway.journal import DAY, Entry, Journal, search

NOON = 20_000 * DAY + DAY / 2  # 2024-10-04


def entry(n: int, *, ts: float = NOON, **options: str) -> Entry:
    values = {
        "channel": "tg",
        "event_id": f"evt_{n:032x}",
        "message_id": f"msg_{n:032x}",
        "provider_id": str(n),
        "method": "message.received",
        "verdict": "published",
    }
    return Entry(ts=ts + n, **(values | options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder, worker=0, keep_days=3)
    yield journal
    journal.close()


def lost() -> float:
    return telemetry.JOURNAL_LOST._value.get()


@pytest.mark.parametrize("wanted", ["evt_" + f"{7:032x}", f"{7:032x}", "msg_" + f"{7:032x}", "7"])
def test_entry_is_found_by_any_of_its_ids(journal: Journal, folder: Path, wanted: str) -> None:
    journal.append([entry(n) for n in range(500)])

    assert search(folder, wanted) == [entry(7)]


@pytest.mark.parametrize("wanted", ["evt_", "8888", "", "published", "tg", "message.received"])
def test_only_whole_ids_are_found(journal: Journal, folder: Path, wanted: str) -> None:
    journal.append([entry(88881), entry(2)])

    assert search(folder, wanted) == []


@pytest.mark.parametrize("odd", ['quo"te', "back\\slash", "new\nline", "Ünïcode 😀", "<20261120.1@mail.example>"])
def test_odd_provider_ids_are_found(journal: Journal, folder: Path, odd: str) -> None:
    journal.append([entry(1), entry(2, provider_id=odd), entry(3)])

    assert [found.event_id for found in search(folder, odd)] == [entry(2).event_id]


def test_id_that_is_not_unicode_is_written_escaped(journal: Journal, folder: Path) -> None:
    journal.append([entry(1, provider_id="\udc80"), entry(2)])

    assert search(folder, "1")[:1] == []
    assert [found.provider_id for found in search(folder, entry(1).event_id)] == ["\\udc80"]
    assert search(folder, "2") == [entry(2)]


def test_history_of_an_item_is_in_order_across_days_and_workers(folder: Path) -> None:
    one, two = Journal(folder, worker=0, keep_days=9), Journal(folder, worker="w1", keep_days=9)
    one.append([entry(1, verdict="spooled")])
    two.append([entry(1, ts=NOON + 5, verdict="duplicate")])
    two.append([entry(1, ts=NOON + DAY, verdict="drained")])
    one.append([entry(1, ts=NOON + 2 * DAY, verdict="duplicate")])
    one.close()
    two.close()

    assert len(list(folder.iterdir())) == 4
    assert [found.verdict for found in search(folder, "1")] == ["spooled", "duplicate", "drained", "duplicate"]
    assert [found.verdict for found in search(folder, "1", limit=2)] == ["drained", "duplicate"]


def test_latest_entries_are_kept_when_there_are_many(journal: Journal, folder: Path) -> None:
    journal.append([entry(n, provider_id="same") for n in range(300)])

    assert [found.ts for found in search(folder, "same", limit=3)] == [NOON + 297, NOON + 298, NOON + 299]


def test_old_days_are_deleted_and_other_files_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    journal = Journal(folder, worker=0, keep_days=3)
    for day in range(10):
        journal.append([entry(1, ts=NOON + day * DAY)])
    journal.close()

    assert len(search(folder, "1")) == 4  # today and three days
    assert (folder / "notes.txt").exists()


def test_no_days_means_no_journal(folder: Path) -> None:
    Journal(folder, worker=0, keep_days=0).append([entry(1)])

    assert not folder.exists()
    assert search(folder, "1") == []


def test_torn_line_costs_only_itself(journal: Journal, folder: Path) -> None:
    journal.append([entry(1)])
    (file,) = folder.iterdir()
    with file.open("ab") as torn:
        torn.write(msgspec.json.encode(entry(2))[:-9])

    assert search(folder, "1") == [entry(1)]
    assert search(folder, "2") == []


def test_file_is_for_its_owner_only(journal: Journal, folder: Path) -> None:
    journal.append([entry(1)])

    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_unwritable_folder_is_counted_and_survived(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    journal, before = Journal(tmp_path / "journal", worker=0, keep_days=3), lost()
    journal.append([entry(1), entry(2)])

    assert lost() == before + 2
    assert journal.problem is not None
    (tmp_path / "journal").unlink()
    journal.append([entry(3)])
    assert journal.problem is None
    assert search(tmp_path / "journal", "3") == [entry(3)]
    journal.close()


def test_full_disk_tears_one_line_and_later_ones_are_whole(journal: Journal, folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal.append([entry(1)])
    lost_before = lost()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
        journal.append([entry(n) for n in range(10, 20)])
        journal.append([entry(20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    journal.append([entry(21)])

    assert lost() == lost_before + 11
    assert search(folder, "21") == [entry(21)]
    assert search(folder, "1") == [entry(1)]
    assert next(folder.iterdir()).stat().st_size > 700


def test_entries_of_the_same_moment_are_found_in_the_order_they_were_written(tmp_path):
    journal = Journal(tmp_path, worker=0, keep_days=1)
    journal.append(
        [Entry(ts=1.0, channel="c", event_id="evt_1", verdict=verdict) for verdict in ("published", "duplicate")]
    )
    journal.close()

    assert [entry.verdict for entry in search(tmp_path, "evt_1")] == ["published", "duplicate"]
