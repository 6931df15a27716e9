"""Mails as bytes, events out of them, and where the shared mail corpus is."""

from __future__ import annotations

import importlib.util
import os
from datetime import UTC, datetime
from pathlib import Path

from normalizer.codecs.email import read
from normalizer.model import ChannelRef, Message, MessageParams
from normalizer.parts import Email
from normalizer.raw import Event, RawEvent

CORPUS = Path(os.environ.get("OMNIGATE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "mail"


def corpus() -> list[Path]:
    """List the mails of the shared corpus, and those that come with Python's own tests."""
    found = sorted(CORPUS.glob("*/*.eml"))
    spec = importlib.util.find_spec("test.test_email")
    if spec is not None and spec.origin is not None:
        found += sorted((Path(spec.origin).parent / "data").glob("msg_*.txt"))
    return found


def raw(body: bytes | str, **meta: str) -> RawEvent:
    data = body.replace("\n", "\r\n").encode() if isinstance(body, str) else body
    channel = ChannelRef(id="support", type="email")
    return RawEvent(channel=channel, kind="email", body=data, received_at=datetime(2026, 11, 20, tzinfo=UTC), meta=meta)


def event(body: bytes | str, **meta: str) -> Event:
    return read(raw(body, **meta))


def params(body: bytes | str, **meta: str) -> MessageParams:
    found = event(body, **meta).params
    assert isinstance(found, MessageParams)
    return found


def message(body: bytes | str, **meta: str) -> Message:
    return params(body, **meta).message


def email_part(body: bytes | str, **meta: str) -> Email:
    part = message(body, **meta).parts[0]
    assert isinstance(part, Email)
    return part
