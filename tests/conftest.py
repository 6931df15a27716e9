"""Fixtures of all floors: real servers on private loopback ports, and no way out of the machine."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
import structlog

from tests.clocks import Clock
from tests.servers.gateway import GatewayProcess
from tests.servers.proxy import TcpProxy
from tests.servers.rabbit import RabbitServer
from tests.servers.redis import RedisServer

LOOPBACK = ["127.0.0.1", "::1", "localhost"]


@pytest.hookimpl(tryfirst=True)  # before pytest-socket reads its options
def pytest_configure(config: pytest.Config) -> None:
    """Connections to other machines fail, in every test."""
    config.option.allow_hosts = config.option.allow_hosts or ",".join(LOOPBACK)
    config.option.allow_unix_socket = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: what is begun last decides how long one process works alone at the end."""
    floors = ["nothing_is_lost", "e2e", "integration", "contract"]
    items.sort(key=lambda item: next((at for at, name in enumerate(floors) if name in item.nodeid), len(floors)))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Commands that run inside the tests set up logging for their process; the next test finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
    root.setLevel(level)


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis that all tests share; tests that stop or empty it take `make_redis`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of an empty database of the shared Redis."""
    return redis_server.fresh_url()


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """The RabbitMQ that all tests share; tests that stop it or raise alarms take `make_rabbit`."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def rabbit_url(rabbit_server: RabbitServer) -> Iterator[str]:
    """URL of an empty virtual host of the shared RabbitMQ, deleted afterwards."""
    name = f"t-{uuid.uuid4().hex}"
    yield rabbit_server.add_vhost(name)
    rabbit_server.delete_vhost(name)


@pytest.fixture(scope="module")
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """Make started Redis servers that a test may kill; they end with the module."""
    with ExitStack() as stack:

        def make() -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"))
            stack.callback(server.stop)
            return server.start()

        yield make


@pytest.fixture(scope="module")
def make_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RabbitServer]]:
    """Make started RabbitMQ servers that a test may kill; they end with the module."""
    with ExitStack() as stack:

        def make() -> RabbitServer:
            server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
            stack.callback(server.stop)
            return server.start()

        yield make


@pytest.fixture
async def make_proxy() -> AsyncIterator[Callable[[int], Awaitable[TcpProxy]]]:
    """Make running `TcpProxy` objects in front of a port: ``proxy = await make_proxy(port)``."""
    async with AsyncExitStack() as stack:

        async def make(target_port: int) -> TcpProxy:
            return await stack.enter_async_context(TcpProxy(target_port).serve())

        yield make


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Make started gateways (arguments of `GatewayProcess`); they end with the test."""
    with ExitStack() as stack:

        def make(**options: object) -> GatewayProcess:
            gateway = GatewayProcess(tmp_path / f"gateway-{uuid.uuid4().hex[:6]}", **options)  # type: ignore[arg-type]
            stack.callback(gateway.stop)
            return gateway.start()

        yield make
