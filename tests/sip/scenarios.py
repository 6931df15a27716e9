"""sipp scenarios, put together from steps; each is the text of a scenario file.

A caller's sound is the file `SPEECH` in sipp's folder (raw mu-law, RFC 3551 payload type 0), again and again.
"""

from __future__ import annotations

from collections.abc import Iterable

SPEECH = "speech.ulaw"
_TARGET = "sip:[service]@[remote_ip]:[remote_port]"
_FIRST = "z9hG4bK-[pid]-[call_number]-invite"  # CANCEL and the ACK of a refusal have the branch of their INVITE


def _sdp(version: int = 1, direction: str = "sendrecv") -> str:
    return f"""v=0
o=sipp 1 {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a={direction}
"""


def _entity(kind: str, body: str) -> list[str]:
    return [*([f"Content-Type: {kind}"] if body else []), f"Content-Length: {'[len]' if body else '0'}", "", body]


def _send(lines: Iterable[str], *, again: bool = False) -> str:
    text = "\n".join(lines)
    return f"<send{' retrans=' + chr(34) + '500' + chr(34) if again else ''}><![CDATA[\n\n{text}\n]]></send>\n"


def request(
    method: str, cseq: int, *headers: str, body: str = "", kind: str = "application/sdp", first: bool = False
) -> str:
    """Send a request: inside the dialog, or one that belongs to the first INVITE (`first`)."""
    via = f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={_FIRST if first else '[branch]'}"
    return _send(
        [
            f"{method} {_TARGET if first else '[next_url]'} SIP/2.0",
            via,
            "Max-Forwards: 70",
            *([] if first else ["[routes]"]),
            "From: sipp <sip:sipp[call_number]@[local_ip]:[local_port]>;tag=[pid]caller[call_number]",
            f"To: <{_TARGET}>{'' if first and method != 'ACK' else '[peer_tag_param]'}",
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
            *headers,
            *_entity(kind, body),
        ],
        again=method != "ACK",
    )


def respond(status: str, *headers: str, body: str = "", tag: bool = False) -> str:
    """Answer the last request that came; `tag` makes it the first answer of a dialog."""
    echoed = [
        "[last_Via:]",
        "[last_Record-Route:]",
        "[last_From:]",
        f"[last_To:]{';tag=[pid]callee[call_number]' * tag}",
    ]
    contact = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"
    lines = [f"SIP/2.0 {status}", *echoed, "[last_Call-ID:]", "[last_CSeq:]", contact, *headers]
    return _send([*lines, *_entity("application/sdp", body)], again=tag and status.startswith("200"))


def expect(what: int | str, *, optional: bool = False, within_ms: int = 0, plain: bool = False) -> str:
    """Wait for a status, or for a request; a `plain` 200 begins no dialog (sipp complains that it has no Contact)."""
    name = "response" if isinstance(what, int) else "request"
    more = ' rrs="true"' if what == "INVITE" or (what == 200 and not plain) else ""
    more += ' optional="true"' if optional else ""
    more += f' timeout="{within_ms}"' if within_ms else ""
    return f'<recv {name}="{what}"{more}/>\n'


def pause(ms: int | None = None) -> str:
    """Wait; as long as `Sipp.run` says, if nothing is given."""
    return "<pause/>\n" if ms is None else f'<pause milliseconds="{ms}"/>\n'


