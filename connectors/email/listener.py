"""A listening SMTP port, shared by all channels that name it."""

from __future__ import annotations

import asyncio
import platform
import ssl
from collections.abc import Mapping
from typing import Any

import structlog
from typing_extensions import override

from connectors.email import replies
from connectors.email.config import EmailConfig, ListenerConfig, LmtpConfig, SmtpConfig
from connectors.email.delivery import Inbox, Mail, Outcome
from connectors.email.desk import Client
from connectors.email.lmtp import LmtpConnection
from connectors.email.peers import Peers
from connectors.email.ports import open_port, server_context
from connectors.email.routing import Pattern, Routes, split
from connectors.email.smtp import Connection
from connectors.errors import Misconfigured
from connectors.secrets import Secret

REMEMBER_LEFT_SECS = 30.0
"""How long the addresses of a channel that has left are answered "try again": it may only be restarting."""


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
    """Owns its ports while it has members; a `connectors.email.desk.Desk`."""

    def __init__(self, config: SmtpConfig | LmtpConfig) -> None:
        """Nothing is opened yet."""
        self.lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._routes: Routes[Member] = Routes()
        self._members: set[Member] = set()
        self._left: dict[tuple[str, ...], float] = {}
        self._connections: set[Client] = set()
        self._settled = 0.0
        self._buffered = 0
        self._configure(config)

    def _configure(self, config: SmtpConfig | LmtpConfig) -> None:
        self.config: ListenerConfig = config
        self.peers = Peers(config, self._loop.time)
        self.hostname = config.hostname or platform.node() or "localhost"
        smtp = config if isinstance(config, SmtpConfig) else None
        self.require_tls = smtp is not None and smtp.require_tls
        self.require_auth = smtp is not None and smtp.require_auth
        self.users: Mapping[str, Secret] = smtp.users if smtp else {}
        self._failures_max = smtp.max_auth_failures_per_ip if smtp else 0
        self.tls: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port(0)

    @property
    def tls_port(self) -> int:
        """The port in use where TLS begins at once."""
        return self._port(1)

    def _port(self, number: int) -> int:
        if not self._servers:
            raise RuntimeError("the listener is closed")
        return int(self._servers[number].sockets[0].getsockname()[1])

    @property
    def busy(self) -> bool:
        """Tell whether a channel uses it."""
        return bool(self._members)

    async def join(self, member: Member, config: SmtpConfig | LmtpConfig) -> None:
        """Add a channel, opening the ports for the first; raises `Misconfigured`."""
        async with self.lock:
            if self._members and config != self.config:
                raise Misconfigured(f"the channels listening on {config.listen} must have the same `smtp` options")
            try:
                self._routes.add(member.patterns, member)
            except ValueError as exc:
                raise Misconfigured(str(exc)) from exc
            try:
                if not self._servers:
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
        if self._members <= {member}:
            self._close()

    async def _open(self, config: SmtpConfig | LmtpConfig) -> None:
        self._configure(config)
        try:
            if isinstance(config, SmtpConfig):
                self.tls = server_context(config)
                self._servers.append(await open_port(config.listen, lambda: Connection(self)))
                if config.listen_tls is not None:
                    self._servers.append(await open_port(config.listen_tls, lambda: Connection(self), tls=self.tls))
            else:
                self._servers.append(
                    await open_port(config.listen, lambda: LmtpConnection(self), mode=config.socket_mode)
                )
        except BaseException:
            self._close()
            raise
        self._settled = self._loop.time() + config.settle_secs

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def admit(self, connection: Client, peer: str) -> str | None:
        """See `connectors.email.desk.Desk`."""
        refusal = self.peers.enter(peer)
        if refusal is None:
            self._connections.add(connection)
        return refusal

    def leave(self, connection: Client, peer: str) -> None:
        """See `connectors.email.desk.Desk`."""
        self._connections.discard(connection)
        self.peers.leave(peer)

    def begin_mail(self, peer: str) -> bool:
        """See `connectors.email.desk.Desk`."""
        return self.peers.begin_mail(peer)

    def locked(self, peer: str) -> bool:
        """See `connectors.email.desk.Desk`."""
        return self.peers.failed_logins(peer) >= self._failures_max

    def login_failed(self, peer: str) -> None:
        """See `connectors.email.desk.Desk`."""
        self.peers.failed_logins(peer, another=True)
        structlog.get_logger().warning("smtp_login_failed", peer=peer)

    def refusal(self, recipient: str) -> str | None:
        """See `connectors.email.desk.Desk`."""
        if self._routes.find(recipient) is not None:
            return None
        now = self._loop.time()
        local, domain = split(recipient)
        keys = [(local, domain), (local.partition("+")[0], domain), ("*", domain)]
        leaving = any(self._left.get(key, 0.0) > now for key in keys)
        return replies.NOT_YET if leaving or now < self._settled else replies.UNKNOWN

    def reserve(self, count: int) -> bool:
        """See `connectors.email.desk.Desk`."""
        if count > 0 and self._buffered + count > self.config.max_buffered_bytes:
            return False
        self._buffered += count
        return True

    async def deliver(self, mail: Mail, recipients: list[str]) -> list[Outcome]:
        """Hand a mail once to every channel concerned; see `connectors.email.desk.Desk`."""
        targets = [self._routes.find(recipient) for recipient in recipients]
        tasks: dict[Member, asyncio.Task[Outcome] | None] = {}
        for member in dict.fromkeys(one for one in targets if one is not None):
            tasks[member] = member.start(
                mail, [to for to, one in zip(recipients, targets, strict=True) if one is member]
            )
        running = [task for task in tasks.values() if task is not None]
        if running:
            await asyncio.wait(running)
        return [_outcome(tasks[member]) if member is not None else Outcome.BUSY for member in targets]


def _outcome(task: asyncio.Task[Outcome] | None) -> Outcome:
    """Read a result; a delivery that did not begin, or was broken off, is to be repeated."""
    return Outcome.BUSY if task is None or task.cancelled() else task.result()


async def serve(hub: dict[str, Any], config: EmailConfig, inbox: Inbox) -> None:
    """Receive for one channel by SMTP and LMTP, whichever it has, until cancelled; raises `Misconfigured`."""
    try:
        async with asyncio.TaskGroup() as group:
            for options in (config.smtp, config.lmtp):
                if options is not None:
                    group.create_task(_serve(hub, config, options, inbox))
            await asyncio.Event().wait()
    except* Misconfigured as exc:
        raise exc.exceptions[0] from None


async def _serve(hub: dict[str, Any], config: EmailConfig, options: SmtpConfig | LmtpConfig, inbox: Inbox) -> None:
    listener = _listener(hub, options)
    member = Member(config, inbox)
    await listener.join(member, options)
    try:
        await listener.serve(member)
    finally:
        await listener.part(member)


def _listener(hub: dict[str, Any], options: SmtpConfig | LmtpConfig) -> Listener:
    """Find or make the listener of these ports: two on one port would each get half of the mail."""
    tls = options.listen_tls if isinstance(options, SmtpConfig) else None
    names = [f"smtp:{address}" for address in (options.listen, tls) if address is not None]
    listener: Listener = hub.get(names[0]) or Listener(options)
    for name in names:
        other: Listener | None = hub.get(name)
        if other is not None and other is not listener and other.busy:
            raise Misconfigured(f"{name.removeprefix('smtp:')} is in use by a listener with another `listen`")
        hub[name] = listener
    return listener
