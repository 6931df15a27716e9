"""What is said in a web chat, in both directions."""

from __future__ import annotations

from tests.integration.chat.helpers import Office


async def test_a_message_goes_in_and_an_answer_comes_back(shop: Office) -> None:
    async with shop.visitor(page={"url": "https://shop.example/cart"}, locale="de") as ann:
        sent = await ann.say("Hi", "c1")
        assert sent["duplicate"] is False
        told = await shop.event("message.received")
        assert (told["message"]["text"], told["message"]["provider_id"]) == ("Hi", "c1")
        assert told["conversation"]["provider_id"] == ann.id
        assert told["metadata"]["chat"]["page"] == {"url": "https://shop.example/cart"}
        await shop.event("conversation.started")
        await shop.send(ann.id, "Hello!")
        mine, answer = await ann.until(2)
        assert (mine["seq"], mine["message"]["from"]) == (sent["seq"], {"role": "visitor"})
        assert (answer["message"]["text"], answer["message"]["from"]) == ("Hello!", {"role": "agent"})
        assert answer["seq"] > mine["seq"]
