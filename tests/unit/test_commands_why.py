"""`omnigate why` on real files, with no gateway around."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dedup.api import Done
from dedup.embedded import EmbeddedDeduplicator
from gateway.broker.api import Publication
from gateway.cli import main
from gateway.journal import Entry, Journal
from gateway.quarantine import Quarantine
from gateway.spool import Spool, SpoolItem
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent

KEY = "8e786e360cc31b913d8b46f36db25791"
NOON = 1_795_176_000.0
Run = Callable[..., tuple[int, list[dict], str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gw.toml").write_text('[gateway]\ndata_dir = "var"\njournal_days = 9000\n', encoding="utf-8")
    Path("var").mkdir()


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(Path("var/journal"), worker=0, keep_days=9000)
    yield journal
    journal.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command: exit status, the JSON lines it wrote, what it said on stderr."""

    def run_it(*arguments: str) -> tuple[int, list[dict], str]:
        status = main(["why", *arguments, "--config", "gw.toml"])
        shown = capsys.readouterr()
        return status, [json.loads(line) for line in shown.out.splitlines()], shown.err

    return run_it


def entry(verdict: str, at: float = 0, *, key: str = KEY, bare: bool = False, channel: str = "tg", **more) -> Entry:
    ids = {} if bare else {"message_id": f"msg_{key}", "provider_id": "4711"}
    return Entry(
        ts=NOON + at,
        channel=channel,
        event_id=f"evt_{key}",
        verdict=verdict,
        **({"method": "message.received"} | ids | more),
    )


@pytest.mark.parametrize("wanted", ["4711", KEY, f"evt_{KEY}", f"msg_{KEY}"])
def test_any_id_tells_the_whole_story_in_order(journal: Journal, run: Run, wanted: str) -> None:
    journal.append([entry("duplicate", 3), entry("spooled"), entry("drained", 2, bare=True)])

    status, lines, complaint = run(wanted)

    assert (status, complaint) == (0, "")
    assert [line.get("verdict") for line in lines] == ["spooled", "drained", "duplicate", None]
    assert lines[-1] == {"event_id": f"evt_{KEY}", "now": {"spool": [], "dedup": "forgotten", "quarantine": None}}


def test_events_of_one_message_are_told_apart_and_narrowed_by_channel(journal: Journal, run: Run) -> None:
    other = "0" * 32
    journal.append([entry("published"), entry("published", 1, key=other, channel="shop")])

    assert [line["event_id"] for line in run("4711")[1] if "now" in line] == [f"evt_{KEY}", f"evt_{other}"]
    assert [line["event_id"] for line in run("4711", "--channel", "shop")[1]] == [f"evt_{other}"] * 2


def test_where_it_is_now_is_looked_up(journal: Journal, run: Run) -> None:
    async def fill() -> None:
        publication = Publication(
            routing_key="v1.telegram.tg.message.received",
            body=b"{}",
            message_id=f"evt_{KEY}",
            method="message.received",
            timestamp=1,
            headers={},
        )
        spool, dedup = Spool(Path("var/spool.db"), max_bytes=10**7), EmbeddedDeduplicator(Path("var/dedup.db"))
        spool.open()
        await dedup.open()
        await spool.put([SpoolItem(publication, "tg", "", redelivery=True)])
        await dedup.exchange([], [Done(KEY, 3600)], lease=1)
        spool.close()
        await dedup.close()

    journal.append([entry("spooled")])
    asyncio.run(fill())

    now = run(f"evt_{KEY}")[1][-1]["now"]
    assert now["dedup"] == "done"
    assert [(row["id"], row["possibly_sent"]) for row in now["spool"]] == [(1, True)]
    Path("var/journal").rename("var/lost")
    assert run(KEY)[1] == [{"event_id": f"evt_{KEY}", "now": now}]


def test_what_was_not_understood_is_found_in_quarantine(journal: Journal, run: Run) -> None:
    body = b'{"id": "o-17", "from": 1}'
    raw = RawEvent(
        channel=ChannelRef(id="shop", type="webhook"), kind="webhook", body=body, received_at=datetime.now(UTC)
    )
    quarantine = Quarantine(Path("var/quarantine.db"))
    quarantine.open()
    asyncio.run(quarantine.add(raw, body, "$.from: not text", item=True))
    quarantine.close()
    journal.append([entry("published", bare=True, method="message.quarantined", detail="quarantine row 1")])

    (kept,) = run("o-17")[1]
    assert (kept["quarantine"]["id"], kept["quarantine"]["reason"]) == (1, "$.from: not text")
    assert run("o-17", "--channel", "tg")[0] == 1
    assert run(KEY)[1][-1]["now"]["quarantine"]["state"] == "kept"


def test_a_dedup_store_that_is_away_hides_nothing_else(journal: Journal, run: Run) -> None:
    Path("gw.toml").write_text(
        '[gateway]\ndata_dir = "var"\n[dedup]\nurl = "redis://127.0.0.1:1/0"\n', encoding="utf-8"
    )
    journal.append([entry("published")])

    status, lines, _ = run("4711")

    assert (status, lines[0]["verdict"]) == (0, "published")
    assert lines[1]["now"]["dedup"].startswith("unknown: ")


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('data_dir = "var"', "nothing is known of 'x' in the last 7 days on channel 'tg', below var: check the id"),
        ('data_dir = "var"\njournal_days = 0', "nothing is known of 'x': no journal is kept"),
        ('data_dir = "elsewhere"', "there is no elsewhere: no gateway has run here"),
    ],
)
def test_an_unknown_id_says_what_to_do(run: Run, toml: str, expected: str) -> None:
    Path("gw.toml").write_text(f"[gateway]\n{toml}\n", encoding="utf-8")

    status, lines, complaint = run("x", "--channel", "tg")

    assert (status, lines) == (1, [])
    assert complaint.startswith(f"omnigate: {expected}")
    assert not Path("elsewhere").exists()
