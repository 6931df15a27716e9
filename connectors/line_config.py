"""What a `line` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig
from normalizer.codecs.line_send import REQUESTS, SENDABLE, TEXT_MAX
from normalizer.codecs.line_template import CHOICES

DOCS = "https://developers.line.biz/en"
Base = Annotated[str, Meta(pattern=r"^https?://")]


class LineConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `line` channel; the words are those of the LINE Developers Console.

    Attributes:
        channel_secret: "Channel secret" of the tab "Basic settings"; signs every delivery.
        channel_access_token: "Channel access token" of the tab "Messaging API".
        reply: answer with the reply token of a message while it works, which costs no quota; false pushes everything.
        profiles: ask LINE for the names of people who write; adds up to a second to the first message of each.
        api_base: where the Messaging API is; change it for a proxy or a test.
        data_api_base: where LINE has the files that people sent.
        sticker_base: where pictures of stickers are; LINE does not document it. Empty: stickers have no picture.
    """

    channel_secret: Secret
    channel_access_token: Secret
    reply: bool = True
    profiles: bool = False
    api_base: Base = "https://api.line.me"
    data_api_base: Base = "https://api-data.line.me"
    sticker_base: str = "https://stickershop.line-scdn.net/stickershop/v1/sticker"


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.updated", "message.deleted", "contact.opted_in", "contact.blocked",
        "contact.identified", "conversation.started", "conversation.ended",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media={"image": 10_000_000, "video": 200_000_000, "audio": 200_000_000},
    notes=(
        f"text_max counts UTF-16 units; longer text is split ({DOCS}/docs/messaging-api/text-character-count/)",
        f"a reply within a minute costs no quota ({DOCS}/reference/messaging-api/#send-reply-message)",
        f"images are JPEG or PNG, videos mp4, audio mp3 or m4a ({DOCS}/reference/messaging-api/#image-message)",
        "a video needs metadata.line.previewImageUrl to show a still; audio needs duration_ms, else a minute is shown",
        "up to 4 buttons or 10 described list items become a template, more, or longer questions, quick replies",
        f"choice titles show 20 characters ({DOCS}/reference/messaging-api/#action-objects)",
        "reply_to quotes where the message is less than a day old, or metadata.line.quoteToken is given",
        "typing.send to persons only; receipt.send needs Chat to be on in the Official Account Manager",
        "LINE tells no delivery or read status of what is sent",
    ),
)  # fmt: skip
