"""What a `viber` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.passive_webhook import PassiveConfig
from connectors.secrets import Secret
from normalizer.codecs.viber_keyboard import CHOICES
from normalizer.codecs.viber_send import CAPTION_MAX, NAME_MAX, SENDABLE, TEXT_MAX

DOCS = "https://developers.viber.com/docs/api/rest-bot-api"


class ViberConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `viber` channel.

    Attributes:
        token: the bot's authentication token ("app key"); it signs deliveries, too.
        sender_name: the name that stands above what is sent.
        sender_avatar: address of the picture beside it, https, at most 100 kB.
        api_base: where the bot API is; change it for a proxy or a test.
        passive_secs: how long the opening of a chat is held for a greeting, which somebody who has not subscribed can
            be sent in the HTTP answer only. 0 answers at once.
    """

    token: Secret
    sender_name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
    sender_avatar: Annotated[str, Meta(pattern=r"^https://")] | None = None
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://chatapi.viber.com/pa"
    passive_secs: Annotated[float, Meta(ge=0, le=30)] = 3.0


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.status", "contact.opted_in", "contact.opted_out", "conversation.started",
    ),
    parts=SENDABLE,
    text_max=TEXT_MAX,
    caption_max=CAPTION_MAX,
    choices=CHOICES,
    media={"image": 1_000_000, "video": 26_000_000, "audio": 50_000_000, "file": 50_000_000},
    passive_secs=3.0,
    notes=(
        f"only subscribers can be written to; who opens the chat can be greeted once ({DOCS}/#conversation-started)",
        f"pictures are JPEG, PNG or GIF, videos MP4 of at most 180 s; audio goes as a file ({DOCS}/#message-types)",
        f"the media of a received message can be fetched for an hour ({DOCS}/#receive-message-from-user)",
        "buttons are silent: the person sees nothing of what they send, which comes as choice_reply",
        "location_request needs a phone; cards need clients of API version 7",
        "metadata.viber.tracking_data (4096 characters) comes back with the person's next messages",
        "with several devices each tells delivered; it is told once",
    ),
)  # fmt: skip
