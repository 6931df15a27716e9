"""What is said in a web chat, in both directions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.api import Receipt, Sink
from connectors.errors import Refused
from connectors.staging import MediaUnavailable
from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.model import MessageRef
from normalizer.raw import Event, RawEvent
from tests.integration.chat.helpers import Office, Rejected, office

OURS = "msg_" + "0" * 32


async def test_a_message_goes_in_and_an_answer_comes_back(shop: Office) -> None:
    async with shop.visitor(page={"url": "https://shop.example/cart"}, locale="de") as ann:
        sent = await ann.say("Hi", "c1")
        assert sent["duplicate"] is False
        told = await shop.event("message.received")
        assert (told["message"]["text"], told["message"]["provider_id"]) == ("Hi", "c1")
        assert told["conversation"]["provider_id"] == ann.id
        assert told["metadata"]["chat"]["page"] == {"url": "https://shop.example/cart"}
        assert told["message"]["from"]["locale"] == "de"
        await shop.send(ann.id, "Hello!")
        mine, answer = await ann.until(2)
        assert (mine["seq"], mine["pos"]) == (sent["seq"], sent["pos"])
        assert mine["message"]["from"] == {"role": "visitor"}
        assert (answer["message"]["text"], answer["message"]["from"]) == ("Hello!", {"role": "agent"})
        assert answer["seq"] > mine["seq"]
        assert answer["pos"] == [answer["seq"], answer["seq"]]


async def test_a_message_sent_again_is_one_message(shop: Office) -> None:
    async with shop.visitor() as ann:
        first = await ann.say("Hi", "c1")
        again = await ann.say("Hi", "c1")
        assert again == {**first, "duplicate": True}
        await ann.say("Bye", "c2")
        await shop.event("message.received", 2)
        assert [told["message"]["text"] for told in shop.told("message.received")] == ["Hi", "Bye"]
        await ann.until(2)
        assert ann.messages() == ["Hi", "Bye"]


async def test_a_message_is_known_as_a_duplicate_before_the_conversation_has_it(tmp_path: Path) -> None:
    """Whoever dies in between gets it again from the visitor, and must not tell it twice."""
    statuses: list[str] = []

    def watched(sink: Sink) -> Sink:
        async def deliver(raw: RawEvent) -> Receipt:
            receipt = await sink(raw)
            for event in it.channel.codec.decode(raw):
                assert isinstance(event, Event)
                statuses.append(await it.rig.dedup.status(event.key))
            return receipt

        return deliver

    async with office(tmp_path, through=watched) as it, it.visitor() as ann:
        for number in range(5):
            await ann.say("Hi", f"c{number}")
    assert len(statuses) >= 5
    assert set(statuses) == {"done"}


async def test_two_visitors_may_choose_the_same_ids(shop: Office) -> None:
    async with shop.visitor() as ann, shop.visitor() as ben:
        await ann.say("from Ann", "c1")
        await ben.say("from Ben", "c1")
        await shop.event("message.received", 2)
        assert {told["message"]["text"] for told in shop.told("message.received")} == {"from Ann", "from Ben"}
        await ann.until(1)
        await ben.until(1)
        assert (ann.messages(), ben.messages()) == (["from Ann"], ["from Ben"])


async def test_both_tabs_of_a_visitor_see_everything(shop: Office) -> None:
    async with shop.visitor() as one, shop.visitor(token=one.token) as other:
        assert other.id == one.id
        await one.say("from one", "c1")
        await other.say("from other", "c2")
        await shop.send(one.id, "to both")
        for tab in (one, other):
            await tab.until(3)
            assert tab.messages() == ["from one", "from other", "to both"]


async def test_the_question_stands_before_an_answer_that_was_faster(shop: Office) -> None:
    async with shop.visitor() as ann:
        place: list[list[int]] = []

        async def answer_at_once() -> None:
            await shop.event("message.received")
            await shop.send(ann.id, "a quick answer")

        async with asyncio.TaskGroup() as group:
            group.create_task(answer_at_once())
            place.append((await ann.say("a question", "c1"))["pos"])
        told = await ann.until(2)
        shown = [one["message"]["text"] for one in sorted(told, key=lambda one: one["pos"])]
        assert shown == ["a question", "a quick answer"]


async def test_a_conversation_begins_with_its_first_message_and_again_after_its_end(shop: Office) -> None:
    async with shop.visitor() as ann:
        assert (await ann.call("session.close"))["seq"] == 0
        await ann.say("1", "c1")
        await ann.say("2", "c2")
        await shop.event("conversation.started")
        closed = await ann.call("session.close", reason="done")
        assert (await ann.call("session.close"))["seq"] == closed["seq"]
        ended = await shop.event("conversation.ended")
        assert (ended["reason"], ended["conversation"]["provider_id"]) == ("done", ann.id)
        (told,) = await ann.until(1, "ended")
        assert told == {"seq": closed["seq"], "by": "visitor", "reason": "done"}
        async with shop.visitor(token=ann.token) as again:
            assert again.session["ended"]
            await again.say("3", "c3")
            await shop.event("conversation.started", 2)
            await shop.event("message.received", 3)
    assert len(shop.told("conversation.ended")) == 1
    assert len(shop.told("conversation.started")) == 2


async def test_the_core_ends_a_conversation(shop: Office) -> None:
    async with shop.visitor() as ann:
        await shop.perform("conversation.end", to=ann.id)  # nothing was said: nothing to end
        await ann.say("1", "c1")
        await shop.perform("conversation.end", to=ann.id, reason="solved")
        await shop.perform("conversation.end", to=ann.id, reason="solved")
        (told,) = await ann.until(1, "ended")
        assert (told["by"], told["reason"]) == ("agent", "solved")
        await ann.say("2", "c2")
        await shop.event("conversation.started", 2)


async def test_the_visitor_edits_and_deletes(shop: Office) -> None:
    async with shop.visitor() as ann:
        sent = await ann.say("Hi", "c1")
        first = await ann.call("message.edit", id="c1", revision=1, text="Hello")
        assert await ann.call("message.edit", id="c1", revision=1, text="Hello") == first
        updated = await shop.event("message.updated")
        assert (updated["message"]["text"], updated["message"]["revision"]) == ("Hello", 1)
        gone = await ann.call("message.delete", id="c1")
        assert await ann.call("message.delete", id="c1") == gone
        deleted = await shop.event("message.deleted")
        assert deleted["message"] == {"id": updated["message"]["id"], "provider_id": "c1"}
        _, edited, removed = await ann.until(3)
        assert edited["message"]["edited_at"]
        assert (edited["message"]["text"], edited["pos"]) == ("Hello", sent["pos"])
        assert (removed["message"]["deleted"], removed["message"]["text"], removed["pos"]) == (True, "", sent["pos"])
        with pytest.raises(Rejected) as refused:
            await ann.call("message.edit", id="c1", revision=2, text="back again")
        assert refused.value.code == -32007


async def test_what_is_not_the_visitors_cannot_be_changed(shop: Office) -> None:
    async with shop.visitor() as ann, shop.visitor() as ben:
        await ann.say("mine", "c1")
        for params in ({"id": "c1"}, {"id": "c9"}):
            with pytest.raises(Rejected) as refused:
                await ben.call("message.delete", **params)
            assert refused.value.code == -32007
        with pytest.raises(Rejected) as refused:
            await ben.call("message.edit", id=OURS, revision=1, text="not mine")
        assert refused.value.code == -32602


async def test_two_tabs_that_edit_at_once_do_not_lose_a_word_in_silence(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Helo", "c1")
        await ann.call("message.edit", id="c1", revision=1, text="Hello")
        with pytest.raises(Rejected) as refused:
            await ann.call("message.edit", id="c1", revision=1, text="Hullo")
        assert refused.value.code == -32007
        await ann.call("message.edit", id="c1", revision=2, text="Hullo")
        assert (await ann.until(3))[-1]["message"]["text"] == "Hullo"
    assert [event["message"]["text"] for event in shop.told("message.updated")] == ["Hello", "Hullo"]


async def test_the_core_edits_and_deletes(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        (sent,) = (await shop.send(ann.id, "Helo", id_=OURS)).provider_ids
        await shop.perform("message.edit", to=ann.id, message={"provider_id": sent}, text="Hello")
        await shop.perform("message.delete", to=ann.id, message={"id": sent})
        _, first, edited, gone = await ann.until(4)
        assert [one["message"].get("text") for one in (first, edited, gone)] == ["Helo", "Hello", ""]
        assert first["pos"] == edited["pos"] == gone["pos"]
        assert edited["message"]["revision"] > first["message"]["revision"]
        assert gone["message"]["deleted"]
        with pytest.raises(Refused):
            await shop.perform("message.edit", to=ann.id, message={"provider_id": "c1"}, text="not the core's")


async def test_receipts_are_told_once_for_each_of_the_companys_messages(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        await shop.send(ann.id, "one", id_="msg_" + "1" * 32)
        await shop.send(ann.id, "two", id_="msg_" + "2" * 32)
        _, one, two = await ann.until(3)
        await ann.tell("ack", seq=one["seq"])
        await ann.tell("ack", seq=two["seq"])
        await ann.tell("ack", seq=one["seq"])
        await ann.tell("read", seq=two["seq"])
        await shop.event("receipt.read", 2)
        async with shop.visitor(token=ann.token) as tab:
            await tab.call("read", seq=two["seq"])
    wanted = ["msg_" + "1" * 32, "msg_" + "2" * 32]
    for verb in ("delivered", "read"):
        assert [told["message"]["provider_id"] for told in shop.told(f"receipt.{verb}")] == wanted


async def test_an_agent_has_read_a_message(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        await shop.perform("receipt.send", to=ann.id, message={"provider_id": "c1"})
        await shop.perform("receipt.send", to=ann.id, message={"provider_id": "c1"})
        (told,) = await ann.until(1, "receipt")
        assert (told["status"], told["message"]) == ("read", "c1")
        with pytest.raises(Refused):
            await shop.perform("receipt.send", to=ann.id, message={"id": "msg_of_the_visitor"[:3]})


async def test_typing_goes_both_ways_and_not_too_often(shop: Office) -> None:
    async with shop.visitor() as ann:
        for active in (True, True, True, False):
            await ann.call("typing", active=active)
        await shop.event("typing.stopped")
        assert len(shop.told("typing.started")) == 1
        await shop.perform("typing.send", to=ann.id)
        (told,) = await ann.until(1, "typing")
        assert told == {"active": True}


async def test_presence_of_all_and_of_one_conversation(shop: Office) -> None:
    async with shop.visitor() as ann, shop.visitor() as ben:
        assert ann.session["presence"] == {"status": "unknown", "agents": []}
        await shop.perform("presence.send", status="online")
        await shop.perform("presence.send", status="online", agents=[{"name": "Cem"}], to=ben.id)
        await ben.until(2, "presence")
        (told,) = await ann.until(1, "presence")
        assert told == {"status": "online", "agents": []}
        assert await ann.call("presence") == told
        assert await ben.call("presence") == {"status": "online", "agents": [{"name": "Cem"}]}
        async with shop.visitor(token=ben.token) as tab:
            assert tab.session["presence"]["agents"] == [{"name": "Cem"}]


async def test_history_comes_in_pages_and_is_what_was_pushed(shop: Office) -> None:
    async with shop.visitor() as ann:
        for number in range(5):
            await ann.say(f"{number}", f"c{number}")
        await shop.send(ann.id, "answer")
        pushed = await ann.until(6)
        newest = await ann.call("history", limit=4)
        assert newest["more"]
        older = await ann.call("history", limit=4, before=newest["events"][0]["params"]["seq"])
        assert not older["more"]
        events = older["events"] + newest["events"]
        assert [event["params"] for event in events] == pushed
        assert {event["method"] for event in events} == {"message"}
        assert len((await ann.call("history", limit=1000))["events"]) == 6


async def test_a_transcript_shows_messages_as_they_are_now(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Where?", "c1")
        await ann.say("oops", "c2")
        await ann.call("message.edit", id="c1", revision=1, text="When?")
        await ann.call("message.delete", id="c2")
        await shop.send(ann.id, "Tomorrow", metadata={"chat": {"name": "Ben"}})
        text = (await ann.call("transcript"))["text"].splitlines()
        assert [line.partition("] ")[2] for line in text] == ["visitor: When?", "Ben: Tomorrow"]
        assert await ann.call("transcript", email="ann@example.com") == {"requested": True}
        asked = await shop.event("message.received", 3)
        (part,) = asked["message"]["parts"]
        assert part == {"type": "system", "event": "transcript_requested", "args": {"email": "ann@example.com"}}
        for wrong in ("nobody", "a@b\r\nBcc: c@d", "a@b, c@d"):
            with pytest.raises(Rejected):
                await ann.call("transcript", email=wrong)


async def test_choices_cards_and_answers_to_them(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        choice = p.Choice(kind="buttons", body="Which?", items=(p.ChoiceItem(id="l", title="Large"),))
        card = p.Card(items=(p.CardItem(title="Tea", items=(p.ChoiceItem(id="t", title="Buy"),)),))
        (asked,) = (await shop.send(ann.id, parts=(choice, card), id_=OURS)).provider_ids
        _, told = await ann.until(2)
        assert [part["type"] for part in told["message"]["parts"]] == ["choice", "card"]
        reply = {"type": "choice_reply", "item_id": "l", "title": "Large", "of": asked}
        await ann.call("message.send", id="c2", parts=[reply])
        heard = await shop.event("message.received", 2)
        assert heard["message"]["parts"] == [reply]
        assert heard["message"]["text"] == "Large"


async def test_a_message_may_answer_another(shop: Office) -> None:
    async with shop.visitor() as ann:
        await ann.say("Hi", "c1")
        await shop.send(ann.id, "Hello", id_=OURS, reply_to=MessageRef(provider_id="c1"))
        _, told = await ann.until(2)
        assert told["message"]["reply_to"] == "c1"
        await ann.say("Well", "c2", reply_to=OURS)
        heard = await shop.event("message.received", 2)
        assert heard["message"]["reply_to"] == {"id": OURS, "provider_id": OURS}


async def test_a_message_that_is_sent_again_by_the_core_is_there_once(shop: Office) -> None:
    async with shop.visitor() as ann:
        for _ in range(3):
            await shop.send(ann.id, "once", id_=OURS)
        await shop.send(ann.id, "twice")
        await ann.until(2)
        assert ann.messages() == ["once", "twice"]


@pytest.mark.parametrize(
    "parts",
    [
        (p.Text(body="a"), p.Order(items=())),
        (p.Choice(kind="form", body="?", items=()),),
        (p.Choice(kind="cta_url", body="?", items=(p.ChoiceItem(id="x", title="x", url="javascript:alert(1)"),)),),
        (p.Image(media=p.Media(id="m", status="pending", url="data:text/html,x")),),
        (p.Text(body="<b>" * 3000, format="html"),),
    ],
)
async def test_what_cannot_be_shown_is_refused(shop: Office, parts: tuple[Any, ...]) -> None:
    async with shop.visitor() as ann:
        with pytest.raises(Unsendable):
            await shop.send(ann.id, parts=parts)


async def test_addresses_that_are_no_visitors_are_refused(shop: Office) -> None:
    for to in ("", "4711", "v_short", "*", "v_../../x" + "y" * 20):
        with pytest.raises(Refused):
            await shop.send(to, "hello?")


async def test_a_file_that_is_not_there_is_not_sent(shop: Office) -> None:
    async with shop.visitor() as ann:
        media = p.Media(id="m", status="stored", sha256="0" * 64)
        with pytest.raises(MediaUnavailable):
            await shop.send(ann.id, parts=(p.File(media=media),))
