"""There and back: our mail, the customer's answer, and the report of a server that could not deliver."""

from __future__ import annotations

import asyncio
import base64
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid
from typing import Any

import pytest

from connectors.api import Sent
from normalizer import ids
from normalizer.model import MessageParams, MessageRef, StatusParams
from normalizer.parts import Email
from normalizer.raw import Event
from tests.integration.mail.helpers import ANN, SHOP, Inbox, PostOffice
from tests.servers.mailroom import Mailroom, Taken, bounce, deliver


def write(subject: str = "Where is it?", text: str = "Where is my parcel?", **headers: str) -> EmailMessage:
    """Write a mail as a customer."""
    mail = EmailMessage()
    fields = {"From": f"Ann <{ANN}>", "To": SHOP, "Subject": subject, "Date": formatdate()}
    for name, value in {**fields, "Message-ID": make_msgid(domain="example.net"), **headers}.items():
        mail[name] = value
    mail.set_content(text)
    return mail


def answer(taken: Taken, text: str, **headers: str) -> EmailMessage:
    """Answer a mail as Thunderbird does: ids, subject and the quoted text."""
    mail = taken.mail
    body = mail.get_body(("plain",))
    assert body is not None
    quoted = "".join(f"> {line}\n" for line in body.get_content().splitlines())
    threading = {
        "In-Reply-To": str(mail["Message-ID"]),
        "References": f"{mail['References'] or ''} {mail['Message-ID']}".strip(),
    }
    return write(
        f"Re: {mail['Subject']}",
        f"{text}\n\nOn 20/11/2026 12:30, Shop wrote:\n{quoted}",
        **{"To": str(mail["Reply-To"] or mail["From"]), **threading, **headers},
    )


def received(event: Event) -> MessageParams:
    assert isinstance(event.params, MessageParams), event.method
    return event.params


def conversation(event: Event) -> str:
    params = event.params
    assert params.conversation is not None
    return params.conversation.id


def own_words(event: Event) -> str | None:
    return next(part.stripped_text for part in received(event).message.parts if isinstance(part, Email))


class Desk:
    """A running channel, and what it gets."""

    def __init__(self, post: PostOffice, room: Mailroom, inbox: Inbox) -> None:
        self.post, self.room, self.inbox = post, room, inbox

    async def hear(
        self, mail: EmailMessage | bytes, *, to: str = SHOP, sender: str = ANN, events: int = 1
    ) -> list[Event]:
        """Bring a mail to the channel, and return what became of it."""
        before = len(self.inbox.events)
        await asyncio.to_thread(deliver, self.post.port, mail, to, sender=sender)
        return (await self.inbox.next(before + events))[before:]

    async def say(self, *parts: str, **fields: Any) -> tuple[Sent, Taken]:
        """Send a message, and return the mail it became."""
        sent = await self.inbox.channel.send(self.post.message(*parts, **fields))
        return sent, self.room.mails[-1]


@pytest.fixture
async def desk(post: PostOffice, mailroom: Mailroom, request: pytest.FixtureRequest) -> Desk:
    options = getattr(request, "param", {})
    channel = post.channel(mailroom, smtp=True, **options)
    return Desk(post, mailroom, await post.start(channel))


async def test_a_reply_to_a_conversation_threads_and_its_answer_comes_back_to_it(desk: Desk) -> None:
    mail = write()
    (first,) = await desk.hear(mail)
    _, ours = await desk.say("It is on its way.\nTomorrow.", conversation=conversation(first))

    assert ours.mail["In-Reply-To"] == mail["Message-ID"]
    assert ours.mail["References"] == mail["Message-ID"]
    assert ours.mail["Subject"] == "Re: Where is it?"

    (second,) = await desk.hear(answer(ours, "Thank you!"))
    assert conversation(second) == conversation(first)
    assert own_words(second) == "Thank you!"
    assert "Tomorrow" in received(second).message.text, "the full text is kept"
    assert received(second).message.flags is None

    _, again = await desk.say("You are welcome.", conversation=conversation(first))
    assert again.mail["Subject"] == "Re: Where is it?", "one Re: is enough"
    assert str(again.mail["References"]).split() == [
        *(mail["Message-ID"], ours.mail["Message-ID"]),
        f"<{received(second).message.provider_id}>",
    ]


async def test_a_conversation_we_begin_goes_on_with_the_answer(desk: Desk) -> None:
    sent, ours = await desk.say("Your parcel is ready.", subject="Parcel 7")
    (event,) = await desk.hear(answer(ours, "I will fetch it."))

    assert conversation(event) == sent.metadata["conversation"]
    assert own_words(event) == "I will fetch it."
    assert received(event).message.reply_to == MessageRef(
        id=ids.message_id("support", "gateway:out", "message 1"), provider_id=sent.provider_ids[0]
    )
    assert received(event).message.flags is None, "whom we wrote to is no third party"

    _, more = await desk.say("Good.", conversation=conversation(event))
    assert str(more.mail["References"]).split()[0] == ours.mail["Message-ID"]


async def test_two_messages_to_one_person_are_two_matters_unless_one_continues_the_other(desk: Desk) -> None:
    first, mail = await desk.say("One.", subject="One")
    second, _ = await desk.say("Two.", subject="Two")
    third, follow_up = await desk.say("And another thing.", reply_to=MessageRef(provider_id=first.provider_ids[0]))

    assert first.metadata["conversation"] != second.metadata["conversation"]
    assert third.metadata["conversation"] == first.metadata["conversation"]
    assert follow_up.mail["In-Reply-To"] == mail.mail["Message-ID"]
    assert follow_up.mail["Subject"] == "Re: One"


