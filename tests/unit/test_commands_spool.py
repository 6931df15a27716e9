"""`omnigate spool` on a real file, with no gateway around."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.broker.api import Publication
from gateway.cli import main
from gateway.journal import search
from gateway.spool import Spool, SpoolItem

Run = Callable[..., tuple[int, list[dict], str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gw.toml").write_text('[gateway]\ndata_dir = "var"\n[broker]\nurl = "env:NOT_SET"\n', encoding="utf-8")


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool(Path("var/spool.db"), max_bytes=10_000_000)
    spool.open()
    yield spool
    spool.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: exit status, the JSON lines it wrote, what it said on stderr."""

    def run_it(*arguments: str) -> tuple[int, list[dict], str]:
        status = main(["spool", *arguments, "--config", "gw.toml"])
        shown = capsys.readouterr()
        return status, [json.loads(line) for line in shown.out.splitlines() if line.startswith("{")], shown.err

    return run_it


def fill(spool: Spool, *names: str, channel: str = "tg", hold_secs: float = 0) -> list[int]:
    items = [
        SpoolItem(
            Publication(
                routing_key=f"v1.telegram.{channel}.message.received",
                body=b'{"text": "secret of a customer"}',
                message_id=name,
                method="message.received",
                timestamp=1,
                headers={"channel_type": "telegram"},
            ),
            channel,
            f"cnv_{name}",
            hold_secs=hold_secs,
        )
        for name in names
    ]
    return asyncio.run(spool.put(items))


def test_list_shows_what_waits_and_no_text_of_a_customer(spool: Spool, run: Run) -> None:
    first, second = fill(spool, "evt_1", "evt_2")
    fill(spool, "evt_3", channel="shop")

    status, rows, complaint = run("list", "--channel", "tg")

    assert (status, complaint) == (0, "")
    assert [(row["id"], row["event_id"], row["channel"]) for row in rows] == [
        (first, "evt_1", "tg"),
        (second, "evt_2", "tg"),
    ]
    assert "secret" not in json.dumps(rows)


def test_list_says_that_there_is_more(spool: Spool, run: Run) -> None:
    fill(spool, "evt_1", "evt_2", "evt_3")

    assert run("list", "--limit", "2")[2] == "these are 2 of 3 rows; --limit shows more\n"


def test_drop_asks_nobody_in_a_pipe_and_does_nothing(spool: Spool, run: Run) -> None:
    fill(spool, "evt_1")
    fill(spool, "evt_2", channel="shop")

    status, lost, complaint = run("drop")

    assert (status, lost) == (1, [])
    assert complaint.startswith("omnigate: Drop 2 messages (1 of shop, 1 of tg) for ever? Nothing was done: add --yes")
    assert spool.stats().rows == 2


def test_drop_says_what_was_lost_and_the_journal_keeps_it(spool: Spool, run: Run) -> None:
    (row, _) = fill(spool, "evt_1", "evt_2")
    fill(spool, "evt_3", channel="shop")

    status, lost, complaint = run("drop", "--channel", "tg", "--yes")

    assert (status, complaint) == (0, "dropped 2 messages\n")
    assert lost[0] == {"dropped": row, "channel": "tg", "event_id": "evt_1", "method": "message.received"}
    assert [item["event_id"] for item in lost] == ["evt_1", "evt_2"]
    assert list(spool.channels().values()) == ["shop"]
    (entry,) = search(Path("var/journal"), "evt_1")
    assert (entry.verdict, entry.channel, entry.detail) == ("dropped", "tg", f"spool row {row}, by an operator")
    assert asyncio.run(spool.take_dropped()) == {("tg", "telegram"): 2}


def test_drop_takes_the_rows_that_were_named(spool: Spool, run: Run) -> None:
    ids = fill(spool, "evt_1", "evt_2", "evt_3")

    status, lost, complaint = run("drop", "--id", str(ids[0]), "--id", str(ids[2]), "--id", "99", "--yes")

    assert (status, [item["dropped"] for item in lost]) == (0, [ids[0], ids[2]])
    assert complaint == "row 99 is not in the spool\ndropped 2 messages\n"


def test_drop_leaves_what_the_broker_may_have_and_says_so(spool: Spool, run: Run) -> None:
    fill(spool, "evt_1", hold_secs=60)

    status, lost, complaint = run("drop", "--yes")

    assert (status, lost) == (1, [])
    assert "1 message (1 of tg) stay: the broker may have them already" in complaint
    assert spool.stats().rows == 1


def test_drop_of_many_is_complete(spool: Spool, run: Run) -> None:
    fill(spool, *(f"evt_{n}" for n in range(1200)))

    status, lost, _ = run("drop", "--yes")

    assert (status, len(lost), spool.empty) == (0, 1200, True)


def test_nothing_to_drop_is_no_failure(spool: Spool, run: Run) -> None:
    assert spool.empty
    assert run("drop")[0] == 0


def test_replay_ends_the_back_off(spool: Spool, run: Run) -> None:
    ids = fill(spool, "evt_1", "evt_2")
    asyncio.run(spool.take(2))
    asyncio.run(spool.retry_later(ids))

    assert run("replay", "--id", str(ids[0]))[0] == 0
    assert [row.blocked_secs > 0 for row in asyncio.run(spool.list_rows())] == [False, True]


def test_a_folder_without_a_gateway_is_no_empty_spool(run: Run) -> None:
    status, _, complaint = run("list")

    assert status == 1
    assert complaint.startswith("omnigate: there is no var/spool.db: no gateway has run here")
    assert not Path("var").exists()


def test_a_damaged_file_is_one_line(run: Run) -> None:
    Path("var").mkdir()
    Path("var/spool.db").write_text("not a database" * 100, encoding="utf-8")

    assert run("list") == (1, [], "omnigate: var/spool.db cannot be used: file is not a database\n")
