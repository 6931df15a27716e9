"""What WhatsApp, Messenger and Instagram have in common: whose an item of a delivery is, times, and bounds.

One app of Meta's has one webhook URL; a delivery holds entries, each with changes or messaging items, of any of the
accounts (phone numbers, pages, Instagram accounts) the app serves:
https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from normalizer.codecs.api import Codec
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef
from normalizer.raw import BadItem, Decoded

LATEST = 4_102_444_800
"""The year 2100; a later time is one in the wrong unit."""

UNKNOWN_ACCOUNT = "no channel has {name} {account!r}; add one with the same app_secret, and re-drive this"

Links = tuple[tuple[str, str], ...]
Place = Callable[[str], ChannelRef | None]
"""Names the running channel of an account, if this app's other channels serve it."""

T = TypeVar("T")


class Head(Struct, frozen=True):
    """The smallest part of a delivery that has an account of its own.

    Attributes:
        account: whose it is; empty where nothing is said, or nothing could be read.
        piece: its bytes.
        entry: id of the entry it stands in, where it is only a part of one.
        time: of that entry.
        links: pairs of addresses that are the same person's, as `contact.identified` tells them.
    """

    account: str
    piece: Raw
    entry: str | int = ""
    time: int | None = None
    links: Links = ()


class Shared(Codec, Protocol):
    """A codec whose deliveries several channels share."""

    def heads(self, body: bytes) -> list[Head]:
        """List the parts of a delivery; an empty list if it cannot be read."""
        ...

    def join(self, heads: Sequence[Head]) -> bytes:
        """Write a delivery of these parts only."""
        ...


def read(body: bytes | Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode JSON; raises `MalformedPayload` with the path of the offender, never its value."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc


def maybe(body: bytes | Raw, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Decode JSON, or return None."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def guarded(items: Callable[[], Iterable[Decoded]], body: Callable[[], bytes]) -> Iterator[Decoded]:
    """Yield what `items` makes of one item; if it cannot be understood, a `BadItem` with `body` instead."""
    try:
        found = tuple(items())
    except MalformedPayload as exc:
        yield BadItem(body=body(), reason=str(exc))
    else:
        yield from found


def moment(value: str | int, *, per_second: int = 1) -> datetime:
    """Read Unix seconds, or a fraction of them; raises `MalformedPayload`."""
    seconds = -1.0
    with suppress(ValueError, OverflowError):
        seconds = int(value) / per_second
    if not 0 <= seconds <= LATEST:
        raise MalformedPayload("the time is not one of this century - at `$.timestamp`")
    return datetime.fromtimestamp(seconds, UTC)


def present(**fields: Any) -> dict[str, Any]:
    """Leave out what is not there."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), [], {})}
