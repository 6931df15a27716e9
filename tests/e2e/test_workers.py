"""Several workers, their parent, and what becomes of the rest when one of them dies; and the start that fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.servers.gateway import GatewayProcess, telegram_headers, telegram_update
from tests.servers.process import listening, wait_until

OMNIGATE = str(Path(sys.executable).with_name("omnigate"))
SOON = 30.0
_numbers = itertools.count(1)
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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path_factory.mktemp("workers") / "gateway", workers=2)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def gateway(shared: GatewayProcess) -> GatewayProcess:
    """Two workers that serve; a test may kill them, and waits until there are two again."""
    wait_until(lambda: said_so_far(shared, "gateway_ready") >= 2, timeout=SOON, what="both workers")
    return shared


def said_so_far(gateway: GatewayProcess, event: str) -> int:
    return gateway.logs().count(f'"event": "{event}"')


def once_more(gateway: GatewayProcess, event: str, times: int = 1) -> Callable[[], None]:
    """Return what waits until this line was logged so many times more than now."""
    wanted = said_so_far(gateway, event) + times
    return lambda: wait_until(lambda: said_so_far(gateway, event) >= wanted, timeout=SOON, what=f"another {event}")


class Provider:
    """Repeats an update until it is answered 2xx; some it sends twice on purpose."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway, self.stop = gateway, False
        self.accepted: set[int] = set()
        self.repeated = 0

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)  # each finds a worker anew
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self.stop:
                number = next(_numbers)
                body = json.dumps(telegram_update(number)).encode()
                while not await self._deliver(session, body):
                    if self.stop:
                        return
                    await asyncio.sleep(0.02)
                self.accepted.add(number)
                if number % 7 == 0 and await self._deliver(session, body):
                    self.repeated += 1

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        try:
            url = f"{self._gateway.url}/c/tg"
            async with session.post(url, data=body, headers=telegram_headers()) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False


@asynccontextmanager
async def busy(gateway: GatewayProcess, clients: int = 6) -> AsyncIterator[list[Provider]]:
    """Keep providers at work while the context is open."""
    providers = [Provider(gateway) for _ in range(clients)]
    async with asyncio.timeout(80), asyncio.TaskGroup() as group:
        for provider in providers:
            group.create_task(provider.run())
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
    received, rows = gateway.books(channel="tg")
    return received == sum(rows.values())


def total(gateway: GatewayProcess, name: str) -> float:
    return gateway.total(f"gateway_{name}_messages_total", channel="tg")


async def test_both_workers_take_traffic_and_their_numbers_are_summed(gateway: GatewayProcess) -> None:
    published, duplicate = total(gateway, "published"), total(gateway, "duplicate")
    async with busy(gateway) as providers:
        pass

    journals = [path for path in (gateway.data_dir / "journal").iterdir() if path.stat().st_size]
    assert {path.name.split(".")[1] for path in journals} == {"0", "1"}
    sent = accepted(providers)
    assert total(gateway, "published") == published + len(sent)
    assert total(gateway, "duplicate") == duplicate + sum(provider.repeated for provider in providers)
    assert balanced(gateway)


async def test_connections_that_stay_open_are_shared_evenly(gateway: GatewayProcess) -> None:
    def taken(worker: psutil.Process) -> int:
        connections = worker.net_connections(kind="tcp")
        return sum(one.status == "ESTABLISHED" and one.laddr.port == gateway.http_port for one in connections)

    both = list(workers_of(gateway).values())
    uneven = []
    for _ in range(9):  # a worker that this machine stops for a moment loses what came meanwhile to the other
        pairs = [await asyncio.open_connection("127.0.0.1", gateway.http_port) for _ in range(40)]
        await asyncio.to_thread(wait_until, lambda: sum(map(taken, both)) == 40, timeout=SOON, what="all are accepted")
        uneven.append(abs(taken(both[0]) - taken(both[1])))
        for _, writer in pairs:
            writer.close()
        await asyncio.to_thread(wait_until, lambda: sum(map(taken, both)) == 0, timeout=SOON, what="all have ended")
    assert statistics.median(uneven) <= 2, uneven


@pytest.mark.parametrize("victim", [0, 1])
async def test_kill_9_of_a_worker_loses_nothing_and_the_other_serves_on(gateway: GatewayProcess, victim: int) -> None:
    back = once_more(gateway, "gateway_ready")
    async with busy(gateway) as providers:
        workers_of(gateway)[victim].kill()
        before = len(accepted(providers))
        await asyncio.to_thread(back)
        assert len(accepted(providers)) > before, "the other worker served meanwhile"

    wait_until(gateway.ready, timeout=SOON, what="the admin port is back")
    sent = accepted(providers)
    copies = await asyncio.to_thread(arrived, gateway, sent)
    assert sent <= set(copies)
    assert max(copies.values()) == 1
    assert balanced(gateway)
    told = "what a dead worker said about itself is forgotten"  # its successor tells within a second
    wait_until(lambda: gateway.total("gateway_broker_up") == 1, timeout=SOON, what=told)
    wait_until(lambda: gateway.total("gateway_deliveries_in_flight") == 0, timeout=SOON, what="nothing under way")


