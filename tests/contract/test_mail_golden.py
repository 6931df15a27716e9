"""What comes out of the golden mails: subject, sender, text and the bytes of the attachments."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import asdict

from normalizer.codecs.email import EmailCodec, StoredPart, derived, stored
from normalizer.model import ChannelRef, MessageParams
from normalizer.parts import Audio, Email, File, Image, Video
from normalizer.raw import Event, RawEvent
from tests.mail_corpus import GOLDEN, Mail, golden, mails
from tests.mail_corpus.made import MADE

CODEC = EmailCodec()


def decode(mail: Mail) -> MessageParams:
    """Store what the connector stores, then read, as a delivery goes."""
    parts = {}
    for one in derived(mail.body):
        data = one.data()
        parts[one.section] = StoredPart(sha256(data).hexdigest(), len(data), one.notes)
    raw = RawEvent(
        channel=ChannelRef(id="support", type="email"),
        kind="email",
        body=mail.body,
        received_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        meta={"stored": stored(parts)},
    )
    (event,) = CODEC.decode(raw)
    assert isinstance(event, Event)
    assert isinstance(event.params, MessageParams)
    return event.params


def found(mail: Mail) -> dict[str, Any]:
    """Say of a mail what `golden.json` says of it."""
    message = decode(mail).message
    part = message.parts[0]
    assert isinstance(part, Email)
    cids = {media_id: cid for cid, media_id in part.inline.items()}
    media = [one.media for one in message.parts[1:] if isinstance(one, File | Image | Audio | Video)]
    files = [
        {"name": one.name, "mime": one.mime, "sha256": one.sha256, "size": one.size}
        | ({"cid": cids[one.id]} if one.id in cids else {})
        for one in media
    ]
    return {
        "subject": message.subject,
        "sender": message.sender.addresses[0].value if message.sender.addresses else None,
        "sender_name": message.sender.name,
        "text": part.text,
        "stripped": part.stripped_text,
        "sent_at": f"{message.sent_at:%Y-%m-%dT%H:%M:%SZ}" if message.sent_at else None,
        "provider_id": message.provider_id,
        "html": part.html_ref is not None,
        "remote_images": part.remote_images,
        "trackers": part.trackers,
        "flags": [name for name, value in asdict(message.flags).items() if value] if message.flags else [],
        "attachments": files,
    }


@pytest.mark.parametrize("mail", golden(), ids=lambda mail: mail.name)
def test_a_golden_mail_becomes_what_it_says(mail: Mail) -> None:
    assert mail.expected is not None
    everything = found(mail)
    looked_at = {name: everything[name] for name in mail.expected}

    assert looked_at == mail.expected
    assert mail.expected.get("html", False) == everything["html"]


def test_the_corpus_is_as_large_as_was_promised_and_every_mail_is_another() -> None:
    assert len(mails()) >= 150
    assert len(golden()) >= 60
    assert len({decode(mail).message.id for mail in mails()}) == len(mails())


def test_files_and_expectations_are_what_the_modules_write() -> None:
    written = {mail.name: mail for mail in mails() if not mail.name.startswith("python_")}

    assert {name: mail.body for name, mail in written.items()} == {name: made.body for name, made in MADE.items()}
    assert {name: mail.expected for name, mail in written.items()} == {name: one.expected for name, one in MADE.items()}
    assert GOLDEN.stat().st_size > 1000
