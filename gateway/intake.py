"""The sink of one channel: from a delivery's bytes to a receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from msgspec.structs import replace

from connectors.api import Blobs, ChannelConfig, Receipt
from connectors.errors import Busy, StateUnavailable
from gateway import telemetry
from gateway.doctor.marks import Marks, marked
from gateway.errands import Errands, unsupported
from gateway.gate import Gate
from gateway.media_jobs import MediaJobs
from gateway.order import Precedence, Statuses, concerned
from gateway.pipeline import Pipeline
from gateway.quarantine import Quarantine
from gateway.speech_jobs import SpeechJobs
from gateway.telemetry import Meters
from gateway.tickets import Patience, Ticket, Verdict, Waiter, resolve
from normalizer import build, ids
from normalizer.codecs.api import Codec
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef, QuarantinedParams
from normalizer.raw import BadItem, Decoded, Event, Ignored, RawEvent

log = structlog.get_logger(__name__)

PUBLISH_SECS = 30.0


class Intake:
    """A `connectors.api.Sink`; see there for what it promises."""

    def __init__(
        self,
        *,
        ref: ChannelRef,
        codec: Codec,
        config: ChannelConfig,
        window_secs: float,
        pipeline: Pipeline,
        quarantine: Quarantine,
        blobs: Blobs,
        gate: Gate,
        media: MediaJobs | None = None,
        speech: SpeechJobs | None = None,
        statuses: Statuses | None = None,
        precedence: Precedence | None = None,
        marks: Marks | None = None,
    ) -> None:
        """Bind the shared parts to one channel; with `media` its pending media become jobs, with `speech` its voice
        notes that need not be fetched; `marks` know the doctor's.

        Without `statuses` and `precedence` the order in which events arrive is not looked at.
        """
        self._codec, self._config, self._pipeline = codec, config, pipeline
        self._quarantine, self._blobs, self._gate = quarantine, blobs, gate
        self._statuses, self._precedence, self._marks = statuses, precedence, marks
        self._errands = Errands(media, speech, config)
        self._keep = config.dedup_window_secs or window_secs
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(self._loop, config.ack_deadline_secs)
        self.ref, self.meters = ref, Meters(ref.id, ref.type)

    async def __call__(self, raw: RawEvent) -> Receipt:
        """See `connectors.api.Sink`."""
        if marked(raw.body) and await self._doctors(raw):
            return Receipt.IGNORED
        started = self._enter()
        return await self._within(self._accept(raw, started), started)

    def offer(self, raw: RawEvent, ended: Callable[[Receipt | Busy], None]) -> Awaitable[Receipt] | None:
        """See `connectors.api.QuickSink`."""
        if marked(raw.body):
            return self(raw)
        started = self._enter()
        try:
            items = list(self._codec.decode(raw))
            events = self._errands.none_for(items)
        except MalformedPayload as exc:
            if raw.on_malformed == "quarantine":
                return self._within(self._malformed(raw, str(exc)), started)
            self._leave(started)
            self.meters.refused("malformed_payload")
            raise
        except Exception:
            self._leave(started)
            raise
        if events is None:
            return self._within(self._deliver(items, raw, started), started)
        waiter = self._patience.begin(len(events), started, partial(self._ended, started, ended), noted=raw.noted)
        self._pipeline.submit([Ticket(event, self.meters, waiter, self._keep) for event in events])
        return None

    def _ended(self, started: float, ended: Callable[[Receipt | Busy], None], waiter: Waiter) -> None:
        self._patience.end(waiter)
        self._leave(started)
        if waiter.safe:
            ended(Receipt.ACCEPTED if waiter.fresh else Receipt.DUPLICATE)
        else:
            self.meters.refused("busy")
            ended(Busy())

    def _enter(self) -> float:
        """Begin with a delivery; returns loop time. Raises `Busy`."""
        gate = self._gate
        if gate.taken >= gate.limit or not gate.open:
            self.meters.refused("busy")
            raise Busy(1.0)
        gate.taken += 1
        return self._loop.time()

    def _leave(self, started: float) -> None:
        self._gate.taken -= 1
        self.meters.accept.observe(self._loop.time() - started)

    async def _within(self, work: Awaitable[Receipt], started: float) -> Receipt:
        try:
            return await work
        except Busy:
            self.meters.refused("busy")
            raise
        except MalformedPayload:
            self.meters.refused("malformed_payload")
            raise
        finally:
            self._leave(started)

    async def _doctors(self, raw: RawEvent) -> bool:
        """Drop what the doctor delivered to try the way in."""
        try:
            ours = self._marks is not None and await self._marks.take(raw.body)
        except StateUnavailable:
            raise Busy(1.0) from None
        if ours:
            self.meters.received.inc()
            self.meters.ignored("doctor")
        return ours

    async def redrive(self, raw: RawEvent) -> str | None:
        """Decode a quarantined delivery again; returns why it is still not understood, or None.

        Raises:
            Busy: it was understood and could not be made durable now.
        """
        try:
            items = list(self._codec.decode(raw))
        except MalformedPayload as exc:
            return str(exc)
        bad = [item.reason for item in items if isinstance(item, BadItem)]
        if bad:
            return "; ".join(bad)
        await self._deliver(items, replace(raw, noted=True), self._loop.time())  # the row is marked afterwards
        return None

    def tell(self, event: Event) -> None:
        """Publish what the gateway itself has to say about this channel."""
        self._pipeline.submit([Ticket(event, self.meters, None, self._keep)])

    async def publish(self, event: Event) -> bool:
        """Publish what the gateway itself has to say; returns whether it is durable, or was before."""
        ended: asyncio.Future[Verdict] = self._loop.create_future()
        ticket = Ticket(event, self.meters, None, self._keep)
        ticket.told = lambda verdict: None if ended.done() else ended.set_result(verdict)
        self._pipeline.submit([ticket])
        try:
            async with asyncio.timeout(PUBLISH_SECS):
                return await ended is not Verdict.REFUSED
        except TimeoutError:
            return False

    async def _accept(self, raw: RawEvent, started: float) -> Receipt:
        try:
            items = list(self._codec.decode(raw))
        except MalformedPayload as exc:
            if raw.on_malformed == "reject":
                raise
            return await self._malformed(raw, str(exc))
        return await self._deliver(items, raw, started)

    async def _malformed(self, raw: RawEvent, why: str) -> Receipt:
        await self._keep_bad(raw, raw.body, why, item=raw.item)
        return Receipt.QUARANTINED

    async def _deliver(self, items: list[Decoded], raw: RawEvent, started: float) -> Receipt:
        """Bring every item to where it is safe; the good ones first, so that nothing keeps them back."""
        if concerned(items):
            items = await self._in_order(items)
        events = [item for item in items if type(item) is Event]
        if not events:
            return await self._set_aside(raw, items)
        if self._config.keep_raw or any(map(unsupported, events)):
            events = await self._with_raw(events, raw)
        errands = self._errands.of(events)
        future: asyncio.Future[None] = self._loop.create_future()
        waiter = self._patience.begin(len(events), started, partial(resolve, future), noted=raw.noted)
        try:
            tickets = [Ticket(event, self.meters, waiter, self._keep) for event in events]
            late = [ticket for ticket in tickets if ticket.event.after]
            self._pipeline.submit([ticket for ticket in tickets if not ticket.event.after] if late else tickets)
            if errands:
                await self._errands.hold(errands)  # beside the pipeline's own waiting
            if len(events) < len(items):
                await self._set_aside(raw, items)
            if late:
                await self._submit_late(late)
            await future
        finally:
            self._patience.end(waiter)
            future.cancel()
        if errands:
            self._errands.start(errands)
        return Receipt.ACCEPTED if waiter.fresh else Receipt.DUPLICATE

    async def _in_order(self, items: list[Decoded]) -> list[Decoded]:
        statuses = self._statuses
        if statuses is None:
            return items
        return [await statuses.checked(item) if isinstance(item, Event) else item for item in items]

    async def _submit_late(self, tickets: list[Ticket]) -> None:
        """Submit what must follow something else; one delivery after another, as it came."""
        if self._precedence is not None:
            await self._precedence.wait(dict.fromkeys(ticket.event.after for ticket in tickets))
        self._pipeline.submit(tickets)

    async def _set_aside(self, raw: RawEvent, items: list[Decoded]) -> Receipt:
        ignored = [item for item in items if isinstance(item, Ignored)]
        for item in ignored:
            self.meters.received.inc()
            self.meters.ignored(item.reason)
        bad = [item for item in items if isinstance(item, BadItem)]
        if not bad:
            return Receipt.IGNORED
        try:
            async with asyncio.TaskGroup() as group:  # together: they share one fsync
                for one in bad:
                    group.create_task(self._keep_bad(raw, one.body, one.reason, item=True))
        except* Busy as refusals:
            raise Busy(30.0, "quarantine has no room") from refusals
        return Receipt.QUARANTINED

    async def _with_raw(self, events: list[Event], raw: RawEvent) -> list[Event]:
        ref = await self._blobs.put(raw.body)
        kept = []
        for event in events:
            info = event.params.raw
            if info is None or info.ref is None:
                info = replace(info or build.raw_info(self._codec.version), ref=ref, sha256=ref.removeprefix("sha256:"))
            kept.append(replace(event, params=replace(event.params, raw=info)))
        return kept

    async def _keep_bad(self, raw: RawEvent, body: bytes, reason: str, *, item: bool) -> None:
        row, fresh = await self._quarantine.add(raw, body, reason, item=item)
        self.meters.received.inc()
        if not fresh:
            self.meters.duplicate.inc()
            return
        self.meters.quarantined.inc()
        telemetry.quarantined(raw.channel.id, row)
        self.tell(
            build.event(
                raw,
                "message.quarantined",
                QuarantinedParams,
                native_id=f"{row}:{raw.received_at.isoformat()}",  # told anew each time the bytes come anew
                scope=ids.digest(body.hex()),
                normalizer=self._codec.version,
                quarantine_id=row,
                reason=reason,
                at=raw.received_at,
            )
        )
