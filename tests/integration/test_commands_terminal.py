"""What the commands show on a terminal: a real one, of the kernel's."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.broker.api import Publication
from gateway.journal import Entry, Journal
from gateway.quarantine import Quarantine
from gateway.spool import Spool, SpoolItem
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
Terminal = Callable[..., tuple[int, str]]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Run a command on a terminal of its own: exit status and what it showed, without colours."""
    (tmp_path / "gw.toml").write_text('[gateway]\ndata_dir = "var"\n', encoding="utf-8")

    def run(*arguments: str, typed: bytes = b"") -> tuple[int, str]:
        ours, theirs = pty.openpty()
        environment = os.environ | {"OMNIGATE_CONFIG": "gw.toml", "COLUMNS": "160", "TERM": "xterm"}
        with subprocess.Popen(
            [OMNIGATE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment
        ) as process:
            os.close(theirs)
            os.write(ours, typed)
            shown = _read(ours)
        os.close(ours)
        return process.returncode, re.sub(r"\x1b\[[\d;]*m", "", shown).replace("\r\n", "\n")

    return run


def _read(terminal: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode()


def spool_two(folder: Path) -> None:
    items = [
        SpoolItem(
            Publication(
                routing_key="v1.telegram.tg.message.received",
                body=b"{}",
                message_id=f"evt_{n}",
                method="message.received",
                timestamp=1,
                headers={"channel_type": "telegram"},
            ),
            "tg",
            "",
        )
        for n in (1, 2)
    ]
    spool = Spool(folder / "var" / "spool.db", max_bytes=10**7)
    spool.open()
    asyncio.run(spool.put(items))
    spool.close()


def test_drop_asks_and_takes_no_for_an_answer(tmp_path: Path, terminal: Terminal) -> None:
    spool_two(tmp_path)

    status, shown = terminal("spool", "drop", typed=b"n\n")
    assert status == 1
    assert "Drop 2 messages (2 of tg) for ever? [y/N]" in shown
    assert shown.endswith("omnigate: nothing was done\n")

    status, shown = terminal("spool", "list")
    assert status == 0
    assert "evt_1" in shown
    assert "evt_2" in shown

    status, shown = terminal("spool", "drop", typed=b"y\n")
    assert status == 0
    assert "lost: tg message.received evt_1\n" in shown
    assert shown.endswith("dropped 2 messages\n")

    assert "nothing waits" in terminal("spool", "list")[1]


def test_bytes_of_a_provider_do_not_steer_the_terminal(tmp_path: Path, terminal: Terminal) -> None:
    raw = RawEvent(
        channel=ChannelRef(id="shop", type="webhook"),
        kind="webhook",
        body=b"\x1b[2J\x07",
        received_at=datetime.now(UTC),
        meta={"subject": "\x1b]0;title\x07"},
    )
    (tmp_path / "var").mkdir()
    quarantine = Quarantine(tmp_path / "var" / "quarantine.db")
    quarantine.open()
    asyncio.run(quarantine.add(raw, raw.body, "not JSON [at 0]", item=False))
    quarantine.close()

    status, shown = terminal("quarantine", "show", "1")
    assert status == 0
    assert "1b 5b 32 4a 07" in shown
    assert not {"\x1b", "\x07"} & set(shown)

    status, shown = terminal("quarantine", "list")
    assert status == 0
    assert "not JSON [at 0]" in shown


def test_why_tells_a_story(tmp_path: Path, terminal: Terminal) -> None:
    journal = Journal(tmp_path / "var" / "journal", worker=0, keep_days=7)
    now = datetime.now(UTC).timestamp()
    for at, verdict in enumerate(("published", "duplicate")):
        journal.append(
            [
                Entry(
                    ts=now + at,
                    channel="tg",
                    event_id="evt_1",
                    message_id="msg_1",
                    provider_id="42",
                    method="message.received",
                    verdict=verdict,
                )
            ]
        )
    journal.close()

    status, shown = terminal("why", "42")

    title, first, second, place = shown.splitlines()
    assert status == 0
    assert title == "evt_1  message.received on tg (message msg_1, the provider's id 42)"
    assert first.endswith("received and published")
    assert second.endswith("received again: a duplicate, not published")
    assert place == "  now: the dedup store does not know it: if it comes again, it is published"


def test_kinds_are_a_table(terminal: Terminal) -> None:
    status, shown = terminal("channels", "--kinds")

    assert status == 0
    assert re.search(r"^telegram +A Telegram bot", shown, re.MULTILINE)
