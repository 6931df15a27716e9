"""WebSockets by TLS, where no server in front does that."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage

from connectors.errors import Misconfigured
from tests.integration.chat.helpers import office


def certificate(folder: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Make a certificate; returns the options that use it, and a client that trusts it."""
    authority, client = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(client)
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}, client


async def test_visitor_is_served_by_tls_and_pages_are_told_so(tmp_path: Path) -> None:
    options, client = certificate(tmp_path)
    async with office(tmp_path, **options) as it:
        port = it.channel.probe_port()
        async with it.http.get(f"{it.url}/config") as response:
            assert (await response.json())["ws"] == f"wss://127.0.0.1:{port}/chat/web/ws"
        async with connect(f"wss://127.0.0.1:{port}/chat/web/ws", ssl=client, proxy=None) as ws:
            await ws.send('{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1}}')
            assert "token" in await ws.recv()


async def test_who_speaks_no_tls_or_trusts_another_certificate_gets_nowhere(tmp_path: Path) -> None:
    options, _ = certificate(tmp_path)
    async with office(tmp_path, **options) as it:
        with pytest.raises((InvalidMessage, OSError, EOFError)):
            await connect(it.ws, proxy=None, open_timeout=20)
        with pytest.raises(ssl.SSLError):
            await connect(it.ws.replace("ws:", "wss:"), ssl=ssl.create_default_context(), proxy=None)


async def test_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    options, _ = certificate(tmp_path)
    (tmp_path / "key.pem").write_text("no key")
    with pytest.RaisesGroup(pytest.RaisesExc(Misconfigured, match=r"cert\.pem and .*key\.pem"), flatten_subgroups=True):
        async with office(tmp_path, **options):
            pass
