"""What a connector is, what it is given, and what it promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import aiohttp
from msgspec import Meta, Struct
from structlog.typing import FilteringBoundLogger

from connectors.audio import Audio, NoAudio
from connectors.capabilities import Capabilities as Capabilities  # noqa: PLC0414 -- part of this contract
from connectors.feeds import NO_FEEDS, Feeds
from connectors.report import Report, unheard, unhinted, untold
from connectors.sealing import Seal
from connectors.sinks import QuickSink as QuickSink  # noqa: PLC0414 -- part of this contract, as the next two
from connectors.sinks import Receipt as Receipt  # noqa: PLC0414
from connectors.sinks import Sink as Sink  # noqa: PLC0414
from connectors.speech import Deaf, Speech
from connectors.stores import Blobs as Blobs  # noqa: PLC0414 -- part of this contract, as the next two
from connectors.stores import LinkMaker as LinkMaker  # noqa: PLC0414
from connectors.stores import Retention, untimed
from connectors.stores import State as State  # noqa: PLC0414
from normalizer.codecs.api import Codec
from normalizer.methods import Params
from normalizer.model import ChannelRef
from normalizer.parts import Media
from normalizer.raw import Event, Outbound


class Sent(Struct, frozen=True):
    """Proof of acceptance by the provider.

    Attributes:
        provider_ids: one per request that was made.
        metadata: what else is to be told, such as recipients that were refused while others were not; it stands in
            ``metadata.<kind>`` of `message.status`, and in the answer.
    """

    provider_ids: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


Seconds = Annotated[float, Meta(gt=0)]
Positive = Annotated[int, Meta(gt=0)]


class Remark(Struct, frozen=True):
    """Something about options to think about before it hurts.

    Attributes:
        path: the option, below the channel.
        message: what is odd.
        hint: what to do about it.
    """

    path: str
    message: str
    hint: str = ""


class ChannelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of every channel; a kind subclasses this and adds its own.

    Attributes:
        enabled: false keeps the channel in the file and out of service.
        account: the provider's name of our side (bot name, phone number), copied to `channel.account`.
        labels: free words copied to every event, for routing and dashboards.
        ack_deadline_secs: answer the provider within this time, with success or "try again".
        dedup_window_secs: how long a delivery is remembered; 0 takes the value of `[dedup]`.
        max_bytes: the largest delivery.
        keep_raw: keep the bytes of every delivery as a blob (`raw.ref`), for replay; those of content nobody knows yet
            are kept anyway.
        rate_per_sec: messages sent per second; 0 is unlimited.
        max_sends: messages sent at the same time.
        fetch_media: fetch the media of received messages at once and keep them as blobs.
        media_max_bytes: the largest media item that is fetched or sent.
        media_timeout_secs: how long one try to fetch a media item may take.
        media_retry_secs: how long fetching is tried, where the provider does not say when its media expire.
        media_types: MIME types that are kept (`image/*`); none named keeps everything but programs.
        send_attempts: tries before a message is given up.
        send_timeout_secs: how long one try may take.
        silence_secs: the channel is degraded when nothing was delivered for so long; 0 never.
        transcribe_media: what is transcribed where `[asr] models` names any: ``voice`` notes, all ``audio``, or
            ``nothing``.
        language: what is spoken, a key of `[asr] models`; the first of them if not given.
    """

    enabled: bool = True
    account: str | None = None
    labels: dict[str, str] = {}
    ack_deadline_secs: Seconds = 8.0
    dedup_window_secs: Annotated[float, Meta(ge=0)] = 0.0
    max_bytes: Positive = 1_048_576
    keep_raw: bool = False
    rate_per_sec: Annotated[float, Meta(ge=0)] = 0.0
    max_sends: Positive = 8
    fetch_media: bool = True
    media_max_bytes: Positive = 33_554_432
    media_timeout_secs: Seconds = 60.0
    media_retry_secs: Seconds = 86_400.0
    media_types: tuple[str, ...] = ()
    send_attempts: Positive = 5
    send_timeout_secs: Seconds = 20.0
    silence_secs: Annotated[float, Meta(ge=0)] = 0.0
    transcribe_media: Literal["voice", "audio", "nothing"] = "voice"
    language: str | None = None

    def remarks(self, *, shared: bool) -> Iterable[Remark]:
        """Say what is odd about options that are right one by one; asked at each load, so quick and without network.

        Args:
            shared: several nodes may have this channel: their dedup store is on a server.
        """
        return ()


class Fetched(Struct, frozen=True, kw_only=True):
    """A media item as downloaded.

    Attributes:
        mime: as the provider declared it, where it did.
        name: of the file, where the provider tells.
    """

    data: bytes
    mime: str | None = None
    name: str | None = None


