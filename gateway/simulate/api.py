"""What a simulator of a provider is: one small module per kind, `gateway/simulate/<kind>.py`, found by its name.

Such a module (hyphens of the kind become underscores) offers::

    SIMULATOR = AcmeSimulator   # the provider's deliveries: a subclass of `Simulator`
    CLOUD = AcmeCloud           # the provider's API: a subclass of `gateway.simulate.cloud.Cloud`; may be left out

A `Simulator` knows two things: how a delivery looks (`delivery`) and how it is proved (`sign`). Counting, duplicates,
batches, reordering, lateness, retries, rates and reports are the framework's (`gateway.simulate.traffic`), and so are
the tests: `tests/contract/test_channel_security.py` signs every payload of the kind with it, and then tampers.
`gateway.simulate.telegram` is the shortest complete example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import ChannelConfig
from gateway.simulate.cloud import Cloud

JSON, FORM = "application/json", "application/x-www-form-urlencoded"

MALFORMED = (
    b"this is not JSON",
    b'{"entry":[{"id":"1","messages":[{"id":"m1","ty',
    b'{"text":"\xff\xfe"}',
    b'{"events":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
"""Not JSON, cut off, invalid UTF-8, too deep."""


class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request to the channel's URL.

    Attributes:
        method: GET or POST.
        path: what follows ``/c/<channel>``, with its slash; nearly always empty.
        query: decoded parameters.
        headers: as the provider writes them; `Content-Type` included.
        body: the bytes.
    """

    method: str = "POST"
    path: str = ""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""

    def adding(self, *, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None) -> Request:
        """Return the request with more headers and parameters."""
        return replace(self, headers={**self.headers, **(headers or {})}, query={**self.query, **(query or {})})


def json_post(data: Any) -> Request:
    """Write a delivery as JSON, without blanks."""
    return Request(headers={"Content-Type": JSON}, body=msgspec.json.encode(data))


def form_post(fields: Mapping[str, str]) -> Request:
    """Write a delivery as a form."""
    return Request(headers={"Content-Type": FORM}, body=urlencode(fields).encode())


def raw_post(body: bytes, content_type: str = JSON) -> Request:
    """Write a delivery from its bytes."""
    return Request(headers={"Content-Type": content_type}, body=body)


class Item(Struct, frozen=True, kw_only=True):
    """One thing that happened at the provider.

    Attributes:
        number: names it: the same number must make the same provider ids, another number other ids. Positive and
            below 2^53.
        at: when it happened, Unix time in seconds; in the past where lateness is simulated.
        content: what happened, one of the simulator's `contents`.
        text: of the message or the caption.
        person: who did it, counted from 1.
        spoilt: it must be an item that the codec cannot read, in a delivery that is otherwise fine (its id of the
            wrong type, say); asked of kinds that deliver batches.
    """

    number: int
    at: float
    content: str = "text"
    text: str = "Hello from the simulator"
    person: int = 1
    spoilt: bool = False


class Handshake(Struct, frozen=True, kw_only=True):
    """How the provider makes sure that a URL is ours.

    Attributes:
        request: signed already.
        status: of the right answer.
        body: of the right answer: bytes must be equal; a dict must be part of the JSON object; None is not looked at.
    """

    request: Request
    status: int = 200
    body: bytes | dict[str, Any] | None = None

    def complaint(self, status: int, body: bytes) -> str | None:
        """Say what is wrong with an answer; None if nothing is."""
        if status != self.status:
            return f"HTTP {status} instead of {self.status}"
        if self.body is None or self.body == body:
            return None
        if isinstance(self.body, dict):
            try:
                told = msgspec.json.decode(body)
            except msgspec.DecodeError:
                return "the answer is not JSON"
            if isinstance(told, dict) and self.body.items() <= told.items():
                return None
        return "the answer does not carry what the provider wants back"


C = TypeVar("C", bound=ChannelConfig)


