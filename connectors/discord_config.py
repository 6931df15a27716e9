"""What a `discord` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.passive_webhook import PassiveConfig
from connectors.secrets import Secret
from normalizer.codecs.discord_components import CHOICES
from normalizer.codecs.discord_send import REQUESTS, SENDABLE, TEXT_MAX

DOCS = "https://docs.discord.com/developers"
MEGABYTE = 1024 * 1024


class DiscordConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `discord` channel: the interactions of one application.

    Attributes:
        application_id: from the application's page "General Information".
        public_key: from the same page, 64 hexadecimal digits; it proves every delivery.
        bot_token: of the application's bot, from the page "Bot"; without it messages pass only as answers to
            interactions, for 15 minutes each.
        ephemeral: answers are seen only by the person who asked, unless a message says otherwise.
        api_base: where the API is; change it for a proxy or a test.
        passive_secs: how long an interaction is held for a reply; one that comes later is a follow-up. 0 answers at
            once that the reply is to come.
    """

    application_id: Annotated[str, Meta(pattern=r"^[0-9]{1,20}$")]
    public_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    bot_token: Secret | None = None
    ephemeral: bool = False
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://discord.com/api/v10"
    passive_secs: Annotated[float, Meta(ge=0, lt=3)] = 2.0


CAPABILITIES = Capabilities(
    receives=("message.received",),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    caption_max=TEXT_MAX,
    choices=CHOICES,
    media=dict.fromkeys(("image", "audio", "video", "file"), 10 * MEGABYTE),
    reply_window_secs=900,
    passive_secs=3.0,
    notes=(
        "commands, buttons, menus and forms; ordinary chat needs Discord's Gateway and does not come this way",
        f"a reply within 3 s, or follow-ups for 15 minutes; later only with bot_token ({DOCS}/interactions)",
        f"text_max counts UTF-16 units; longer text is split ({DOCS}/resources/message#create-message)",
        f"buttons: titles of 80 characters, ids of 100; lists: titles and ids of 100 ({DOCS}/components/reference)",
        f"files of 10 MiB, more on boosted servers ({DOCS}/reference#uploading-files)",
        "reactions and typing need bot_token",
        "Discord tells nothing of delivery or reading",
    ),
)