def test_a_worker_that_cannot_come_back_does_not_end_the_others(gateway: GatewayProcess) -> None:
    sound = gateway.config.read_text()
    refused = once_more(gateway, "reload_refused", 2)
    gateway.config.write_text(sound.replace('kind = "telegram"', 'kind = "telegraph"'))
    refused()

    tried = once_more(gateway, "worker_ended", 2)
    workers_of(gateway)[1].kill()
    tried()
    assert "telegraph" in gateway.logs()
    for _ in range(5):
        assert gateway.post_update(telegram_update(next(_numbers))) == 200

    back = once_more(gateway, "gateway_ready")
    gateway.config.write_text(sound)
    back()


@pytest.fixture
def mortal(make_gateway: Make) -> GatewayProcess:
    """Two workers for a test that ends them all."""
    gateway = make_gateway(workers=2)
    wait_until(lambda: said_so_far(gateway, "gateway_ready") == 2, timeout=SOON, what="both workers")
    return gateway


def test_workers_end_when_their_parent_is_killed_and_leave_the_ports(mortal: GatewayProcess) -> None:
    workers, process = workers_of(mortal), mortal._running()
    assert mortal.post_update(telegram_update(1)) == 200
    os.kill(mortal.pid, signal.SIGKILL)

    wait_until(lambda: process.returncode is not None, timeout=SOON, what="the end of the parent")
    wait_until(lambda: not any(map(lives, workers.values())), timeout=SOON, what="the end of the workers")
    assert not listening(mortal.http_port)
    mortal.restart()
    assert mortal.post_update(telegram_update(1)) == 200
    assert mortal.post_update(telegram_update(2)) == 200
    assert set(arrived(mortal, {1, 2}).values()) == {1}


async def test_sigterm_under_load_finishes_what_is_under_way(mortal: GatewayProcess) -> None:
    async with busy(mortal) as providers:
        assert await asyncio.to_thread(mortal.term) == 0
        # Told to stop before it has said that it is ready, it stops as well.
        starting = mortal.launch()
        await asyncio.to_thread(wait_until, lambda: workers_of(mortal), timeout=SOON, what="a worker")
        assert await asyncio.to_thread(starting.terminate, SOON) == 0
        await asyncio.to_thread(mortal.restart)

    sent = accepted(providers)
    copies = await asyncio.to_thread(arrived, mortal, sent)
    assert sent <= set(copies)
    assert max(copies.values()) == 1
    logs = mortal.logs()
    assert "drain_deadline_passed" not in logs
    assert "Traceback" not in logs


@pytest.mark.parametrize(("port", "workers"), [("http_port", 2), ("admin_port", 1)])
def test_an_address_in_use_is_one_line_and_status_1(tmp_path: Path, port: str, workers: int) -> None:
    gateway = GatewayProcess(tmp_path / "gateway", workers=workers)
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(gateway, port)))
        other.listen()
        assert ended(gateway) == 1
    address = f"127.0.0.1:{getattr(gateway, port)}"
    assert said(gateway) == [f"omnigate: cannot listen on {address}: Address already in use"]


def test_a_broken_file_in_the_data_folder_is_one_line_and_status_1(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway", workers=2)
    gateway.data_dir.mkdir()
    (gateway.data_dir / "spool.db").write_bytes(b"this is no database, and it is long enough to be read as one" * 20)

    assert ended(gateway) == 1
    (line,) = said(gateway)
    assert line.startswith(f"omnigate: cannot use the files in {gateway.data_dir}")


def test_a_data_folder_that_cannot_be_is_one_line_and_status_1(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
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


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes_and_what_lacks_is_told(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
    command = [str(shutil.which("prlimit")), "--nofile=300:400", OMNIGATE, "run", "--config", str(gateway.config)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, env=gateway.env, stdout=log, stderr=log) as process,
    ):
        wait_until(gateway.ready, timeout=SOON, what="ready")
        assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE) == (400, 400)
        process.terminate()
        assert process.wait(SOON) == 0
        log.seek(0)
        lines = [json.loads(line) for line in log.read().decode().splitlines() if line.startswith("{")]

    (line,) = [line for line in lines if line["event"] == "file_limit_too_low"]
    assert line["limit"] == 400
    assert "http.max_connections" in line["hint"]


def test_a_pause_holds_in_every_worker_and_over_a_restart_until_it_is_taken_back(make_gateway: Make) -> None:
    gateway = make_gateway(workers=2)
    wait_until(lambda: said_so_far(gateway, "gateway_ready") >= 2, timeout=SOON, what="both workers")

    def answers() -> set[int]:
        return {gateway.post_update(telegram_update(next(_numbers))) for _ in range(12)}  # a connection each

    assert answers() == {200}
    assert gateway.call("channel.pause", {"channel": "tg"})["result"]
    wait_until(lambda: answers() == {503}, timeout=SOON, what="paused in both workers")
    gateway.kill9()
    gateway.restart()
    wait_until(lambda: said_so_far(gateway, "gateway_ready") >= 4, timeout=SOON, what="both workers again")
    assert answers() == {503}
    assert gateway.call("channel.resume", {"channel": "tg"})["result"]
    wait_until(lambda: answers() == {200}, timeout=SOON, what="resumed in both workers")
