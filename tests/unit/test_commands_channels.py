"""`omnigate channels` and `omnigate send` when nobody answers, and the kinds of channel there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors import registry
from gateway.cli import main
from gateway.commands.channels import Sending, _sending


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gw.toml").write_text('[gateway]\ndata_dir = "var"\n', encoding="utf-8")


def test_kinds_need_neither_gateway_nor_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["channels", "--kinds", "--config", "nowhere.toml"]) == 0

    kinds = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [kind["kind"] for kind in kinds] == sorted(registry.load())
    assert all(kind["summary"] and kind["capabilities"]["receives"] for kind in kinds)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("channels", "--timeout", "0.1"), "no gateway answered within 0.1 s; start it with `omnigate run`"),
        (
            ("send", "--channel", "tg", "--to", "1", "--text", "Hi"),
            "there is no channel 'tg', or its gateway has never",
        ),
        (("send", "--channel", "tg", "--text", "Hi"), "say to whom: either --to ADDRESS or --conversation ID"),
        (
            ("send", "--channel", "tg", "--to", "1", "--conversation", "cnv_1", "--text", "Hi"),
            "say to whom: either --to ADDRESS or --conversation ID",
        ),
    ],
)
def test_a_request_that_nobody_answers_is_one_line(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--config", "gw.toml"]) == 1

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"omnigate: {expected}")
    assert shown.err.count("\n") == 1


def test_a_broken_configuration_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gw.toml").write_text("[gateway]\ndatadir = 1\n", encoding="utf-8")

    for command in (["channels"], ["spool", "list"], ["quarantine", "list"], ["why", "x"]):
        assert main([*command, "--config", "gw.toml"]) == 1
        assert "gw.toml: gateway.datadir: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sending", "expected"),
    [
        (Sending(breaker="closed", commands=0), "ok"),
        (Sending(breaker="closed", commands=2, paused_secs=4.2), "slowed down for 4 s, 2 messages under way"),
        (Sending(breaker="open", commands=1, last_error="503"), "suspended (open), 1 message under way, 503"),
    ],
)
def test_how_sending_goes_is_said_in_words(sending: Sending, expected: str) -> None:
    assert _sending(sending) == expected
