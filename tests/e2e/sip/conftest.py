"""Gateways with telephone lines; one serves all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.servers.gateway import GatewayProcess
from tests.servers.sipp import Sipp
from tests.sip.exchange import Exchange


@pytest.fixture(scope="module")
def make_exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Exchange]]:
    """Make gateways with a telephone line (arguments of `Exchange`); they end with the module."""
    with ExitStack() as stack:

        def start(**options: object) -> GatewayProcess:
            gateway = GatewayProcess(tmp_path_factory.mktemp("gateway") / "g", **options)  # type: ignore[arg-type]
            stack.callback(gateway.stop)
            return gateway.start()

        def make(**options: object) -> Exchange:
            exchange = Exchange(start, **options)  # type: ignore[arg-type]
            stack.callback(exchange.close)
            return exchange

        yield make


@pytest.fixture
def make_sipp(tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    """Make runs of sipp (arguments of `Sipp` after the folder); they end with the test."""
    with ExitStack() as stack:

        def make(scenario: str, *, speech: bytes | None = None) -> Sipp:
            one = Sipp(tmp_path, scenario) if speech is None else Sipp(tmp_path, scenario, speech=speech)
            stack.callback(one.kill)
            return one

        yield make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """PEM files for SIP over TLS, by name: certificate, key, and the authority."""
    folder = tmp_path_factory.mktemp("sip-tls")
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    made.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return {name: str(folder / f"{name}.pem") for name in ("cert", "key", "both", "ca")}
