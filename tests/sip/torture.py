"""Hostile and odd SIP, in the manner of RFC 4475: each may be answered or not, and nobody may be the worse for it."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from tests.sip.agent import SESSION, Agent, sdp

_AUDIO = SESSION + "m=audio 4000 RTP/AVP 0\r\n"


def messages(agent: Agent) -> dict[str, bytes]:
    """Write all of them, by name; the names of RFC 4475 where there is one."""
    return {**_syntax(agent), **_numbers(agent), **_large(agent), **_bodies(agent), **_methods(agent), **_not_sip()}


def garbage(seed: int, count: int) -> Iterator[bytes]:
    """Make datagrams of chance: bytes, and good messages with bytes changed, cut and doubled."""
    chance = random.Random(seed)
    with Agent(9) as agent:
        good = [agent.message(), agent.message("OPTIONS", ""), agent.message("REGISTER", "")]
    for number in range(count):
        if number % 3 == 0:
            yield chance.randbytes(chance.randrange(1, 1400))
            continue
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 12)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(1, 8)] = chance.randbytes(chance.randrange(4))
        yield bytes(data[: chance.randrange(20, len(data))] if number % 3 == 1 else data)


def _syntax(a: Agent) -> dict[str, bytes]:
    via = f"Via: SIP/2.0/UDP 127.0.0.1:{a.port}"
    odd = "s :\r\nNewFangledHeader:   newfangled value\r\n continued\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
    return {
        "wsinv": a.message(more=odd, to="TO :\r\n sip:100@127.0.0.1 ;   x  = y\r\n"),
        "intmeth": a.message("!interesting-Method0123456789_*+`.%indeed'~", ""),
        "esc00": a.message(uri="sip:null-%00-null@127.0.0.1", sender="From: sip:null-%00-null@127.0.0.1;tag=839\r\n"),
        "NUL in a header": a.message(more="X-A: a\0b\r\n"),
        "NULs everywhere": a.message().replace(b"sip:", b"\0ip:"),
        "badinv01": a.message(via=f"{via};;,;,,\r\n", sender="From: <sip:t@127.0.0.1>;;;\r\n"),
        "separators in Contact": a.message(contact='Contact: "" <> ;,"Joe" <sip:joe@127.0.0.1>;;,,;;\r\n'),
        "quotbal": a.message(to='To: "Mr. J. User <sip:j.user@example.com>\r\n'),
        "ltgtruri": a.message(uri="<sip:user@127.0.0.1>"),
        "lwsruri": a.message(uri="sip:user@127.0.0.1; lr"),
        "lwsstart": a.message().replace(b"INVITE sip", b"INVITE  sip", 1),
        "trws": a.message(version="SIP/2.0  "),
        "badvers": a.message(version="SIP/7.0"),
        "novelsc": a.message(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
        "unksm2": a.message(uri="soap.beep://192.0.2.103:3002"),
        "tel": a.message(uri="tel:+491701234567", sender="From: <tel:+4917012345>;tag=q3\r\n"),
        "bytes in the display name": a.message(sender='From: "\xc3\x28\xa0\xa1\x80" <sip:t@127.0.0.1>;tag=q1\r\n'),
        "user that is no UTF-8": a.message(
            uri="sip:\xff\xfe@127.0.0.1", sender="From: <sip:\xff@127.0.0.1>;tag=q2\r\n"
        ),
        "no Via": a.message(via=""),
        "Via of port 0": a.message(via="Via: SIP/2.0/UDP 127.0.0.1:0;branch=z9hG4bKz\r\n"),
        "Via of no host": a.message(via="Via: SIP/2.0/UDP 999.999.999.999:70000;branch=z9hG4bKz\r\n"),
        "insuf": f"INVITE sip:x@127.0.0.1 SIP/2.0\r\n{via};branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n\r\n".encode(),
        "multi01": a.message(more="CSeq: 5 INVITE\r\nCall-ID: other\r\nMax-Forwards: 5\r\nFrom: <sip:z@z>;tag=9\r\n"),
        "no Contact": a.message(contact=""),
        "Contact: *": a.message(contact="Contact: *\r\n"),
        "Contact is the gateway": a.message(contact=f"Contact: <sip:100@127.0.0.1:{a.target[1]}>\r\n"),
    }


def _numbers(a: Agent) -> dict[str, bytes]:
    lengths = ("-999", "99999999999999999999", "4294967296", "2147483648", "abc", "", "5000", "10")
    huge = "Expires: 10000000000000000000000000000000000000\r\n"
    bigcode = "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1\r\nCall-ID: b\r\nCSeq: 3 INVITE\r\n"
    parties = "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\r\n"
    return {
        **{f"clerr {length!r}": a.message(length=length) for length in lengths},
        "scalar02": a.message(cseq="36893488147419103232 INVITE", more=huge),
        "mismatch01": a.message(cseq="8 REGISTER"),
        "Max-Forwards 0": a.message(forwards="Max-Forwards: 0\r\n"),
        "Max-Forwards 300": a.message(forwards="Max-Forwards: 300\r\n"),
        "bcast": f"SIP/2.0 200 OK\r\n{bigcode}{parties}".encode(),
        "bigcode": f"SIP/2.0 4294967301 better not break\r\n{bigcode}{parties}".encode(),
        "Session-Expires 0": a.message(more="Supported: timer\r\nSession-Expires: 0\r\nMin-SE: 0\r\n"),
        "Session-Expires 1": a.message(more="Supported: timer\r\nSession-Expires: 1;refresher=uac\r\n"),
    }


def _large(a: Agent) -> dict[str, bytes]:
    vias = "".join(f"Via: SIP/2.0/UDP h{i}.invalid;branch=z9hG4bK{i}\r\n" for i in range(80))
    long = f'From: "{"b" * 250}" <sip:{"c" * 200}@127.0.0.1>;tag={"t" * 200}\r\n'
    return {
        **{f"header of {size}": a.message(more=f"X-Long: {'a' * size}\r\n") for size in (2900, 8000, 60_000)},
        "80 Vias": a.message(via=vias),
        "user of 1500": a.message(uri=f"sip:{'a' * 1500}@127.0.0.1"),
        "long names": a.message(uri=f"sip:{'a' * 200}@127.0.0.1", sender=long),
        "Call-ID of 1000": a.message(call_id=f"Call-ID: {'z' * 1000}\r\n"),
        "branch of 700": a.message(via=f"Via: SIP/2.0/UDP 127.0.0.1:{a.port};branch=z9hG4bK{'q' * 700}\r\n"),
        "300 headers": a.message(more="".join(f"X{i}: 1\r\n" for i in range(300))),
        "60 Record-Routes": a.message(more="Record-Route: <sip:1.2.3.4;lr>\r\n" * 60),
    }


def _bodies(a: Agent) -> dict[str, bytes]:
    nested = "--a\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--a--\r\n"
    maps = "a=rtpmap:96 \r\na=rtpmap:\r\na=rtpmap:99999999999 X/0\r\na=rtpmap:0 PCMU/0/0\r\na=fmtp:\r\na=ptime:0\r\n"
    crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\na=crypto:99999 X Y\r\na=crypto:\r\n"
    ice = "a=rtcp:\r\na=rtcp-mux\r\na=ssrc:\r\na=candidate:\r\na=ice-ufrag:\r\na=ice-pwd:\r\n"
    formats = " ".join(str(i % 128) for i in range(100))
    wide = SESSION + "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 L16/8000/0\r\na=rtpmap:97 L16/4294967295/255\r\n"
    bodies = {
        "empty": " ",
        "garbage": "\xff\xfe garbage\r\n\r\n=\r\n",
        "no media": SESSION,
        "no c=": _AUDIO.replace("c=IN IP4 127.0.0.1\r\n", ""),
        "port 0": _AUDIO.replace("4000", "0"),
        "port too high": _AUDIO.replace("4000", "99999999999"),
        "only G.729": SESSION + "m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n",
        **{f"{count} m lines": SESSION + "m=audio 4000 RTP/AVP 0\r\n" * count for count in (17, 40, 100)},
        "100 formats": SESSION + f"m=audio 4000 RTP/AVP {formats}\r\n",
        "60 attributes": _AUDIO + "a=rtpmap:0 PCMU/8000\r\n" * 60,
        "bad rtpmaps": SESSION + "m=audio 4000 RTP/AVP 96 0\r\n" + maps,
        "ptime 0": _AUDIO + "a=ptime:0\r\n",
        "ptime 4294967295": _AUDIO + "a=ptime:4294967295\r\na=maxptime:1\r\n",
        "IPv6": _AUDIO.replace("IP4 127.0.0.1", "IP6 ::1"),
        "host name": _AUDIO.replace("c=IN IP4 127.0.0.1", "c=IN IP4 no.such.host.invalid"),
        "bad crypto": _AUDIO.replace("RTP/AVP", "RTP/SAVP") + crypto,
        "clock 0": _AUDIO.replace(" 0\r", " 0 101\r") + "a=rtpmap:101 telephone-event/0\r\na=fmtp:101 \r\n",
        "bad ICE": _AUDIO + ice,
        "odd channels": wide,
        "video": SESSION + "m=video 4000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    }
    return {
        **{f"SDP: {name}": a.message(body=body) for name, body in bodies.items()},
        "nested multipart": a.message(body=nested, kind="multipart/mixed;boundary=a"),
        "multipart without boundary": a.message(body="xxxx", kind="multipart/mixed"),
        "broken multipart": a.message(body="--a\r\nContent-Type", kind="multipart/mixed;boundary=a"),
        "invut": a.message(body='<audio>\r\n <pcmu port="443"/>\r\n</audio>', kind="application/unknownformat"),
    }


def _methods(a: Agent) -> dict[str, bytes]:
    digest = 'Digest username="x", realm="y", nonce="z", uri="sip:a", response="00"'
    summary = "Event: message-summary\r\nSubscription-State: active\r\n"
    return {
        "bext01": a.message(more="Require: nothingSupportsThis\r\nProxy-Require: noProxiesSupportThis\r\n"),
        "Require: 100rel": a.message(more="Require: 100rel\r\nSupported: 100rel\r\n"),
        "regaut01": a.message("REGISTER", "", more="Authorization: NoOneKnowsThisScheme opaque-data=here\r\n"),
        "REGISTER with wrong credentials": a.message("REGISTER", "", more=f"Authorization: {digest}\r\n"),
        "INVITE with wrong credentials": a.message(more=f"Authorization: {digest}\r\n"),
        "Replaces what is not there": a.message(more="Replaces: abc;to-tag=1;from-tag=2\r\n"),
        "BYE out of nowhere": a.message("BYE", "", to="To: <sip:x@y>;tag=zz\r\n"),
        **{f"{name} out of nowhere": a.message(name, "") for name in ("ACK", "CANCEL")},
        "PRACK out of nowhere": a.message("PRACK", "", more="RAck: 1 1 INVITE\r\n"),
        "REFER out of nowhere": a.message("REFER", "", more="Refer-To: <sip:v@127.0.0.1:9>\r\n"),
        "SUBSCRIBE": a.message("SUBSCRIBE", "", more="Event: presence\r\nExpires: 60\r\n"),
        "SUBSCRIBE to nothing": a.message("SUBSCRIBE", "", more="Event: \r\n"),
        "NOTIFY": a.message("NOTIFY", "x", more=summary, kind="application/simple-message-summary"),
        "PUBLISH": a.message("PUBLISH", "x"),
        "MESSAGE": a.message("MESSAGE", "hello" * 100, kind="text/plain"),
        "INFO": a.message("INFO", "Signal=99999\r\nDuration=abc\r\n", kind="application/dtmf-relay"),
        "UPDATE": a.message("UPDATE", sdp()),
    }


def _not_sip() -> dict[str, bytes]:
    return {
        "nothing": b"",
        "keep-alive": b"\r\n\r\n",
        "one byte": b"I",
        "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "STUN": struct.pack(">HHI12s", 1, 0, 0x2112A442, b"x" * 12),
        "only a request line": b"INVITE sip:x@127.0.0.1 SIP/2.0\r\n\r\n",
    }
