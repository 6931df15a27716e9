"""What a `slack` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig
from normalizer.codecs.slack_blocks import CHOICES
from normalizer.codecs.slack_send import REQUESTS, SENDABLE, TEXT_MAX

DOCS = "https://docs.slack.dev"
GIGABYTE = 1024 * 1024 * 1024


class SlackConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `slack` channel: one app in one workspace.

    Attributes:
        bot_token: the bot's token (``xoxb-…``), from the app's page "OAuth & Permissions".
        signing_secret: from the app's page "Basic Information"; signs every delivery.
        api_base: where the Web API is; change it for a proxy or a test.
    """

    bot_token: Secret
    signing_secret: Secret
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://slack.com/api"


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.updated", "message.deleted", "reaction.added", "reaction.removed",
        "conversation.started", "conversation.ended",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media=dict.fromkeys(("image", "audio", "video", "file"), GIGABYTE),
    notes=(
        f"longer text is split ({DOCS}/reference/methods/chat.postMessage#truncating)",
        f"buttons: titles of 75 characters, ids of 2000; lists: ids of 150 ({DOCS}/reference/block-kit/block-elements)",
        f"about one message per second and channel ({DOCS}/apis/web-api/rate-limits)",
        f"an event is repeated three times, within about an hour, unless answered in 3 s ({DOCS}/apis/events-api)",
        "Slack tells nothing of delivery or reading",
        "an answer with `reply_to` goes into the thread of that message",
        "files are shared as messages of their own; their `provider_id` is the file's, and cannot be edited",
    ),
)  # fmt: skip
