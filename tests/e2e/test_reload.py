"""The configuration changes while customers write: what did not change never notices."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.servers.gateway import GatewayProcess, telegram_headers, telegram_update
from tests.servers.process import free_port, wait_until

SOON = 30.0
SHOP = """
[channels.shop]
kind = "webhook"
verify = {{ scheme = "token", header = "X-Token", secret = "{where}" }}
labels = {labels}
[channels.shop.receive]
id = "id"
sender = "from"
text = "text"
"""
MAIL = """
[channels.{name}]
kind = "email"
addresses = ["{name}@shop.example"]
smtp = {{ listen = "127.0.0.1:{port}" }}
labels = {labels}
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path_factory.mktemp("reload") / "gateway", workers=2)
    try:
        yield made.start()
    finally:
        made.stop()


class Log:
    """What a gateway has logged since now."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway, self._before = gateway, len(gateway.logs())

    async def has(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for `count` lines of this event; every worker writes its own."""
        async with asyncio.timeout(SOON):
            while True:
                lines = self._gateway.logs()[self._before :].splitlines()
                found = [line for line in map(json.loads, filter(_complete, lines)) if line["event"] == event]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.05)


def _complete(line: str) -> bool:
    return line.startswith("{") and line.endswith("}")


@pytest.fixture
async def gateway(two_workers: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    """Two workers that serve, with nothing but the channel `tg` before and after."""
    wait_until(lambda: two_workers.logs().count("gateway_ready") == 2, timeout=SOON, what="both workers")
    text = two_workers.config.read_text()
    yield two_workers
    log, changed = Log(two_workers), two_workers.config.read_text() != text
    for path in (two_workers.folder / "channels").iterdir():
        path.unlink()
        changed = True
    if changed:
        two_workers.config.write_text(text)
        await log.has("configuration_reloaded", 2)
    assert two_workers.ready()


class Traffic:
    """Customers of the channel `tg`, who write without a pause, over kept connections and new ones."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway, self._stop = gateway, False
        self.answers: Counter[int] = Counter()

    async def customer(self, *, keep: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keep)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self._stop:
                body = json.dumps(telegram_update(next(_numbers))).encode()
                url = f"{self._gateway.url}/c/tg"
                async with session.post(url, data=body, headers=telegram_headers()) as answer:
                    self.answers[answer.status] += 1
                await asyncio.sleep(0.002)

    async def slow_customer(self) -> None:
        """Send each body in two halves, so that a reload falls in between."""
        while not self._stop:
            body = json.dumps(telegram_update(next(_numbers))).encode()
            head = [f"{name}: {value}" for name, value in telegram_headers().items()]
            head = ["POST /c/tg HTTP/1.1", "Host: gw", "Connection: close", f"Content-Length: {len(body)}", *head]
            reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.http_port)
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body[:50])
            await asyncio.sleep(0.3)
            writer.write(body[50:])
            self.answers[int((await reader.readline()).split()[1])] += 1
            writer.close()

    def end(self) -> None:
        self._stop = True


@asynccontextmanager
async def traffic(gateway: GatewayProcess) -> AsyncIterator[None]:
    """Keep customers of `tg` busy while the context is open; each of their requests must be answered 200."""
    busy = Traffic(gateway)
    async with asyncio.timeout(80), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(busy.customer(keep=True))
            group.create_task(busy.slow_customer())
        group.create_task(busy.customer(keep=False))
        await asyncio.sleep(0.2)
        yield
        await asyncio.sleep(0.5)
        busy.end()
    assert set(busy.answers) == {200}
    assert busy.answers[200] > 50


def write(gateway: GatewayProcess, name: str, text: str) -> Path:
    """Put a file into channels/ as an editor does: under another name first."""
    path = gateway.folder / "channels" / name
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)
    return path


def shop(gateway: GatewayProcess, secret: str = "one", team: str = "blue") -> str:
    """Describe the channel `shop`, with the secret in a file."""
    path = gateway.folder / "secrets" / secret
    path.parent.mkdir(exist_ok=True)
    if not path.exists():  # written anew it would be empty for a moment, in which a gateway that starts refuses it
        path.write_text(secret)
    return SHOP.format(where=f"file:{path}", labels=f'{{ team = "{team}" }}')


def to_shop(gateway: GatewayProcess, secret: str = "one") -> int:
    body = json.dumps({"id": f"m{next(_numbers)}", "from": "ann", "text": "hi"}).encode()
    return gateway.post("/c/shop", body, {"X-Token": secret})[0]


async def everywhere(ask: Callable[[], int], wanted: int, *, times: int = 20) -> None:
    """Wait until `ask` gets the answer `wanted` so many times in a row, from whichever worker."""
    in_a_row = 0
    async with asyncio.timeout(SOON):
        while in_a_row < times:
            in_a_row = in_a_row + 1 if await asyncio.to_thread(ask) == wanted else 0
            await asyncio.sleep(0.005)


async def last_labels(gateway: GatewayProcess, channel: str, send: Callable[[], Any]) -> dict[str, str]:
    """Send something on a channel and return the labels of its event."""
    done = int(gateway.total("gateway_published_messages_total", channel=channel))
    await asyncio.to_thread(send)
    arguments = ("--from-start", "--channel", channel, "--method", "message.received", "--count", str(done + 1))
    seen = await asyncio.to_thread(gateway.cli, "tail", *arguments)
    return json.loads(seen.stdout.splitlines()[-1])["params"]["channel"]["labels"]


async def test_a_channel_is_dropped_in_changed_and_taken_out_while_others_go_on(gateway: GatewayProcess) -> None:
    log = Log(gateway)
    assert to_shop(gateway) == 404
    async with traffic(gateway):
        path = write(gateway, "shop.toml", shop(gateway))
        await everywhere(lambda: to_shop(gateway), 200)

        write(gateway, "shop.toml", shop(gateway, secret="two"))
        await everywhere(lambda: to_shop(gateway, "two"), 200)
        assert to_shop(gateway, "one") == 401

        path.unlink()
        await everywhere(lambda: to_shop(gateway, "two"), 404)
    lines = await log.has("configuration_reloaded", 6)
    told = [(line["added"], line["changed"], line["removed"]) for line in lines]
    assert sorted(told) == sorted([(["shop"], [], []), ([], ["shop"], []), ([], [], ["shop"])] * 2)


async def test_a_busy_channel_changes_without_a_failed_request(gateway: GatewayProcess) -> None:
    text, log = gateway.config.read_text(), Log(gateway)
    async with traffic(gateway):
        for number in range(3):
            gateway.config.write_text(f'{text}\nlabels = {{ round = "{number}" }}\n')
            await log.has("configuration_reloaded", (number + 1) * 2)

    labels = await last_labels(gateway, "tg", lambda: gateway.post_update(telegram_update(next(_numbers))))
    assert labels == {"round": "2"}


async def test_sighup_applies_what_the_files_say(gateway: GatewayProcess) -> None:
    async with traffic(gateway):
        write(gateway, "shop.toml", shop(gateway))
        gateway.reload()
        await everywhere(lambda: to_shop(gateway), 200)
        for _ in range(5):
            gateway.reload()


async def test_what_needs_a_restart_is_said_and_the_rest_applied(gateway: GatewayProcess) -> None:
    log = Log(gateway)
    gateway.config.write_text(gateway.config.read_text().replace(str(gateway.http_port), str(free_port())))
    lines = await log.has("reload_needs_restart", 2)
    assert all(line["sections"] == ["http"] for line in lines)
    assert gateway.post_update(telegram_update(next(_numbers))) == 200

    write(gateway, "shop.toml", shop(gateway))
    await everywhere(lambda: to_shop(gateway), 200)


async def test_a_mail_channel_comes_and_goes_beside_another_on_the_same_port(gateway: GatewayProcess) -> None:
    port, log = free_port(), Log(gateway)

    def to(name: str) -> Callable[[], int]:
        return lambda: send(port, name)

    write(gateway, "mail.toml", MAIL.format(name="support", port=port, labels="{}"))
    await log.has("configuration_reloaded", 2)
    await everywhere(to("support"), 250)
    async with busy_with(lambda: asyncio.to_thread(send, port, "support"), 250):
        path = write(gateway, "sales.toml", MAIL.format(name="sales", port=port, labels="{}"))
        await log.has("configuration_reloaded", 4)
        await everywhere(to("sales"), 250)
        write(gateway, "sales.toml", MAIL.format(name="sales", port=port, labels='{ team = "green" }'))
        await log.has("configuration_reloaded", 6)
        await everywhere(to("sales"), 250)
        path.unlink()
        await log.has("configuration_reloaded", 8)
        # Not "unknown" at once: it may only be restarting.
        assert send(port, "sales") == 451


BROKEN = {
    "[channels.shop]": ("[channels.shop", "shop.toml"),
    'sender = "from"': ('sendr = "from"', "channels.shop.receive.sendr"),
    'secret = "file:': ('secret = "env:NOT_SET', "NOT_SET"),
}


async def test_a_broken_file_is_refused_and_the_old_configuration_goes_on(gateway: GatewayProcess) -> None:
    async with traffic(gateway):
        write(gateway, "shop.toml", shop(gateway))
        await everywhere(lambda: to_shop(gateway), 200)

        for sound, (broken, told) in BROKEN.items():
            log = Log(gateway)
            write(gateway, "shop.toml", shop(gateway).replace(sound, broken))
            for line in await log.has("reload_refused", 2):
                assert line["problems"][0].startswith("channels/shop.toml")
                assert told in line["problems"][0]
        log = Log(gateway)
        gateway.reload()
        await log.has("reload_refused", 2)
        assert to_shop(gateway) == 200

        write(gateway, "shop.toml", shop(gateway, secret="three"))
        await everywhere(lambda: to_shop(gateway, "three"), 200)


@asynccontextmanager
async def busy_with(ask: Callable[[], Awaitable[int]], wanted: int) -> AsyncIterator[None]:
    """Ask again and again while the context is open; the answer must always be `wanted`."""
    ended = asyncio.Event()
    answers: Counter[int] = Counter()

    async def work() -> None:
        while not ended.is_set():
            answers[await ask()] += 1
            await asyncio.sleep(0.01)

    async with asyncio.timeout(80), asyncio.TaskGroup() as group:
        group.create_task(work())
        yield
        ended.set()
    assert set(answers) == {wanted}
    assert answers[wanted] > 5


def send(port: int, name: str) -> int:
    """Mail to a channel; return the code of the last answer, 0 when nobody listens."""
    try:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=20) as client:
            client.ehlo()
            client.mail("ann@example.net")
            code, _ = client.rcpt(f"{name}@shop.example")
            number = next(_numbers)
            if code != 250:
                return code
            return client.data(f"Message-ID: <{number}@example.net>\r\nSubject: {number}\r\n\r\nHello\r\n".encode())[0]
    except smtplib.SMTPResponseException as exc:
        return exc.smtp_code
    except (OSError, smtplib.SMTPServerDisconnected):
        return 0


async def test_a_file_dropped_in_while_the_gateway_starts_is_not_overlooked(
    make_gateway: Callable[..., GatewayProcess],
) -> None:
    gateway = make_gateway()
    assert gateway.term() == 0
    write(gateway, "shop.toml", shop(gateway))
    process = gateway.launch()
    while "gateway_ready" not in process.output():  # no probe of the admin port: that would be too late
        assert process.returncode is None, process.output()
        write(gateway, "shop.toml", shop(gateway, team=str(next(_numbers))))
        await asyncio.sleep(0.005)
    write(gateway, "shop.toml", shop(gateway, secret="last"))
    await everywhere(lambda: to_shop(gateway, "last"), 200, times=1)


async def test_many_reloads_leave_nothing_behind(make_gateway: Callable[..., GatewayProcess]) -> None:
    gateway = make_gateway()
    process = psutil.Process(gateway.pid)

    async def rounds(count: int) -> None:
        for _ in range(count):
            secret = f"s{next(_numbers)}"
            write(gateway, "shop.toml", shop(gateway, secret=secret))
            os.kill(gateway.pid, 1)
            await everywhere(lambda secret=secret: to_shop(gateway, secret), 200, times=1)  # type: ignore[misc]

    await rounds(3)
    files, threads, memory = process.num_fds(), process.num_threads(), process.memory_info().rss
    await rounds(10)

    assert process.num_fds() <= files + 4
    assert process.num_threads() <= threads + 2
    assert process.memory_info().rss - memory < 10_000_000
