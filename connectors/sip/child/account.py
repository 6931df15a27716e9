"""Lines: whom we are called as, and as whom we register."""

from __future__ import annotations

from typing import Any

import pjsua2 as pj

from connectors.sip.child.call import Call
from connectors.sip.child.context import Room, guarded

SRTP = {"off": 0, "optional": 1, "mandatory": 2}


class Account(pj.Account):  # type: ignore[misc] # pjsua2 has no types
    """A line; its `name` is empty for calls that come to our address directly."""

    def __init__(self, name: str, room: Room) -> None:
        """See `make`."""
        super().__init__()
        self.name, self.room = name, room

    @guarded
    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802 -- pjsua2's names, here and below
        """Take a call, and tell the parent, which decides what becomes of it."""
        call = Call(self, self.room, prm.callId)
        if call.tap is None:  # the gatekeeper lets no more in than there are ports; without it this may happen
            refuse = pj.CallOpParam()
            refuse.statusCode = pj.PJSIP_SC_BUSY_HERE
            call.hangup(refuse)
            return
        call.source = prm.rdata.srcAddress
        call.note_tags(prm.rdata.wholeMsg)
        info = call.getInfo()
        self.room.link.tell(
            "incoming",
            call.number,
            sip_call_id=info.callIdString,
            source=call.source,
            message=prm.rdata.wholeMsg,
            line=self.name,
        )

    @guarded
    def onRegState(self, prm: Any) -> None:  # noqa: N802
        """Tell how the registration is."""
        active = bool(self.isValid() and self.getInfo().regIsActive)
        self.room.link.tell("registration", line=self.name, code=prm.code, reason=prm.reason, active=active)


def make(config: dict[str, Any], line: dict[str, Any], room: Room) -> Account:
    """Make an account of a line; `config` is the child's."""
    options = pj.AccountConfig()
    options.idUri = line["id"] or f"sip:omnigate@{config['address']}"
    if line.get("registrar"):
        _register(options, line)
    for proxy in filter(None, (line.get("proxy") or config.get("proxy"),)):
        options.sipConfig.proxies.append(proxy)
    options.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    options.callConfig.timerSessExpiresSec = config["session_expires"]
    media = options.mediaConfig
    media.srtpUse, media.srtpSecureSignaling = SRTP[config["srtp"]], 0
    first, last = config["rtp"]
    ports = media.transportConfig
    ports.port, ports.portRange = first, last - first
    ports.boundAddress = config["host"]
    if config.get("public"):
        ports.publicAddress = config["public"]
    options.natConfig.sdpNatRewriteUse = 0
    options.natConfig.contactRewriteUse = 1 if line.get("registrar") else 0
    options.natConfig.sipOutboundUse = 0
    account = Account(line["name"], room)
    account.create(options, not line["name"])
    return account


def _register(options: Any, line: dict[str, Any]) -> None:
    registration = options.regConfig
    registration.registrarUri = line["registrar"]
    registration.registerOnAdd = line["register"]
    registration.timeoutSec = line["expires"]
    registration.retryIntervalSec = line["retry"]
    registration.firstRetryIntervalSec = min(5, line["retry"])
    registration.dropCallsOnFail = False
    if line.get("password"):
        options.sipConfig.authCreds.append(
            pj.AuthCredInfo("digest", line["realm"], line["auth_user"], 0, line["password"])
        )
