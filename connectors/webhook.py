"""Everything an HTTP webhook channel needs except what is peculiar to it.

A kind subclasses `WebhookConnector`, names its `codec` and overrides `verify`; most override `url_and_headers`
and `provider_id` as well, so that they can send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import ClassVar, Generic, Literal, TypeVar

from connectors.api import (
    ChannelConfig,
    Context,
    Delivery,
    Fetched,
    QuickSink,
    Receipt,
    Reply,
    Sent,
    Sink,
)
from connectors.errors import Busy, SendError, Unauthorized
from connectors.http import Answer, call, refusal
from connectors.staging import Staging
from connectors.webhook_answers import ACCEPTED, FAILED, NOT_ALLOWED, NOT_RUNNING, answer_to
from normalizer.codecs.api import Codec
from normalizer.model import Security
from normalizer.parts import AnyPart, Media, MediaPart
from normalizer.raw import Outbound, RawEvent, Wire

UNFINISHED_MAX = 1024
"""Messages of several requests, broken off half-way, whose progress is remembered for the next try."""


class WebhookConfig(ChannelConfig, frozen=True, kw_only=True):
    """Options of every channel that a provider delivers to by HTTP.

    Attributes:
        api_base: where the provider's API is; change it for a proxy or a test server.
        media_hosts: host names that media may be fetched from although they are not public, also without TLS
            (on-premises servers, tests).
    """

    api_base: str = ""
    media_hosts: tuple[str, ...] = ()


C = TypeVar("C", bound=WebhookConfig)


class WebhookConnector(Generic[C]):
    """Base class: verify, hand over, answer; encode, post, classify.

    `handle` takes what it needs from the instance before it first waits, so a delivery that is under way
    when a reload replaces the connector still ends as it would have.

    Attributes:
        codec: of the channel; set by the subclass.
        on_malformed: what becomes of a body of which nothing could be made, see `RawEvent`.
        accepted: the answer to a delivery that is durable.
        uploads_urls: the provider fetches nothing: media that have only a foreign `url` go through `upload`, too.
        hide: values that must not show up in an error, such as a token that is part of the URL.
    """

    codec: Codec
    on_malformed: ClassVar[Literal["quarantine", "reject"]] = "quarantine"
    accepted: ClassVar[Reply] = ACCEPTED
    uploads_urls: ClassVar[bool] = False
    hide: tuple[str, ...] = ()

    def __init__(self, config: C, context: Context) -> None:
        """Keep the options and the shared resources."""
        self.config = config
        self.context = context
        self._channel = context.channel
        self._kind = context.channel.type
        self._sink: Sink | None = None
        self._quick: QuickSink | None = None
        self._unfinished: dict[str, tuple[str | None, ...]] = {}
        self.staging = Staging(
            context,
            hosts=config.media_hosts,
            timeout=config.media_timeout_secs,
            max_bytes=config.media_max_bytes,
            urls=self.uploads_urls,
        )

    def verify(self, delivery: Delivery) -> Security:
        """Authenticate a delivery and say how; there is no permissive default, every kind overrides this.

        Return one shared `Security`, not a new one per delivery.

        Raises:
            Unauthorized: always, here.
        """
        raise Unauthorized("this channel kind verifies no deliveries")

    async def run(self, sink: Sink) -> None:
        """Take deliveries until cancelled."""
        self._sink = sink
        kind = type(self)
        if kind.handle is WebhookConnector.handle and kind.deliver is WebhookConnector.deliver:
            self._quick = sink if isinstance(sink, QuickSink) else None
        try:
            await self.background()
        finally:
            self._sink = self._quick = None

    async def background(self) -> None:
        """Run beside the deliveries until cancelled; waits for ever unless a kind has work to do."""
        await asyncio.Event().wait()

    def greet(self, delivery: Delivery) -> Reply | None:
        """Answer a request that is no delivery, such as a handshake; None for one that is. Raises `Unauthorized`."""
        return None if delivery.method == "POST" else NOT_ALLOWED

    async def handle(self, delivery: Delivery) -> Reply:
        """Answer one delivery; see `HttpConnector`."""
        try:
            reply = self.greet(delivery)
            if reply is not None:
                return reply
            sink = self._sink
            return NOT_RUNNING if sink is None else await self.deliver(delivery, self._authentic(delivery), sink)
        except Exception as exc:  # noqa: BLE001 -- the border to the outside: whatever it is, the provider gets an answer
            return self.failure(exc)

    def begin(self, delivery: Delivery, answer: Callable[[Reply], None]) -> Awaitable[Reply] | None:
        """Do what `handle` does, without a task where only the pipeline has to be waited for; see `QuickConnector`."""
        sink = self._quick
        if sink is None:
            return self.handle(delivery)
        try:
            reply = self.greet(delivery)
            if reply is None:
                raw, after = self._authentic(delivery), self.afterwards(delivery)
                waits = sink.offer(raw, lambda end: answer(self._ended(after, end)))
                return None if waits is None else self._slowly(after, waits)
        except Exception as exc:  # noqa: BLE001 -- as in `handle`
            reply = self.failure(exc)
        answer(reply)
        return None

    def _authentic(self, delivery: Delivery) -> RawEvent:
        return RawEvent(
            channel=self._channel,
            kind=self._kind,
            body=delivery.body,
            received_at=datetime.now(UTC),
            content_type=delivery.headers.get("content-type", "application/json"),
            security=self.verify(delivery),
            on_malformed=self.on_malformed,
        )

    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        """Hand an authentic delivery over and answer it; what is raised becomes the answer of `failure`.

        A kind that overrides it takes no delivery without a task.
        """
        after = self.afterwards(delivery)
        await sink(raw)
        if after is not None:
            after()
        return self.accepted

    async def _slowly(self, after: Callable[[], None] | None, waits: Awaitable[Receipt]) -> Reply:
        try:
            await waits
            if after is not None:
                after()
        except Exception as exc:  # noqa: BLE001 -- as in `handle`
            return self.failure(exc)
        return self.accepted

    def _ended(self, after: Callable[[], None] | None, end: Receipt | Busy) -> Reply:
        if isinstance(end, Busy):
            return self.failure(end)
        if after is not None:
            try:
                after()
            except Exception as exc:  # noqa: BLE001 -- as in `handle`
                return self.failure(exc)
        return self.accepted

    def afterwards(self, delivery: Delivery) -> Callable[[], None] | None:
        """Say what is to be done once a delivery is durable, before it is answered; mostly nothing.

        It should hold little: it waits as long as the delivery does, which itself is let go of before.
        """
        return None

    def failure(self, exc: Exception) -> Reply:
        """Choose the answer to a delivery that was not accepted; nothing of the reason is shown outside."""
        if isinstance(exc, Unauthorized):
            self.context.refused(exc.code)
        reply = answer_to(exc)
        if reply is FAILED:
            self.context.log.error("delivery_failed", error=type(exc).__name__, exc_info=exc)
        return reply

    async def send(self, message: Outbound) -> Sent:
        """Perform what the codec renders, in order; a second try goes on where the first was broken off.

        Raises:
            SendError: by the provider's answer.
            Unsendable: the channel cannot express the message.
        """
        wires = tuple(self.codec.encode(await self.stage(message)))
        done = list(self._unfinished.pop(message.id, ()))
        try:
            for wire in wires[len(done) :]:
                answer = await self.request(wire)
                done.append(self.provider_id(answer))
        finally:  # also when the time for this try is up
            if 0 < len(done) < len(wires):
                self._remember(message.id, tuple(done))
        self.staging.done(message.id)
        return Sent(provider_ids=tuple(native for native in done if native is not None))

    def _remember(self, message_id: str, done: tuple[str | None, ...]) -> None:
        if len(self._unfinished) >= UNFINISHED_MAX:
            del self._unfinished[next(iter(self._unfinished))]
        self._unfinished[message_id] = done

    async def request(self, wire: Wire) -> Answer:
        """Perform one request and return its answer if it is a success; raises `SendError`."""
        url, headers = self.url_and_headers(wire)
        answer = await call(
            self.context.http,
            wire.method,
            url,
            headers=headers,
            body=wire.body or None,
            timeout=self.config.send_timeout_secs,
        )
        error = self.classify(answer)
        if error is not None:
            raise error
        return answer

    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        """Complete a request with the base URL; a kind adds its credentials here."""
        url = wire.url if wire.url.startswith(("https://", "http://")) else self.config.api_base.rstrip("/") + wire.url
        return url, wire.headers

    def classify(self, answer: Answer) -> SendError | None:
        """Tell what an answer means, None for success; overridden where the provider says more than the status."""
        return refusal(answer, hide=self.hide)

    def provider_id(self, answer: Answer) -> str | None:
        """Read the id the provider gave the message; None when it gives none."""
        return None

    async def fetch_url(self, url: str, *, max_bytes: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """Download media from a URL of the provider's, through the guard of `connectors.download`.

        A kind whose media are URLs has `fetch_media` in one line (`MediaSource`)::

            return await self.fetch_url(media.provider_id or "", max_bytes=max_bytes, headers=…)

        Args:
            url: absolute; https, to a public address, unless its host is in `media_hosts`.
            max_bytes: of the content.
            headers: such as the provider's `Authorization`; not shown to another host in a redirect.

        Raises:
            TooLarge: more than `max_bytes`.
            SendError: as `connectors.download.download` does.
        """
        return await self.staging.fetch(url, max_bytes=max_bytes, headers=headers)

    async def stage(self, message: Outbound) -> Outbound:
        """Prepare the media of a message before it is encoded; `send` calls it. See `Staging.stage`."""
        return await self.staging.stage(message, self.upload_part)

    async def stage_parts(self, parts: tuple[AnyPart, ...]) -> tuple[AnyPart, ...]:
        """Prepare the media of `parts` of another request, such as ``message.edit``."""
        return await self.staging.stage_parts(parts, self.upload_part)

    async def upload_part(self, part: MediaPart) -> Media:
        """Do what `upload` does; override this one where the provider asks what the file is going to be."""
        return await self.upload(part.media)

    async def upload(self, media: Media) -> Media:
        """Bring a blob of ours to where the provider has it: here by a signed public link in `url`.

        A kind that must upload overrides this: `bytes_of` gives the content; return the media with `provider_id` (and
        `expires_at`, if the handle ends). It is asked once per message and blob, also when the message is tried again.

        Raises:
            SendError: by the provider's answer.
        """
        return self.staging.linked(media)

    async def bytes_of(self, media: Media) -> Fetched:
        """Return the content of a blob of ours, or of the `url` of somebody else; see `Staging.bytes_of`."""
        return await self.staging.bytes_of(media)
