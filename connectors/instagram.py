"""Instagram messaging.

https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api
https://developers.facebook.com/documentation/business-messaging/instagram-messaging
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from typing_extensions import override

from connectors.api import Context
from connectors.meta_messaging import MessagingConfig, MessagingConnector, capabilities
from connectors.meta_probe import get
from connectors.registry import connector
from normalizer.codecs.messaging import MessagingCodec
from normalizer.codecs.messaging_scope import INSTAGRAM
from normalizer.raw import Wire

DOCS = "https://developers.facebook.com/documentation/business-messaging/instagram-messaging"


class InstagramConfig(MessagingConfig, frozen=True, kw_only=True):
    """Options of an `instagram` channel.

    Attributes:
        ig_user_id: of our professional account, as webhooks name it (``entry.id``).
        page_id: the same, in the word of `messenger`; one of the two is needed.
        api_base: where the API is. This one is for tokens of Instagram Login; with the token of a linked page it is
            ``https://graph.facebook.com``.
    """

    ig_user_id: Annotated[str, Meta(pattern=r"^\d{1,32}$")] | None = None
    page_id: Annotated[str, Meta(pattern=r"^\d{1,32}$")] | None = None
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://graph.instagram.com"

    def __post_init__(self) -> None:
        """Check that the account is named once."""
        if (self.ig_user_id is None) == (self.page_id is None):
            raise ValueError("one of `ig_user_id` and `page_id` is needed, and both mean the account")

    @property
    def own_id(self) -> str:
        """The account's id."""
        return self.ig_user_id or self.page_id or ""


CAPABILITIES = capabilities(
    "instagram",
    "text_max counts bytes of UTF-8; longer text is split",
    f"files are sent as links, so `[http] public_url` is needed; of documents only PDF is taken ({DOCS}/features)",
    f"titles up to 20 characters, ids up to 1000; up to 10 cards with 80 characters each ({DOCS}/features)",
    "after 24 h only with metadata.instagram.tag = HUMAN_AGENT (7 days)",
    "reactions can only be hearts; echoes of our own messages are left out where `app_id` is given",
)


@connector("instagram", InstagramConfig, CAPABILITIES)
class InstagramConnector(MessagingConnector[InstagramConfig]):
    """An Instagram professional account's messages."""

    def __init__(self, config: InstagramConfig, context: Context, **options: Any) -> None:
        """Read for the channel's account; `options` are those of `MetaConnector`."""
        super().__init__(config, context, config.own_id, **options)
        self.codec = MessagingCodec(INSTAGRAM, self.account, app_id=config.app_id, place=self.siblings.place)

    @override
    def about(self) -> Wire:
        return get(f"/{self.account}", fields="id,username")

    @override
    def check(self, told: dict[str, Any]) -> None:
        """Nothing: the account itself was asked for, and its `id` is another one by Instagram Login."""
