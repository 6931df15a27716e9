"""Several workers, their parent, and what becomes of the rest when one of them dies; and the start that fails."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.servers.gateway import GatewayProcess, telegram_headers, telegram_update
from tests.servers.process import listening, wait_until

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
SOON = 30.0
Make = Callable[..., GatewayProcess]


def workers_of(gateway: GatewayProcess) -> dict[int, psutil.Process]:
    """Index → process of the workers that live."""
    found = {}
    for child in psutil.Process(gateway.pid).children():
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "gateway.worker" in words:
            found[int(words[words.index("gateway.worker") + 2])] = child
    return found


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # whom init has not got round to
    except psutil.NoSuchProcess:
        return False


def started(make_gateway: Make, **options: object) -> GatewayProcess:
    """Start two workers and wait for both; the gateway is ready with the first."""
    gateway = make_gateway(workers=2, **options)
    all_ready(gateway, 2)
    return gateway


def all_ready(gateway: GatewayProcess, count: int) -> None:
    """Wait until so many workers, dead ones included, have come up."""
    wait_until(lambda: gateway.logs().count('"gateway_ready"') >= count, timeout=SOON, what=f"{count} workers ready")


class Provider:
    """Repeats an update until it is answered 2xx; some it sends twice on purpose."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway, self._next, self.stop = gateway, 0, False
        self.accepted: set[int] = set()
        self.answers: Counter[int] = Counter()

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)  # each finds a worker anew
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self.stop:
                self._next += 1
                number = self._next
                for _ in range(2 if number % 7 == 0 else 1):
                    await self._deliver(session, json.dumps(telegram_update(number)).encode())
                self.accepted.add(number)

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> None:
        while not self.stop or self.answers[200] == 0:
            status = 0
            try:
                url = f"{self._gateway.url}/c/tg"
                async with session.post(url, data=body, headers=telegram_headers()) as answer:
                    status = answer.status
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.02)
            self.answers[status] += 1
            if status == 200:
                return
        raise StoppedError


class StoppedError(Exception):
    """The provider was stopped while a delivery was not accepted."""


@asynccontextmanager
async def busy(gateway: GatewayProcess, clients: int = 6) -> AsyncIterator[list[Provider]]:
    """Keep providers at work while the context is open."""
    providers = [Provider(gateway) for _ in range(clients)]
    for number, provider in enumerate(providers):
        provider._next = number * 100_000

    async def run(provider: Provider) -> None:
        try:
            await provider.run()
        except StoppedError:
            return

    async with asyncio.timeout(80), asyncio.TaskGroup() as group:
        for provider in providers:
            group.create_task(run(provider))
        await asyncio.sleep(0.3)
        yield providers
        await asyncio.sleep(0.3)
        for provider in providers:
            provider.stop = True


def accepted(providers: list[Provider]) -> set[int]:
    return {number for provider in providers for number in provider.accepted}


