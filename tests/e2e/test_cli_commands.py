"""The commands that talk to a running gateway, as an operator types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.gateway import GatewayProcess

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
MAIL = '[channels.mail]\nkind = "email"\naddresses = ["*@shop.example"]\nsmtp = { listen = "127.0.0.1:0" }\n'


@pytest.fixture
def gateway(make_gateway: Callable[..., GatewayProcess]) -> GatewayProcess:
    return make_gateway()


def test_a_simulated_update_is_seen_by_tail(gateway: GatewayProcess) -> None:
    sent = gateway.cli("simulate", "telegram", "--text", "Hello", "--count", "3", "--duplicates", "1")
    seen = gateway.cli("tail", "--from-start", "--method", "message.received", "--channel", "tg", "--count", "3")

    assert (sent.returncode, seen.returncode, seen.stderr) == (0, 0, "")
    messages = [json.loads(line) for line in seen.stdout.splitlines()]
    assert [message["params"]["message"]["text"] for message in messages] == ["Hello"] * 3


def test_tail_ends_quietly_on_ctrl_c(gateway: GatewayProcess) -> None:
    gateway.cli("simulate", "telegram")

    with subprocess.Popen(
        # a shell starts what runs in its background with SIGINT ignored, which children inherit
        ["env", "--default-signal=INT", OMNIGATE, "tail", "--from-start", "--config", str(gateway.config)],
        env=gateway.env,
        cwd=gateway.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=20)

    assert (process.returncode, complaint) == (130, b"")


def test_call_prints_the_result(gateway: GatewayProcess) -> None:
    done = gateway.cli("call", "channel.list")

    assert (done.returncode, done.stderr) == (0, "")
    assert "tg" in done.stdout


def test_call_refuses_what_is_no_request(gateway: GatewayProcess) -> None:
    done = gateway.cli("call", "channel.lst")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("omnigate: there is no method 'channel.lst'; did you mean channel.list")


def test_send_on_an_unknown_channel_is_one_line_and_status_1(gateway: GatewayProcess) -> None:
    done = gateway.cli("send", "--channel", "nowhere", "--to", "4711", "--text", "Hi")

    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("\n") == 1
    assert "nowhere" in done.stdout + done.stderr


def test_commands_need_no_secret_of_a_channel(gateway: GatewayProcess) -> None:
    environment = {name: value for name, value in gateway.env.items() if not name.startswith(("TELEGRAM", "OMNIGATE"))}

    done = subprocess.run(
        [OMNIGATE, "call", "gateway.ping", "--config", str(gateway.config)],
        env=environment,
        cwd=gateway.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_port_that_the_system_chose_has_to_be_said(make_gateway: Callable[..., GatewayProcess]) -> None:
    done = make_gateway(channels=MAIL).cli("simulate", "email")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("omnigate: the configuration lets the system choose the port; give it with --listen\n")


def test_the_channel_has_to_be_of_the_kind(make_gateway: Callable[..., GatewayProcess]) -> None:
    done = make_gateway(channels=MAIL).cli("simulate", "telegram", "--channel", "mail")

    assert done.stderr == "omnigate: the channel 'mail' is of kind 'email', not 'telegram'\n"
