"""Kills under load: a provider that repeats everything but 2xx, real servers, and a count at the end.

Every delivery that was answered 2xx is in the queue, under one id per input. While Redis lives, at most one copy of
each is unmarked (`dedup.redelivery == 0`): further copies exist only where a process or a connection died between a
publish and its confirm, and they say so. Where nothing died in between, there is exactly one.
"""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

import aio_pika
import aiohttp
import msgspec
import pytest

from tests.servers.gateway import GatewayProcess, telegram_headers, telegram_update

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CLIENTS = 24
# A claim whose holder was killed can be taken over after seconds, not after the default half minute.
SHORT = {"telegram": "ack_deadline_secs = 2.5\n", "sections": {"dedup": "lease_secs = 4\ntimeout_secs = 2\n"}}
# A Redis that lives may answer late on a crowded machine, which is not what these tests are about; also above.
PATIENT = {"dedup": "timeout_secs = 5\n"}


class Provider:
    """Delivers numbered updates in parallel, like Telegram: again and again until 2xx; some twice on purpose."""

    def __init__(self, gateway: GatewayProcess, *, size: int = 0) -> None:
        self.gateway, self.padding = gateway, "x" * size
        self.next = random.randrange(10**7) * 100  # tests share a Redis, which remembers
        self.accepted: set[int] = set()
        self.answers: Counter = Counter()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(session))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self.stop.is_set():
            number, self.next = self.next, self.next + 1
            body = json.dumps(telegram_update(number, text=f"update {number} {self.padding}")).encode()
            await self._deliver(session, body)
            self.accepted.add(number)
            if number % 10 == 0:
                await self._deliver(session, body)

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **telegram_headers()}
        while True:
            try:
                async with session.post(f"{self.gateway.url}/c/tg", data=body, headers=headers) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                status = 0
            self.answers[status] += 1
            if 200 <= status < 300:
                return
            await asyncio.sleep(random.uniform(0.05, 0.2))


async def attack(provider: Provider, fault: Callable[[], Awaitable[None]], *, after: float = 1.0) -> None:
    """Run the provider, cause the fault in the middle, let things settle."""
    async with asyncio.timeout(200), asyncio.TaskGroup() as group:
        group.create_task(provider.run())
        await asyncio.sleep(1.5)
        await fault()
        await asyncio.sleep(after)
        provider.stop.set()


async def settled(gateway: GatewayProcess) -> dict[str, int]:
    """Wait until the spool is empty; return the ledger of the channel."""
    names = ("received", "published", "duplicate", "ignored", "quarantined")
    async with asyncio.timeout(120):
        while True:
            try:
                metrics = await asyncio.to_thread(gateway.metrics)
            except RuntimeError:
                metrics = {}
            if metrics and not metrics.get("gateway_spool_rows", 1):
                break
            await asyncio.sleep(0.2)

    def total(name: str) -> int:
        return int(sum(value for key, value in metrics.items() if key.startswith(name) and 'channel="tg"' in key))

    return {name: total(f"gateway_{name}_messages_total") for name in names} | {
        "spooled": total("gateway_spooled_messages")
    }


