"""The simulator against the real listener."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import Busy
from gateway.simulate import email as provider
from normalizer.codecs.email import read
from normalizer.model import MessageParams
from tests.integration.smtp.helpers import Office, Pipeline, certificate


async def simulate(office: Office, **options: Any) -> int:
    made = {"listen": f"127.0.0.1:{office.port}", "to": "support@shop.example", **options}
    return await asyncio.to_thread(provider.command, **made)


def messages(pipeline: Pipeline) -> list[Any]:
    found = [read(raw).params for raw in pipeline.taken]
    return [params.message for params in found if isinstance(params, MessageParams)]


async def test_numbered_mails_each_sent_twice(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = await office.add()

    status = await simulate(office, count=2, duplicates=1, text="mail {n}", html="<p>{n}</p>")

    assert status == 0
    assert '"accepted":4' in capsys.readouterr().out
    assert [message.text for message in messages(pipeline)] == ["mail 1", "mail 1", "mail 2", "mail 2"]
    assert len({message.id for message in messages(pipeline)}) == 2


async def test_a_reply_with_an_attachment_over_starttls(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add(**certificate(tmp_path))
    (tmp_path / "bill.pdf").write_bytes(b"%PDF")

    status = await simulate(
        office, starttls=True, attach=(tmp_path / "bill.pdf",), reply_to="<a@b.example>", message_id="c@d.e"
    )

    (message,) = messages(pipeline)
    assert status == 0
    assert (message.provider_id, message.reply_to.provider_id) == ("c@d.e", "a@b.example")
    assert [part.media.name for part in message.parts[1:]] == ["bill.pdf"]


async def test_a_mail_from_a_file_and_a_malformed_one(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add()
    (tmp_path / "mail.eml").write_bytes(b"Subject: as it is\r\n\r\nx\r\n")

    assert await simulate(office, file=tmp_path / "mail.eml", malformed=True) == 0

    assert [message.subject for message in messages(pipeline)] == ["as it is", None]


async def test_a_refusal_is_reported(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    await office.add()

    assert await simulate(office, to="nobody@shop.example") == 1

    assert "550 5.1.1" in capsys.readouterr().err


async def test_a_busy_gateway_is_asked_again(office: Office) -> None:
    pipeline = await office.add()
    pipeline.error = Busy()
    asyncio.get_running_loop().call_later(0.2, setattr, pipeline, "error", None)

    assert await simulate(office) == 0
    assert len(pipeline.taken) == 1
