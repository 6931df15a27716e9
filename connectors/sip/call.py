"""One call, from the offer to its end, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from connectors.sip import wire
from connectors.sip.mos import mos
from connectors.sip.outbox import Outbox
from connectors.sip.player import Player
from connectors.sip.process import Process
from normalizer.calls import EndReason

By = Literal["remote", "core", "policy", "gateway"]
MOST_EARLY = 500
"""Packets, 30 s, that are kept from the answer until it is known whether they may be heard."""
REASONS: dict[int, EndReason] = {
    404: "not_found",
    408: "no_answer",
    480: "no_answer",
    486: "busy",
    487: "cancelled",
    600: "busy",
    603: "rejected",
    604: "not_found",
    403: "rejected",
    401: "rejected",
    407: "rejected",
}
"""SIP status of a call that was not answered → why it ended; others are ``failed``."""


class Ear(Protocol):
    """Who takes the sound of a call: a recording, a transcript."""

    def take(self, left: bytes, right: bytes) -> None:
        """Take 60 ms of both legs."""
        ...


class Call:
    """See the module. Methods do not wait, and belong to the event loop.

    Attributes:
        id: ours.
        number: the child's.
        up: it was answered; `over`: it has ended.
        sounding: its media flow.
        language: what is recognised, once that is known.
        keys: what the caller pressed and nobody has taken.
        ended: set at the end.
    """

    def __init__(
        self,
        call_id: str,
        *,
        process: Process,
        number: int,
        direction: Literal["in", "out"],
        outbox: Outbox,
        now: Callable[[], datetime],
    ) -> None:
        """Begin; the caller tells `call.offered`."""
        self.id, self.process, self.number, self.direction = call_id, process, number, direction
        self.outbox, self._now = outbox, now
        self.offered_at = now()
        self.answered_at: datetime | None = None
        self.state: Literal["offered", "ringing", "up", "over"] = "offered"
        self.sounding = False
        self.codec: str | None = None
        self.srtp = False
        self.language: str | None = None
        self.recorded = False
        self.held_by: Literal["core", "remote"] | None = None
        self.transferred = False
        self.wants_record: bool | None = None
        self.wants_language: str | None = None
        self.wants_play: Any = None
        self.answered_by: Literal["policy", "core", "remote"] = "policy" if direction == "in" else "remote"
        self.keys: asyncio.Queue[str] = asyncio.Queue(64)
        self.ears: list[Ear] = []
        self.answered = asyncio.Event()
        self.flowing = asyncio.Event()
        self.ended = asyncio.Event()
        self.told_end = asyncio.Event()
        self.clock_ms = 0  # of sound since the answer
        self._early: list[tuple[bytes, bytes]] | None = None
        self.player = Player(
            lambda pcm: self.process.play(self.number, pcm), lambda: self.process.order("flush", self.number)
        )
        self.transfer: tuple[str, bool] | None = None
        self._ending: tuple[EndReason, By, int | None] | None = None
        self._held_since: datetime | None = None
        self._held_ms = 0
        self._counts: dict[str, int] = {}

    @property
    def up(self) -> bool:
        """Whether it is answered and goes on."""
        return self.state == "up"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state == "over"

    def count(self, method: str) -> int:
        """Number what can happen more than once."""
        self._counts[method] = self._counts.get(method, 0) + 1
        return self._counts[method]

    def tell(self, method: str, **fields: Any) -> None:
        """Tell something that happened now, and may happen again."""
        self.outbox.tell(method, self._now(), fields, number=self.count(method), dear=False)

    def say(self, method: str, fields: Mapping[str, Any], number: int) -> None:
        """Tell something that has a number of its own and must not be left out."""
        self.outbox.tell(method, self._now(), fields, number=number)

    def ring(self, code: int, *, early_media: bool) -> None:
        """A provisional response was sent or came."""
        if self.state in {"offered", "ringing"}:
            self.state = "ringing"
            self.tell("call.ringing", code=code, early_media=early_media)

    def confirm(self, *, recording: bool, language: str | None) -> None:
        """The other side has sent the ACK, or we have."""
        if self.state not in {"offered", "ringing"}:
            return
        self.state, self.answered_at, self._early = "up", self._now(), []
        self.outbox.tell(
            "call.answered",
            self.answered_at,
            {
                "codec": self.codec,
                "srtp": self.srtp,
                "by": self.answered_by,
                "language": language,
                "recording": recording,
            },
        )
        self.answered.set()

    def media(self, status: str, codec: str | None, *, srtp: bool) -> None:
        """The media changed: the first sound, a hold, its end."""
        self.codec, self.srtp = codec or self.codec, srtp or self.srtp
        self.sounding = status != "none"
        if status in {"active", "remote_hold", "local_hold"}:
            self.flowing.set()
        held: Literal["core", "remote"] | None = {"remote_hold": "remote", "local_hold": "core"}.get(status)  # type: ignore[assignment]
        if not self.up or held == self.held_by:
            return
        now = self._now()
        if held is not None and self.held_by is None:
            self._held_since = now
            self.tell("call.held", by=held)
        elif held is None and self.held_by is not None:
            self._held_ms += since(self._held_since, now)
            self._held_since = None
            self.tell("call.resumed", by=self.held_by)
        self.held_by = held

    def press(self, digit: str, method: str, duration_ms: int | None) -> None:
        """The caller pressed a key."""
        number = self.count("call.dtmf")
        self.outbox.tell(
            "call.dtmf",
            self._now(),
            {"digit": digit, "number": number, "method": method, "duration_ms": duration_ms or None},
            number=number,
            dear=False,
        )
        if not self.keys.full():
            self.keys.put_nowait(digit)

    def hear(self, waiting: int, pcm: memoryview) -> None:
        """Take 60 ms of both legs."""
        self.player.tick(waiting)
        if not self.up:
            return
        self.clock_ms += wire.PACKET_MS
        if not self.ears and self._early is None:
            return
        half = len(pcm) // 2
        left, right = bytes(pcm[:half]), bytes(pcm[half:])
        if self._early is None:
            for ear in self.ears:
                ear.take(left, right)
        elif len(self._early) < MOST_EARLY:
            self._early.append((left, right))

    @property
    def from_ms(self) -> int:
        """Where on the call's clock an ear begins that is put on now."""
        return self.clock_ms - wire.PACKET_MS * len(self._early or ())

    def listen(self, *, keep: bool) -> None:
        """Let the ears hear, with what was said since the answer (`keep`), or without: nobody had agreed yet.

        Until then sound is kept: a gateway that was busy at the answer shall not miss the first words.
        """
        early, self._early = self._early or [], None
        for left, right in early if keep else ():
            for ear in self.ears:
                ear.take(left, right)

    def will_end(self, reason: EndReason, by: By, code: int | None = None) -> None:
        """Note why it is about to end: the first to say so is believed."""
        if self._ending is None:
            self._ending = (reason, by, code)

    def end(self, code: int | None, cause: str | None, stats: dict[str, float]) -> None:
        """It has ended."""
        if self.over:
            return
        was_up, self.state = self.up, "over"
        now = self._now()
        self.player.close()
        if self._held_since is not None:
            self._held_ms += since(self._held_since, now)
        reason, by, given = self._ending or self._remote_end(code, answered=was_up)
        self.outbox.tell(
            "call.ended",
            now,
            {
                "reason": reason,
                "by": by,
                "code": given or code or None,
                "cause": cause or None,
                "ring_ms": since(self.offered_at, self.answered_at or now),
                "talk_ms": since(self.answered_at, now),
                "hold_ms": self._held_ms,
                "rtp": rtp(self.codec, stats),
                "recorded": self.recorded,
                "answered": was_up,
            },
        )
        self.ended.set()

    def _remote_end(self, code: int | None, *, answered: bool) -> tuple[EndReason, By, int | None]:
        if code == 408 and (answered or self.direction == "in"):  # no refresh, no answer to a request, no ACK
            return "session_timeout", "gateway", code
        if answered and (code or 0) >= 400:  # PJSIP gave it up: nobody says so in a BYE
            return "failed", "gateway", code
        if answered:
            return ("transferred" if self.transferred else "completed"), "remote", code
        return REASONS.get(code or 0, "failed"), "remote", code


def since(start: datetime | None, end: datetime) -> int:
    """Return milliseconds between two times; 0 without a start."""
    return 0 if start is None else max(0, round((end - start).total_seconds() * 1000))


def rtp(codec: str | None, stats: dict[str, float]) -> dict[str, Any] | None:
    """Write what a child counted as `normalizer.calls.RtpStats`; None without media."""
    if not stats or codec is None:
        return None
    jitter, trip = stats["jitter_us"] / 1000, stats["rtt_us"] / 1000
    received, missed = int(stats["received"]), int(stats["lost"] + stats["discarded"])
    score = mos(
        codec.partition("/")[0],
        lost=missed,
        received=received,
        jitter_ms=jitter,
        buffer_ms=stats["buffer_ms"],
        rtt_ms=trip,
    )
    return {
        "received": received,
        "lost": int(stats["lost"]),
        "discarded": int(stats["discarded"]),
        "sent": int(stats["sent"]),
        "remote_lost": int(stats["remote_lost"]),
        "jitter_ms": round(jitter, 3),
        "rtt_ms": round(trip, 3) if trip else None,
        "mos": score if received else None,
    }
