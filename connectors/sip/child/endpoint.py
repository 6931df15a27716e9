"""PJSIP itself: started once, configured for telephony without a sound device."""

from __future__ import annotations

import ctypes
from typing import Any

import pjsua2 as pj

from connectors.sip import wire
from connectors.sip.child.context import Room, guarded
from connectors.sip.child.link import Link
from connectors.sip.child.ports import Tap

_ASK_CALLS = 1024  # PJSIP takes the limit it was compiled with, if that is less
_USUAL_CALLS = 4
_JITTER_MS = (60, 40, 160, 1000)
"""Of the jitter buffer: what it waits for at first, at least, at most, and what it holds."""


class Unusable(Exception):
    """An option cannot be served by this build; the text names it."""


class LogWriter(pj.LogWriter):  # type: ignore[misc] # pjsua2 has no types
    """Sends PJSIP's log to the parent, which writes it at debug: it names callers."""

    def __init__(self, link: Link) -> None:
        """Write to `link`."""
        super().__init__()
        self._link = link

    def write(self, entry: Any) -> None:
        """Take a line; on any thread, so it does not wait."""
        self._link.note(entry.level, entry.msg)


class Endpoint(pj.Endpoint):  # type: ignore[misc] # pjsua2 has no types
    """The library."""

    def __init__(self, room: Room) -> None:
        """See `start`."""
        super().__init__()
        self.room = room
        self._writer: LogWriter | None = None

    def keep(self, writer: LogWriter) -> None:
        """Hold the writer for as long as the library lives."""
        self._writer = writer

    @guarded
    def onRejectedIncomingCall(self, prm: Any) -> None:  # noqa: N802 -- pjsua2's name
        """Tell of a call PJSIP refused by itself, as all slots were taken."""
        self.room.link.tell("refused", why="busy", code=prm.statusCode)


def start(config: dict[str, Any], room: Room) -> Endpoint:
    """Start the library and listen; raises `pj.Error` when an address or a certificate cannot be used, `Unusable`."""
    endpoint = Endpoint(room)
    endpoint.libCreate()
    options = pj.EpConfig()
    user_agent = options.uaConfig
    user_agent.threadCnt, user_agent.mainThreadOnly = 0, True
    user_agent.maxCalls, user_agent.userAgent = _ASK_CALLS, config["user_agent"]
    log = options.logConfig
    log.level, log.consoleLevel, log.msgLogging = config["log"], 0, int(config["log"] >= 5)
    log.decor = 0
    writer = LogWriter(room.link)
    endpoint.keep(writer)
    log.writer = writer
    media = options.medConfig
    media.clockRate = media.sndClockRate = wire.RATE
    media.noVad, media.ecTailLen, media.sndAutoCloseTime = True, 0, -1
    _keep_all_sound(media)
    endpoint.libInit(options)
    writer.this.disown()  # pjsua2 deletes it
    endpoint.audDevManager().setNullDev()
    ports = _listen(endpoint, config)
    endpoint.libStart()
    _choose_codecs(endpoint, config["codecs"])
    room.most = min(room.most, limit())
    room.ports = [Tap(index, room.link) for index in range(room.most)]
    room.taps = list(room.ports)
    config["ports"] = ports
    return endpoint


def _keep_all_sound(media: Any) -> None:
    """Let the jitter buffer wait longer, but throw nothing away to catch up again.

    By default PJSIP discards frames, 10 ms at a time, once it has more than jitter asks for, as two people talking
    would notice the delay. Here a recorder and a recogniser listen: what is discarded would be missing. With both cores
    of a machine busy, the default lost a frame or more in every few seconds. `jbMax` bounds the delay: it holds what
    came while a machine stood still for most of a second.
    """
    media.jbInit, media.jbMinPre, media.jbMaxPre, media.jbMax = _JITTER_MS
    # SWIG knows pjmedia_jb_discard_algo only as a pointer to a copy; 0 is PJMEDIA_JB_DISCARD_NONE
    choice = media.jbDiscardAlgo
    ctypes.c_int.from_address(int(choice)).value = 0
    media.jbDiscardAlgo = choice
    choice.disown()  # else SWIG complains at every collection that it cannot delete it


def _listen(endpoint: Endpoint, config: dict[str, Any]) -> dict[str, int]:
    """Open the transports; returns the port of each. With port 0 UDP and TCP share the one UDP is given."""
    ports: dict[str, int] = {}
    options = pj.TransportConfig()
    options.boundAddress, options.port = config["host"], config["port"]
    if config.get("public"):
        options.publicAddress = config["public"]
    version6 = ":" in config["host"]
    kinds = {
        "udp": pj.PJSIP_TRANSPORT_UDP6 if version6 else pj.PJSIP_TRANSPORT_UDP,
        "tcp": pj.PJSIP_TRANSPORT_TCP6 if version6 else pj.PJSIP_TRANSPORT_TCP,
        "tls": pj.PJSIP_TRANSPORT_TLS6 if version6 else pj.PJSIP_TRANSPORT_TLS,
    }
    for name in ("udp", "tcp", "tls"):
        if name not in config["transports"]:
            continue
        if name == "tls":
            _secure(options, config["tls"])
        made = endpoint.transportCreate(kinds[name], options)
        config["address"], _, port = endpoint.transportGetInfo(made).localName.rpartition(":")
        ports[name] = int(port)
        if name == "udp":
            options.port = ports[name]
    return ports


def _secure(options: Any, tls: dict[str, Any]) -> None:
    options.port = tls["port"]
    secure = options.tlsConfig
    secure.certFile, secure.privKeyFile, secure.CaListFile = tls["cert"], tls["key"], tls.get("ca") or ""
    secure.verifyServer = secure.verifyClient = secure.requireClientCert = bool(tls.get("ca"))


def _choose_codecs(endpoint: Endpoint, wanted: list[str]) -> None:
    ranks = {one.lower(): rank for rank, one in enumerate(wanted)}
    there = codecs(endpoint)
    if not any(one.lower() in ranks for one in there):
        raise Unusable(f"this build of PJSIP has none of `codecs` ({', '.join(wanted)}); it has {', '.join(there)}")
    for codec in endpoint.codecEnum2():
        rank = ranks.get(codec.codecId.split("/")[0].lower())
        endpoint.codecSetPriority(codec.codecId, 0 if rank is None else 254 - rank)


def codecs(endpoint: Endpoint) -> list[str]:
    """Name the codecs this build has."""
    return sorted({codec.codecId.split("/")[0] for codec in endpoint.codecEnum2()})


def limit() -> int:
    """Return how many calls this build carries in one process; 4 in PyPI's."""
    try:
        from pjsua2 import _pjsua2  # noqa: PLC0415 -- other builds have it elsewhere

        return int(ctypes.CDLL(_pjsua2.__file__).pjsua_call_get_max_count())
    except (ImportError, OSError, AttributeError):
        return _USUAL_CALLS


def taken() -> int:
    """Return how many call slots PJSIP has in use.

    A call whose BYE nobody answers is told as ended at once, but keeps its slot for 32 s more (RFC 3261, timer F), and
    PJSIP would refuse the next caller by itself, with 486 and no word of when to try again.
    """
    try:
        from pjsua2 import _pjsua2  # noqa: PLC0415 -- other builds have it elsewhere

        return int(ctypes.CDLL(_pjsua2.__file__).pjsua_call_get_count())
    except (ImportError, OSError, AttributeError):
        return 0
