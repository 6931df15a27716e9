"""Which mail it is, whom it is from, and which conversation it joins."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from normalizer.mail.identity import message_ids
from tests.unit.email_helpers import email_part, event, message, params

ANN = "From: Ann <ann@example.net>\nTo: support@shop.example\n"


def test_the_message_id_is_the_same_however_it_is_folded() -> None:
    plain = event(ANN + "Message-ID: <1@example.net>\n\nx")
    folded = event(ANN + "message-id:\n  <1@example.net>\n\ny")

    assert plain.key == folded.key
    assert message(ANN + "Message-ID: <1@example.net>\n\nx").provider_id == "1@example.net"


@pytest.mark.parametrize("value", ["", "<>", "< >", "<no-at-sign>", "<@example.net>", "<a@>", "two <words", "a b@c d"])
def test_a_broken_message_id_is_replaced_by_a_hash_of_the_mail(value: str) -> None:
    first = event(f"{ANN}Message-ID: {value}\nDate: Fri, 20 Nov 2026 10:00:00 +0000\n\nHello")
    other = event(f"{ANN}Message-ID: {value}\nDate: Fri, 20 Nov 2026 10:00:00 +0000\n\nHello!")

    assert message(f"{ANN}Message-ID: {value}\n\nHello").provider_id.startswith("sha256:")
    assert first.key != other.key


def test_without_message_id_a_second_copy_by_another_route_is_the_same_mail() -> None:
    body = "Date: Fri, 20 Nov 2026 10:00:00 +0000\nSubject: a  b\n\nHello\n"
    first = event("Received: from a by b; Fri\n" + ANN + body)
    second = event("Received: from c by d; Sat\nDKIM-Signature: v=1\n" + ANN + body.replace("a  b", "a\n b") + "\n")

    assert first.key == second.key


def test_a_form_that_sends_neither_id_nor_date_can_be_sent_twice() -> None:
    first = event("Received: from form by mx; Fri, 20 Nov 2026 10:00:00\n" + ANN + "\nCall me")
    second = event("Received: from form by mx; Fri, 20 Nov 2026 10:05:00\n" + ANN + "\nCall me")

    assert first.key != second.key


def test_a_reply_by_the_same_sender_stays_in_the_conversation() -> None:
    first = params(ANN + "Message-ID: <root@example.net>\n\nx")
    reply = params(ANN + "Message-ID: <2@example.net>\nReferences: <root@example.net> <ours@shop.example>\n\ny")

    assert first.conversation is not None
    assert reply.conversation is not None
    assert first.conversation.id == reply.conversation.id
    assert reply.message.thread is not None
    assert reply.message.thread.root_provider_id == "root@example.net"


def test_forged_references_join_nobody_elses_conversation() -> None:
    victim = params(ANN + "Message-ID: <root@example.net>\n\nx")
    forged = params("From: eve@evil.example\nMessage-ID: <e@evil.example>\nReferences: <root@example.net>\n\ny")

    assert victim.conversation is not None
    assert forged.conversation is not None
    assert victim.conversation.id != forged.conversation.id


def test_the_subject_alone_joins_no_conversation() -> None:
    first = params(ANN + "Subject: Re: order\nMessage-ID: <1@example.net>\n\nx")
    second = params(ANN + "Subject: Re: order\nMessage-ID: <2@example.net>\n\nx")

    assert first.conversation is not None
    assert second.conversation is not None
    assert first.conversation.id != second.conversation.id


def test_an_answer_goes_to_reply_to_and_points_at_the_mail_it_answers() -> None:
    first = message(ANN + "Message-ID: <1@example.net>\n\nx")
    found = params(ANN + "Reply-To: Desk <Desk@Example.net>\nMessage-ID: <2@x.y>\nIn-Reply-To: <1@example.net>\n\nx")

    assert found.conversation is not None
    assert found.conversation.provider_id == "Desk@Example.net"
    assert found.message.reply_to is not None
    assert (found.message.reply_to.id, found.message.reply_to.provider_id) == (first.id, "1@example.net")


def test_one_sender_is_one_contact_whatever_the_case() -> None:
    assert message("From: ANN@Example.NET\n\nx").sender.id == message("From: Ann <ann@example.net>\n\nx").sender.id


def test_without_from_the_next_best_names_the_sender() -> None:
    by_sender = message("Sender: list@example.net\n\nx", mail_from="a@b.example")
    by_envelope = message("Subject: x\n\nx", mail_from="a@b.example")
    nobody = message("From: nobody in particular\n\nx", mail_from="")

    assert by_sender.sender.addresses[0].value == "list@example.net"
    assert by_envelope.sender.addresses[0].value == "a@b.example"
    assert (nobody.sender.name, nobody.sender.addresses) == ("nobody in particular", ())


def test_our_own_recipients_are_agents_and_others_are_not() -> None:
    mail = "From: a@b.example\nTo: Support@shop.example, Bob <bob@example.org>\nCc: bob@example.org\n\nx"
    found = message(mail, rcpt_to=json.dumps(["support@shop.example"]))

    assert [(party.addresses[0].value, party.role) for party in found.to] == [
        ("support@shop.example", "agent"),
        ("bob@example.org", "customer"),
    ]
    assert [party.name for party in found.cc] == [None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Fri, 20 Nov 2026 10:11:12 +0100 (CET)", "2026-11-20T09:11:12"),
        ("20 Nov 26 10:11 EST", "2026-11-20T15:11:00"),
        ("Fri, 20 Nov 2026 10:11:60 -0000", "2026-11-20T10:11:59"),
        ("Fri Nov 20 10:11:12 2026", "2026-11-20T10:11:12"),
        ("Fri, 20 Nov 2026 10:11:12 +9999", None),
        ("Fri, 32 Nov 2026 10:11:12 +0000", None),
        ("Mon, 01 Jan 1900 00:00:00 +0100", None),
        ("yesterday", None),
        ("", None),
        ("Fri, 20 Nov 99999 10:11:12 +0000", None),
    ],
)
def test_a_date_is_read_or_left_out(value: str, expected: str | None) -> None:
    found = message(f"{ANN}Date: {value}\n\nx").sent_at

    assert found == (datetime.fromisoformat(expected).replace(tzinfo=UTC) if expected else None)


@pytest.mark.parametrize(
    ("header", "mail_from", "automatic"),
    [
        ("Auto-Submitted: auto-generated", "a@b.example", True),
        ("Auto-Submitted: no", "a@b.example", False),
        ("Precedence: Bulk", "a@b.example", True),
        ("Precedence: list", "a@b.example", False),
        ("X-Auto-Response-Suppress: All", "a@b.example", True),
        ("X-Auto-Response-Suppress: None", "a@b.example", False),
        ("X-Autoreply: yes", "a@b.example", True),
        ("Subject: hello", "", True),
        ("Return-Path: <>", None, True),
        ("Return-Path: <>", "a@b.example", False),
        ("Subject: hello", None, False),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=x", "a@b.example", True),
    ],
)
def test_what_a_machine_wrote_is_flagged(header: str, mail_from: str | None, automatic: bool) -> None:  # noqa: FBT001
    meta = {} if mail_from is None else {"mail_from": mail_from}
    flags = message(f"{ANN}{header}\n\nx", **meta).flags

    assert (flags is not None and flags.auto_generated) == automatic
    assert flags is None or not flags.bounce


@pytest.mark.parametrize("report", ["delivery-status", '"Delivery-Status"'])
def test_a_delivery_report_is_a_bounce(report: str) -> None:
    found = message(f"From: x@y.example\nContent-Type: Multipart/Report; report-type={report}; boundary=b\n\n--b\n\nx")

    assert found.flags is not None
    assert (found.flags.bounce, found.flags.auto_generated) == (True, True)
    assert found.sender.role == "system"


def test_the_list_is_named_without_its_description() -> None:
    assert email_part(ANN + "List-Id: Our <big> list <Users.Lists.Example>\n\nx").list_id == "users.lists.example"
    assert email_part(ANN + "List-Id: users.lists.example\n\nx").list_id == "users.lists.example"
    assert email_part(ANN + "List-Id: no brackets here\n\nx").list_id is None


def test_ids_that_a_program_took_for_words_are_read() -> None:
    mangled = "=?utf-8?q?=3Cm1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?= =?utf-8?q?aaaa=40shop=2Eexample=3E?= <b@c>"

    assert message_ids(mangled) == ["m1" + "a" * 43 + "@shop.example", "b@c"]
