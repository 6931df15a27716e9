"""What somebody sees who has just cloned the repository: nothing is set, no server runs, everything can be tried."""

from __future__ import annotations

import json
import os
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.servers.process import Process, free_port, listening, wait_until

ROOT = Path(__file__).parents[2]
OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
PORTS = ("8080", "8081", "2525", "8090")
SOON = 30.0


class Clone:
    """The folder `config/` as it is shipped, with ports of its own, and the gateway that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: free_port() for port in PORTS}
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("OMNIGATE")}
        shutil.copytree(ROOT / "config", folder / "config")
        for path in (folder / "config").rglob("*.toml"):
            text = path.read_text()
            for port, mine in self.ports.items():
                text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{mine}")
            path.write_text(text)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [OMNIGATE, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def events(self, *texts: str) -> list[dict[str, Any]]:
        """Read messages from the start until each of these texts was seen; return those that have one of them."""
        command = [OMNIGATE, "tail", "--from-start", "--method", "message.received"]
        missing, found = set(texts), []
        with subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE) as process:
            assert process.stdout
            while missing and (line := process.stdout.readline()):
                event = json.loads(line)
                text = event["params"]["message"]["text"].strip()
                missing.discard(text)
                found += [event] if text in texts else []
            process.kill()
        return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    made = Clone(tmp_path_factory.mktemp("clone"))
    assert made.cli("init").returncode == 0
    process = Process([OMNIGATE, "run"], env=made.env, log=made.folder / "log", cwd=made.folder)
    try:
        process.wait_until(lambda: "Omnigate is up" in process.output(), timeout=SOON, what="up")
        yield made
        assert process.terminate(SOON) == 0
    finally:
        process.kill()


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((ROOT / "config/messages.schema.json").read_text()))


def test_it_says_where_everything_is(clone: Clone) -> None:
    said = (clone.folder / "log").read_text()

    assert f"http://127.0.0.1:{clone.ports['8080']}/c/<channel>" in said
    assert f"http://127.0.0.1:{clone.ports['8081']}/" in said
    for channel in ("mail (email)", "orders (webhook)", "phone (sip)", "telegram (telegram)", "web (chat)"):
        assert f"demo-{channel}" in said
    assert "error" not in said.lower()
    wait_until(lambda: listening(clone.ports["2525"]), timeout=SOON, what="the SMTP port")


def test_a_telegram_message_and_a_mail_come_out_as_valid_json_rpc(
    clone: Clone, schema: jsonschema.Draft202012Validator
) -> None:
    hello = EmailMessage()
    hello["From"], hello["To"], hello["Subject"] = "Ann <ann@example.net>", "support@example.test", "Order 4711"
    hello.set_content("Where is it?")
    assert clone.cli("simulate", "telegram", "--channel", "demo-telegram", "--text", "Hello").returncode == 0
    with smtplib.SMTP("127.0.0.1", clone.ports["2525"], timeout=20) as client:
        client.send_message(hello)

    seen = clone.events("Hello", "Where is it?")
    for event in seen:
        schema.validate(event)
    by_channel = {event["params"]["channel"]["id"]: event["params"]["message"]["text"].strip() for event in seen}
    assert by_channel == {"demo-telegram": "Hello", "demo-mail": "Where is it?"}


def test_a_repeated_update_appears_once_and_why_knows_it(clone: Clone) -> None:
    words = ("simulate", "telegram", "--channel", "demo-telegram", "--text", "Again", "--duplicates", "2")
    assert clone.cli(*words).returncode == 0
    assert clone.cli("simulate", "telegram", "--channel", "demo-telegram", "--text", "The end").returncode == 0

    again = [event["params"] for event in clone.events("Again", "The end")][:-1]
    assert len(again) == 1
    told = clone.cli("why", again[0]["event_id"])
    assert told.returncode == 0
    assert "duplicate" in told.stdout


def test_the_shipped_configuration_is_sound(clone: Clone) -> None:
    done = clone.cli("check")

    assert (done.returncode, done.stderr) == (0, "")
