from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from connectors.email.advice import remarks
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.imap_config import ImapConfig
from connectors.email.outgoing_config import OutgoingConfig
from connectors.secrets import Secret

SMTP = SmtpConfig(listen="127.0.0.1:0")
OUTGOING = OutgoingConfig(host="smtp.shop.example", sender="support@shop.example")
IMAP = ImapConfig(host="imap.shop.example", user="support", password=Secret("x"))


def said(*, shared: bool = False, now: float | None = None, **options: Any) -> list[str]:
    config = EmailConfig(addresses=("support@shop.example",), **options)
    clock = {} if now is None else {"clock": lambda: now}
    return [f"{one.path} {one.message}" for one in remarks(config, shared=shared, **clock)]


def test_a_sound_channel_gets_no_remarks() -> None:
    assert said(smtp=SMTP, outgoing=OUTGOING, imap=IMAP) == []
    assert said(smtp=SMTP, outgoing=OUTGOING, shared=True, signing_key=Secret("0123456789abcdef")) == []
    assert said(smtp=SMTP, shared=True) == []


def test_nodes_with_a_store_in_common_need_a_key_in_common() -> None:
    (found,) = said(smtp=SMTP, outgoing=OUTGOING, shared=True)

    assert found.startswith("signing_key is not set")


def test_a_mailbox_without_its_library_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aioimaplib", None)

    assert said(imap=IMAP) == ["imap needs aioimaplib, which is not installed: the mailbox will not be read"]


def test_whoever_only_sends_hears_of_no_answer() -> None:
    assert said(outgoing=OUTGOING) == ["outgoing has no way back: neither answers nor bounces will be received"]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (30, []),
        (5, ["smtp.tls_cert the certificate ends in 5 days"]),
        (-3, ["smtp.tls_cert the certificate has ended"]),
    ],
)
def test_the_end_of_a_certificate_is_told_before_it_comes(tmp_path: Path, days: int, words: list[str]) -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    issued = trustme.CA().issue_cert("mx.shop.example", not_after=ends)
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    smtp = SmtpConfig(listen="127.0.0.1:0", tls_cert=str(tmp_path / "both.pem"))
    now = ends - timedelta(days=days) - timedelta(hours=1 if days > 0 else 0)

    assert said(smtp=smtp, now=(now + timedelta(hours=1) - timedelta(seconds=1)).timestamp()) == words


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (found,) = said(smtp=SmtpConfig(listen="127.0.0.1:0", tls_cert=str(tmp_path / "no.pem")))

    assert found.startswith("smtp.tls_cert cannot use the certificate in")
