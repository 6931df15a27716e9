"""What a `discord` channel is told."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.passive_webhook import PassiveConfig
from connectors.secrets import Secret

DOCS = "https://docs.discord.com/developers"


class DiscordConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `discord` channel: the interactions of one application.

    Attributes:
        application_id: "Application ID" of the page "General Information".
        public_key: "Public Key" of the same page, in hex; proves deliveries.
        bot_token: "Token" of the page "Bot"; without it nothing can be sent once an interaction's token has ended.
        api_base: where the API is; change it for a proxy or a test.
        passive_secs: how long an interaction is held for a reply; Discord waits for 3 s.
    """

    application_id: Annotated[str, Meta(pattern=r"^[0-9]+$")]
    public_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    bot_token: Secret | None = None
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://discord.com/api/v10"
    passive_secs: Annotated[float, Meta(ge=0, le=2.8)] = 2.0
