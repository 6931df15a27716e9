"""`omnigate simulate chat` against a real chat, as it is typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.simulate import chat
from tests.integration.chat.helpers import Office, office


async def run(it: Office, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Type the command; returns its status and its report."""
    config = folder / "omnigate.toml"
    config.write_text('[channels.web]\nkind = "chat"\nlisten = "127.0.0.1:0"\n')
    line = ["simulate", "chat", "--config", str(config), "--url", f"http://{it.server.address}", *words]
    status = await asyncio.to_thread(main, line)
    told = capsys.readouterr()
    return status, json.loads(told.out) if told.out.startswith("{") else told.err


@pytest.mark.parametrize("poll", [[], ["--poll"]])
async def test_everything_is_taken_once_although_it_is_sent_again_and_connections_break(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], poll: list[str]
) -> None:
    async with office(tmp_path) as it:
        words = ("--count", "8", "--messages", "6", "--duplicates", "0.5", "--cut", "0.4", "--text", "No {n}")
        status, report = await run(it, tmp_path, capsys, *words, *poll)
        assert status == 0, report
        assert (report["sent"], report["accepted"], report["failed"], report["wrong"]) == (48, 48, 0, 0)
        assert report["retried"] > 0
        assert report["resumed"] > 0
        await it.event("message.received", 48)
        texts = sorted(told["message"]["text"] for told in it.told("message.received"))
        assert texts == sorted(f"No {n}" for n in range(1, 49))
        assert len({told["conversation"]["id"] for told in it.told("message.received")}) == 8


async def test_visitors_who_stay_hear_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with office(tmp_path) as it:
        async with asyncio.TaskGroup() as group:
            typed = group.create_task(run(it, tmp_path, capsys, "--stay", "2"))
            told = await it.event("message.received")
            await it.send(told["conversation"]["provider_id"], "Hello")
        status, report = typed.result()
        assert (status, report["heard"]) == (0, 1)


async def test_a_page_that_may_not_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with office(tmp_path) as it:
        status, report = await run(it, tmp_path, capsys, "--origin", "https://evil.example")
        assert (status, report["failed"], report["statuses"]) == (1, 1, {"403": 1})


def test_a_server_that_repeats_itself_is_found_out() -> None:
    """The client judges by the protocol, not by what our server does."""
    visitor = chat.Visitor("", chat.Visits(), chat.ChatReport(), chat._Turns(0), lambda _: None, None)
    entry = {"method": "message", "params": {"seq": 5, "message": {"from": {"role": "agent"}}}}
    visitor._heard(entry)
    visitor._heard(entry)
    assert (visitor._report.heard, visitor._report.wrong) == (1, 1)
