"""Bounces: who did not get which mail, in what the standard says and in what mail systems really write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids
from normalizer.codecs.email import events
from normalizer.mail import bounce
from normalizer.mail.bounce import Bounce
from normalizer.mail.mime import parse
from normalizer.mail.threading import conversation_of
from normalizer.mail.tokens import Tokens
from normalizer.model import ReceiptParams, StatusParams
from normalizer.raw import Event
from tests.unit.email_helpers import CORPUS, raw

TOKENS = Tokens((b"0123456789abcdef",))
CHANNEL = "support"
CONVERSATION = conversation_of(CHANNEL, "ann@example.net", "root@example.net")
MESSAGE = ids.message_id(CHANNEL, "gateway:out", "1")
OURS = TOKENS.message_id(CHANNEL, CONVERSATION, MESSAGE, "shop.example", to="ann@example.net")

NO_BOUNCES = ("arf-", "rfc3834-", "lhost-amazonses-12")
"""In the corpus: abuse reports, out-of-office notices, and a JSON notice of a delivery."""
bounces = sorted((CORPUS / "bounces").glob("*.eml"))
have_corpus = pytest.mark.skipif(not bounces, reason=f"the shared mail corpus is not in {CORPUS}")


def read(text: str | bytes, mail_from: str | None = "") -> Bounce | None:
    return bounce.read(parse(text.encode() if isinstance(text, str) else text).root, mail_from)


def is_bounce(path: Path) -> bool:
    return not path.name.startswith(NO_BOUNCES)


@have_corpus
def test_every_bounce_of_the_corpus_is_recognised_and_nothing_else_is() -> None:
    wrong = [path.name for path in bounces if (read(path.read_bytes(), None) is not None) != is_bounce(path)]

    assert len(bounces) >= 158
    assert not wrong


@have_corpus
def test_every_bounce_of_the_corpus_names_who_did_not_get_the_mail() -> None:
    found = {path.name: read(path.read_bytes(), None) for path in filter(is_bounce, bounces)}
    nobody = [name for name, one in found.items() if one is None or not one.recipients]
    odd = [name for name, one in found.items() if one and any("@" not in who.address for who in one.recipients)]

    assert not nobody
    assert len(odd) <= 1  # a local user of the reporting machine


@have_corpus
def test_the_returned_mail_of_the_corpus_is_linked_wherever_it_has_an_id() -> None:
    missing = []
    for path in filter(is_bounce, bounces):
        data = path.read_bytes()
        inside = re.findall(rb"(?im)^[ \t]*message-id[ \t]*:\s*<[^>\s]+>", data)
        has_own = "message-id" in parse(data).root.fields
        found = read(data, None)
        if len(inside) > has_own and found is not None and not found.originals:
            missing.append(path.name)

    assert not missing


@have_corpus
def test_a_warning_about_a_delay_is_told_from_a_failure() -> None:
    delayed = {path.name for path in bounces if (one := read(path.read_bytes(), None)) and one.action == "delayed"}

    assert {"lhost-gmail-06.eml", "lhost-gmail-17.eml"} <= delayed
    assert len(delayed) <= 8


@pytest.mark.parametrize("folder", ["replies", "mime"])
def test_no_ordinary_mail_of_the_corpus_is_taken_for_a_bounce(folder: str) -> None:
    mails = sorted((CORPUS / folder).glob("*.eml"))
    if not mails:
        pytest.skip(f"the shared mail corpus is not in {CORPUS}")

    assert [path.name for path in mails if read(path.read_bytes(), None)] in ([], ["delivery-status.eml"])


QMAIL = """From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.

<ann@example.net>:
Sorry, I couldn't find any host by that name. (#4.1.2)

<bob@example.org>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Return-Path: <support@shop.example>
Message-ID: <9@shop.example>
"""
EXIM = """From: Mail Delivery System <Mailer-Daemon@mx.example.org>
X-Failed-Recipients: Ann@example.net,
  bob@example.org
Auto-Submitted: auto-replied

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  Ann@example.net
    host mail.example.net [192.0.2.7]: 550 5.1.1 no such user
"""
POSTFIX = """From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
To: support@shop.example

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<ann@example.net>: host mail.example.net[192.0.2.7] said: 552 5.2.2 Mailbox full
    (in reply to RCPT TO command)
"""
EXCHANGE = """From: System Administrator <postmaster@example.org>
To: support@shop.example

Your message did not reach some or all of the intended recipients.

The following recipient(s) could not be reached:

      ann@example.net on 11/20/26 10:00:02 AM
            The recipient name is not recognized
