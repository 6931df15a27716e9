"""Who may call now: judged on the INVITE alone, before PJSIP makes a call of it.

Refusals are stateless answers, so a flood costs no call. Nothing but the standard library is needed here: this runs in
the child process.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

REMEMBER_SECS = 64.0
"""How long an INVITE may come again as the same (RFC 3261 §17.1.1.2: timer B is 32 s)."""
MOST = 10_000
"""Addresses, and calls, that are remembered; the oldest give way."""
HOP = "omnigate-hop"
"""Parameter of the URI a caller was redirected to: such a call is not redirected again."""
STREAMS_MOST = 8
"""Media streams (``m=``) in an offer; PJSIP takes two of its 64 sockets for each of them, wanted or not."""
_STREAM = re.compile(r"^m=", re.MULTILINE)
_CALL_ID = re.compile(r"^(?:call-id|i)[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_BY_UDP = re.compile(r"\A[^\r\n]*\r\n(?:(?!v(?:ia)?[ \t]*:)[^\r\n]*\r\n)*v(?:ia)?[ \t]*:[^\r\n;]*/UDP", re.IGNORECASE)
_TO_TAG = re.compile(r"^(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag=", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request is refused; `why` is a word for metrics.

    Attributes:
        code: SIP status; 0 is no answer at all, so that the caller repeats the INVITE soon (RFC 3261 §17.1.1.2, UDP).
        retry_after: Retry-After, seconds; 0 for none.
        contact: where the caller shall go instead (302).
    """

    code: int
    why: str
    retry_after: int = 0
    contact: str = ""


@dataclass(slots=True)
class Rate:
    """A token bucket for each address."""

    per_minute: int
    clock: Callable[[], float]
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, address: str) -> bool:
        """Take a token; false when there is none. A sixth of a minute's may be taken at once."""
        if not self.per_minute:
            return True
        now, most = self.clock(), max(1.0, self.per_minute / 6)
        tokens, before = self._buckets.pop(address, (most, now))
        tokens = min(most, tokens + (now - before) * self.per_minute / 60)
        self._buckets[address] = (max(0.0, tokens - 1), now)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return tokens >= 1


class Admission:
    """Decides for one child process.

    Attributes:
        draining: no call is taken any more.
        others: SIP URIs of processes that have room.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str],
        per_minute: int,
        retry_after: int,
        room: Callable[[], bool],
        calm: Callable[[int], bool] = lambda _: True,
        clock: Callable[[], float],
    ) -> None:
        """Take calls while there is `room`; while it is not `calm`, they are to come again in half a second.

        `calm` is given how many media streams are offered.
        """
        self._calm = calm
        self._allow = tuple(ip_network(one, strict=False) for one in allow)
        self._rate, self._retry_after, self._room, self._clock = Rate(per_minute, clock), retry_after, room, clock
        self._known: OrderedDict[str, tuple[float, Refusal | None]] = OrderedDict()
        self.draining = False
        self.others: list[str] = []

    def options(self) -> Refusal | None:
        """Judge an OPTIONS: a balancer asks by it whether calls are welcome."""
        return Refusal(503, "draining", self._retry_after) if self.draining else None

    def invite(self, source: str, message: str) -> Refusal | None:
        """Judge an INVITE from `source` (``address:port``); None lets it pass.

        One within a call passes, if there are sockets for what it offers; one that was judged is judged the same.
        """
        head, _, body = message.partition("\r\n\r\n")
        streams = len(_STREAM.findall(body))
        if streams > STREAMS_MOST:
            return Refusal(488, "media")
        if _TO_TAG.search(head):
            return None if streams < 2 or self._calm(streams - 1) else self._paced(head)
        found = _CALL_ID.search(head)
        call, now = found[1] if found else "", self._clock()
        while self._known and now - next(iter(self._known.values()))[0] > REMEMBER_SECS:
            self._known.popitem(last=False)
        if call in self._known:
            return self._known[call][1]
        verdict = self._judge(source.rpartition(":")[0].strip("[]"), head.partition("\r\n")[0])
        if verdict is None and not self._calm(max(1, streams)):
            verdict = self._paced(head)
        if verdict is None or verdict.why not in {"busy", "paced"}:  # room may be there the next time
            self._known[call] = (now, verdict)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return verdict

    @staticmethod
    def _paced(head: str) -> Refusal:
        """Say nothing by UDP: the same comes again in half a second."""
        return Refusal(0 if _BY_UDP.search(head) else 503, "paced", 1)

    def _judge(self, address: str, request_line: str) -> Refusal | None:
        if not self.knows(address):
            return Refusal(403, "forbidden")
        if self.draining:
            return Refusal(503, "draining", self._retry_after)
        if not self._rate.take(address):
            return Refusal(503, "rate", self._retry_after)
        if self._room():
            return None
        if self.others and HOP not in request_line:
            return Refusal(302, "redirected", contact=self.others[0])
        return Refusal(486, "busy", self._retry_after)

    def knows(self, address: str) -> bool:
        """Tell whether calls may come from an address at all."""
        if not self._allow:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._allow)