@pytest.mark.parametrize("desk", [{"marker": True}, {"tag_reply_to": True}], ids=["marker", "reply-to"], indirect=True)
async def test_an_answer_without_any_header_of_ours_finds_its_conversation(desk: Desk) -> None:
    sent, ours = await desk.say("Your parcel is ready.")
    mail = answer(ours, "I will fetch it.")
    del mail["In-Reply-To"], mail["References"]
    ((_, to),) = getaddresses([mail["To"]])
    (event,) = await desk.hear(mail, to=to)

    assert conversation(event) == sent.metadata["conversation"]


def index(answers: int) -> str:
    return base64.b64encode(b"\x01" + b"\xdc" * 5 + b"conversation-id." + b"\0\x12\x34\x56\x78" * answers).decode()


async def test_an_answer_that_has_only_a_thread_index_finds_the_mail_that_began_the_thread(desk: Desk) -> None:
    (first,) = await desk.hear(write(**{"Thread-Index": index(0)}))
    await desk.say("It left today.", conversation=conversation(first))
    bare = EmailMessage()
    bare["From"], bare["To"], bare["Thread-Index"] = f"Ann <{ANN}>", SHOP, index(1)
    bare.set_content("And when does it arrive?")
    (answered,) = await desk.hear(bare)
    del bare["From"]
    bare["From"] = "Eve <eve@evil.example>"
    (strange,) = await desk.hear(bare, sender="eve@evil.example")

    assert conversation(answered) == conversation(first)
    assert conversation(strange) != conversation(first)
    assert received(answered).message.thread is not None


async def test_the_answer_by_thread_index_to_a_mail_of_ours_finds_its_conversation(desk: Desk) -> None:
    _, taken = await desk.say("Your parcel is delayed.")
    (first,) = await desk.hear(answer(taken, "Oh.", **{"Thread-Index": index(1)}))
    forged = write(**{"Thread-Index": index(1), "References": "<elsewhere@evil.example>"})
    await desk.hear(forged)
    (second,) = await desk.hear(write(**{"Thread-Index": index(2)}))

    assert conversation(second) == conversation(first)


async def test_a_stranger_who_knows_the_subject_joins_nothing(desk: Desk) -> None:
    sent, ours = await desk.say("Your parcel is ready.", subject="Parcel 7")
    forged = f"<{sent.provider_ids[0][:20]}{'a' * 56}@shop.example>"
    (event,) = await desk.hear(
        write(f"Re: {ours.mail['Subject']}", "Let me in", From="eve@example.org", **{"In-Reply-To": forged})
    )

    assert conversation(event) != sent.metadata["conversation"]


async def test_reply_to_all_copies_whoever_the_customer_wrote_to_but_not_us(desk: Desk) -> None:
    (event,) = await desk.hear(
        write(To=f"{SHOP}, Bob <bob@example.net>", Cc="carol@example.net, Support+x@Shop.Example")
    )
    _, ours = await desk.say("Hello all", conversation=conversation(event), metadata={"email": {"reply_all": "true"}})
    assert ours.recipients == [ANN, "bob@example.net", "carol@example.net"]

    _, alone = await desk.say("Hello Ann", conversation=conversation(event))
    assert alone.recipients == [ANN]


@pytest.mark.parametrize("quote", ["whole", "header"])
async def test_a_bounce_says_that_the_message_failed(desk: Desk, quote: str) -> None:
    message = desk.post.message()
    sent = await desk.inbox.channel.send(message)
    returned, status = await desk.hear(bounce(desk.room.mails[-1], quote=quote), sender="", events=2)

    assert received(returned).message.flags is not None
    assert status.method == "message.status"
    params = status.params
    assert isinstance(params, StatusParams)
    assert params.status == "failed"
    assert params.message == MessageRef(id=message.id, provider_id=sent.provider_ids[0])
    assert params.conversation is not None
    assert params.conversation.id == sent.metadata["conversation"]
    assert params.error is not None
    assert "no such user" in params.error.message
    assert params.metadata["email"]["recipients"][0]["address"] == ANN


@pytest.mark.parametrize("desk", [{"tag_bounces": True}], indirect=True)
async def test_a_bounce_that_quotes_nothing_is_known_by_the_return_path(desk: Desk) -> None:
    message = desk.post.message()
    await desk.inbox.channel.send(message)
    taken = desk.room.mails[-1]
    _, status = await desk.hear(bounce(taken, quote="nothing"), to=taken.sender, sender="", events=2)

    assert isinstance(status.params, StatusParams)
    assert (status.params.status, status.params.message.id) == ("failed", message.id)


async def test_a_bounce_does_not_become_what_is_answered_next(desk: Desk) -> None:
    mail = write()
    (first,) = await desk.hear(mail)
    _, ours = await desk.say("One", conversation=conversation(first))
    await desk.hear(bounce(ours), sender="", events=2)
    _, next_one = await desk.say("Two", conversation=conversation(first))

    assert str(next_one.mail["References"]).split() == [mail["Message-ID"], ours.mail["Message-ID"]]


async def test_a_redelivered_mail_changes_nothing(desk: Desk) -> None:
    mail = write()
    (first,) = await desk.hear(mail)
    _, ours = await desk.say("One", conversation=conversation(first))
    await desk.hear(mail)
    _, next_one = await desk.say("Two", conversation=conversation(first))

    assert next_one.mail["In-Reply-To"] == ours.mail["Message-ID"]


async def test_without_the_store_mail_is_taken_and_answered_without_history(desk: Desk) -> None:
    (first,) = await desk.hear(write())
    await desk.post.store.close()
    (second,) = await desk.hear(write("And this?"))
    _, ours = await desk.say("Yes.", conversation=conversation(first))

    assert conversation(second)
    assert ours.mail["In-Reply-To"] is None
    assert ours.recipients == [ANN]
