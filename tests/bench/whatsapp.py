"""The WhatsApp webhook under load, one and twenty messages in a delivery (``make bench ARGS="--whatsapp"``)."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.load import Load, Round, Servers, measure
from tests.bench.subjects import QUEUE, Gateway
from tests.servers.gateway import GatewayProcess
from tests.servers.process import wait_until
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

BATCHES = (1, 20)
WORKERS = (1, 2)
SECRET, NUMBER = "an-app-secret-of-the-bench", "106540352242922"
PEOPLE = 997
MOST_PER_SEC = {1: 12_000, 20: 1_500}
"""Deliveries written for each second, by batch size: more than two workers have taken so far."""

_SCRIPT = Path(__file__).with_name("whatsapp.lua")
_HEAD = (
    "POST /c/wa HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "X-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n"
)
_numbers = itertools.count(1)


class Signed(Load, frozen=True, kw_only=True):
    """Deliveries out of a file.

    Attributes:
        folder: for the file.
        batch: messages in a delivery.
        deliveries: how many are written.
    """

    folder: Path
    batch: int
    deliveries: int

    def run(self, port: int, first: int) -> dict[str, float]:
        """Write and send deliveries; returns wrk's figures. Raises `RuntimeError` when the file was too short."""
        path = self.folder / "deliveries"
        with path.open("wb") as file:
            for request in requests(self.batch, self.deliveries):
                file.write(b"%d\n%s\n" % (len(request), request))
        figures = self.wrk(_SCRIPT, f"http://127.0.0.1:{port}/c/wa", str(path), "0")
        path.unlink()
        if figures.pop("again"):
            raise RuntimeError(f"{self.deliveries} deliveries were not enough for {self.secs} s; raise MOST_PER_SEC")
        return figures


class Result(msgspec.Struct, kw_only=True):
    """Medians of one batch size; `missing` is over all rounds."""

    subject: str
    batch: int
    messages_per_sec: float
    deliveries_per_sec: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    broker_us: float
    noise: float
    missing: int
    refused: int


def requests(batch: int, count: int) -> Iterator[bytes]:
    """Write signed HTTP requests, each with new messages."""
    key = SECRET.encode()
    for _ in range(count):
        body = msgspec.json.encode(_delivery([next(_numbers) for _ in range(batch)]))
        yield _HEAD.format(hmac.digest(key, body, hashlib.sha256).hex(), len(body)).encode() + body


def _delivery(numbers: list[int]) -> dict[str, Any]:
    people = {number % PEOPLE for number in numbers}
    contacts = [
        {"profile": {"name": "Ada Lovelace"}, "wa_id": str(16505550000 + one), "user_id": f"US.{10**18 + one}"}
        for one in people
    ]
    messages = [
        {
            "from": str(16505550000 + number % PEOPLE),
            "from_user_id": f"US.{10**18 + number % PEOPLE}",
            "id": f"wamid.HBgLMTY1MDU1NTAwMDAVAgASGBQzQTRBNjU5OUFFRTAz{number}",
            "timestamp": "1795000000",
            "type": "text",
            "text": {"body": f"Where is my order number {number}? I have been waiting since Monday."},
        }
        for number in numbers
    ]
    metadata = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": contacts, "messages": messages}
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}


def bench(*, secs: int, rounds: int, target: Path | None) -> int:
    """Measure and print; returns the exit code: 1 when a message is missing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnigate-bench-")))
        redis = RedisServer(folder / "redis", fsync="everysec")
        rabbit = RabbitServer(folder / "rabbit")
        for server in (redis, rabbit):
            stack.callback(server.stop)
            server.start()
        subjects = []
        for workers in WORKERS:
            subjects.append(_gateway(f"omnigate-{workers}", workers, redis, rabbit, folder))
            stack.callback(subjects[-1].stop)
        servers = Servers(redis, rabbit)
        results = [one for batch in BATCHES for one in _measure(batch, subjects, servers, folder, secs, rounds)]
    show(results, f"{platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}")
    if target is not None:
        target.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return int(any(one.missing for one in results))


def _gateway(name: str, workers: int, redis: RedisServer, rabbit: RabbitServer, folder: Path) -> Gateway:
    secrets = ("app_secret", "verify_token", "access_token")
    lines = "".join(f'{option} = "env:WHATSAPP_SECRET"\n' for option in secrets)
    process = GatewayProcess(
        folder / name,
        workers=workers,
        broker=rabbit.add_vhost(name),
        dedup=redis.fresh_url(),
        queues=((QUEUE, "v1.*.*.message.#"),),
        channels=f'[channels.wa]\nkind = "whatsapp"\nphone_number_id = "{NUMBER}"\n{lines}',
        env={"WHATSAPP_SECRET": SECRET},
    )
    process.start()

    def connected() -> bool:
        ready = process.logs().count('"gateway_ready"') == workers
        return ready and not json.loads(process.get("/readyz")[1])["reasons"]

    wait_until(connected, timeout=30, what=f"{name} is connected")
    return Gateway(name, process)


def _measure(
    batch: int, subjects: list[Gateway], servers: Servers, folder: Path, secs: int, rounds: int
) -> list[Result]:
    """Measure one batch size, interleaved, so that a slow minute of the machine hits everybody."""
    found: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
    for round_secs in (2, *[secs] * rounds):  # the first is to warm up
        load = Signed(folder=folder, batch=batch, secs=round_secs, deliveries=round_secs * MOST_PER_SEC[batch])
        for subject in subjects:
            found[subject.name].append(measure(subject, load, servers, first=0))
    return [_result(batch, of[1:]) for of in found.values()]


def _result(batch: int, rounds: list[Round]) -> Result:
    def median(name: str) -> float:
        return statistics.median(getattr(one, name) for one in rounds)

    return Result(
        subject=rounds[0].subject,
        batch=batch,
        messages_per_sec=median("per_sec") * batch,
        deliveries_per_sec=median("per_sec"),
        p50_ms=median("p50_ms"),
        p99_ms=median("p99_ms"),
        cpu_us=median("cpu_us"),
        broker_us=median("broker_us"),
        noise=median("noise"),
        missing=sum(max(0, one.accepted * batch - one.queued) for one in rounds),
        refused=sum(one.refused + one.broken for one in rounds),
    )


def show(results: list[Result], title: str) -> None:
    """Print a table to stdout."""
    table = Table(title=f"WhatsApp webhook, {title}")
    table.add_column("subject", no_wrap=True)
    headings = "batch,msg/s,deliveries/s,p50 ms,p99 ms,CPU us/msg,broker us/msg,noise,missing,not 2xx"
    for heading in headings.split(","):
        table.add_column(heading, justify="right")
    for one in results:
        rates = (f"{one.messages_per_sec:.0f}", f"{one.deliveries_per_sec:.0f}")
        times = (f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.cpu_us:.0f}", f"{one.broker_us:.0f}")
        table.add_row(
            one.subject, str(one.batch), *rates, *times, f"{one.noise:.2f}", str(one.missing), str(one.refused)
        )
    Console(width=None if Console().is_terminal else 150, highlight=False).print(table)
