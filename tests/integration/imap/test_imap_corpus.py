"""The corpus of hard mails in a mailbox of Dovecot: each is in the queue once, or in quarantine."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.blobs import BlobStore
from normalizer import schema
from tests.integration.imap.helpers import imap, reading
from tests.mail_corpus import Mail, mails
from tests.mail_corpus.hostile import BUILDERS
from tests.rig import empty_queue
from tests.servers.dovecot import Dovecot

BLANK = Mail("blank", b"\n", None)
HOSTILE = (
    *("thousand-nested-parts", "hundred-thousand-parts", "base64-bomb", "header-of-a-megabyte", "nul-bytes"),
    *("ten-thousand-recipients", "html-11", "tnef-of-attributes"),
)


async def fetch(
    dovecot: Dovecot, folder: Path, rabbit_url: str, corpus: list[Mail], **options: Any
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Read a mailbox with these mails; returns the messages by name of the mail, and how many are in quarantine."""
    dovecot.add(*(one.body for one in corpus))
    names = {uid: corpus[index].name for uid, index in dovecot.uids().items()}
    async with reading(folder, imap(dovecot, after="move", **options), broker_url=rabbit_url) as post:
        await post.until(lambda: len(post.taken) == len(corpus), secs=60)
        await post.until(lambda: dovecot.count() == 0)
        quarantined = len(await post.rig.quarantine.list())
    found: dict[str, list[dict[str, Any]]] = {}
    for params in await empty_queue(rabbit_url):
        if "quarantine_id" not in params:
            found.setdefault(names[params["metadata"]["email"]["imap"]["uid"]], []).append(params)
    return found, quarantined


async def test_every_mail_of_the_corpus_is_fetched_once(dovecot: Dovecot, tmp_path: Path, rabbit_url: str) -> None:
    validator = Draft202012Validator(
        {"$schema": schema.DIALECT, "$ref": "#/$defs/MessageParams", "$defs": schema.messages()["$defs"]}
    )
    corpus = [*mails(), BLANK]
    found, quarantined = await fetch(dovecot, tmp_path, rabbit_url, corpus)

    received = {name: [one for one in each if "message" in one] for name, each in found.items()}
    assert {mail.name for mail in corpus} - received.keys() == {"blank"}
    assert Counter(len(each) for each in received.values()) == {1: len(corpus) - 1}
    assert quarantined == dovecot.count("Quarantine") == 1
    assert dovecot.count("Processed") == len(corpus) - 1
    for (params,) in received.values():
        assert [error.message for error in validator.iter_errors(params)] == []


def as_stored(mail: Mail) -> bool:
    """Tell whether Dovecot gives a mail as it came: it ends lines with CRLF, and sends no NUL (RFC 3501 §4.3.1)."""
    bare = mail.body.replace(b"\r\n", b"")
    return b"\0" not in mail.body and b"\r" not in bare and b"\n" not in bare


async def test_golden_mails_are_what_they_say_by_imap(dovecot: Dovecot, tmp_path: Path, rabbit_url: str) -> None:
    golden = [mail for mail in mails() if mail.expected and as_stored(mail)]
    found, _ = await fetch(dovecot, tmp_path, rabbit_url, golden)
    blobs = BlobStore(tmp_path)
    for mail in golden:
        assert mail.expected is not None
        message = next(params["message"] for params in found[mail.name] if "message" in params)
        sender = [one["value"] for one in message["from"].get("addresses", [])]
        files = [part["media"]["sha256"] for part in message["parts"] if "media" in part]

        assert (message.get("subject"), message["parts"][0]["text"]) == (
            mail.expected["subject"],
            mail.expected["text"],
        ), mail.name
        assert sender == ([mail.expected["sender"]] if mail.expected["sender"] else []), mail.name
        assert files == [one["sha256"] for one in mail.expected["attachments"]], mail.name
        for digest in files:
            assert sha256(await blobs.get(f"sha256:{digest}")).hexdigest() == digest
    assert len(golden) >= 60


async def test_mails_made_to_hurt_do_not_keep_others_waiting(dovecot: Dovecot, tmp_path: Path, rabbit_url: str) -> None:
    hostile = [Mail(name, BUILDERS[name](), None) for name in HOSTILE]
    after = Mail("after", b"Subject: still there\r\n\r\nyes\r\n", None)
    found, quarantined = await fetch(dovecot, tmp_path, rabbit_url, [*hostile, after])
    assert len(found) + quarantined == len(hostile) + 1
    assert found["after"][0]["message"]["subject"] == "still there"


@pytest.mark.parametrize("max_bytes", [200])
async def test_of_large_mails_only_the_head_is_read_and_they_too_arrive_once(
    dovecot: Dovecot, tmp_path: Path, rabbit_url: str, max_bytes: int
) -> None:
    found, quarantined = await fetch(
        dovecot, tmp_path, rabbit_url, list(mails()), max_bytes=max_bytes, large_head_bytes=700
    )
    received = [one for each in found.values() for one in each if "message" in one]
    assert len(received) + quarantined == len(mails())
    cut = [one for one in received if any(part["type"] == "unsupported" for part in one["message"]["parts"])]
    assert len(cut) > len(mails()) / 2
