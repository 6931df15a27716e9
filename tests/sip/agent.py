"""A SIP peer of bytes: sends what no library would send, and looks whether the other side still lives."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

SESSION = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
NO_RTP = 9998
"""Where nobody listens: PJSIP would take sound that comes to a call of another test for that of its caller."""
FRAME = 160
"""Bytes of G.711 in 20 ms."""
_NUMBERS = itertools.count(1)


def sdp(port: int = NO_RTP) -> str:
    """Offer G.711, to be sent to `port`."""
    return SESSION + f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"


def unique() -> str:
    """Make a token for branches, tags and Call-IDs."""
    return f"{next(_NUMBERS)}x{time.monotonic_ns()}"


class Udp:
    """A UDP socket on the loopback; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it."""
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        """Be open."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self._socket.close()


class Agent(Udp):
    """Speaks to one SIP server."""

    def __init__(self, port: int) -> None:
        """Speak to `port`."""
        super().__init__()
        self.target = ("127.0.0.1", port)

    def message(
        self,
        method: str = "INVITE",
        body: str | bytes = sdp(),
        *,
        uri: str | None = None,
        via: str | None = None,
        sender: str | None = None,
        to: str = "To: <sip:100@127.0.0.1>\r\n",
        call_id: str | None = None,
        cseq: str | None = None,
        contact: str | None = None,
        forwards: str = "Max-Forwards: 70\r\n",
        more: str = "",
        kind: str = "application/sdp",
        length: str | None = None,
        version: str = "SIP/2.0",
    ) -> bytes:
        """Write a request that is right, except for what is given: whole header lines, with their line ends."""
        token, data = unique(), body.encode("latin1") if isinstance(body, str) else body
        lines = [
            f"{method} {uri or f'sip:100@127.0.0.1:{self.target[1]}'} {version}\r\n",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{token}\r\n" if via is None else via,
            forwards,
            sender or f"From: <sip:t@127.0.0.1>;tag={token}\r\n",
            to,
            f"Call-ID: {token}\r\n" if call_id is None else call_id,
            f"CSeq: {cseq or f'1 {method}'}\r\n",
            f"Contact: <sip:t@127.0.0.1:{self.port}>\r\n" if contact is None else contact,
            more,
            f"Content-Type: {kind}\r\n" if data else "",
            f"Content-Length: {len(data) if length is None else length}\r\n\r\n",
        ]
        return "".join(lines).encode("latin1") + data

    def send(self, data: bytes) -> None:
        """Send a datagram; what is too large for one is left out."""
        with suppress(OSError):
            self._socket.sendto(data, self.target)

    def answers(self, secs: float) -> list[bytes]:
        """Collect what comes, until nothing has come for `secs`."""
        found = []
        self._socket.settimeout(secs)
        with suppress(TimeoutError, ConnectionError):
            while True:
                found.append(self._socket.recv(65_535))
        return found

    def alive(self, secs: float = 10) -> bool:
        """Ask by OPTIONS, again and again (UDP may lose it), whether anybody answers at all."""
        return self.options(secs) is not None

    def options(self, secs: float = 10) -> int | None:
        """Return the status of the answer to an OPTIONS; None if there is none in time."""
        until = time.monotonic() + secs
        while time.monotonic() < until:
            with Agent(self.target[1]) as one:
                one.send(one.message("OPTIONS", ""))
                for answer in one.answers(0.5):
                    if found := re.match(rb"SIP/2\.0 (\d{3})", answer):
                        return int(found[1])
        return None

    def hang_up(self, answers: list[bytes]) -> None:
        """End the calls that were taken, ACK and BYE for every 2xx of an INVITE, and acknowledge refusals."""
        self.acknowledge(answers, bye=True)

    def acknowledge(self, answers: list[bytes], *, bye: bool = False) -> None:
        """Send an ACK for each final answer to an INVITE, and a BYE behind that of a 2xx if so wished."""
        for answer in answers:
            head = answer.decode("latin1").split("\r\n")
            named = {line.partition(":")[0].strip().lower(): line for line in head[1:] if ":" in line}
            if not re.match(r"SIP/2\.0 [2-6]", head[0]) or not {"via", "from", "to", "call-id", "cseq"} <= named.keys():
                continue
            number, _, method = named["cseq"].partition(":")[2].strip().partition(" ")
            if method != "INVITE":
                continue
            same = {"sender": named["from"], "to": named["to"], "call_id": named["call-id"]}
            dialog = {name: line + "\r\n" for name, line in same.items()}
            if head[0].startswith("SIP/2.0 2"):
                self.send(self.message("ACK", "", **dialog, cseq=f"{number} ACK"))
                if bye:
                    self.send(self.message("BYE", "", **dialog, cseq=f"{int(number) + 1} BYE"))
            else:  # of the same transaction
                self.send(self.message("ACK", "", **dialog, via=named["via"] + "\r\n", cseq=f"{number} ACK"))


class Media(Udp):
    """Sends RTP (RFC 3550)."""

    def send(self, port: int, numbers: Iterable[int], ulaw: bytes = b"") -> None:
        """Send packets of 20 ms with these sequence numbers, each at its time: of `ulaw`, and silence behind it."""
        began = time.monotonic()
        for number in numbers:
            time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
            head = struct.pack("!BBHII", 0x80, 0, number, number * FRAME, 7)
            frame = ulaw[number * FRAME :][:FRAME].ljust(FRAME, b"\xff")
            self._socket.sendto(head + frame, ("127.0.0.1", port))
