"""What the gateway tells about telephone calls: the params of `call.*`.

Every event of a call has the same `call_id`, direction and parties, so that a consumer needs no memory to route it. The
call is a conversation of its own (`conversation.kind` = ``call``). Order of a call's life::

    offered ─► ringing ─► answered ─► (held ─► resumed) (dtmf) (transferred) (transcript.partial|final) ─► ended
       └──────────┴─────► ended                     recording.ready and the last transcript.final: also after ended

Each call that was offered has exactly one `call.ended`, also when a process dies. Times are UTC, lengths milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import field

from normalizer.model import EventParams, Party
from normalizer.parts import Base, Media, Segment


class CallParams(EventParams, frozen=True, kw_only=True):
    """What every `call.*` carries.

    Attributes:
        call_id: ours, the same in all events of the call and in requests about it.
        at: when it happened.
        direction: ``in`` when somebody called us, ``out`` after `call.originate`.
        sender: who calls.
        to: who is called.
    """

    call_id: str
    at: datetime
    direction: Literal["in", "out"]
    sender: Party = field(name="from")
    to: Party


class CallOfferedParams(CallParams, frozen=True, kw_only=True):
    """`call.offered`: a call came in, or `call.originate` sent its INVITE.

    Attributes:
        sip_call_id: the Call-ID of the INVITE.
        transport: how it came.
        source: address and port it came from.
        headers: what may matter for routing (`User-Agent`, `P-Asserted-Identity`, `Diversion`, `X-…`).
        ref: as given to `call.originate`.
    """

    sip_call_id: str
    transport: Literal["udp", "tcp", "tls"] | None = None
    source: str | None = None
    headers: dict[str, str] = {}
    ref: str | None = None


class CallRingingParams(CallParams, frozen=True, kw_only=True):
    """`call.ringing`: a provisional response (`code`: 180, 183) was sent or came; early media are sound already."""

    code: int
    early_media: bool = False


class CallAnsweredParams(CallParams, frozen=True, kw_only=True):
    """`call.answered`: the dialog is confirmed.

    Attributes:
        codec: of the audio, as in SDP (``PCMU/8000``).
        srtp: the media are encrypted.
        by: who decided: the channel's answer policy, `call.answer`, or the other side.
        language: what is being recognised; absent without transcription.
        recording: the call is being recorded.
    """

    codec: str | None = None
    srtp: bool = False
    by: Literal["policy", "core", "remote"]
    language: str | None = None
    recording: bool = False


class CallHoldParams(CallParams, frozen=True, kw_only=True):
    """`call.held` and `call.resumed`: by the other side (re-INVITE), or by `call.hold` and `call.resume`."""

    by: Literal["core", "remote"]


class CallDtmfParams(CallParams, frozen=True, kw_only=True):
    """`call.dtmf`: one key (RFC 4733 telephone-event, or SIP INFO); `number` counts them from 1."""

    digit: str
    number: int
    method: Literal["rfc4733", "info"]
    duration_ms: int | None = None


class CallTransferredParams(CallParams, frozen=True, kw_only=True):
    """`call.transferred`: how `call.transfer` ended (RFC 3515 NOTIFY); on success the call ends soon after.

    Attributes:
        target: SIP URI it was sent to, or of the other call of an attended transfer.
        ok: the new call was answered.
        code: the final status the other side reported.
    """

    target: str
    attended: bool = False
    ok: bool
    code: int


class RtpStats(Base, frozen=True, kw_only=True):
    """What RTP and RTCP tell of a call's audio.

    Attributes:
        received: packets that came.
        lost: packets that did not come.
        discarded: came too late for the jitter buffer.
        sent: packets we sent.
        remote_lost: of those, lost by the other side's report.
        jitter_ms: mean interarrival jitter (RFC 3550 §6.4.1).
        rtt_ms: mean round trip, where RTCP gave one.
        mos: estimated mean opinion score, 1 to 4.5, by the simplified E-model (ITU-T G.107).
    """

    received: int
    lost: int
    discarded: int = 0
    sent: int
    remote_lost: int = 0
    jitter_ms: float = 0.0
    rtt_ms: float | None = None
    mos: float | None = None


EndReason = Literal[
    "completed",  # answered, then hung up
    "cancelled",  # the caller gave up before the answer
    "no_answer",
    "busy",
    "rejected",
    "not_found",
    "transferred",
    "media_timeout",  # no RTP for `rtp_timeout_secs`
    "session_timeout",  # the other side answers no more: it did not refresh the session (RFC 4028), or takes no request
    "max_duration",
    "gateway_failure",  # a process of the gateway died
    "gateway_stopped",  # the gateway was told to stop and the call did not end in time
    "failed",  # anything else; `code` says more
]


class CallEndedParams(CallParams, frozen=True, kw_only=True):
    """`call.ended`: the last word on a call; exactly one per call.

    Attributes:
        reason: why, in words that do not depend on SIP.
        by: who ended it.
        code: the SIP status, where there was one (200 for a BYE).
        cause: the reason phrase, or the Reason header (RFC 3326).
        ring_ms: from the offer to the answer, or to the end.
        talk_ms: from the answer to the end; 0 without an answer.
        hold_ms: of `talk_ms`, on hold.
        rtp: absent without media.
        recorded: `call.recording.ready` or `call.voicemail` follows, or came.
        answered: it had been answered.
    """

    reason: EndReason
    by: Literal["remote", "core", "policy", "gateway"]
    code: int | None = None
    cause: str | None = None
    ring_ms: int
    talk_ms: int = 0
    hold_ms: int = 0
    rtp: RtpStats | None = None
    recorded: bool = False
    answered: bool = False


class CallRecordingParams(CallParams, frozen=True, kw_only=True):
    """`call.recording.ready` and `call.voicemail`: the recording is stored.

    Attributes:
        media: the file: two channels, left the caller, right what the gateway sent; `media.url` is a signed link.
        number: counts the recordings of the call from 1 (`call.record` can stop and start again).
        started_at: when its first sample was spoken.
        complete: false when sound is missing: a process died, the disk did not take it, or the call was longer than a
            recording may be.
        missed_ms: how much of it is silent because the disk did not take it.
        keep_until: when retention deletes it.
        remark: what else is odd, such as a format that could not be made.
    """

    media: Media
    number: int = 1
    started_at: datetime
    complete: bool = True
    missed_ms: int = 0
    keep_until: datetime | None = None
    remark: str | None = None


class CallTranscriptParams(CallParams, frozen=True, kw_only=True):
    """`call.transcript.partial` and `call.transcript.final`: what was said.

    A partial is one unstable segment that a later one replaces; it never shares a queue with messages and may be lost.
    A final carries each utterance as it ended; the last final of a call has `complete` and all segments once more, in
    the order of time. What a partial has shown is never missing from its final.

    Attributes:
        language: of the model.
        text: of the segments, joined.
        segments: with `speaker` (``caller`` or ``gateway``), `channel` (0 left, 1 right), times from the answer.
        number: counts the finals of a call from 1; a partial carries the number its final will have at the earliest.
        complete: nothing follows; `segments` is the whole call.
        source: ``recording`` when it was transcribed after the call, because no recogniser was free.
    """

    language: str
    text: str
    segments: tuple[Segment, ...] = ()
    number: int = 1
    complete: bool = False
    source: Literal["live", "recording", "voicemail"] = "live"


CALL_NOTIFICATIONS: dict[str, type[CallParams]] = {
    "call.offered": CallOfferedParams,
    "call.ringing": CallRingingParams,
    "call.answered": CallAnsweredParams,
    "call.held": CallHoldParams,
    "call.resumed": CallHoldParams,
    "call.transferred": CallTransferredParams,
    "call.dtmf": CallDtmfParams,
    "call.ended": CallEndedParams,
    "call.recording.ready": CallRecordingParams,
    "call.voicemail": CallRecordingParams,
    "call.transcript.partial": CallTranscriptParams,
    "call.transcript.final": CallTranscriptParams,
}
"""Method name → type of its params."""