async def contents(url: str, queue: str = "helpdesk") -> list[dict]:
    """Take everything out of the queue."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(500)
        declared = await channel.declare_queue(queue, passive=True)
        found: list[dict] = []
        async with declared.iterator(timeout=1.5) as messages:
            try:
                async for message in messages:
                    found.append(msgspec.json.decode(message.body)["params"])
                    await message.ack()
            except TimeoutError:
                pass
        return found


def verify(provider: Provider, found: list[dict], *, exactly_once: bool, deduplicated: bool = True) -> None:
    copies: dict[int, list[dict]] = {}
    for params in found:
        copies.setdefault(int(params["message"]["provider_id"]), []).append(params)
    missing = provider.accepted - set(copies)
    assert not missing, f"{len(missing)} of {len(provider.accepted)} answered 2xx are not in the queue"
    assert len(provider.accepted) > 500, f"too little load to mean anything: {provider.answers}"
    for number, params in copies.items():
        assert len({copy["event_id"] for copy in params}) == 1, f"input {number} has several ids"
    if deduplicated:
        unmarked = Counter(
            number for number, params in copies.items() for copy in params if not copy["dedup"]["redelivery"]
        )
        twice = [number for number, count in unmarked.items() if count > 1]
        assert not twice, f"{len(twice)} inputs have more than one unmarked copy"
    if exactly_once:
        assert len(found) == len(copies), f"{len(found) - len(copies)} copies too many"


def balanced(ledger: dict[str, int]) -> bool:
    return ledger["received"] == sum(count for name, count in ledger.items() if name != "received")


@pytest.fixture(scope="module")
def killable(make_rabbit, make_redis):
    """A RabbitMQ and a Redis that these tests may kill; each test leaves them running."""
    return make_rabbit(), make_redis()


@pytest.fixture
def servers(killable):
    rabbit, redis = killable
    rabbit.start()
    redis.start()
    return rabbit, redis, rabbit.add_vhost(uuid.uuid4().hex)


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def workers(request):
    return request.param


async def test_kill_9_of_the_gateway(make_gateway, rabbit_url, redis_url, workers):
    gateway = make_gateway(workers=workers, broker=rabbit_url, dedup=redis_url, **SHORT)
    provider = Provider(gateway)

    async def fault() -> None:
        for _ in range(3):
            gateway.kill9()
            await asyncio.to_thread(gateway.restart)
            await asyncio.sleep(1.0)

    await attack(provider, fault)
    ledger = await settled(gateway)

    verify(provider, await contents(rabbit_url), exactly_once=False)
    assert balanced(ledger), ledger
    assert provider.answers[0] > 0


async def test_kill_9_of_rabbitmq(make_gateway, servers):
    rabbit, redis, url = servers
    gateway = make_gateway(workers=2, broker=url, dedup=redis.url, **SHORT)
    provider = Provider(gateway)

    async def fault() -> None:
        await asyncio.to_thread(rabbit.settle)
        for _ in range(2):
            rabbit.kill()
            await asyncio.sleep(1.0)
            await asyncio.to_thread(rabbit.restart)
            await asyncio.sleep(1.0)

    await attack(provider, fault)
    ledger = await settled(gateway)

    verify(provider, await contents(url), exactly_once=False)
    assert balanced(ledger), ledger
    assert ledger["published"] >= len(provider.accepted)
    assert provider.answers[0] == 0, "a dead broker is no reason to drop a connection"


async def test_kill_9_of_redis(make_gateway, servers):
    _, redis, url = servers
    gateway = make_gateway(workers=2, broker=url, dedup=redis.url, **SHORT)
    provider = Provider(gateway)

    async def fault() -> None:
        redis.kill()
        await asyncio.sleep(1.5)
        await asyncio.to_thread(redis.restart)
        await asyncio.sleep(2.0)

    await attack(provider, fault)
    ledger = await settled(gateway)

    found = await contents(url)
    verify(provider, found, exactly_once=False, deduplicated=False)
    assert {"first", "unchecked"} == {params["dedup"]["state"] for params in found}
    assert balanced(ledger), ledger


async def test_a_memory_alarm(make_gateway, servers):
    rabbit, redis, url = servers
    section = {"broker": "publish_timeout_secs = 1.0\n", **PATIENT}
    gateway = make_gateway(workers=2, broker=url, dedup=redis.url, sections=section)
    provider = Provider(gateway)

    async def fault() -> None:
        await asyncio.to_thread(rabbit.set_alarm, on=True)
        await asyncio.sleep(4.0)
        await asyncio.to_thread(rabbit.set_alarm, on=False)

    await attack(provider, fault)
    ledger = await settled(gateway)

    verify(provider, await contents(url), exactly_once=True)
    assert balanced(ledger), ledger
    assert set(provider.answers) == {200}


async def test_a_cut_and_a_stalled_network(make_gateway, rabbit_server, make_proxy, redis_url):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost("network")
    through = vhost.replace(f":{rabbit_server.port}", f":{proxy.port}")
    gateway = await asyncio.to_thread(
        make_gateway, broker=through, dedup=redis_url, sections={"broker": "publish_timeout_secs = 1.0\n", **PATIENT}
    )
    provider = Provider(gateway)

    async def fault() -> None:
        for _ in range(3):
            proxy.reset()
            await asyncio.sleep(0.7)
        proxy.stall()
        await asyncio.sleep(3.0)
        proxy.resume()
        proxy.cut()
        await asyncio.sleep(1.0)
        proxy.resume()

    await attack(provider, fault)
    ledger = await settled(gateway)

    verify(provider, await contents(vhost), exactly_once=False)
    assert balanced(ledger), ledger
    assert set(provider.answers) == {200}
    rabbit_server.delete_vhost("network")


async def test_a_full_spool_disk(make_gateway, servers):
    rabbit, redis, url = servers
    section = {"gateway": "spool_max_bytes = 3000000\n"}
    gateway = make_gateway(broker=url, dedup=redis.url, sections=section)
    provider = Provider(gateway, size=3000)

    async def fault() -> None:
        await asyncio.to_thread(rabbit.settle)
        rabbit.kill()
        async with asyncio.timeout(60):
            while not provider.answers[503]:
                await asyncio.sleep(0.1)
        await asyncio.to_thread(rabbit.restart)

    await attack(provider, fault, after=3.0)
    ledger = await settled(gateway)

    verify(provider, await contents(url), exactly_once=False)
    assert balanced(ledger), ledger
    assert set(provider.answers) == {200, 503}


async def test_sigterm_under_load_finishes_what_is_under_way(make_gateway, rabbit_url, redis_url):
    gateway = make_gateway(workers=2, broker=rabbit_url, dedup=redis_url, sections=PATIENT)
    provider = Provider(gateway)
    codes = []

    async def fault() -> None:
        codes.append(await asyncio.to_thread(gateway.term))
        await asyncio.to_thread(gateway.restart)

    await attack(provider, fault)
    await settled(gateway)

    assert codes == [0]
    verify(provider, await contents(rabbit_url), exactly_once=True)
