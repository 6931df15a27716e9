"""What a single value cannot show: settings that contradict each other or promise what cannot be kept."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import fields

from gateway.blob_keys import seal_of
from gateway.settings.findings import Finding
from gateway.settings.lint_speech import lint_speech
from gateway.settings.model import Settings

BROKERS = ("embedded:", "amqp://", "amqps://")
STORES = ("embedded:", "redis://", "rediss://")
QUEUES = ("quorum", "classic", "stream")
ANYWHERE = {"", "0.0.0.0", "[::]", "[::0]"}  # noqa: S104 -- compared with, not bound to
PORT_MAX = 65_535


def lint(settings: Settings) -> Iterator[Finding]:
    """Yield everything that is wrong or odd about settings whose single values are right."""
    yield from _urls(settings)
    yield from _listeners(settings)
    yield from _deadlines(settings)
    yield from _queues(settings)
    yield from _proxies(settings)
    yield from _remarks(settings)
    yield from lint_speech(settings)
    yield from _blob_key(settings)
    if not any(channel.options.enabled for channel in settings.channels.values()):
        yield Finding(path="channels", message="no channel is enabled; nothing can come in", fatal=False)


def _urls(settings: Settings) -> Iterator[Finding]:
    for name, url, schemes in (
        ("broker", settings.broker.url, BROKERS),
        ("dedup", settings.dedup.url, STORES),
    ):
        if not url.startswith(schemes) or (url.startswith("embedded:") and url != "embedded:"):
            yield Finding(path=f"{name}.url", message="is none of " + ", ".join(schemes))
            continue
        try:
            parts = urlsplit(url)
            if url != "embedded:" and (not parts.hostname or parts.port == 0):
                yield Finding(path=f"{name}.url", message=f"has no host or no port: {parts.scheme}://host:port/…")
        except ValueError:  # its text may quote the password
            yield Finding(path=f"{name}.url", message="is not a URL", hint="a port is a number, [ ] go around IPv6")
    public = settings.http.public_url
    if public is not None and not (public.startswith(("https://", "http://")) and urlsplit(public).netloc):
        yield Finding(path="http.public_url", message="is not an http:// or https:// URL")


def has_password(url: str) -> bool:
    """Tell whether a URL holds a password for another machine than this one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.password) and parts.hostname not in {"localhost", "127.0.0.1", "::1"}


class _Listener(Struct, frozen=True):
    """Something that listens: channels of one `owner` (a kind) may share it, when they agree on its `options`.

    `key` is the option with the address, within the table at `path`. `options` are the whole table, unless that says
    which of it are the port's (`port_options`).
    """

    owner: str
    path: str
    address: str
    options: object = None
    key: str = "listen"

    @property
    def option(self) -> str:
        return f"{self.path}.{self.key}"

    @property
    def socket_file(self) -> bool:
        return self.address.startswith("unix:")


def _listeners(settings: Settings) -> Iterator[Finding]:
    """Find ports that two owners want."""
    taken: list[_Listener] = []
    for one in _addresses(settings):
        port = _split(one.address)[1]
        if not one.socket_file and (not port.isdecimal() or int(port) > PORT_MAX):
            words = f"expected host:port with a port of at most {PORT_MAX}, got {one.address!r}"
            yield Finding(path=one.option, message=words)
            continue
        for other in taken:
            words = f"{one.address} is taken by {other.option} ({other.address})"
            if (one.owner, one.address, one.key) == (other.owner, other.address, other.key):
                if one.options != other.options:
                    words = f"shares {one.address} with {other.path} and must agree with it on everything else"
                    yield Finding(path=one.path, message=words)
            elif _overlap(one, other):
                yield Finding(path=one.option, message=words, also=(other.owner,))
        taken.append(one)


def _addresses(settings: Settings) -> Iterator[_Listener]:
    yield _Listener("http", "http", settings.http.listen)
    yield _Listener("admin", "admin", settings.admin.listen)
    for channel in settings.channels.values():
        if channel.options.enabled:
            yield from _inside(channel.kind, channel.options, f"channels.{channel.id}")


