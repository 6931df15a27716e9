"""Fixtures of telephone tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.servers.sipp import Sipp


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """PEM files for SIP over TLS, by name: certificate and key."""
    folder: Path = tmp_path_factory.mktemp("sip-tls")
    made = trustme.CA().issue_cert("127.0.0.1", "localhost")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


@pytest.fixture
def make_sipp(tmp_path: Path) -> Iterator[Callable[[str], Sipp]]:
    """Make runs of sipp of a scenario; they end with the test."""
    with ExitStack() as stack:

        def make(scenario: str) -> Sipp:
            one = Sipp(tmp_path, scenario)
            stack.callback(one.kill)
            return one

        yield make
