"""`omnigate simulate messenger`: what Messenger posts, and its Send API."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from connectors.messenger import MessengerConfig
from gateway.simulate.cloud import Answer, Call, json_answer, route
from gateway.simulate.meta_messaging import CONTENT, WATERMARK, MessagingCloud, MessagingSimulator, mid


class MessengerSimulator(MessagingSimulator[MessengerConfig]):
    """Deliveries and reads are told up to a time, and by message."""

    object: ClassVar = "page"
    content: ClassVar = {
        **CONTENT,
        "delivered": lambda item: {
            "delivery": {"mids": [mid(item, "out")], "watermark": WATERMARK + item.number % 1000}
        },
        "read": lambda item: {"read": {"watermark": WATERMARK + item.number % 1_000_000}},
    }
    contents: ClassVar = tuple(content)

    @override
    def account(self) -> str:
        return self.options.page_id


class MessengerCloud(MessagingCloud):
    """See `Cloud`."""

    scopes = ("pages_messaging", "pages_manage_metadata")

    @route("GET", "/{version}/me")
    def about(self, call: Call) -> Answer:
        """Tell of the page."""
        known: Any = self.options
        page = known.page_id if isinstance(known, MessengerConfig) else "1"
        return json_answer({"id": page, "name": "Simulated page"})


SIMULATOR, CLOUD = MessengerSimulator, MessengerCloud
