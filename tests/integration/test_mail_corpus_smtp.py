"""The corpus of hard mails by SMTP: each is answered 250, and is in the queue once, or in quarantine."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from jsonschema import Draft202012Validator

from connectors.email import EmailChannel, EmailConfig, SmtpConfig
from gateway.blobs import BlobStore
from normalizer import schema
from normalizer.codecs.email import EmailCodec
from tests.contexts import make_context
from tests.mail_corpus import Mail, mails, shared
from tests.mail_corpus.hostile import BUILDERS
from tests.rig import Rig, empty_queue, rig

US = "support@shop.example"
CLIENTS = 8
HOSTILE = (
    *("thousand-nested-parts", "hundred-thousand-parts", "base64-bomb", "header-of-a-megabyte", "nul-bytes"),
    *("ten-thousand-recipients", "html-11", "tnef-of-attributes"),
)


@asynccontextmanager
async def mailbox(folder: Path, rabbit_url: str) -> AsyncIterator[tuple[Rig, int]]:
    """Run a mail channel in front of the real pipeline; yields the rig and the SMTP port."""
    hub: dict[str, Any] = {}
    config = EmailConfig(addresses=(US,), smtp=SmtpConfig(listen="127.0.0.1:0", settle_secs=0.0, bare_lf="accept"))
    async with (
        rig(folder, broker_url=rabbit_url, kind="email", codec=EmailCodec()) as it,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as group,
    ):
        channel = EmailChannel(config, make_context(it.channel, folder, http, store=it.dedup, hub=hub))
        task = group.create_task(channel.run(it.intake))
        await it.until(lambda: task.done() or any(getattr(one, "port", 0) for one in hub.values()))
        yield it, next(port for one in hub.values() if (port := getattr(one, "port", 0)))
        task.cancel()


def send(port: int, found: Iterable[Mail]) -> dict[str, int]:
    """Send mails as they are over one connection; returns the code each was answered with."""
    codes = {}
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=15) as client:
        client.ehlo()
        for mail in found:
            client.mail("ann@example.net")
            client.rcpt(US)
            codes[mail.name] = client.data(mail.body)[0]
    return codes


async def send_all(port: int, found: list[Mail]) -> dict[str, int]:
    """Send over several connections at once, in threads of their own: the gateway needs those of the loop."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [loop.run_in_executor(threads, send, port, found[at::CLIENTS]) for at in range(CLIENTS)]
        await asyncio.wait(clients)
    return {name: code for client in clients for name, code in client.result().items()}


def as_received(mail: Mail) -> str:
    """The hash of a mail as the server has it: a line that was not ended is ended by the transport."""
    return sha256(mail.body if mail.body.endswith(b"\r\n") else mail.body + b"\r\n").hexdigest()


async def test_every_mail_of_the_corpus_is_taken_and_appears_once(tmp_path: Path, rabbit_url: str) -> None:
    validator = Draft202012Validator(
        {"$schema": schema.DIALECT, "$ref": "#/$defs/MessageParams", "$defs": schema.messages()["$defs"]}
    )
    corpus = [*mails(), Mail("blank", b"\r\n", None)]
    async with mailbox(tmp_path, rabbit_url) as (it, port):
        codes = await send_all(port, corpus)
        found = await empty_queue(rabbit_url)
        received = [params for params in found if "message" in params and "quarantine_id" not in params]
        kept = {params["raw"]["sha256"] for params in received}
        blobs = BlobStore(tmp_path)

        assert {name: code for name, code in codes.items() if code != 250} == {}
        assert Counter(params["raw"]["sha256"] for params in received).most_common(1)[0][1] == 1
        assert {mail.name for mail in corpus if as_received(mail) not in kept} == {"blank"}
        assert it.count("received") == len(corpus)
        assert (it.count("published"), it.count("quarantined")) == (len(corpus) - 1, 1)
        for params in received:
            assert [error.message for error in validator.iter_errors(params)] == []
            assert await missing(blobs, params) == []


async def missing(blobs: BlobStore, params: dict[str, Any]) -> list[str]:
    """Find what a message refers to and is not stored."""
    refs = [params["raw"]["ref"]]
    for part in params["message"]["parts"]:
        refs += [part["html_ref"]] if "html_ref" in part else []
        refs += [f"sha256:{part['media']['sha256']}"] if "media" in part else []
    return [ref for ref in refs if not await blobs.exists(ref)]


async def test_golden_mails_are_the_same_by_smtp(tmp_path: Path, rabbit_url: str) -> None:
    """Text, and the very bytes of the attachments out of the store."""
    golden = {
        as_received(mail): mail
        for mail in mails()
        if mail.expected and mail.expected["attachments"] and mail.body.endswith(b"\r\n")  # else the transport adds one
    }
    async with mailbox(tmp_path, rabbit_url) as (_, port):
        await send_all(port, list(golden.values()))
        found = await empty_queue(rabbit_url)
        blobs = BlobStore(tmp_path)
        for params in found:
            expected = golden[params["raw"]["sha256"]].expected
            assert expected is not None
            message = params["message"]
            files = [part["media"]["sha256"] for part in message["parts"] if "media" in part]

            assert (message.get("subject"), message["parts"][0]["text"]) == (expected["subject"], expected["text"])
            assert files == [one["sha256"] for one in expected["attachments"]]
            for digest in files:
                assert sha256(await blobs.get(f"sha256:{digest}")).hexdigest() == digest
    assert len(found) == len(golden) >= 60


async def test_mails_made_to_hurt_are_answered_and_do_not_keep_others_waiting(tmp_path: Path, rabbit_url: str) -> None:
    hostile = [Mail(name, BUILDERS[name](), None) for name in HOSTILE]
    async with mailbox(tmp_path, rabbit_url) as (it, port):
        codes = await send_all(port, hostile)
        after = await send_all(port, [Mail("after", b"Subject: still there\r\n\r\nyes\r\n", None)])
        found = await empty_queue(rabbit_url)

        assert {name: code for name, code in {**codes, **after}.items() if code != 250} == {}
        assert it.count("published") + it.count("quarantined") == len(hostile) + 1
    assert found[-1]["message"]["subject"] == "still there"
    assert all(len(msgspec.json.encode(params)) < 8_000_000 for params in found)


@pytest.mark.skipif(not shared(), reason="the corpora of other projects are only where this project is developed")
async def test_bounces_and_replies_of_other_corpora_are_taken(tmp_path: Path, rabbit_url: str) -> None:
    corpus = list(shared())
    async with mailbox(tmp_path, rabbit_url) as (it, port):
        codes = await send_all(port, corpus)
        found = await empty_queue(rabbit_url)

        assert {name: code for name, code in codes.items() if code != 250} == {}
        assert it.count("received") == it.count("published") + it.count("duplicate") + it.count("quarantined")
        assert it.count("quarantined") == 0
    arrived = {params["message"]["id"] for params in found if "parts" in params["message"]}
    assert len(arrived) + it.count("duplicate") >= len(corpus)