def _scenario(*steps: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="tests">\n{"".join(steps)}</scenario>\n'


TALK = f'<nop><action><exec rtp_stream="{SPEECH},-1,0"/></action></nop>\n'
PROVISIONAL = "".join(expect(code, optional=True) for code in (100, 180, 183))
INVITE = request("INVITE", 1, body=_sdp(), first=True)
ACK = request("ACK", 1)
CALL = INVITE + PROVISIONAL + expect(200) + ACK
"""Until the call is up."""
TALKING = INVITE + PROVISIONAL + expect(200) + TALK + ACK
"""The same, speaking. From the ACK on the other side may ask something at once; sipp aborts a call of which a request
comes while it is at a ``nop``."""
BYE = request("BYE", 99) + expect(200, plain=True)
HUNG_UP = expect("BYE", within_ms=30_000) + respond("200 OK")
REFUSED_ACK = request("ACK", 1, first=True)

TALK_AND_BYE = _scenario(CALL, TALK, pause(), BYE)
VANISH = _scenario(CALL, TALK, pause())
"""Says no BYE; its sound stops when sipp ends."""
WAIT_FOR_BYE = _scenario(TALKING, HUNG_UP)
BYES_CROSS = _scenario(TALKING, expect("BYE", within_ms=30_000), BYE)
"""Hangs up, and never answers the other side's BYE."""
SILENT = _scenario(CALL, HUNG_UP)
"""Never sends sound."""
DELAYED_OFFER = _scenario(
    request("INVITE", 1, first=True), PROVISIONAL, expect(200), request("ACK", 1, body=_sdp()), TALK, pause(), BYE
)
EARLY_MEDIA = _scenario(
    INVITE, expect(100, optional=True), expect(180, optional=True), expect(183), expect(200), ACK, TALK, pause(), BYE
)
_GIVEN_UP = (  # the 200 of the CANCEL and the 487 of the INVITE come in any order, by UDP and through proxies
    expect(180, optional=True)
    + '<recv response="487" optional="true" next="1"/>\n<recv response="200" next="2"/>\n'
    + '<label id="1"/>\n<recv response="200" next="3"/>\n<label id="2"/>\n<recv response="487"/>\n<label id="3"/>\n'
    + REFUSED_ACK
)
_CANCELLED = request("CANCEL", 1, first=True) + _GIVEN_UP
CANCEL = _scenario(INVITE, expect(100, optional=True), expect(180), pause(), _CANCELLED)
CANCEL_AT_ONCE = _scenario(INVITE, expect(100), _CANCELLED)
"""Gives up as soon as it knows that the INVITE arrived, while the other side is still making its mind up."""
HOLD = _scenario(
    CALL,
    TALK,
    pause(),
    request("INVITE", 2, body=_sdp(2, "sendonly")) + expect(100, optional=True) + expect(200) + request("ACK", 2),
    pause(),
    request("INVITE", 3, body=_sdp(3)) + expect(100, optional=True) + expect(200) + request("ACK", 3),
    pause(),
    BYE,
)
_REHELD = "".join(
    expect("INVITE", within_ms=20_000) + respond("200 OK", body=_sdp(2 + number, direction)) + expect("ACK")
    for number, direction in enumerate(("recvonly", "sendrecv"))
)
GATEWAY_HOLDS = _scenario(TALKING, _REHELD, HUNG_UP)
"""Is put on hold, taken off again, and hung up by the other side."""
_TIMER = ("Supported: timer", "Require: timer")


def _timed(refresher: str, allow: str) -> str:
    """Call with a session timer (RFC 4028) of 90 s, the shortest."""
    headers = (f"Allow: {allow}", "Supported: timer", f"Session-Expires: 90;refresher={refresher}", "Min-SE: 90")
    return request("INVITE", 1, *headers, body=_sdp(), first=True) + PROVISIONAL + expect(200) + ACK + TALK


_WITH_UPDATE, _WITHOUT_UPDATE = "INVITE, ACK, BYE, CANCEL, UPDATE", "INVITE, ACK, BYE, CANCEL"
_AGREED = (*_TIMER, "Session-Expires: 90;refresher=uac")  # of a refresh by the other side
GATEWAY_REFRESHES = _scenario(
    _timed("uas", _WITH_UPDATE), (expect("UPDATE", within_ms=70_000) + respond("200 OK", *_AGREED)) * 3, pause(200), BYE
)
GATEWAY_REFRESHES_BY_INVITE = _scenario(
    _timed("uas", _WITHOUT_UPDATE),
    *(
        expect("INVITE", within_ms=70_000) + respond("200 OK", *_AGREED, body=_sdp(2 + number)) + expect("ACK")
        for number in range(2)
    ),
    pause(200),
    BYE,
)
GATEWAY_REFRESHES_IN_VAIN = _scenario(
    _timed("uas", _WITH_UPDATE),
    expect("UPDATE", within_ms=70_000) + respond("481 Call/Transaction Does Not Exist"),
    HUNG_UP,
)
CALLER_REFRESHES = _scenario(
    _timed("uac", _WITH_UPDATE),
    *(
        pause()
        + request("UPDATE", 2 + number, "Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90")
        + expect(200)
        for number in range(3)
    ),
    HUNG_UP,
)
"""Refreshes three times, and then no more: the other side hangs up."""
REFER_ATTACK = _scenario(
    CALL, pause(200), request("REFER", 2, "Refer-To: <sip:victim@127.0.0.1:9>"), expect(603), pause(200), BYE
)
INFO_DIGITS = _scenario(
    CALL,
    pause(200),
    *(
        request("INFO", 2 + number, body=f"Signal={digit}\nDuration=160\n", kind="application/dtmf-relay")
        + expect(200, plain=True)
        for number, digit in enumerate("4711#")
    ),
    pause(200),
    BYE,
)
ANSWER = _scenario(
    expect("INVITE"),
    respond("180 Ringing", tag=True),
    pause(200),
    respond("200 OK", body=_sdp(), tag=True),
    expect("ACK"),
    TALK,
    expect("BYE"),
    respond("200 OK"),
)
"""Takes a call, talks, and waits for the other side to hang up."""
OPTIONS = _scenario(request("OPTIONS", 1, first=True), expect(200, plain=True))


def _notify(cseq: int, fragment: str, state: str) -> str:
    headers = ("Event: refer", f"Subscription-State: {state}")
    return request("NOTIFY", cseq, *headers, body=f"SIP/2.0 {fragment}\n", kind="message/sipfrag;version=2.0") + expect(
        200
    )


def transferred(final: str = "200 OK") -> str:
    """Let a caller be transferred: it takes the REFER, and tells how its own call went."""
    return _scenario(
        TALKING,
        expect("REFER", within_ms=20_000),
        respond("202 Accepted"),
        _notify(2, "100 Trying", "active;expires=60"),
        pause(200),
        _notify(3, final, "terminated;reason=noresource"),
        HUNG_UP if final.startswith("2") else BYE,
    )


def refused(code: int) -> str:
    """Let a caller expect a refusal."""
    return _scenario(INVITE, expect(100, optional=True), expect(180, optional=True), expect(code), REFUSED_ACK)


def declining(status: str) -> str:
    """Let a callee refuse."""
    return _scenario(expect("INVITE"), respond(status, tag=True), expect("ACK"))
