"""`omnigate simulate`, as it is typed, against the real public port with a real channel behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.api import Receipt
from gateway.cli import main
from gateway.settings.load import load
from gateway.settings.model import HttpSection
from gateway.simulate import registry
from gateway.web.public import Endpoint, PublicServer
from normalizer.model import ChannelRef
from normalizer.raw import Event, RawEvent
from tests.contexts import make_context
from tests.servers.telegram_bot import running

CONFIG = """
[channels.orders]
kind = "webhook"
handshake = { query = "challenge", token_query = "token", token = "file:secret" }
receive = { each = "messages[]", id = "id", sender = "from", text = "body" }

[channels.orders.verify]
scheme = "hmac"
header = "X-Signature"
secret = "file:secret"
timestamp_header = "X-Time"
payload = "{timestamp}.{body}"
"""


class Gateway:
    """One channel on the public port; `events` are what it was told."""

    def __init__(self, url: str, config: Path) -> None:
        self.url, self.config = url, config
        self.events: list[Event] = []
        self.bad = 0

    async def cli(self, *words: str) -> int:
        options = ("--config", str(self.config), "--url", self.url)
        return await asyncio.to_thread(main, ["simulate", "webhook", *words, *options])


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    from connectors.declarative import DeclarativeConnector  # noqa: PLC0415 -- the kinds are registered by load()

    (tmp_path / "secret").write_text("a-secret-word")
    (tmp_path / "omnigate.toml").write_text(CONFIG)
    channel = load(tmp_path / "omnigate.toml").settings.channels["orders"]
    async with aiohttp.ClientSession() as http:
        options: Any = channel.options
        connector = DeclarativeConnector(
            options, make_context(ChannelRef(id=channel.id, type=channel.kind), tmp_path, http)
        )
        server = PublicServer(HttpSection(listen="127.0.0.1:0"), {"orders": Endpoint(connector, 1_048_576)}, {})
        await server.start()
        made = Gateway(f"http://{server.address}", tmp_path / "omnigate.toml")

        async def sink(raw: RawEvent) -> Receipt:
            for one in connector.codec.decode(raw):
                if isinstance(one, Event):
                    made.events.append(one)
                else:
                    made.bad += 1
            return Receipt.ACCEPTED

        async with running(connector, sink):  # type: ignore[arg-type] # any connector runs
            yield made
        await server.close(1.0)


async def test_a_batch_a_retry_and_a_spoilt_item(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await gateway.cli("--count", "6", "--batch", "3", "--retries", "1", "--bad", "1", "--text", "no. {n}") == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["sent"], told["accepted"], told["statuses"]) == (4, 4, {"200": 4})
    assert told["latency_ms"]["p50"] <= told["latency_ms"]["max"]
    assert (len(gateway.events), len({event.key for event in gateway.events}), gateway.bad) == (10, 5, 2)


async def test_what_was_signed_long_ago_is_refused_with_a_hint(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gateway.cli("--stale", "3600") == 1

    assert "signed time" in capsys.readouterr().err
    assert gateway.events == []


async def test_a_message_that_is_late_is_taken(gateway: Gateway) -> None:
    assert await gateway.cli("--late", "86400") == 0
    assert len(gateway.events) == 1


async def test_the_handshake_is_performed_and_its_answer_looked_at(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gateway.cli("--handshake") == 0
    assert "succeeded" in capsys.readouterr().out

    (gateway.config.parent / "secret").write_text("another-word")
    assert await gateway.cli("--handshake") == 1
    assert "HTTP 401 instead of 200" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--kind", "fax"), "there are text"),
        (("--batch", "101"), "at most 100"),
        (("--extra", "colour=red"), "this simulator knows sample"),
        (("--extra", "sample=/no/such/file"), "/no/such/file"),
        (("--channel", "else"), "no channel 'else'"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    gateway: Gateway, words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gateway.cli(*words) == 1

    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


def test_help_lists_every_kind_and_each_kind_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--help"]) == 0
    listed = capsys.readouterr().out
    assert [kind for kind in [*registry.kinds(), "email", "cloud"] if f" {kind} " not in listed] == []

    for kind in registry.kinds():
        assert main(["simulate", kind, "--help"]) == 0
        told = capsys.readouterr().out
        contents = registry.simulator_of(kind).contents
        assert f"(--kind): {contents[0]}" in " ".join(told.split())


def test_listing_the_kinds_imports_none_of_them() -> None:
    code = (
        "import sys; from gateway.cli import main; main(['simulate', '--help']); "
        "print(*(name for name in sys.modules if name.startswith('gateway.simulate.telegram')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert "telegram" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("fax",), "there is no simulator of fax; there are telegram"),
        (("telegram", "--fail", "200:0.5"), "give STATUS:SHARE"),
        (("telegram", "--fail", "429:2"), "give STATUS:SHARE"),
        (("telegram", "--listen", "here"), "give HOST:PORT"),
    ],
)
def test_a_cloud_side_that_cannot_be_started_says_why(
    words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "cloud", *words]) == 1
    assert complaint in capsys.readouterr().err


async def test_a_cloud_side_takes_calls_until_it_is_interrupted() -> None:
    command = (sys.executable, "-m", "gateway.cli", "simulate", "cloud", "telegram", "--fail", "429:1", "--seed", "1")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        where = (await process.stdout.readline()).decode()
        advice = (await process.stdout.readline()).decode()
        url = where.split()[2].rstrip(";")
        async with http.post(f"{url}/bot1:a/getMe") as answer:
            status = answer.status
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        code = await process.wait()

    assert status == 429
    assert advice.strip() == f'in the channel: api_base = "{url}"'
    assert (code, rest.strip()) == (0, "1 calls, 1 x method")
