"""Metrics, and the ledger that must balance.

Every item the gateway takes responsibility for is counted once as *received* and stands, at any moment, in exactly one
of *published*, *duplicate*, *ignored*, *quarantined*, *spooled* (waiting in the local spool)::

    received = published + duplicate + ignored + quarantined + spooled

A delivery that was answered "try again" is *refused*, not received: the provider still has it. Rows that a former
process left in the spool are received again at start. With several workers (`--workers`) the numbers are the sums over
all of them (prometheus-client's multiprocess mode; the parent sets ``PROMETHEUS_MULTIPROC_DIR``).

Names are `gateway_<noun>_<unit>[_total]`; labels only `channel`, `kind`, `code`, `stage`.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from datetime import datetime
from math import inf
from pathlib import Path
from typing import ClassVar

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

log = structlog.get_logger(__name__)

_CHANNEL = ("channel", "kind")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RECEIVED = Counter("gateway_received_messages", "Items taken responsibility for", _CHANNEL)
PUBLISHED = Counter("gateway_published_messages", "Items confirmed by the broker", _CHANNEL)
DUPLICATES = Counter("gateway_duplicate_messages", "Items recognised as already taken", _CHANNEL)
IGNORED = Counter("gateway_ignored_messages", "Items dropped as configuration or protocol say", (*_CHANNEL, "code"))
QUARANTINED = Counter("gateway_quarantined_messages", "Items kept because nobody understood them", _CHANNEL)
SPOOLED = Gauge("gateway_spooled_messages", "Items waiting in the local spool", _CHANNEL, multiprocess_mode="sum")
REFUSED = Counter("gateway_refused_deliveries", "Deliveries not accepted", (*_CHANNEL, "code"))
UNCHECKED = Counter("gateway_unchecked_messages", "Items published while the dedup store was away", _CHANNEL)
ACCEPT = Histogram("gateway_accept_seconds", "From delivery to receipt", _CHANNEL, buckets=_SECONDS)
_PUBLISH = Histogram("gateway_publish_seconds", "From publish to confirm, per batch", buckets=_SECONDS)
SPOOL_ROWS = Gauge("gateway_spool_rows", "Rows in the local spool", multiprocess_mode="livemax")
SPOOL_AGE = Gauge("gateway_spool_oldest_row_seconds", "Age of the oldest row in the spool", multiprocess_mode="livemax")
SENDS = Counter("gateway_sends", "Messages sent to providers, by outcome", (*_CHANNEL, "code"))
SEND_RETRIES = Counter("gateway_send_retries", "Failed tries that another one follows", (*_CHANNEL, "code"))
SEND_SECONDS = Histogram("gateway_send_seconds", "One try of one message at the provider", _CHANNEL, buckets=_SECONDS)
BREAKER_OPEN = Gauge("gateway_breaker_open", "1 while sending is suspended", _CHANNEL, multiprocess_mode="livemax")
CHANNEL_UP = Gauge("gateway_channel_up", "1 while the channel runs", _CHANNEL, multiprocess_mode="livemin")
EXPIRES = Gauge(
    "gateway_channel_expires_seconds",
    "Until the first token or certificate of the channel ends",
    _CHANNEL,
    multiprocess_mode="livemin",
)
RESTARTS = Counter("gateway_service_restarts", "Services restarted by the supervisor", ("stage",))
BROKER_UP = Gauge("gateway_broker_up", "1 while a publish would be sent", multiprocess_mode="livemin")
DEDUP_UP = Gauge("gateway_dedup_up", "1 while the dedup store answers", multiprocess_mode="livemin")
IN_FLIGHT = Gauge("gateway_deliveries_in_flight", "Deliveries in the pipeline", multiprocess_mode="livesum")
CHAT_SESSIONS = Gauge("gateway_chat_sessions", "Visitors connected, or polling", _CHANNEL, multiprocess_mode="livesum")
ACTIVE_CALLS = Gauge("gateway_active_calls", "Telephone calls that are not over", _CHANNEL, multiprocess_mode="livesum")
PARKED_RECORDINGS = Gauge(
    "gateway_parked_recordings",
    "Recordings that cannot be stored or told for now (disk, key, broker), and are tried again",
    _CHANNEL,
    multiprocess_mode="livesum",
)
MEDIA_PENDING = Gauge("gateway_media_pending", "Media still to be fetched", _CHANNEL, multiprocess_mode="livemax")
MEDIA_STORED = Counter("gateway_media_stored", "Media fetched and kept", _CHANNEL)
MEDIA_FAILED = Counter("gateway_media_failed", "Media given up", (*_CHANNEL, "code"))
MEDIA_RETRIES = Counter("gateway_media_retries", "Failed fetches that another one follows", (*_CHANNEL, "code"))
ASR_FACTOR = Gauge(
    "gateway_asr_real_time_factor",
    "Seconds of work per second of sound, mean of the loaded models",
    multiprocess_mode="livemax",
)
ASR_SESSIONS = Gauge("gateway_asr_sessions", "Voices recognised live", multiprocess_mode="livemax")
ASR_ROOM = Gauge("gateway_asr_room", "Further voices that would be taken", multiprocess_mode="livemax")
ASR_MISSED = Counter("gateway_asr_missed_milliseconds", "Live sound that was not recognised: recognisers were behind")
ASR_RESTARTS = Counter("gateway_asr_restarts", "Recogniser processes that died")
TRANSCRIPTIONS_PENDING = Gauge(
    "gateway_transcriptions_pending", "Voice notes and recordings to transcribe", _CHANNEL, multiprocess_mode="livemax"
)
TRANSCRIBED = Counter("gateway_transcriptions", "Voice notes and recordings transcribed", _CHANNEL)
TRANSCRIPTION_FAILED = Counter("gateway_transcriptions_failed", "Given up", (*_CHANNEL, "code"))
JOURNAL_LOST = Counter("gateway_journal_lost_entries", "Journal entries that could not be written")

_terms: set[tuple[str, str]] = set()

_LEDGER = {
    "gateway_received_messages_total": "received",
    "gateway_published_messages_total": "published",
    "gateway_duplicate_messages_total": "duplicate",
    "gateway_ignored_messages_total": "ignored",
    "gateway_quarantined_messages_total": "quarantined",
    "gateway_spooled_messages": "spooled",
}


class Durations:
    """Collects what is to be observed by a histogram; `flush` hands it over.

    An observation costs 4 µs where the numbers of several processes are summed, and this happens once a delivery.
    """

    __slots__ = ("_counts", "_histogram", "_sum")
    _all: ClassVar[dict[Histogram, Durations]] = {}

    def __init__(self, histogram: Histogram) -> None:
        """Use `of`."""
        self._histogram, self._counts, self._sum = histogram, [0] * (len(_SECONDS) + 1), 0.0

    @classmethod
    def of(cls, histogram: Histogram) -> Durations:
        """Return what collects for a histogram with the buckets `_SECONDS`: always the same, also after a reload."""
        return cls._all.setdefault(histogram, cls(histogram))

    def observe(self, seconds: float) -> None:
        """Note a duration."""
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    @classmethod
    def flush(cls) -> None:
        """Hand over what was collected since; the histograms lag behind by as long as this is not called."""
        for one in cls._all.values():
            one.hand_over()

    def hand_over(self) -> None:
        """Observe what was collected."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        total, self._sum = self._sum, 0.0
        if any(counts):
            self._histogram._sum.inc(total)  # noqa: SLF001 -- `observe` is all there is, and takes one at a time
            for bucket, count in zip(self._histogram._buckets, counts, strict=True):  # noqa: SLF001
                if count:
                    bucket.inc(count)