def _inside(kind: str, options: Struct, path: str) -> Iterator[_Listener]:
    """Find every `listen` and `listen_…` of a channel, however deep; only a table of its own can be shared."""
    for item in fields(options):
        value: Any = getattr(options, item.name)
        if item.name.partition("_")[0] == "listen" and isinstance(value, str) and value:
            yield _Listener(kind, path, value, getattr(options, "port_options", options), item.encode_name)
        elif isinstance(value, Struct):
            yield from _inside(kind, value, f"{path}.{item.encode_name}")


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host, port


def _overlap(one: _Listener, other: _Listener) -> bool:
    if one.socket_file or other.socket_file:
        return one.address == other.address
    (host, port), (host_2, port_2) = _split(one.address), _split(other.address)
    return int(port) == int(port_2) != 0 and (host == host_2 or bool(ANYWHERE & {host, host_2}))


def _deadlines(settings: Settings) -> Iterator[Finding]:
    """Check that deadlines shrink inwards: ack deadline > publish timeout > dedup timeout, lease > all of them."""
    publish, store, lease = (
        settings.broker.publish_timeout_secs,
        settings.dedup.timeout_secs,
        settings.dedup.lease_secs,
    )
    if store >= publish:
        message = f"{store:g} s is not below broker.publish_timeout_secs ({publish:g} s)"
        yield Finding(path="dedup.timeout_secs", message=message, fatal=False, also=("broker",))
    for channel in settings.channels.values():
        path, deadline = f"channels.{channel.id}.ack_deadline_secs", channel.options.ack_deadline_secs
        if deadline >= lease:
            message = f"{deadline:g} s is not below dedup.lease_secs ({lease:g} s)"
            hint = "another process could take the same delivery for new while this one still works on it"
            yield Finding(path=path, message=message, hint=hint, also=("dedup",))
        if publish >= deadline:
            message = f"{deadline:g} s is not above broker.publish_timeout_secs ({publish:g} s)"
            hint = "when the broker is slow the provider is refused before the spool can take the message"
            yield Finding(path=path, message=message, hint=hint, fatal=False, also=("broker",))


def _queues(settings: Settings) -> Iterator[Finding]:
    names: set[str] = set()
    for index, queue in enumerate(settings.broker.queues):
        path = f"broker.queues[{index}]"
        if not queue.name or queue.name.startswith(("gw.", "amq.")):
            yield Finding(
                path=f"{path}.name", message=f"{queue.name!r}: empty, gw.… and amq.… names are not yours to give"
            )
        if queue.name in names:
            yield Finding(path=f"{path}.name", message=f"the queue {queue.name} is declared twice")
        if queue.type not in QUEUES:
            yield Finding(path=f"{path}.type", message="expected one of " + ", ".join(QUEUES))
        if not queue.bind:
            hint = 'such as ["v1.*.*.message.#"]'
            yield Finding(
                path=f"{path}.bind", message="without a binding the queue stays empty", hint=hint, fatal=False
            )
        names.add(queue.name)


def _proxies(settings: Settings) -> Iterator[Finding]:
    for index, network in enumerate(settings.http.trusted_proxies):
        try:
            ipaddress.ip_network(network)
        except ValueError as exc:
            yield Finding(path=f"http.trusted_proxies[{index}]", message=f"is not an address or network: {exc}")


def _blob_key(settings: Settings) -> Iterator[Finding]:
    try:
        seal_of(settings.gateway.blob_key)
    except ValueError as exc:
        yield Finding(path="gateway.blob_key", message=str(exc))


def _remarks(settings: Settings) -> Iterator[Finding]:
    """Let each kind say what it finds odd about its options."""
    shared = settings.dedup.url != "embedded:"
    for channel in settings.channels.values():
        if channel.options.enabled:
            for one in channel.options.remarks(shared=shared):
                path = f"channels.{channel.id}.{one.path}"
                yield Finding(path=path, message=one.message, hint=one.hint, fatal=False, also=("dedup",))
