"""`omnigate quarantine` on a real file, with no gateway around."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands import redriving
from gateway.commands.inspection import hexdump, readable
from gateway.quarantine import Quarantine
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent

Run = Callable[..., tuple[int, list[dict], str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(redriving, "PATIENCE_SECS", 0.2)
    Path("gw.toml").write_text('[gateway]\ndata_dir = "var"\n', encoding="utf-8")


@pytest.fixture
def quarantine() -> Iterator[Quarantine]:
    quarantine = Quarantine(Path("var/quarantine.db"))
    quarantine.open()
    yield quarantine
    quarantine.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: exit status, the JSON lines it wrote, what it said on stderr."""

    def run_it(*arguments: str) -> tuple[int, list[dict], str]:
        status = main(["quarantine", *arguments, "--config", "gw.toml"])
        shown = capsys.readouterr()
        return status, [json.loads(line) for line in shown.out.splitlines() if line.startswith("{")], shown.err

    return run_it


def keep(quarantine: Quarantine, body: bytes, channel: str = "shop") -> int:
    raw = RawEvent(
        channel=ChannelRef(id=channel, type="webhook"),
        kind="webhook",
        body=body,
        received_at=datetime.now(UTC),
        meta={"peer": "192.0.2.1"},
    )
    return asyncio.run(quarantine.add(raw, body, "$.id: missing", item=False))[0]


def state(quarantine: Quarantine, number: int) -> str:
    found = asyncio.run(quarantine.get(number))
    assert found is not None
    return found[0].state


def test_list_filters_and_says_that_there_is_more(quarantine: Quarantine, run: Run) -> None:
    for n in range(3):
        keep(quarantine, b"%d" % n)
    keep(quarantine, b"x", channel="tg")
    asyncio.run(quarantine.discard([1]))

    status, rows, complaint = run("list", "--channel", "shop", "--state", "kept", "--limit", "1")

    assert (status, [(row["id"], row["reason"]) for row in rows]) == (0, [(3, "$.id: missing")])
    assert complaint == "these are the newest 1 rows; --limit shows more\n"


def test_show_gives_text_as_text_and_bytes_as_base64(quarantine: Quarantine, run: Run) -> None:
    text, data = keep(quarantine, b'{"a":\r\n"\xc3\xa4"}'), keep(quarantine, b"\xff\x00")

    (shown,) = run("show", str(text))[1]
    assert (shown["body"], shown["meta"], shown["state"]) == ('{"a":\r\n"ä"}', {"peer": "192.0.2.1"}, "kept")
    assert run("show", str(data))[1][0]["body_base64"] == "/wA="


def test_show_raw_writes_the_bytes_and_nothing_else(
    quarantine: Quarantine, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    number = keep(quarantine, b"\xff\x00 bytes\n")

    assert main(["quarantine", "show", str(number), "--raw", "-c", "gw.toml"]) == 0
    assert capsysbinary.readouterr().out == b"\xff\x00 bytes\n"


def test_redrive_without_a_gateway_says_when_it_will_be_done(quarantine: Quarantine, run: Run) -> None:
    number = keep(quarantine, b"1")

    assert run("redrive", str(number)) == (
        0,
        [],
        "no running gateway took 1 row up: it will be done when the gateway runs\n",
    )
    assert state(quarantine, number) == "redrive"


def test_redrive_takes_all_that_is_kept_of_a_channel(quarantine: Quarantine, run: Run) -> None:
    mine, other, done = keep(quarantine, b"1"), keep(quarantine, b"2", channel="tg"), keep(quarantine, b"3")
    asyncio.run(quarantine.discard([done]))

    assert run("redrive", "--channel", "shop")[0] == 0
    assert [state(quarantine, number) for number in (mine, other, done)] == ["redrive", "kept", "discarded"]


def test_a_mended_file_replaces_the_bytes_of_one_row(
    quarantine: Quarantine, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    number = keep(quarantine, b"bad")
    Path("mended").write_bytes(b"good")

    assert run("redrive", str(number), "--file", "mended")[0] == 0
    assert [raw.body for _, raw in quarantine.pending()] == [b"good"]
    assert main(["quarantine", "show", str(number), "--original", "--raw", "-c", "gw.toml"]) == 0
    assert capsys.readouterr().out == "bad"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("redrive",), "say which: numbers of rows, --channel or --all"),
        (("redrive", "--all", "--file", "gw.toml"), "--file mends the bytes of one row: give its number"),
        (("redrive", "1", "--file", "nowhere"), "nowhere: No such file or directory"),
        (("redrive", "7"), "there is no row 7 in quarantine; `omnigate quarantine list` shows what there is"),
        (("discard", "1", "--channel", "tg"), "there is no row 1 in quarantine for channel 'tg'"),
        (("show", "7"), "there is no row 7 in quarantine"),
        (("redrive", "2"), "row 2 is discarded already; nothing was done"),
        (("discard", "--all"), "Discard 1 row? Nothing was done: add --yes to do it without being asked"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    quarantine: Quarantine, run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    keep(quarantine, b"1")
    keep(quarantine, b"2")
    asyncio.run(quarantine.discard([2]))

    status, shown, said = run(*arguments)

    assert (status, shown) == (1, [])
    assert said.startswith(f"omnigate: {complaint}")
    assert said.count("\n") == 1
    assert state(quarantine, 1) == "kept"


def test_discard_gives_up_what_was_named(quarantine: Quarantine, run: Run) -> None:
    first, second = keep(quarantine, b"1"), keep(quarantine, b"2")

    assert run("discard", str(first), "--yes")[0] == 0
    assert [state(quarantine, number) for number in (first, second)] == ["discarded", "kept"]


def test_hex_dump_shows_offset_numbers_and_letters() -> None:
    first, second = hexdump(b"0123456789abcdef\x00\xffz").splitlines()

    assert first == "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef"
    assert second.split() == ["00000010", "00", "ff", "7a", "..z"]


@pytest.mark.parametrize("body", [b"\x1b[2J", b"over\rwritten", b"\xff", b"\xe2\x80\xaeright to left"])
def test_what_could_steer_a_terminal_is_no_text(body: bytes) -> None:
    assert readable(body) is None
