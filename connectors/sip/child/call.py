"""One call, as pjsua2 sees it."""

from __future__ import annotations

import re
from typing import Any

import pjsua2 as pj

from connectors.sip.child.context import Room, guarded

_SUMMED = frozenset({"received", "lost", "discarded", "sent", "remote_lost"})
_TAG = re.compile(r"^(from|f|to|t)[ \t]*:[^\r\n]*?;[ \t]*tag=([^;\s>]+)", re.IGNORECASE | re.MULTILINE)
_SOUNDING = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD, pj.PJSUA_CALL_MEDIA_LOCAL_HOLD)
_STATUS = {
    pj.PJSUA_CALL_MEDIA_ACTIVE: "active",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "local_hold",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "remote_hold",
    pj.PJSUA_CALL_MEDIA_NONE: "none",
    pj.PJSUA_CALL_MEDIA_ERROR: "error",
}


class Call(pj.Call):  # type: ignore[misc] # pjsua2 has no types
    """See the module.

    After DISCONNECTED its slot in PJSIP is used for another call, so the object must be dropped in that callback, and
    nobody may call its methods any more: commands find a call by our own number, in `Room.calls`.

    Attributes:
        number: ours.
        source: from where its INVITE came; empty for one of ours.
        media: status of its sound, of `_STATUS`.
        up: it was answered.
        seen: packets that had come at the last look; `quiet`: seconds without a new one.
    """

    def __init__(self, account: Any, room: Room, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        """Take a port for its sound; made in the callback of the INVITE, not later, else the call is lost."""
        super().__init__(account, call_id)
        self.room, self.number = room, room.number()
        self.tap = room.taps.pop() if room.taps else None
        self.media, self.up, self.source = "none", False, ""
        self.seen = self.quiet = 0
        self._stats: dict[str, float] = {}
        self._tags: dict[str, str] = {}
        room.calls[self.number] = self
        if self.tap is not None:
            self.tap.serve(self.number)

    def note_tags(self, message: str) -> None:
        """Take the tags of the dialog out of a message."""
        for name, tag in _TAG.findall(message):
            self._tags["from" if name.lower() in {"from", "f"} else "to"] = tag

    def replaces(self) -> str:
        """Return what a Replaces header (RFC 3891) has to say for the other side of this call to recognise it."""
        info = self.getInfo()
        ours, theirs = ("to", "from") if info.role == pj.PJSIP_ROLE_UAS else ("from", "to")
        return f"{info.callIdString};to-tag={self._tags.get(theirs, '0')};from-tag={self._tags.get(ours, '0')}"

    @guarded
    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802 -- pjsua2's names, here and below
        """Look for the tags in what is sent and received until the answer."""
        state = prm.e.body.tsxState
        if state.tsx.method == "INVITE" and len(self._tags) < 2:
            self.note_tags(state.src.rdata.wholeMsg or state.src.tdata.wholeMsg)

    @guarded
    def onCallState(self, prm: Any) -> None:  # noqa: N802
        """Tell the parent."""
        info = self.getInfo()  # in a name: call.getInfo().media dangles
        self.up = self.up or info.state == pj.PJSIP_INV_STATE_CONFIRMED
        more: dict[str, Any] = {}
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            if self.tap is not None:
                self.tap.release()
                self.room.taps.append(self.tap)
                self.tap = None
            self.room.calls.pop(self.number, None)
            self.room.ended()
            more = {
                "stats": self._stats,
                "unsent": self.room.link.lost,
                "message": prm.e.body.tsxState.src.rdata.wholeMsg,
            }
        self.room.link.tell(
            "state", self.number, state=info.stateText, code=info.lastStatusCode, reason=info.lastReason, **more
        )

    @guarded
    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802
        """Connect the sound, again after every re-INVITE: the port in the bridge may be a new one."""
        info = self.getInfo()
        for index in range(info.media.size()):
            media = info.media[index]
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status in _SOUNDING and self.tap is not None and media.dir != pj.PJMEDIA_DIR_NONE:
                sound = self.getAudioMedia(index)
                sound.startTransmit(self.tap)
                self.tap.startTransmit(sound)
            self.media, self.quiet = _STATUS.get(media.status, "error"), 0
            self.room.link.tell("media", self.number, status=self.media, dir=media.dir, **self._stream(index))
            return

    def _stream(self, index: int) -> dict[str, Any]:
        try:
            stream = self.getStreamInfo(index)
            transport = self.getMedTransportInfo(index)
        except pj.Error:  # no stream: refused, or an inactive one
            return {}
        rate = stream.codecClockRate
        secure = bool(stream.proto & pj.PJMEDIA_TP_PROFILE_SRTP)
        return {"codec": f"{stream.codecName}/{rate}", "srtp": secure, "peer": transport.srcRtpName}

    @guarded
    def onStreamDestroyed(self, prm: Any) -> None:  # noqa: N802
        """Add up what the stream counted; a re-INVITE may end one and begin another."""
        for name, value in self.stats().items():
            self._stats[name] = self._stats.get(name, 0) + value if name in _SUMMED else value

    def stats(self) -> dict[str, float]:
        """Return what the stream counted so far."""
        try:
            found = self.getStreamStat(0)
        except pj.Error:
            return {}
        heard, sent, jitter = found.rtcp.rxStat, found.rtcp.txStat, found.jbuf
        return {
            "received": heard.pkt,
            "lost": heard.loss,
            "discarded": heard.discard + jitter.discard,
            "sent": sent.pkt,
            "remote_lost": sent.loss,
            "jitter_us": heard.jitterUsec.mean,
            "rtt_us": found.rtcp.rttUsec.mean,
            "buffer_ms": jitter.avgDelayMsec,
        }

    @guarded
    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        """Tell a key."""
        method = "info" if prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else "rfc4733"
        self.room.link.tell("dtmf", self.number, digit=prm.digit, method=method, ms=prm.duration)

    @guarded
    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
        """Refuse a REFER: by default PJSIP accepts it and calls whom it names, which is how toll fraud works."""
        if not self.room.refer:
            prm.statusCode = pj.PJSIP_SC_DECLINE
        self.room.link.tell("refer", self.number, target=prm.dstUri, accepted=self.room.refer)

    @guarded
    def onCallReplaceRequest(self, prm: Any) -> None:  # noqa: N802
        """Refuse to be taken over, likewise."""
        if not self.room.refer:
            prm.statusCode = pj.PJSIP_SC_DECLINE

    @guarded
    def onCallRedirected(self, prm: Any) -> int:  # noqa: N802
        """Call whom a 3xx names only where that is wished: it lets the other side choose whom we call."""
        return int(pj.PJSIP_REDIRECT_ACCEPT if self.room.redirect else pj.PJSIP_REDIRECT_STOP)

    @guarded
    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        """Tell how a transfer of ours goes (NOTIFY, RFC 3515)."""
        self.room.link.tell("transfer", self.number, code=prm.statusCode, final=prm.finalNotify)
        if prm.finalNotify:
            prm.cont = False
