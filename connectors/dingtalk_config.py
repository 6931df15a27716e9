"""What a `dingtalk` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig
from normalizer.codecs.dingtalk_send import CHOICES, REQUESTS, SENDABLE, TEXT_MAX

DOCS = "https://open.dingtalk.com/document"
Base = Annotated[str, Meta(pattern=r"^https?://")]
Word = Annotated[str, Meta(min_length=1)]
MEGABYTE = 1_048_576


class DingTalkConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `dingtalk` channel: the robot of one internal application.

    Attributes:
        app_key: "AppKey" ("Client ID") of the application.
        app_secret: "AppSecret" ("Client Secret"); signs every delivery, and gets access tokens.
        robot_code: "RobotCode" of the application's robot.
        session: answer by the session webhook of the conversation while it works, which counts for no API quota;
            false sends everything by the API, where messages have ids and can be recalled.
        api_base: where the API is; change it for a proxy or a test.
        webhook_base: where session webhooks lead, and files are uploaded to; an address elsewhere is never called.
    """

    app_key: Word
    app_secret: Secret
    robot_code: Word
    session: bool = True
    api_base: Base = "https://api.dingtalk.com"
    webhook_base: Base = "https://oapi.dingtalk.com"


CAPABILITIES = Capabilities(
    receives=("message.received",),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media={"image": 20 * MEGABYTE, "audio": 2 * MEGABYTE, "video": 20 * MEGABYTE, "file": 20 * MEGABYTE},
    notes=(
        f"longer text is split; msgParam takes 15,000 bytes ({DOCS}/orgapp/the-robot-sends-a-group-message)",
        f"images are JPEG, PNG, GIF or BMP, voice is AMR, MP3 or WAV ({DOCS}/orgapp/upload-media-files)",
        "files are Office, PDF, ZIP or RAR; what is of another type is sent as a link",
        "a video goes as a file, unless metadata.dingtalk.picMediaId names its still",
        "buttons and lists are links that make the person say the title, which comes back as choice_reply for a day",
        "people outside the organisation can be answered until their session webhook ends, by text, links and cards",
        "what went by a session webhook has no id and cannot be recalled; other messages can for 24 hours",
        f"in groups robots hear only what mentions them, and no voice, video or file ({DOCS}/orgapp/receive-message)",
        "DingTalk posts no delivery or read status of what robots send",
    ),
)
