"""A listening SMTP port, shared by all channels that name it."""

from __future__ import annotations

import asyncio
import ipaddress
import platform
import ssl
from collections import Counter
from typing import Any

from typing_extensions import override

from connectors.email import replies
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.delivery import Inbox, Mail, Outcome
from connectors.email.routing import Pattern, Routes, split
from connectors.email.smtp import Connection
from connectors.errors import Misconfigured

REMEMBER_LEFT_SECS = 30.0
"""How long the addresses of a channel that has left are answered "try again": it may only be restarting."""
BACKLOG = 1024


class Member:
    """A channel at a listener; it takes mail from the moment it has a `group` to work in."""

    def __init__(self, config: EmailConfig, inbox: Inbox) -> None:
        """Join with the addresses of `config`."""
        self.patterns = [Pattern.parse(address) for address in dict.fromkeys(config.addresses)]
        self.inbox = inbox
        self.group: asyncio.TaskGroup | None = None
        self.tasks: set[asyncio.Task[Outcome]] = set()

    @override
    def __str__(self) -> str:
        """Name the channel."""
        return str(self.inbox)

    def start(self, mail: Mail, recipients: list[str]) -> asyncio.Task[Outcome] | None:
        """Begin to deliver, in the channel's own group: a client that hangs up does not break it off."""
        if self.group is None:
            return None
        delivery = self.inbox.deliver(mail, recipients)
        try:
            task = self.group.create_task(delivery)
        except RuntimeError:  # the group is closing
            delivery.close()
            return None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class Listener:
    """Owns the port while it has members; a `connectors.email.smtp.Desk`."""

    def __init__(self, config: SmtpConfig) -> None:
        """Nothing is opened yet."""
        self.config = config
        self.hostname = ""
        self.tls: ssl.SSLContext | None = None
        self.lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._routes: Routes[Member] = Routes()
        self._members: set[Member] = set()
        self._left: dict[tuple[str, ...], float] = {}
        self._connections: set[Connection] = set()
        self._per_ip: Counter[str] = Counter()
        self._recent: Counter[str] = Counter()
        self._recent_until = 0.0
        self._settled = 0.0
        self._buffered = 0

    @property
    def port(self) -> int:
        """The port in use."""
        if self._server is None:
            raise RuntimeError("the listener is closed")
        return int(self._server.sockets[0].getsockname()[1])

    async def join(self, member: Member, config: SmtpConfig) -> None:
        """Add a channel, opening the port for the first; raises `Misconfigured`."""
        async with self.lock:
            if self._members and config != self.config:
                raise Misconfigured(f"the channels listening on {config.listen} must have the same `smtp` options")
            try:
                self._routes.add(member.patterns, member)
            except ValueError as exc:
                raise Misconfigured(str(exc)) from exc
            try:
                if self._server is None:
                    await self._open(config)
            except BaseException:
                self._routes.discard(member)
                raise
            self._members.add(member)

    async def serve(self, member: Member) -> None:
        """Take mail for a channel that has joined until cancelled, then let its deliveries end."""
        async with asyncio.TaskGroup() as group:
            member.group = group
            try:
                await asyncio.Event().wait()
            finally:
                member.group = None
                self._retire(member)
                if member.tasks:
                    await asyncio.wait(list(member.tasks), timeout=self.config.drain_secs)

    async def part(self, member: Member) -> None:
        """Remove a channel; after the last the connections are closed, too."""
        self._retire(member)
        async with self.lock:
            self._members.discard(member)
            if not self._members:
                for connection in list(self._connections):
                    connection.dismiss()

    def _retire(self, member: Member) -> None:
        self._routes.discard(member)
        now = self._loop.time()
        self._left = {key: until for key, until in self._left.items() if until > now}
        self._left.update(dict.fromkeys(map(tuple, member.patterns), now + REMEMBER_LEFT_SECS))
        if self._members <= {member} and self._server is not None:
            self._server.close()
            self._server = None

    async def _open(self, config: SmtpConfig) -> None:
        self.config = config
        self.hostname = config.hostname or platform.node() or "localhost"
        self.tls = _tls_context(config)
        host, _, port = config.listen.rpartition(":")
        try:
            self._server = await self._loop.create_server(
                lambda: Connection(self), host.strip("[]") or None, int(port), reuse_port=True, backlog=BACKLOG
            )
        except OSError as exc:
            raise Misconfigured(f"cannot listen on {config.listen}: {exc.strerror or exc}") from exc
        self._settled = self._loop.time() + config.settle_secs

    def admit(self, connection: Connection, peer: str) -> str | None:
        """See `connectors.email.smtp.Desk`."""
        key, config = _network(peer), self.config
        if self._loop.time() >= self._recent_until:
            self._recent.clear()
            self._recent_until = self._loop.time() + 60.0
        self._recent[key] += 1
        if len(self._connections) >= config.max_connections:
            return replies.CROWDED
        if self._per_ip[key] >= config.max_connections_per_ip:
            return replies.CROWDED_BY_YOU
        if 0 < config.connections_per_minute_per_ip < self._recent[key]:
            return replies.TOO_OFTEN
        self._connections.add(connection)
        self._per_ip[key] += 1
        return None

    def leave(self, connection: Connection, peer: str) -> None:
        """See `connectors.email.smtp.Desk`."""
        key = _network(peer)
        self._connections.discard(connection)
        self._per_ip[key] -= 1
        if self._per_ip[key] <= 0:
            del self._per_ip[key]

    def refusal(self, recipient: str) -> str | None:
        """See `connectors.email.smtp.Desk`."""
        if self._routes.find(recipient) is not None:
            return None
        now = self._loop.time()
        local, domain = split(recipient)
        keys = [(local, domain), (local.partition("+")[0], domain), ("*", domain)]
        leaving = any(self._left.get(key, 0.0) > now for key in keys)
        return replies.NOT_YET if leaving or now < self._settled else replies.UNKNOWN

    def reserve(self, count: int) -> bool:
        """See `connectors.email.smtp.Desk`."""
        if count > 0 and self._buffered + count > self.config.max_buffered_bytes:
            return False
        self._buffered += count
        return True

    async def deliver(self, mail: Mail, recipients: list[str]) -> Outcome:
        """Hand a mail to every channel concerned; if one cannot take it, the client repeats it for all.

        The others then see a duplicate, which their dedup store recognises.
        """
        by_member: dict[Member | None, list[str]] = {}
        for recipient in recipients:
            by_member.setdefault(self._routes.find(recipient), []).append(recipient)
        tasks = [member.start(mail, addresses) if member else None for member, addresses in by_member.items()]
        running = [task for task in tasks if task is not None]
        if running:
            await asyncio.wait(running)
        if len(running) < len(tasks) or any(task.cancelled() for task in running):
            return Outcome.BUSY
        outcomes = {task.result() for task in running}
        if Outcome.BUSY in outcomes:
            return Outcome.BUSY
        return Outcome.ACCEPTED if Outcome.ACCEPTED in outcomes else Outcome.REFUSED


async def serve(hub: dict[str, Any], config: EmailConfig, smtp: SmtpConfig, inbox: Inbox) -> None:
    """Receive for one channel at the listener that `smtp` names, until cancelled; raises `Misconfigured`."""
    name = f"smtp:{smtp.listen}"
    listener: Listener = hub.get(name) or hub.setdefault(name, Listener(smtp))
    member = Member(config, inbox)
    await listener.join(member, smtp)
    try:
        await listener.serve(member)
    finally:
        await listener.part(member)


def _tls_context(config: SmtpConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as exc:
        files = " and ".join(filter(None, (config.tls_cert, config.tls_key)))
        raise Misconfigured(f"cannot use the certificate in {files}: {exc.strerror or exc}") from exc
    return context


def _network(peer: str) -> str:
    """The client for the limits: an IPv4 address, or the /64 that one IPv6 customer gets."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return peer
