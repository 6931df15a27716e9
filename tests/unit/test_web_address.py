from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from connectors.addresses import client_address, parse_networks
from gateway.web.address import bind, split

PROXIES = ("10.0.0.0/8", "192.0.2.7", "fd00::/8")


def asked(peer: str, *lines: str, trusted: tuple[str, ...] = PROXIES) -> str | None:
    """Say who asks when `peer` connects and sends these X-Forwarded-For lines."""
    return client_address(peer, lines, parse_networks(trusted))


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("1.1.1.1",), "203.0.113.9"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9, 192.0.2.7",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("203.0.113.9:51234",), "203.0.113.9"),
        ("10.0.0.1", ("[2001:db8::9]:51234",), "2001:db8::9"),
        ("10.0.0.1", ("2001:db8::9",), "2001:db8::9"),
        ("fd00::1", ("203.0.113.9",), "203.0.113.9"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9, ",), "10.0.0.1"),
        ("10.0.0.1", ("\udcff\udcfe",), "10.0.0.1"),
    ],
    ids=[
        "no proxy",
        "a stranger says who he is",
        "a proxy that says nothing",
        "one proxy",
        "what the client made up is not believed",
        "two proxies",
        "a proxy that appends a line of its own",
        "a client inside",
        "with a port",
        "IPv6 with a port",
        "IPv6",
        "a proxy with IPv6",
        "an IPv4 proxy at an IPv6 socket",
        "a proxy that does not know",
        "an empty entry",
        "bytes that are no text",
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(peer: str, lines: tuple[str, ...], client: str) -> None:
    assert asked(peer, *lines) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert asked("10.0.0.1", "203.0.113.9", trusted=()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), (":9000", ("", 9000)), ("a.b:1", ("a.b", 1))],
)
def test_an_address_to_listen_on_is_host_and_port(listen: str, parts: tuple[str, int]) -> None:
    assert split(listen) == parts


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_an_address_in_use_is_named(taken: str) -> None:
    with pytest.raises(OSError, match=f"cannot listen on {taken}: Address already in use"):
        bind(taken)


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 203\.0\.113\.1:8080: Cannot assign requested address"):
        bind("203.0.113.1:8080")


def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot resolve no-such-host\.invalid:8080"):
        bind("no-such-host.invalid:8080")


def test_an_empty_host_is_every_interface() -> None:
    with bind(":0") as sock:
        assert sock.getsockname()[0] in {"0.0.0.0", "::"}


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="proxy"):
        parse_networks(["proxy"])
