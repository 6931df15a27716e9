"""What a mail is, and whether a machine may answer it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids
from normalizer.codecs.email import events
from normalizer.mail.address import Mailbox
from normalizer.mail.classify import HOPS_MAX, is_loop, may_answer_automatically
from normalizer.mail.compose import Draft, compose
from normalizer.mail.headers import Fields
from normalizer.mail.tokens import Tokens
from normalizer.model import Flags, MessageParams
from tests.unit.email_helpers import raw

TOKENS = Tokens((b"0123456789abcdef",))
CHANNEL = "support"
CONVERSATION = ids.conversation_id(CHANNEL, "x")
MESSAGE = ids.message_id(CHANNEL, "", "1")


def flags(header: str, *, mail_from: str | None = "ann@example.net", rcpt_to: str = "[]") -> Flags:
    meta = {} if mail_from is None else {"mail_from": mail_from}
    mail = raw(f"From: Ann <ann@example.net>\n{header}\n\nHello", rcpt_to=rcpt_to, **meta)
    found = events(mail, TOKENS)[0].params
    assert isinstance(found, MessageParams)
    return found.message.flags or Flags()


def names(found: Flags) -> set[str]:
    return {name for name in found.__struct_fields__ if getattr(found, name)}


@dataclass
class Case:
    header: str
    expected: set[str]
    mail_from: str | None = "ann@example.net"


AUTO, REPLY, AWAY = (
    {"auto_generated"},
    {"auto_generated", "auto_reply"},
    {"auto_generated", "auto_reply", "out_of_office"},
)
CASES = {
    "a human": Case("Subject: Hello", set()),
    "RFC 3834 says no": Case("Auto-Submitted: no", set()),
    "notification": Case("Auto-Submitted: auto-generated", AUTO),
    "RFC 3834 reply": Case("Auto-Submitted: auto-replied; owner-email=x@y.example", REPLY),
    "sieve vacation": Case("Auto-Submitted: auto-replied (vacation)", AWAY),
    "reply with a subject": Case("Auto-Submitted: auto-replied\nSubject: Automatic reply: Hello", AWAY),
    "exchange oof": Case("X-Auto-Response-Suppress: All\nSubject: Automatische Antwort: Hallo", AWAY),
    "exchange rules": Case("X-MS-Exchange-Inbox-Rules-Loop: a@b.example\nAuto-Submitted: auto-generated", REPLY),
    "autoreply field": Case("X-Autoreply: yes", REPLY),
    "autorespond field": Case("X-Autorespond: vacation", AWAY),
    "precedence": Case("Precedence: auto_reply", REPLY),
    "null return path": Case("Subject: Hello", AUTO, mail_from=""),
    "null return path in the header": Case("Return-Path: <>", AUTO, mail_from=None),
    "abuse report": Case("Content-Type: multipart/report; report-type=feedback-report; boundary=x", AUTO),
    "list": Case("List-Id: <users.lists.example>", {"mailing_list"}),
    "old list": Case("Precedence: list", {"mailing_list"}),
    "bulk": Case("Precedence: bulk\nList-Unsubscribe: <mailto:u@x.example>", {"auto_generated", "mailing_list"}),
    "spamassassin": Case("X-Spam-Flag: YES", {"spam"}),
    "spamassassin status": Case("X-Spam-Status: Yes, score=9.1 required=5.0", {"spam"}),
    "spamassassin no": Case("X-Spam-Flag: NO\nX-Spam-Status: No, score=4.9\nX-Spam-Level: ****", set()),
    "a forged no beside a yes": Case("X-Spam-Flag: NO\nX-Spam-Flag: YES", {"spam"}),
    "rspamd": Case("X-Rspamd-Action: add header", {"spam"}),
    "rspamd passes": Case("X-Rspamd-Action: no action\nX-Rspamd-Score: 3.1", set()),
    "exchange spam": Case("X-MS-Exchange-Organization-SCL: 6", {"spam"}),
    "exchange ham": Case("X-MS-Exchange-Organization-SCL: -1", set()),
    "microsoft 365 spam": Case("X-Forefront-Antispam-Report: CIP:192.0.2.7;CTRY:DE;SCL:5;SRV:;SFV:SPM;", {"spam"}),
    "microsoft 365 ham": Case("X-Forefront-Antispam-Report: CIP:192.0.2.7;SCL:1;SFV:NSPM;", set()),
    "bogofilter": Case("X-Bogosity: Spam, tests=bogofilter, spamicity=0.99", {"spam"}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mail_is_flagged_for_what_it_is(case: Case) -> None:
    assert names(flags(case.header, mail_from=case.mail_from)) == case.expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_a_human_is_answered_automatically(case: Case) -> None:
    assert may_answer_automatically(flags(case.header, mail_from=case.mail_from)) == (not case.expected)


SUBJECTS = [
    *("Out of Office: Hello", "Automatic reply: Hello", "Auto-Reply: x", "Autoreply", "[Auto-Reply] x"),
    *("Abwesenheitsnotiz: Hallo", "Automatische Antwort: x", "Réponse automatique : x", "Absence du bureau"),
    *("Respuesta automática: x", "Fuera de la oficina", "Resposta automática: x", "Risposta automatica: x"),
    *("Automatisch antwoord: x", "Autosvar: x", "Automaattinen vastaus: x", "Automatyczna odpowiedź: x"),
    *("Automatická odpověď: x", "Automatikus válasz: x", "Răspuns automat: x", "Автоматический ответ: x"),
    *("Otomatik yan\u0131t: x", "Αυτόματη απάντηση: x", "תשובה אוטומטית: x"),
    *("自動返信: x", "自动答复: x", "자동 회신: x"),
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_an_out_of_office_subject_is_a_hint_only_in_an_answer(subject: str) -> None:
    answer = flags(f"Subject: {subject}\nIn-Reply-To: <1@shop.example>")

    assert names(answer) == {"out_of_office"}
    assert not may_answer_automatically(answer)
    assert names(flags(f"Subject: {subject}")) == set()


@pytest.mark.parametrize("subject", ["Re: the office is out of paper", "Your automatic reply was wrong", "Hello"])
def test_a_subject_that_only_speaks_of_it_is_no_hint(subject: str) -> None:
    assert names(flags(f"Subject: {subject}\nIn-Reply-To: <1@shop.example>")) == set()


def test_a_third_party_may_be_answered() -> None:
    assert may_answer_automatically(Flags(third_party=True))
    assert may_answer_automatically(None)


@pytest.mark.parametrize("name", sorted(set(Flags.__struct_fields__) - {"third_party", "forwarded", "view_once"}))
def test_every_other_flag_of_a_mail_forbids_an_automatic_answer(name: str) -> None:
    ignored = {"signed", "encrypted"}  # say nothing about who wrote it

    assert may_answer_automatically(Flags(**{name: True})) == (name in ignored)


def test_our_own_mail_is_known_by_its_id_and_by_its_mark() -> None:
    own = TOKENS.message_id(CHANNEL, CONVERSATION, MESSAGE, "shop.example")
    mark = TOKENS.marker(CHANNEL, CONVERSATION)

    assert "loop" in names(flags(f"Message-ID: {own}"))
    assert "loop" in names(flags(f"Message-ID: {own.upper()}"))
    assert "loop" in names(flags(f"X-Omnigate-Loop: {mark}"))
    assert "loop" not in names(flags(f"In-Reply-To: {own}"))
    assert "loop" not in names(flags(f"X-Omnigate-Loop: {mark.replace('k1', 'k2')}"))


def test_a_mail_we_compose_is_known_again_also_under_another_id() -> None:
    box = Mailbox("", "ann@example.net")
    draft = Draft(
        message_id=TOKENS.message_id(CHANNEL, CONVERSATION, MESSAGE, "shop.example"),
        date=datetime(2026, 11, 20, tzinfo=UTC),
        sender=Mailbox("", "support@shop.example"),
        to=(box,),
        loop_mark=TOKENS.marker(CHANNEL, CONVERSATION),
        text="Hello",
    )
    renamed = compose(draft).replace(b"Message-ID: <m1", b"Message-ID: <x")

    for body in (compose(draft), renamed):
        found = events(raw(body), TOKENS)[0].params
        assert isinstance(found, MessageParams)
        assert found.message.flags is not None
        assert found.message.flags.loop


def test_a_mark_of_our_address_or_too_many_servers_is_a_loop() -> None:
    ours = '["support@shop.example"]'

    assert "loop" in names(flags("X-Loop: Support@shop.example", rcpt_to=ours))
    assert "loop" not in names(flags("X-Loop: somebody@else.example", rcpt_to=ours))
    assert "loop" not in names(flags("Delivered-To: support@shop.example", rcpt_to=ours))
    assert "loop" in names(flags("\n".join(["Received: from a by b"] * (HOPS_MAX + 1))))
    assert "loop" not in names(flags("\n".join(["Received: from a by b"] * HOPS_MAX)))


@given(
    st.text(max_size=100),
    st.sampled_from([*"abc", "x-loop", "x-omnigate-loop", "message-id", "list-id", "x-spam-flag"]),
)
def test_any_header_is_judged_without_raising(value: str, name: str) -> None:
    fields = Fields([(name, value.encode("utf-8", "surrogatepass"))])

    assert is_loop(fields, TOKENS, CHANNEL, frozenset()) in {True, False}
    line = value.replace("\r", " ").replace("\n", " ")
    assert isinstance(flags(f"{name}: {line}"), Flags)
