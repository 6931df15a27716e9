"""What it costs to read a mail, without network and disk, beside Python's own parser.

A program of its own: ``python -m tests.bench.mail.reading`` prints `Figures` as JSON, one per size.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec

from normalizer.codecs.email import EmailCodec, StoredPart, stored
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent
from tests.bench.mail.letters import LARGE, SMALL, Letters

_MAILS = 20
_SECS = 1.0
"""Of each measurement."""


class Figures(msgspec.Struct, kw_only=True):
    """Milliseconds of CPU for one mail; medians.

    Attributes:
        size: of the mail, in bytes.
        codec: from the bytes to the event, attachments as the gateway has stored them.
        whole: taking page and attachments out before, as for a mail that has just come.
        parser: Python's `email.message_from_bytes`, nothing decoded.
        reader: that, with headers and all parts decoded, as whoever reads the mail must.
    """

    size: int
    codec: float
    whole: float
    parser: float
    reader: float


def measure(size: int) -> Figures:
    """Read some mails of that size, in turns."""
    mails = [Letters(size).write(number) for number in range(_MAILS)]
    raws = [_raw(mail, EmailCodec()) for mail in mails]
    codec, fresh = EmailCodec(), EmailCodec()
    timed = _timed(
        [
            lambda n: list(codec.decode(raws[n])),
            lambda n: list(fresh.decode(_raw(mails[n], fresh))),
            lambda n: message_from_bytes(mails[n]),
            lambda n: _read(mails[n]),
        ]
    )
    return Figures(size=len(mails[0]), codec=timed[0], whole=timed[1], parser=timed[2], reader=timed[3])


def _timed(works: list[Callable[[int], object]]) -> list[float]:
    seen: list[list[float]] = [[] for _ in works]
    ends = time.perf_counter() + _SECS * len(works)
    number = 0
    while time.perf_counter() < ends or len(seen[0]) < _MAILS:
        for work, times in zip(works, seen, strict=True):
            began = time.process_time()
            work(number % _MAILS)
            times.append(1000 * (time.process_time() - began))
        number += 1
    return [statistics.median(times) for times in seen]


def _raw(mail: bytes, codec: EmailCodec) -> RawEvent:
    """Prepare a delivery as `connectors.email.delivery` does, the disk left out."""
    parts = {}
    for one in codec.derived(mail):
        data = one.data()
        parts[one.section] = StoredPart(sha256="0" * 64, size=len(data), notes=one.notes)
    return RawEvent(
        channel=ChannelRef(id="mail", type="email"),
        kind="email",
        body=mail,
        received_at=datetime.now(UTC),
        content_type="message/rfc822",
        meta={"stored": stored(parts), "rcpt_to": '["support@shop.example"]', "mail_from": "a@customer.example"},
    )


def _read(mail: bytes) -> list[object]:
    message = message_from_bytes(mail, policy=policy.default)
    assert isinstance(message, EmailMessage)
    found: list[object] = [str(value) for value in message.values()]
    return found + [part.get_content() for part in message.walk() if not part.is_multipart()]


def main() -> None:
    """Measure and print."""
    print(msgspec.json.encode([measure(size) for size in (SMALL, LARGE)]).decode())


if __name__ == "__main__":
    main()
