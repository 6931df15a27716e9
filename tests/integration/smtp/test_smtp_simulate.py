"""`omnigate simulate email`, as it is typed, against the real listener."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.email import EmailConfig
from connectors.email.config import LmtpConfig
from connectors.errors import Busy
from connectors.secrets import Secret
from gateway.cli import main
from gateway.simulate.email_kinds import KINDS
from normalizer.codecs.email import EmailCodec, read
from normalizer.errors import MalformedPayload
from normalizer.mail.tokens import Tokens
from normalizer.model import MessageParams, StatusParams
from normalizer.raw import Event
from tests.integration.smtp.helpers import Office, Pipeline, certificate
from tests.servers.process import free_port

SHOP = "support@shop.example"
AUTOMATIC = {"auto_generated": True}
FLAGS: dict[str, dict[str, bool]] = {
    "smime": {"signed": True},
    "bounce": {"bounce": True, **AUTOMATIC},
    "delay": {"delayed": True, **AUTOMATIC},
    "receipt": {"receipt": True, **AUTOMATIC},
    "auto-reply": {"auto_reply": True, **AUTOMATIC},
    "ooo": {"auto_reply": True, "out_of_office": True, **AUTOMATIC},
    "list": {"mailing_list": True},
    "spam": {"spam": True},
}


async def simulate(office: Office, *words: str) -> int:
    where = ("--listen", f"127.0.0.1:{office.port}") if "--config" not in words else ()
    to = () if {"--to", "--config"} & set(words) else ("--to", SHOP)
    return await asyncio.to_thread(main, ["simulate", "email", *words, *where, *to])


def messages(pipeline: Pipeline) -> list[Any]:
    found = [read(raw).params for raw in pipeline.taken]
    return [params.message for params in found if isinstance(params, MessageParams)]


def flags(message: Any) -> dict[str, bool]:
    return (
        {name: True for name in message.flags.__struct_fields__ if getattr(message.flags, name)}
        if message.flags
        else {}
    )


async def test_numbered_mails_each_sent_twice(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = await office.add()

    status = await simulate(office, "--count", "2", "--duplicates", "1", "--text", "mail {n}", "--html", "<p>{n}</p>")

    told = json.loads(capsys.readouterr().out)
    assert status == 0
    assert (told["sent"], told["accepted"], told["statuses"]) == (4, 4, {"250": 4})
    assert [message.text for message in messages(pipeline)] == ["mail 1", "mail 1", "mail 2", "mail 2"]
    assert len({message.id for message in messages(pipeline)}) == 2


async def test_mails_change_places_and_none_gets_lost(office: Office) -> None:
    pipeline = await office.add()

    assert await simulate(office, "--count", "30", "--reorder", "--duplicates", "1", "--text", "{n}") == 0

    told = [message.text for message in messages(pipeline)]
    assert sorted(told, key=int) == [str(number) for number in range(1, 31) for _ in range(2)]
    assert told != sorted(told, key=int)


async def test_a_reply_quotes_what_it_answers(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add(**certificate(tmp_path))
    (tmp_path / "bill.pdf").write_bytes(b"%PDF")

    status = await simulate(
        office,
        *("--starttls", "--attach", str(tmp_path / "bill.pdf"), "--message-id", "c@d.e"),
        *("--reply-to", "<a@b.example>", "--quote", "On its way", "--text", "Thanks!"),
    )

    (message,) = messages(pipeline)
    assert status == 0
    assert pipeline.taken[0].meta["tls"]
    assert (message.provider_id, message.reply_to.provider_id) == ("c@d.e", "a@b.example")
    assert (message.parts[0].stripped_text, "> On its way" in message.text) == ("Thanks!", True)
    assert [part.media.name for part in message.parts[1:]] == ["bill.pdf"]


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "malformed"])
async def test_every_sort_of_mail_is_what_it_says(office: Office, kind: str) -> None:
    pipeline = await office.add()

    assert await simulate(office, "--kind", kind, "--text", "Where is Größe 7?") == 0

    (message,) = messages(pipeline)
    assert flags(message) == FLAGS.get(kind, {})
    names = [part.media.name for part in message.parts[1:] if hasattr(part, "media")]
    expected = {
        "attachments": ["invoice.pdf", "invoice.pdf", "Rechnung März.pdf", "请求书.pdf"],
        "tnef": ["invoice.pdf"],
        "html": ["logo.png"],
        "forward": ["message.eml"],
    }
    assert [name for name in expected.get(kind, []) if name not in names] == []
    assert (message.provider_id or "").endswith("@simulator.example") or kind in {"no-message-id", "broken"}
    if kind not in {"bounce", "delay", "receipt", "auto-reply", "ooo", "broken"}:
        assert "Where is Größe 7?" in message.text


async def test_all_sorts_in_turn_and_one_that_nobody_can_read(office: Office) -> None:
    pipeline = await office.add()

    assert await simulate(office, "--kind", "all", "--malformed") == 0

    assert len(pipeline.taken) == len(KINDS), "malformed is none of them"
    with pytest.raises(MalformedPayload):
        list(EmailCodec().decode(pipeline.taken[-1]))


async def test_a_bounce_says_that_a_mail_of_ours_failed(office: Office) -> None:
    pipeline, tokens = await office.add(), Tokens((b"a-key-of-the-tests-only",))
    ours = tokens.message_id("support", "cnv_" + "0" * 32, "msg_" + "1" * 32, "shop.example")

    assert await simulate(office, "--kind", "bounce", "--reply-to", ours) == 0

    found = [one for one in EmailCodec(tokens).decode(pipeline.taken[0]) if isinstance(one, Event)]
    statuses = [one.params for one in found if isinstance(one.params, StatusParams)]
    assert [(one.message.id, one.status) for one in statuses] == [("msg_" + "1" * 32, "failed")]
    assert pipeline.taken[0].meta["mail_from"] == ""


async def test_mails_from_files_go_as_they_are(office: Office, tmp_path: Path) -> None:
    pipeline = await office.add()
    for name in ("one", "two"):
        (tmp_path / f"{name}.eml").write_bytes(f"Subject: {name}\n\n.x\n".encode())

    assert await simulate(office, "--eml", str(tmp_path), "--eml", str(tmp_path / "one.eml"), "--count", "2") == 0

    assert [message.subject for message in messages(pipeline)] == ["one", "two", "one"] * 2
    assert pipeline.taken[0].body == b"Subject: one\r\n\r\n.x\r\n"


@pytest.mark.parametrize("size", [5_000, 1_000_000])
async def test_mails_have_the_size_that_was_asked_for(office: Office, size: int) -> None:
    pipeline = await office.add()

    assert await simulate(office, "--size", str(size), "--count", "2", "--connections", "2", "--chats", "2") == 0

    assert all(abs(len(raw.body) - size) < size / 20 for raw in pipeline.taken)
    senders = {message.sender.addresses[0].value for message in messages(pipeline)}
    assert senders == {"customer@simulator.example", "customer2@simulator.example"}


async def test_the_configuration_says_where_and_as_whom(office: Office, tmp_path: Path) -> None:
    port, tls, socket = free_port(), free_port(), tmp_path / "lmtp.sock"
    files = certificate(tmp_path)
    users = {"scanner": Secret("a-scanner-s-password")}
    listen = {"listen": f"127.0.0.1:{port}", "listen_tls": f"127.0.0.1:{tls}"}
    smtp = await office.add("mail", users=users, require_auth=True, settle_secs=0.0, **listen, **files)
    lmtp = await office.start(
        "store", EmailConfig(addresses=(SHOP,), lmtp=LmtpConfig(listen=f"unix:{socket}", settle_secs=0))
    )
    (tmp_path / "password").write_text("a-scanner-s-password")
    config = tmp_path / "gw.toml"
    config.write_text(
        f'[channels.mail]\nkind = "email"\naddresses = ["*@shop.example", "{SHOP}"]\n[channels.mail.smtp]\n'
        + "".join(f'{name} = "{value}"\n' for name, value in {**listen, **files}.items())
        + 'users = { scanner = "file:password" }\nrequire_auth = true\n'
        + f'[channels.store]\nkind = "email"\naddresses = ["{SHOP}"]\nlmtp = {{ listen = "unix:{socket}" }}\n'
    )
    mail = ("--config", str(config), "--channel", "mail", "--user", "scanner")

    assert await simulate(office, *mail, "--starttls") == 0
    assert await simulate(office, *mail, "--tls") == 0
    assert await simulate(office, *mail, "--tls", "--password", "wrong") == 1
    assert await simulate(office, *mail[:4], "--no-retry") == 1
    assert await simulate(office, "--config", str(config), "--channel", "store", "--to", SHOP, "--to", SHOP) == 0

    assert [raw.meta["user"] for raw in smtp.taken] == ["scanner", "scanner"]
    assert len(lmtp.taken) == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--to", "nobody@shop.example"), "550 5.1.1"),
        (("--kind", "fax"), "there are plain, html"),
        (("--from", "Ann"), "is no address"),
        (("--attach", "no-such-file"), "no-such-file: No such file"),
        (("--eml", "no-such-file"), "no-such-file: No such file"),
        (("--tls", "--starttls"), "choose one"),
        (("--size", "-1"), "must not be negative"),
        (("--user", "ann", "--password", "x"), "not supported by this server"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    office: Office, words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await office.add()

    assert await simulate(office, *words, "--no-retry") == 1

    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


async def test_where_nobody_listens_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--listen", f"127.0.0.1:{free_port()}", "--to", SHOP, "--no-retry"]

    assert await asyncio.to_thread(main, ["simulate", "email", *words]) == 1

    assert "is the gateway running?" in capsys.readouterr().err


async def test_a_busy_gateway_is_asked_again(office: Office) -> None:
    pipeline = await office.add()
    pipeline.error = Busy()
    asyncio.get_running_loop().call_later(0.2, setattr, pipeline, "error", None)

    assert await simulate(office) == 0
    assert len(pipeline.taken) == 1


def test_its_help_names_every_sort(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "email", "--help"]) == 0

    told = capsys.readouterr().out
    assert [kind for kind in KINDS if kind not in told] == []
    assert "--reply-to ID" in told
