"""Facebook Messenger (https://developers.facebook.com/documentation/business-messaging/messenger-platform).

Meta repeats a delivery that is not answered with 2xx within 20 s, and unsubscribes an app whose webhook fails for long.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from typing_extensions import override

from connectors.api import Context
from connectors.meta_messaging import MessagingConfig, MessagingConnector, capabilities, upload
from connectors.registry import connector
from normalizer.codecs.messaging import MessagingCodec
from normalizer.codecs.messaging_scope import MESSENGER
from normalizer.parts import Media, MediaPart

DOCS = "https://developers.facebook.com/documentation/business-messaging/messenger-platform"


class MessengerConfig(MessagingConfig, frozen=True, kw_only=True):
    """Options of a `messenger` channel.

    Attributes:
        page_id: of our page; `access_token` is a token of this page.
    """

    page_id: Annotated[str, Meta(pattern=r"^\d{1,32}$")]


CAPABILITIES = capabilities(
    "messenger",
    f"longer text is split, and so are questions with buttons of more than 640 characters ({DOCS}/send-messages)",
    f"titles up to 20 characters, ids up to 1000; up to 10 cards with 80 characters each ({DOCS}/send-messages)",
    "after 24 h only with metadata.messenger.tag = HUMAN_AGENT (7 days), or another tag "
    f"({DOCS}/policy/policy-overview)",
    "what is read or delivered is mostly told up to a time (metadata.messenger.watermark) and not by message",
)


@connector("messenger", MessengerConfig, CAPABILITIES)
class MessengerConnector(MessagingConnector[MessengerConfig]):
    """A Facebook page's Messenger."""

    def __init__(self, config: MessengerConfig, context: Context, **options: Any) -> None:
        """Read for the channel's page; `options` are those of `MetaConnector`."""
        super().__init__(config, context, config.page_id, **options)
        self.codec = MessagingCodec(MESSENGER, self.account, app_id=config.app_id, place=self.siblings.place)

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        return await upload(self.request, part, await self.bytes_of(part.media), self._clock())