def arrived(gateway: GatewayProcess, wanted: set[int]) -> Counter[int]:
    """Read events from the start until all that are wanted were seen; count how often each was, unmarked."""
    command = [OMNIGATE, "tail", "--from-start", "--channel", "tg", "--method", "message.received"]
    missing, copies = set(wanted), Counter[int]()
    with subprocess.Popen(
        [*command, "--config", str(gateway.config)], env=gateway.env, cwd=gateway.folder, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        while missing and (line := process.stdout.readline()):
            params = json.loads(line)["params"]
            number = int(params["message"]["provider_id"])
            missing.discard(number)
            copies[number] += not params["dedup"]["redelivery"]
        process.kill()
    return copies


def balanced(gateway: GatewayProcess) -> bool:
    rows = {
        name: gateway.total(f"gateway_{name}_messages_total", channel="tg")
        for name in ("received", "published", "duplicate", "ignored", "quarantined")
    }
    return rows.pop("received") == sum(rows.values()) + gateway.total("gateway_spooled_messages", channel="tg")


async def test_both_workers_take_traffic_and_their_numbers_are_summed(make_gateway: Make) -> None:
    gateway = started(make_gateway)
    async with busy(gateway) as providers:
        pass

    journals = [path for path in (gateway.data_dir / "journal").iterdir() if path.stat().st_size]
    assert {path.name.split(".")[1] for path in journals} == {"0", "1"}
    sent = accepted(providers)
    assert gateway.total("gateway_published_messages_total", channel="tg") == len(sent)
    assert gateway.total("gateway_duplicate_messages_total", channel="tg") == len([n for n in sent if n % 7 == 0])
    assert balanced(gateway)


@pytest.mark.parametrize("victim", [0, 1])
async def test_kill_9_of_a_worker_loses_nothing_and_the_other_serves_on(make_gateway: Make, victim: int) -> None:
    gateway = started(make_gateway)
    async with busy(gateway) as providers:
        dead = workers_of(gateway)[victim]
        dead.kill()
        before = len(accepted(providers))
        while victim not in workers_of(gateway) or workers_of(gateway)[victim].pid == dead.pid:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(all_ready, gateway, 3)
        assert len(accepted(providers)) > before, "the other worker served meanwhile"

    wait_until(gateway.ready, timeout=SOON, what="the admin port is back")
    sent = accepted(providers)
    copies = await asyncio.to_thread(arrived, gateway, sent)
    assert sent <= set(copies)
    assert max(copies.values()) == 1
    assert balanced(gateway)
    assert gateway.total("gateway_broker_up") == 1, "what a dead worker said about itself is forgotten"
    wait_until(lambda: gateway.total("gateway_deliveries_in_flight") == 0, timeout=SOON, what="nothing under way")


def test_workers_end_when_their_parent_is_killed_and_leave_the_ports(make_gateway: Make) -> None:
    gateway = started(make_gateway)
    workers = workers_of(gateway)
    assert gateway.post_update(telegram_update(1)) == 200
    process = gateway._running()
    os.kill(gateway.pid, signal.SIGKILL)

    wait_until(lambda: process.returncode is not None, timeout=SOON, what="the end of the parent")
    wait_until(lambda: not any(map(lives, workers.values())), timeout=SOON, what="the end of the workers")
    assert not listening(gateway.http_port)
    gateway.restart()
    assert gateway.post_update(telegram_update(1)) == 200
    assert gateway.post_update(telegram_update(2)) == 200
    assert set(arrived(gateway, {1, 2}).values()) == {1}


async def test_sigterm_under_load_finishes_what_is_under_way(make_gateway: Make) -> None:
    gateway = started(make_gateway)
    async with busy(gateway) as providers:
        assert await asyncio.to_thread(gateway.term) == 0
        await asyncio.to_thread(gateway.restart)

    sent = accepted(providers)
    copies = await asyncio.to_thread(arrived, gateway, sent)
    assert sent <= set(copies)
    assert max(copies.values()) == 1
    logs = gateway.logs()
    assert logs.count('"gateway_stopped"') == 2
    assert "drain_deadline_passed" not in logs
    assert "Traceback" not in logs


def test_a_gateway_that_is_told_to_stop_while_it_starts_stops(make_gateway: Make) -> None:
    gateway = started(make_gateway)
    assert gateway.term() == 0
    for _ in range(2):
        process = gateway.launch()
        wait_until(lambda: workers_of(gateway), timeout=SOON, what="a worker")  # it has not said yet that it is ready
        assert process.terminate(SOON) == 0


def test_a_worker_that_cannot_come_back_does_not_end_the_others(make_gateway: Make) -> None:
    gateway = started(make_gateway)
    sound = gateway.config.read_text()
    gateway.config.write_text(sound.replace('kind = "telegram"', 'kind = "telegraph"'))
    wait_until(lambda: gateway.logs().count("reload_refused") == 2, timeout=SOON, what="both have refused")

    workers_of(gateway)[1].kill()
    wait_until(lambda: gateway.logs().count('"worker_ended"') == 2, timeout=SOON, what="one try to come back")
    assert "telegraph" in gateway.logs()
    for number in range(5):
        assert gateway.post_update(telegram_update(number)) == 200

    gateway.config.write_text(sound)
    all_ready(gateway, 3)
    assert gateway.term() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("port", ["http_port", "admin_port"])
def test_an_address_in_use_is_one_line_and_status_1(tmp_path: Path, port: str, workers: int) -> None:
    gateway = GatewayProcess(tmp_path / "gateway", workers=workers)
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(gateway, port)))
        other.listen()
        assert ended(gateway) == 1
    address = f"127.0.0.1:{getattr(gateway, port)}"
    assert said(gateway) == [f"omnigate: cannot listen on {address}: Address already in use"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_file_in_the_data_folder_is_one_line_and_status_1(tmp_path: Path, workers: int) -> None:
    gateway = GatewayProcess(tmp_path / "gateway", workers=workers)
    gateway.data_dir.mkdir()
    (gateway.data_dir / "spool.db").write_bytes(b"this is no database, and it is long enough to be read as one" * 20)

    assert ended(gateway) == 1
    (line,) = said(gateway)
    assert line.startswith(f"omnigate: cannot use the files in {gateway.data_dir}")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_data_folder_that_cannot_be_is_one_line_and_status_1(tmp_path: Path, workers: int) -> None:
    gateway = GatewayProcess(tmp_path / "gateway", workers=workers)
    gateway.data_dir.write_text("a file where the folder should be")

    assert ended(gateway) == 1
    (line,) = said(gateway)
    assert line.startswith("omnigate: ")
    assert str(gateway.data_dir) in line


def ended(gateway: GatewayProcess) -> int | None:
    """Start what cannot start; return its exit status."""
    process = gateway.launch()
    try:
        wait_until(lambda: process.returncode is not None, timeout=SOON, what="the end")
        return process.returncode
    finally:
        gateway.stop()


def said(gateway: GatewayProcess) -> list[str]:
    """What it said to a human, beside log lines and warnings about the configuration."""
    return [line for line in gateway.logs().splitlines() if not line.startswith("{") and "[warning]" not in line]


def test_the_limit_of_open_files_is_raised_to_what_is_needed(make_gateway: Make) -> None:
    gateway = make_gateway(sections={"http": "max_connections = 3000\n"})
    soft, _ = psutil.Process(gateway.pid).rlimit(psutil.RLIMIT_NOFILE)

    assert soft > 3000


def test_a_limit_of_open_files_that_is_too_low_is_told(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
    command = [OMNIGATE, "run", "--config", str(gateway.config)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [str(shutil.which("prlimit")), "--nofile=400:400", *command], env=gateway.env, stdout=log, stderr=log
        ) as process,
    ):
        wait_until(gateway.ready, timeout=SOON, what="ready")
        process.terminate()
        assert process.wait(SOON) == 0
        log.seek(0)
        lines = [json.loads(line) for line in log.read().decode().splitlines() if line.startswith("{")]

    (line,) = [line for line in lines if line["event"] == "file_limit_too_low"]
    assert line["limit"] == 400
    assert "http.max_connections" in line["hint"]