class Context(Struct, frozen=True, kw_only=True):
    """Shared resources, owned by the gateway and injected.

    Attributes:
        channel: the channel's identity, put on every event.
        log: bound to the channel.
        http: one client session for all connectors; follows no redirects by default.
        blobs: storage for attachments and raw mails.
        data_dir: where a connector may keep a cursor, in a folder of its own name.
        refused: counts a delivery that was not accepted, by the code of the error (`gateway_refused_deliveries`).
        hub: objects that several channels of this process share (a listening port), by name.
        state: what all workers and nodes remember of this channel: cursors, leases, tokens.
        link: makes links a provider can fetch media from.
        feeds: lists that all workers and nodes append to and follow.
        report: tells that a part of the channel is in trouble, or well again (`channel.status`).
        url: where providers reach this channel, by `[http] public_url`; empty where that is not configured.
        speech: speech to text.
        primary: of the processes of this node, this one holds what only one may hold (telephone calls).
        publish: tells an event that no delivery brought; true once it is durable.
        hint: tells an event that may be lost and is soon stale (`call.transcript.partial`), beside the pipeline.
        audio: sound files to samples, and back.
        seal: what files are sealed with until they are blobs, where the operator set a key.
        retention: gives a blob an end of its own.
    """

    channel: ChannelRef
    log: FilteringBoundLogger
    http: aiohttp.ClientSession
    blobs: Blobs
    data_dir: Path
    hub: dict[str, Any]
    state: State
    link: LinkMaker
    feeds: Feeds = NO_FEEDS
    refused: Callable[[str], None] = lambda _: None
    report: Report = unheard
    url: str = ""
    speech: Speech = Deaf()
    primary: bool = True
    publish: Callable[[Event], Awaitable[bool]] = untold
    hint: Callable[[Event], None] = unhinted
    audio: Audio = NoAudio()
    seal: Seal | None = None
    retention: Retention = untimed


class Connector(Protocol):
    """One configured channel."""

    @property
    def codec(self) -> Codec:
        """The codec of this channel, built from its configuration."""
        ...

    async def run(self, sink: Sink) -> None:
        """Receive until cancelled; raising or returning makes the supervisor restart it with back-off."""
        ...

    async def send(self, message: Outbound) -> Sent:
        """Deliver one message; raises `SendError` or `Unsendable`."""
        ...


class Delivery(Struct, frozen=True, kw_only=True):
    """An HTTP request to ``/c/<channel>``, its body read once within the size and time limits.

    Attributes:
        headers: names in lower case; one that came in several lines has them joined by commas.
        query: decoded; of repeated names the first.
        path: what follows ``/c/<channel>``, without query.
        url: as the client asked for it, for signatures that cover it.
        connected: tells whether the client is still there to read the answer.
    """

    method: str
    path: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    remote: str | None = None
    connected: Callable[[], bool] = lambda: True


class Reply(Struct, frozen=True, kw_only=True):
    """The HTTP answer to a `Delivery`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: dict[str, str] = {}


@runtime_checkable
class HttpConnector(Connector, Protocol):
    """A connector that takes HTTP deliveries."""

    async def handle(self, delivery: Delivery) -> Reply:
        """Answer one delivery; 2xx only after it is durable. Raises nothing but `CancelledError`."""
        ...


@runtime_checkable
class QuickConnector(HttpConnector, Protocol):
    """An `HttpConnector` that answers ordinary deliveries without a task of their own; see `QuickSink`."""

    def begin(self, delivery: Delivery, answer: Callable[[Reply], None]) -> Awaitable[Reply] | None:
        """Begin with what `handle` does; None: `answer` is called, once, perhaps at once. Else what to await instead.

        Raises nothing.
        """
        ...


@runtime_checkable
class Prober(Protocol):
    """A connector that can tell whether its provider accepts our settings (`channel.verify`, `omnigate check`)."""

    async def probe(self) -> dict[str, Any]:
        """Ask the provider who we are; raises `SendError`.

        The answer is shown as it is, and `gateway.doctor.provider.derived` reads what it says in words common to all
        kinds: ``…expires_at`` (of what a person must renew), ``webhook.url``. A kind that asks several servers does not
        raise for one of them: it returns `normalizer.checks.Check`s under ``checks``, which say all there is to say
        about credentials, and ``sure = False`` where asking again soon may give something else.
        It is asked every hour, so it must change nothing.
        """
        ...


@runtime_checkable
class Performer(Protocol):
    """A connector that answers requests besides `message.send` (`Capabilities.requests`)."""

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """Answer ``message.edit``, ``message.delete``, ``reaction.send``, ``typing.send`` or ``receipt.send``.

        Args:
            method: the request's name.
            params: its params, decoded by `normalizer.methods.REQUESTS`; `to` is filled in where the caller gave only
                a `conversation`.

        Raises:
            SendError: by the provider's answer.
            Unsendable: the channel does not know the method, or cannot express the content.
        """
        ...


@runtime_checkable
class MediaSource(Protocol):
    """A connector that can fetch media by the provider's id, or from the provider's URL."""

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """Download what `media.provider_id` names.

        Raises:
            TooLarge: more than `max_bytes`.
            Refused: the provider has it no more, or gives it to nobody.
            SendError: otherwise, by the provider's answer; retryable or not.
        """
        ...