class Meters:
    """The counters of one channel, looked up once."""

    __slots__ = (
        "accept",
        "channel",
        "duplicate",
        "kind",
        "published",
        "quarantined",
        "received",
        "spooled",
        "unchecked",
        "up",
    )

    def __init__(self, channel: str, kind: str) -> None:
        """Create the channel's time series, so that they show up as 0."""
        self.channel, self.kind = channel, kind
        self.received = RECEIVED.labels(channel, kind)
        self.published = PUBLISHED.labels(channel, kind)
        self.duplicate = DUPLICATES.labels(channel, kind)
        self.quarantined = QUARANTINED.labels(channel, kind)
        self.spooled = SPOOLED.labels(channel, kind)
        self.unchecked = UNCHECKED.labels(channel, kind)
        self.accept = Durations.of(ACCEPT.labels(channel, kind))
        self.up = CHANNEL_UP.labels(channel, kind)

    def ignored(self, reason: str, count: int = 1) -> None:
        """Count items dropped for `reason`."""
        IGNORED.labels(self.channel, self.kind, reason).inc(count)

    def refused(self, code: str) -> None:
        """Count a delivery that was not accepted."""
        REFUSED.labels(self.channel, self.kind, code).inc()

    def sent(self, code: str) -> None:
        """Count a send by its outcome, ``ok`` or the code of a `SendError`."""
        SENDS.labels(self.channel, self.kind, code).inc()

    def retried(self, code: str) -> None:
        """Count a failed try after which the message waits for another."""
        SEND_RETRIES.labels(self.channel, self.kind, code).inc()

    def tried(self, seconds: float) -> None:
        """Note how long a try at the provider took."""
        SEND_SECONDS.labels(self.channel, self.kind).observe(seconds)

    def breaker(self, *, is_open: bool) -> None:
        """Show whether sending is suspended."""
        BREAKER_OPEN.labels(self.channel, self.kind).set(is_open)


