"""`omnigate simulate instagram`: what Instagram posts, and its Send API."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from connectors.instagram import InstagramConfig
from gateway.simulate.cloud import Answer, Call, json_answer, route
from gateway.simulate.meta_messaging import CONTENT, MessagingCloud, MessagingSimulator, file, message, mid


class InstagramSimulator(MessagingSimulator[InstagramConfig]):
    """Reads name their message; stories are answered and mentioned."""

    object: ClassVar = "instagram"
    content: ClassVar = {
        **CONTENT,
        "read": lambda item: {"read": {"mid": mid(item, "out")}},
        "story_reply": lambda item: message(
            item,
            text=item.text,
            reply_to={"story": {"id": "18040775032372871", "url": "https://scontent.xx.fbcdn.net/s"}},
        ),
        "story_mention": lambda item: message(item, attachments=[file(item, "story_mention", "story")]),
    }
    contents: ClassVar = tuple(content)

    @override
    def account(self) -> str:
        return self.options.own_id


class InstagramCloud(MessagingCloud):
    """See `Cloud`."""

    scopes = ("instagram_business_manage_messages",)
    text_max: ClassVar = 1000

    @override
    def length(self, text: str) -> int:
        return len(text.encode())

    @route("GET", r"/{version}/{node:\d+}")
    def about(self, call: Call) -> Answer:
        """Tell of the account."""
        return json_answer({"id": call.match["node"], "username": "simulated.shop"})


SIMULATOR, CLOUD = InstagramSimulator, InstagramCloud
