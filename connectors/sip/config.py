"""Options of the kind ``sip``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta
from typing_extensions import override

from connectors import prompts
from connectors.addresses import parse_networks
from connectors.api import ChannelConfig, Positive, Remark
from connectors.recording.config import RecordingConfig
from connectors.sip.config_parts import (
    Consent,
    Languages,
    Listen,
    Ports,
    Registrar,
    SipUri,
    Tls,
    Voicemail,
    split_listen,
)

__all__ = ["Consent", "Languages", "Registrar", "SipConfig", "Tls", "Voicemail"]

INSTALL = "calls need pjsua2, which is not installed: pip install 'omnigate[sip]' on Python 3.11 or 3.12"
CALLS_PER_CHILD = 4
"""How many calls PyPI's build of pjsua2 carries in one process (`PJSUA_MAX_CALLS`)."""
Codec = Literal["PCMA", "PCMU", "G722", "opus"]
ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 -- compared with


class SipConfig(ChannelConfig, frozen=True, kw_only=True):
    """`kind = "sip"`: a telephone line: a trunk or a PBX that calls `listen`, and lines we are registered as.

    Attributes:
        listen: address and port of UDP and TCP; the further processes of a channel for more than four calls listen on
            the second next ports each (5062, 5064 …). Port 0 takes a free one.
        public_address: IP address that peers reach us by, where it is not the one of `listen` (NAT, containers).
        transports: what is listened on; ``tls`` needs `tls`.
        tls: certificate and port of SIP over TLS.
        registrar: the line we register as.
        registrars: further lines, each by a name for `channel.status`.
        outbound_proxy: SIP URI through which our requests go, and numbers of `call.originate` where there is no
            registrar.
        allow: addresses or networks that may call us; none named: everybody. Others are answered 403.
        invites_per_minute: calls one address may begin; beyond it 503 with Retry-After. 0 is unlimited.
        max_calls: calls at the same time, both directions; beyond it 486.
        overflow: what a process that is full does while another has room: send the caller there (302), or refuse.
        drain_secs: how long calls may go on after the gateway was told to stop; then they are hung up.
        retry_after_secs: what refused callers are told to wait (Retry-After).
        answer: who decides that a call is answered: nobody has to (``at_once``), `call.answer` (``core``), or
            `call.answer` and, when it does not come in time, the voice mail (``voicemail``).
        answer_after_secs: with ``at_once``: how long it rings; with ``voicemail``: when the voice mail answers.
        ring_timeout_secs: how long a call waits for `call.answer`; then it is refused with 480.
        early_media: name of a prompt that is played while it rings (183); nobody pays for that.
        greeting: name of a prompt that is played after the answer.
        hold_music: name of a prompt that is played, again and again, to a caller on hold.
        prompts: name → WAV file (any rate, decoded once) or ``sha256:…`` of a stored file.
        voicemail: how the voice mail works.
        record: record calls.
        recording: how recordings are kept.
        consent: ask before recording.
        transcribe: recognise what callers say.
        transcribe_gateway: recognise what the gateway plays, too.
        language: what is spoken; a key of `[asr] models`.
        languages: let callers choose their language by a key.
        phrases: the only things that can be said (a grammar); none: anything.
        codecs: by preference. ``opus`` only where the build of PJSIP has it; PyPI's has not.
        srtp: encrypted media (RFC 4568): ``off``, ``optional``, or ``mandatory``, which refuses others with 488.
        rtp_ports: first and last UDP port of media.
        rtp_timeout_secs: an answered call without a packet for so long is hung up (not on hold); 0 is never.
        max_call_secs: the longest call; 0 is unlimited.
        session_expires_secs: session timers (RFC 4028): a side that does not refresh in this time is gone.
        transfer_allowed: callers may hand us over by REFER, that is make us call somebody: off, as it invites fraud.
        user_agent: how we name ourselves.
        log_level: how much of PJSIP's own log goes into ours, from 1 to 6; always at debug, as it names callers.
    """

    listen: Listen = "0.0.0.0:5060"
    public_address: str | None = None
    transports: Annotated[tuple[Literal["udp", "tcp", "tls"], ...], Meta(min_length=1)] = ("udp", "tcp")
    tls: Tls | None = None
    registrar: Registrar | None = None
    registrars: dict[str, Registrar] = {}
    outbound_proxy: SipUri | None = None
    allow: tuple[str, ...] = ()
    invites_per_minute: Annotated[int, Meta(ge=0)] = 300
    max_calls: Annotated[int, Meta(ge=1, le=1000)] = CALLS_PER_CHILD
    overflow: Literal["redirect", "reject"] = "redirect"
    drain_secs: Annotated[float, Meta(ge=0)] = 60.0
    retry_after_secs: Positive = 30
    answer: Literal["at_once", "core", "voicemail"] = "at_once"
    answer_after_secs: Annotated[float, Meta(ge=0, le=180)] = 0.0
    ring_timeout_secs: Annotated[float, Meta(gt=0, le=600)] = 60.0
    early_media: str | None = None
    greeting: str | None = None
    hold_music: str | None = None
    prompts: dict[str, str] = {}
    voicemail: Voicemail = Voicemail()
    record: bool = False
    recording: RecordingConfig = RecordingConfig()
    consent: Consent | None = None
    transcribe: bool = True
    transcribe_gateway: bool = False
    language: str = "en"
    languages: Languages | None = None
    phrases: tuple[str, ...] = ()
    codecs: Annotated[tuple[Codec, ...], Meta(min_length=1)] = ("PCMA", "PCMU", "G722")
    srtp: Literal["off", "optional", "mandatory"] = "off"
    rtp_ports: Ports = (20_000, 29_999)
    rtp_timeout_secs: Annotated[int, Meta(ge=0)] = 20
    max_call_secs: Annotated[float, Meta(ge=0)] = 14_400.0
    session_expires_secs: Annotated[int, Meta(ge=90)] = 1800
    transfer_allowed: bool = False
    user_agent: str = "Omnigate"
    log_level: Annotated[int, Meta(ge=1, le=6)] = 2

    def __post_init__(self) -> None:
        """Check what one option says about another."""
        _, port = split_listen(self.listen)
        if port > 65_535:
            raise ValueError("`listen` has a port above 65535")
        if "tls" in self.transports and self.tls is None:
            raise ValueError("`transports` has tls; give `tls = { cert = …, key = … }`")
        if self.public_address is not None:
            ip_address(self.public_address)
        first, last = self.rtp_ports
        if last - first + 1 < 4 * self.max_calls:
            raise ValueError(f"`rtp_ports` needs four ports for each of `max_calls`, {4 * self.max_calls} in all")
        parse_networks(self.allow)
        for option, name in self._prompt_names():
            if name not in self.prompts:
                raise ValueError(f"`{option}` names {name!r}, which is not in `prompts`")
        if "" in self.lines:
            raise ValueError("`registrars` has a line without a name")

    @property
    def lines(self) -> dict[str, Registrar]:
        """All lines by name; the one of `registrar` is ``main``."""
        main = {} if self.registrar is None else {"main": self.registrar}
        return {**main, **self.registrars}

    def _prompt_names(self) -> Iterator[tuple[str, str]]:
        given = {
            "early_media": self.early_media,
            "greeting": self.greeting,
            "hold_music": self.hold_music,
            "voicemail.greeting": self.voicemail.greeting,
            "consent.prompt": self.consent and self.consent.prompt,
            "languages.prompt": self.languages and self.languages.prompt,
        }
        yield from ((option, name) for option, name in given.items() if name)

    @override
    def remarks(self, *, shared: bool) -> Iterable[Remark]:
        """See `ChannelConfig.remarks`."""
        if find_spec("pjsua2") is None:
            yield Remark("kind", "needs pjsua2, which is not installed: no call will be taken", INSTALL)
        yield from prompts.remarks(self.prompts)
        yield from self.recording.remarks()
        host, _ = split_listen(self.listen)
        if not self.allow and (host in ANYWHERE or not ip_address(host).is_loopback):
            hint = "name the addresses of your trunk or PBX; scanners call every SIP port of the internet"
            yield Remark("allow", "is empty: everybody who reaches the port can call", hint)
        if self.srtp != "off" and "tls" not in self.transports:
            yield Remark("srtp", "keys are sent in clear text without tls", 'add "tls" to `transports`')
        if self.transfer_allowed and not self.allow:
            yield Remark("transfer_allowed", "lets anybody make us call anybody", "name who may call in `allow`")
        if self.max_calls > CALLS_PER_CHILD and self.overflow == "reject":
            hint = "put a SIP balancer in front that knows all ports, such as Kamailio's dispatcher"
            yield Remark("overflow", "a process that is full refuses, although others have room", hint)