PUBLISH = Durations.of(_PUBLISH)


def quarantined(channel: str, row: int) -> None:
    """Tell that something was kept and not understood; never what it was."""
    log.warning("delivery_quarantined", channel=channel, quarantine_id=row, hint=f"omnigate quarantine show {row}")


def expires(channel: str, kind: str, ends: datetime | None, now: float) -> None:
    """Show when the first term of a channel ends; one without terms has no such series, or (any more) infinity."""
    if ends is not None or (channel, kind) in _terms:
        _terms.add((channel, kind))
        EXPIRES.labels(channel, kind).set(inf if ends is None else ends.timestamp() - now)


def calls(channel: str, kind: str, *, active: int, parked: int) -> None:
    """Show how many calls go on, and how many recordings wait."""
    ACTIVE_CALLS.labels(channel, kind).set(active)
    PARKED_RECORDINGS.labels(channel, kind).set(parked)


def deliveries() -> dict[str, float]:
    """Return channel → deliveries that were authentic, since the start, summed over kinds and workers."""
    Durations.flush()
    counts: dict[str, float] = defaultdict(float)
    for family in _registry().collect():
        for sample in family.samples:
            if sample.name == "gateway_accept_seconds_count":
                counts[sample.labels["channel"]] += sample.value
    return counts


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def exposition() -> tuple[bytes, str]:
    """Render all metrics in the Prometheus text format, with its content type."""
    Durations.flush()
    return generate_latest(_registry()), CONTENT_TYPE_LATEST


def first_life() -> bool:
    """Tell, for all processes whose numbers are summed, that the ledger has not been begun (`begin`).

    A worker that is restarted while others live goes on with the same ledger.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return folder is None or not (Path(folder) / "begun").exists()


def begin() -> None:
    """Note that the ledger has what a former process left behind; raises `OSError`."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is not None:
        (Path(folder) / "begun").touch()


def ledger() -> dict[str, dict[str, int]]:
    """Return channel → the ledger's columns, summed over kinds, reasons and workers."""
    books: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_LEDGER.values(), 0))
    for family in _registry().collect():
        for sample in family.samples:
            column = _LEDGER.get(sample.name)
            if column is not None:
                books[sample.labels["channel"]][column] += int(sample.value)
    return dict(books)