class Simulator(ABC, Generic[C]):
    """One provider's deliveries to one channel.

    Attributes:
        contents: what can happen, the usual one first (`Item.content`); ``omnigate simulate <kind> --kind``.
        batch_max: items in one delivery; 1 where the provider sends one by one.
        connections: deliveries at the same time, as the provider does it.
        signs_body: the proof covers the body, so a body that was changed must be refused.
        tail: what the contract suite appends to a body to change it; no blank where the proof covers what is sealed in
            the body, and not the blanks around it.
        signs_time: the proof covers a time, so a delivery that was signed `window_secs` ago must be refused.
        window_secs: beyond the connector's replay window; an hour, unless the provider may repeat later than that
            what it signed once.
        knows_nonce: the proof covers neither body nor more than a nonce, so the connector must remember it and refuse
            it with another body.
        pulled: deliveries carry nothing but the news that something happened; what it was is pulled from the cloud
            side, once however often that is delivered.
        idle: headers and parameters that `sign` adds although the connector need not look at each of them (a second,
            weaker signature); the contract suite leaves them alone.
        extras: what has to be known besides the channel's options, name → meaning (a private key whose public half is
            configured); given by ``--extra NAME=VALUE`` and by `[simulator]` of a fixture's channel.toml.
        options: the channel's, secrets included.
        url: the public URL of the channel, for signatures that cover it.
        extra: values of `extras`.
        cloud: the cloud side, where both run in one process; told what happened by a kind that is `pulled`.
    """

    cloud: Cloud | None = None

    contents: ClassVar[tuple[str, ...]] = ("text",)
    batch_max: ClassVar[int] = 1
    connections: ClassVar[int] = 10
    signs_body: ClassVar[bool] = True
    tail: ClassVar[bytes] = b" "
    signs_time: ClassVar[bool] = False
    window_secs: ClassVar[float] = 3600.0
    knows_nonce: ClassVar[bool] = False
    pulled: ClassVar[bool] = False
    idle: ClassVar[frozenset[str]] = frozenset()
    extras: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: C, *, url: str, extra: Mapping[str, str] | None = None) -> None:
        """Play the provider of a channel with these options at this URL.

        A kind that overrides this raises `ValueError`, for people, when an `extra` it needs is missing.
        """
        self.options, self.url, self.extra = options, url, dict(extra or {})

    @abstractmethod
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write what happened as one delivery, unsigned; `items` are at least 1 and at most `batch_max`."""

    @abstractmethod
    def sign(self, request: Request, now: float) -> Request:
        """Add the provider's proof, by the channel's secrets; may also encrypt the body.

        Every header and parameter added here counts as proof: the contract suite leaves each out, and changes each,
        and expects 401 or 403. What is no proof (a user agent) belongs into `delivery`.

        Args:
            request: of `delivery`, `again` or a payload fixture.
            now: Unix time in seconds, for proofs that carry it.
        """

    def again(self, request: Request, attempt: int) -> Request:
        """Mark a delivery as the provider's retry number `attempt` (1 is the first repetition), before it is signed.

        Slack adds `X-Slack-Retry-Num`, LINE sets `isRedelivery`; most send the same again, as this does.
        """
        return request

    def malformed(self, number: int) -> Request:
        """Write a delivery that nobody can read; `number` chooses among several ways."""
        return raw_post(MALFORMED[number % len(MALFORMED)])

    def marked(self, mark: str, now: float) -> Request | None:
        """Write a delivery with `mark` in its body, unsigned, by which `channel.verify` tries the way in.

        The gateway drops it once it is proved (`gateway.doctor.marks`), so it becomes nobody's message. Here it is the
        usual content with the mark as its text; None where the provider's deliveries carry no text of ours.
        """
        request = self.delivery([Item(number=int(now * 1000), at=now, content=self.contents[0], text=mark)])
        return request if mark.encode() in request.body else None

    def handshake(self, now: float) -> Handshake | None:
        """Ask as the provider does when the URL is entered; None where it does not ask."""
        return None
