"""The configuration as types; units are in the names.

`config/README.md`, the reference, is generated from these docstrings.
"""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from connectors.api import ChannelConfig, Positive, Seconds
from connectors.secrets import Secret
from gateway.broker.api import QueueSpec

Listen = Annotated[
    str, Meta(pattern=r"^(\[[0-9a-fA-F:.]*\]|[^:\s]*):\d{1,5}$", description="host:port; port 0 takes a free one")
]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section."""


class GatewaySection(Section, frozen=True, kw_only=True):
    """`[gateway]`.

    Attributes:
        node: name of this node in logs and metrics; the host name if not given.
        data_dir: spool, quarantine, blobs, journal, embedded broker and dedup; must be on a local disk.
        drain_secs: on SIGTERM, how long deliveries under way may take to finish.
        spool_max_bytes: size limit of the spool; beyond it deliveries are answered "try again".
        journal_days: how long `omnigate why` can look back; 0 keeps no journal.
        quarantine_days: how long rows stay after they were re-driven or discarded; others stay until somebody decides.
        blob_days: how long attachments and raw deliveries stay after they last came; 0 keeps them for ever.
        blob_key: seals attachments, raw deliveries and recordings on disk (AES-256-GCM): 32 random bytes in base64 or
            hex (`openssl rand -base64 32`). Several keys, separated by blanks or line ends: the first seals, all open.
            Keep it: what it sealed cannot be read without it.
        uvloop: use uvloop as event loop.
    """

    node: str = field(default_factory=socket.gethostname)
    data_dir: str = "var"
    drain_secs: Seconds = 20.0
    spool_max_bytes: Positive = 1_073_741_824
    journal_days: Annotated[int, Meta(ge=0)] = 7
    quarantine_days: Annotated[int, Meta(ge=1)] = 90
    blob_days: Annotated[int, Meta(ge=0)] = 0
    blob_key: Secret | None = None
    uvloop: bool = True


class HttpSection(Section, frozen=True, kw_only=True):
    """`[http]`: where providers deliver.

    Attributes:
        listen: address of ``/c/<channel>``.
        public_url: how providers reach it (`https://gw.example`), for signed media links and URL signatures.
        max_connections: beyond it the connection that has been idle longest makes room; with none idle the answer is
            503.
        max_in_flight: deliveries in the pipeline; beyond it the answer is 503.
        header_timeout_secs: a client that has not sent its headers by then is cut off; also the keep-alive time.
        body_timeout_secs: the same for the body.
        trusted_proxies: addresses or networks whose X-Forwarded-For is believed.
    """

    listen: Listen = "127.0.0.1:8080"
    public_url: str | None = None
    max_connections: Positive = 4096
    max_in_flight: Positive = 4096
    header_timeout_secs: Seconds = 30.0
    body_timeout_secs: Seconds = 15.0
    trusted_proxies: tuple[str, ...] = ()


class AdminSection(Section, frozen=True, kw_only=True):
    """`[admin]`: health, metrics, console, API.

    Attributes:
        listen: keep it off the internet.
        token: bearer token of ``/api``; without one a random token is written to ``<data_dir>/admin-token``.
    """

    listen: Listen = "127.0.0.1:8081"
    token: Secret | None = None


class BrokerSection(Section, frozen=True, kw_only=True):
    """`[broker]`.

    Attributes:
        url: ``embedded:`` (SQLite in `data_dir`), or an ``amqp://`` / ``amqps://`` URL, or ``env:`` / ``file:``
            where it stands.
        queues: declared at start and bound to `gw.events`.
        publish_timeout_secs: without a confirm by then the message goes to the spool.
        max_unconfirmed: publishes without confirm; beyond it messages go to the spool.
        retain_hours: embedded only: how long events stay for `omnigate tail --from-start`.
        history_hours: RabbitMQ only: keep a stream `gw.history` of this many hours for `tail --from-start`; 0 keeps
            none.
    """

    url: str = "embedded:"
    queues: tuple[QueueSpec, ...] = ()
    publish_timeout_secs: Seconds = 3.0
    max_unconfirmed: Positive = 20_000
    retain_hours: Annotated[float, Meta(gt=0)] = 72.0
    history_hours: Annotated[float, Meta(ge=0)] = 0.0


class DedupSection(Section, frozen=True, kw_only=True):
    """`[dedup]`.

    Attributes:
        url: ``embedded:`` (SQLite in `data_dir`, one machine), or ``redis://`` / ``rediss://`` (several nodes).
        window_secs: how long a delivery is remembered; at least the provider's retry horizon.
        lease_secs: how long a claim of a process that died blocks the provider's retry.
        timeout_secs: without an answer by then the store counts as down.
        when_down: ``unchecked`` publishes with `dedup.state = "unchecked"`; ``refuse`` answers "try again".
    """

    url: str = "embedded:"
    window_secs: Seconds = 604_800.0
    lease_secs: Seconds = 30.0
    timeout_secs: Seconds = 0.5
    when_down: Literal["unchecked", "refuse"] = "unchecked"


class DoctorSection(Section, frozen=True, kw_only=True):
    """`[doctor]`: looks after the channels, and says `channel.status` degraded before they fail.

    Attributes:
        every_secs: how often each channel's provider is asked; 0 never. Of several nodes one asks.
        expiry_days: how long before its end a token or certificate is trouble.
    """

    every_secs: Annotated[float, Meta(ge=0)] = 3600.0
    expiry_days: Annotated[float, Meta(ge=0)] = 14.0


class LogSection(Section, frozen=True, kw_only=True):
    """`[log]`.

    Attributes:
        level: ``debug`` may show addresses, never message text.
        format: ``auto`` is console on a terminal and JSON elsewhere.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class AsrSection(Section, frozen=True, kw_only=True):
    """`[asr]`: speech to text.

    Attributes:
        models: language → name of a Vosk model in ``<data_dir>/models`` (`omnigate models`), or path. The first is the
            language of channels that name none.
        workers: processes that recognise; 0 is one per core.
        max_sessions: voices recognised live at once; 0 goes by how long the models take. Beyond it calls are recorded
            and transcribed later.
        preload: every worker loads all models at start, so that nobody waits for one; otherwise when it first needs
            one. Each worker has a copy in memory: of a small model a hundred megabytes or two, of a big one gigabytes.
        buffer_secs: how far a recogniser may be behind a live voice; what is said then is not recognised.
        missed_secs: a live voice of which so much was not recognised is given up, and its recording transcribed later.
        final_secs: how long the last words may take when somebody has hung up.
        wait_hours: how long voice notes and recordings wait for a model, or a free recogniser.
        max_minutes: longer voice notes and recordings are not transcribed.
        numerals: numbers that were said become figures ("four two seven" is "427"); English and German.
        mask: what becomes asterisks in transcripts: ``cards``, numbers that pass the check of card numbers; ``digits``,
            every four digits or more in a row.
    """

    models: dict[str, str] = {}
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    max_sessions: Annotated[int, Meta(ge=0)] = 0
    preload: bool = True
    buffer_secs: Seconds = 5.0
    missed_secs: Seconds = 5.0
    final_secs: Seconds = 3.0
    wait_hours: Seconds = 168.0
    max_minutes: Seconds = 240.0
    numerals: bool = False
    mask: Literal["none", "cards", "digits"] = "none"


class Channel(Struct, frozen=True, kw_only=True):
    """One `[channels.<id>]` table."""

    id: str
    kind: str
    options: ChannelConfig


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that was read, checked and resolved.

    Attributes:
        channels: id → (kind, options of that kind), enabled or not.
        files: every file that was read, for the watcher.
    """

    gateway: GatewaySection
    http: HttpSection
    admin: AdminSection
    broker: BrokerSection
    dedup: DedupSection
    doctor: DoctorSection
    log: LogSection
    asr: AsrSection
    channels: dict[str, Channel]
    files: tuple[str, ...]
