from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import cli
from gateway.cli import COMMANDS, main
from gateway.commands.console import Failure

CONFIG = """
[channels.shop]
kind = "webhook"
verify = { scheme = "none" }
[channels.shop.receive]
each = "items"
id = "id"
sender = "from"
text = "text"
skip = "type == 'ping'"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNIGATE_CONFIG", raising=False)
    Path("gw.toml").write_text(CONFIG, encoding="utf-8")


def test_help_lists_every_command_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(f"│ {name} " in shown for name, *_ in COMMANDS)
    assert "omnigate init && omnigate run" in shown


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0

    assert f"Usage: omnigate {name}" in capsys.readouterr().out


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from gateway.cli import main; main(['--help']); "
        "heavy = {'aiohttp', 'aio_pika', 'redis', 'jmespath', 'gateway.settings.load'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out.startswith("omnigate 0.")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rn"], 'omnigate: Unknown command "rn". Did you mean "run"?'),
        (["check", "--cfg", "x"], "omnigate: Unknown option"),
        (
            ["run", "--workers", "0"],
            'omnigate: Invalid value "0" for --workers. Must be >= 1; see `omnigate run --help`',
        ),
        (
            ["schema"],
            'omnigate: Command "schema" parameter DOCUMENT requires an argument; see `omnigate schema --help`',
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(expected)
    assert shown.err.count("\n") == 1


def test_a_sound_configuration_is_said_to_be_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", "gw.toml"]) == 0

    assert capsys.readouterr().out == "gw.toml: no problems, 1 channel\n"


def test_check_lists_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gw.toml").write_text(CONFIG + 'tex = "x"\n[http]\nlisten = 1\n', encoding="utf-8")

    assert main(["check", "--config", "gw.toml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "gw.toml: http.listen: expected host:port; port 0 takes a free one, got 1",
        "gw.toml: channels.shop.receive.tex: unknown key (did you mean text?)",
    ]


def test_check_takes_the_configuration_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNIGATE_CONFIG", "gw.toml")

    assert main(["check"]) == 0
    assert "gw.toml" in capsys.readouterr().out


def test_run_refuses_a_broken_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gw.toml").write_text("[htpp]", encoding="utf-8")

    assert main(["run", "--config", "gw.toml"]) == 1
    assert capsys.readouterr().err == (
        "omnigate: the configuration cannot be used:\n  gw.toml: htpp: unknown section (did you mean http?)\n"
    )


def test_a_payload_can_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"id": "1", "from": "ada", "text": "Hi"}, {"id": "2", "type": "ping"}, {"id": "3", "text": "nobody"}]
    Path("payload.json").write_text(json.dumps({"items": items}), encoding="utf-8")

    assert main(["check", "--config", "gw.toml", "--try", "shop", "payload.json"]) == 1

    shown = capsys.readouterr()
    message, ignored, bad = [json.loads(line) for line in shown.out.splitlines()]
    assert message["method"] == "message.received"
    assert message["params"]["message"]["text"] == "Hi"
    assert list(ignored) == ["ignored"]
    assert "from" in bad["quarantined"] or "sender" in bad["quarantined"]
    assert "no signature was checked" in shown.err


def test_a_payload_that_is_nothing_is_said_to_be_malformed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("payload.json").write_text("{", encoding="utf-8")

    assert main(["check", "--config", "gw.toml", "--try", "shop", "payload.json"]) == 1
    assert "malformed" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("channel", "file", "expected"),
    [
        ("shp", "gw.toml", "omnigate: there is no channel 'shp' (did you mean shop?)\n"),
        ("shop", "nowhere", "omnigate: nowhere: No such file or directory\n"),
    ],
)
def test_an_impossible_try_says_why(channel: str, file: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", "gw.toml", "--try", channel, file]) == 1

    assert capsys.readouterr().err.endswith(expected)


@pytest.mark.parametrize("name", ["config", "messages", "asyncapi"])
def test_schemas_are_json_in_a_pipe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)


def test_init_makes_up_demo_secrets_once(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gw.toml").write_text('[channels.a]\ntoken = "file:var/demo-a"', encoding="utf-8")

    assert main(["init", "--config", "gw.toml"]) == 0
    assert main(["init", "--config", "gw.toml"]) == 0

    assert capsys.readouterr().out == "created var/demo-a\n"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Failure("do this"), "do this"),
        (TimeoutError(), "no answer in time; is the gateway running? (`omnigate run`)"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (ValueError("a mistake in the program"), None),
    ],
)
def test_failures_are_explained_and_mistakes_are_not_hidden(error: Exception, expected: str | None) -> None:
    assert cli.explain(error) == expected


def test_a_reader_that_leaves_is_no_error() -> None:
    program = "from gateway.cli import main; import sys; sys.exit(main(['schema', 'messages']))"

    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (0, "")