"""


def addresses(found: Bounce | None) -> list[tuple[str, str, str | None]]:
    assert found is not None
    return [(one.address, one.action, one.status) for one in found.recipients]


def test_free_text_of_qmail_names_each_recipient_with_its_reason() -> None:
    found = read(QMAIL)

    assert addresses(found) == [("ann@example.net", "failed", "4.1.2"), ("bob@example.org", "failed", "5.1.1")]
    assert found is not None
    assert found.originals == ("9@shop.example",)
    assert found.recipients[1].diagnostic == (
        "192.0.2.7 does not like recipient. Remote host said: 550 5.1.1 User unknown"
    )


def test_free_text_of_exim_postfix_and_exchange_is_understood() -> None:
    assert addresses(read(EXIM)) == [("ann@example.net", "failed", "5.1.1"), ("bob@example.org", "failed", "5.1.1")]
    assert addresses(read(POSTFIX)) == [("ann@example.net", "failed", "5.2.2")]
    assert addresses(read(EXCHANGE, None)) == [("ann@example.net", "failed", None)]


def test_the_same_words_from_a_customer_are_a_mail() -> None:
    for text in (QMAIL, POSTFIX, EXCHANGE):
        written = re.sub(r"From: .*", "From: Ann Postmaster <ann@example.net>", text)
        assert read(written, "ann@example.net") is None


def test_a_null_return_path_without_such_words_is_no_bounce() -> None:
    assert read("From: ann@example.net\nSubject: Away\n\nI am on holiday until Monday.") is None


def status(action: str, code: str = "5.1.1", *, more: str = "") -> str:
    return f"Final-Recipient: rfc822; Ann@example.net\nAction: {action}\nStatus: {code}\n{more}\n"


def dsn(*groups: str, original: str = OURS, header: str = "") -> str:
    listed = "\n".join(("Reporting-MTA: dns; mx.example.net\n", *groups))
    return (
        f"From: MAILER-DAEMON@mx.example.net\nMessage-ID: <dsn@mx.example.net>\n{header}"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\n\n'
        f"--B\n\nSorry.\n--B\nContent-Type: message/delivery-status\n\n{listed}\n"
        f"--B\nContent-Type: text/rfc822-headers\n\nTo: ann@example.net\nMessage-ID: {original}\n\n--B--\n"
    )


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (status("failed"), ("failed", "5.1.1")),
        (status("Failed (user unknown)"), ("failed", "5.1.1")),
        (status("delayed", "4.4.1"), ("delayed", "4.4.1")),
        (status("relayed", "2.0.0"), ("relayed", "2.0.0")),
        (status("nonsense", "4.2.2"), ("delayed", "4.2.2")),
        (status("", "2.0.0"), ("delivered", "2.0.0")),
        (status("failed", "", more="Diagnostic-Code: smtp; 550 no"), ("failed", "5.0.0")),
        (status("failed", "unknown"), ("failed", None)),
    ],
)
def test_a_recipient_is_read_with_action_and_status(group: str, expected: tuple[str, str | None]) -> None:
    assert addresses(read(dsn(group))) == [("ann@example.net", *expected)]


def test_one_report_may_say_different_things_about_several_recipients() -> None:
    other = "Original-Recipient: rfc822;bob@example.org\nAction: delayed\nStatus: 4.4.1\n"
    found = read(dsn(status("failed"), other))

    assert found is not None
    assert [one.action for one in found.recipients] == ["failed", "delayed"]
    assert (found.action, [one.address for one in found.failed]) == ("failed", ["ann@example.net"])


def test_a_bounce_inside_a_forwarded_mail_is_not_ours_to_read() -> None:
    inner = dsn(status("failed"))
    mail = "From: ann@example.net\nContent-Type: multipart/mixed; boundary=M\n\n--M\n\nWhat is this?\n--M\n"

    assert read(f"{mail}Content-Type: message/rfc822\n\n{inner}\n--M--", "ann@example.net") is None


def told(text: str, **meta: str) -> list[Event]:
    return events(raw(text, **{"mail_from": "", **meta}), TOKENS)


def facts(event: Event) -> Any:
    params = event.params
    assert isinstance(params, StatusParams)
    conversation = params.conversation
    return params.status, params.message.id, None if conversation is None else conversation.id


def test_a_bounce_of_our_mail_is_a_message_and_a_status() -> None:
    received, failed = told(dsn(status("failed")))

    assert received.method == "message.received"
    assert received.params.conversation is not None
    assert (received.params.conversation.id, received.params.conversation.provider_id) == (CONVERSATION, None)
    assert failed.method == "message.status"
    assert facts(failed) == ("failed", MESSAGE, CONVERSATION)
    assert isinstance(failed.params, StatusParams)
    assert failed.params.error is not None
    assert (failed.params.error.code, failed.params.error.retryable) == (-32007, False)
    assert failed.params.message.provider_id == OURS.strip("<>")


@pytest.mark.parametrize("action", ["delayed", "relayed", "expanded"])
def test_what_is_not_final_changes_no_status(action: str) -> None:
    assert [one.method for one in told(dsn(status(action, "")))] == ["message.received"]


def test_delivered_is_told_only_when_everybody_has_the_mail() -> None:
    both = dsn(status("delivered", "2.0.0"), status("relayed", "2.0.0"))

    assert facts(told(dsn(status("delivered", "2.0.0")))[1])[0] == "delivered"
    assert [one.method for one in told(both)] == ["message.received"]


def test_the_same_failure_reported_twice_has_one_key_and_another_recipient_another() -> None:
    first, again = told(dsn(status("failed"))), told(dsn(status("failed"), header="X-Copy: 2\n").replace("<dsn", "<2"))
    other = told(dsn(status("failed").replace("Ann", "bob")))

    assert first[0].key != again[0].key
    assert first[1].key == again[1].key != other[1].key


@pytest.mark.parametrize(
    "original",
    [
        "<1@shop.example>",
        OURS[:-20] + "a@shop.example>",
        TOKENS.message_id("sales", CONVERSATION, MESSAGE, "x.example"),
    ],
)
def test_a_bounce_of_a_mail_we_did_not_send_changes_no_status(original: str) -> None:
    assert [one.method for one in told(dsn(status("failed"), original=original))] == ["message.received"]


def test_the_return_path_tells_the_message_when_nothing_of_it_came_back() -> None:
    path = TOKENS.return_path("support@shop.example", CHANNEL, MESSAGE)
    received, failed = told(EXCHANGE, rcpt_to=f'["{path.upper()}"]')

    assert received.method == "message.received"
    assert facts(failed) == ("failed", MESSAGE, None)


def test_references_tell_the_message_only_to_mail_systems() -> None:
    answer = f"In-Reply-To: {OURS}\n"
    human = EXCHANGE.replace("To: ", f"{answer}To: ")

    assert [one.method for one in told(dsn(status("failed"), original="", header=answer))][1:] == ["message.status"]
    assert [one.method for one in told(human, mail_from="postmaster@example.org")] == ["message.received"]


def mdn(disposition: str, *, original: str = OURS) -> str:
    return (
        "From: Ann <ann@example.net>\nMessage-ID: <mdn@example.net>\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="B"\n\n--B\n\nRead.\n--B\n'
        f"Content-Type: message/disposition-notification\n\nOriginal-Message-ID: {original}\n"
        f"Final-Recipient: rfc822;ann@example.net\nDisposition: {disposition}\n\n--B--\n"
    )


def test_a_read_receipt_of_our_mail_is_a_message_and_a_receipt() -> None:
    received, seen = told(mdn("manual-action/MDN-sent-manually; Displayed"), mail_from="ann@example.net")

    assert received.method == "message.received"
    assert seen.method == "receipt.read"
    assert isinstance(seen.params, ReceiptParams)
    assert seen.params.message.id == MESSAGE
    assert seen.params.sender is not None
    assert seen.params.sender.addresses[0].value == "ann@example.net"


@pytest.mark.parametrize("disposition", ["automatic-action/MDN-sent-automatically; deleted", "x;processed/error", ""])
def test_a_mail_that_was_not_displayed_was_not_read(disposition: str) -> None:
    assert [one.method for one in told(mdn(disposition))] == ["message.received"]


def test_a_read_receipt_of_another_mail_tells_nothing_of_ours() -> None:
    assert [one.method for one in told(mdn("manual-action/x; displayed", original="<1@x.y>"))] == ["message.received"]


@given(st.binary(max_size=400))
def test_any_report_is_read_without_raising(data: bytes) -> None:
    mail = dsn("@@").encode().replace(b"@@", data)
    found = read(mail)

    assert found is not None
    assert all(one.address for one in found.recipients)


@given(st.text(max_size=400))
def test_any_notice_is_read_without_raising(text: str) -> None:
    found = read(f"From: MAILER-DAEMON@x.example\n\nundeliverable\n{text}".encode())

    assert found is not None


@pytest.mark.parametrize("filler", ["could not ", "unable" + " " * 5_000, "-" * 30_000, "a@" * 20_000, "\n>" * 20_000])
def test_a_hostile_notice_takes_no_long_time(filler: str) -> None:
    text = f"From: MAILER-DAEMON@x.example\n\nundeliverable\n{filler * (60_000 // len(filler) + 1)}"

    assert read(text) is not None
