"""What a core may ask about telephone calls: the params of the requests `call.*`.

A call that has ended, or never was, is answered `-32602` with ``call is not up``; one in the wrong state (`call.hold`
before the answer) likewise, with the state it is in.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from normalizer.params import Params
from normalizer.parts import Media

Digits = Annotated[str, Meta(pattern=r"^[0-9A-Da-d*#pw,]{1,64}$")]


class CallRequestParams(Params, frozen=True, kw_only=True):
    """A request about one call: `call.hold`, `call.resume`.

    Attributes:
        channel: id of the channel the call is on.
        call_id: as in its events.
    """

    channel: str
    call_id: str


class OriginateParams(Params, frozen=True, kw_only=True):
    """`call.originate`: call somebody; answered once the INVITE is out, with `{call_id}`.

    Attributes:
        channel: id of the channel to call from.
        to: a SIP or tel URI, or a number, which goes to the channel's registrar or `outbound_proxy`.
        caller_id: user part of our From, where the trunk allows one.
        caller_name: its display name.
        headers: more headers of the INVITE; names begin with ``X-``.
        timeout_secs: how long it may ring.
        play: said as soon as it is answered.
        record: record it; the channel's `record` if absent.
        language: recognise this language; the channel's if absent.
        ref: comes back in `call.offered`.
        idempotency_key: the same key gives the same answer and one call, within the dedup window.
    """

    channel: str
    to: str
    caller_id: str | None = None
    caller_name: str | None = None
    headers: dict[str, str] = {}
    timeout_secs: Annotated[float, Meta(gt=0, le=600)] = 60.0
    play: Media | str | None = None
    record: bool | None = None
    language: str | None = None
    ref: str | None = None
    idempotency_key: str | None = None


class AnswerParams(Params, frozen=True, kw_only=True):
    """`call.answer`: take a call that is offered.

    Attributes:
        early_media: send 183 with sound instead of the 200, to say something before anybody pays.
        play: said as soon as sound flows.
        record: record it; the channel's `record` if absent.
        language: recognise this language; the channel's if absent.
    """

    channel: str
    call_id: str
    early_media: bool = False
    play: Media | str | None = None
    record: bool | None = None
    language: str | None = None


class HangupParams(Params, frozen=True, kw_only=True):
    """`call.hangup`: end it; `code` is the status for a call that is not answered yet (603 declines, 486 is busy)."""

    channel: str
    call_id: str
    code: Annotated[int, Meta(ge=300, le=699)] | None = None
    reason: str | None = None


class TransferParams(Params, frozen=True, kw_only=True):
    """`call.transfer`: hand the caller over by REFER (RFC 3515); blind to a URI, or attended to another call's party.

    Attributes:
        to: a SIP or tel URI, or a number; for a blind transfer.
        with_call: the `call_id` of the call to join (Replaces, RFC 3891); for an attended transfer.
    """

    channel: str
    call_id: str
    to: str | None = None
    with_call: str | None = None


class SendDtmfParams(Params, frozen=True, kw_only=True):
    """`call.send_dtmf`: press keys; ``p`` and ``,`` pause half a second, ``w`` one second."""

    channel: str
    call_id: str
    digits: Digits
    method: Literal["rfc4733", "info"] = "rfc4733"


class PlayParams(Params, frozen=True, kw_only=True):
    """`call.play`: say something; answered once it is being said.

    Attributes:
        media: a stored file by its `sha256`, or the name of a prompt of the channel; none stops what is being said.
        loop: again and again, until something else is played.
        interrupt: at once; otherwise after what is being said.
    """

    channel: str
    call_id: str
    media: Media | str | None = None
    loop: bool = False
    interrupt: bool = True


class RecordParams(Params, frozen=True, kw_only=True):
    """`call.record`: start, stop, pause (silence is written) or resume the recording; a new start makes a new file."""

    channel: str
    call_id: str
    action: Literal["start", "stop", "pause", "resume"] = "start"


CALL_REQUESTS: dict[str, type[Params]] = {
    "call.originate": OriginateParams,
    "call.answer": AnswerParams,
    "call.hangup": HangupParams,
    "call.hold": CallRequestParams,
    "call.resume": CallRequestParams,
    "call.transfer": TransferParams,
    "call.send_dtmf": SendDtmfParams,
    "call.play": PlayParams,
    "call.record": RecordParams,
}
"""Method name → type of its params."""
