"""What a `feishu` channel is told, and what it can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta
from typing_extensions import override

from connectors.api import Capabilities, Remark
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig
from normalizer.codecs.feishu_card import CHOICES
from normalizer.codecs.feishu_send import REQUESTS, SENDABLE, TEXT_MAX

DOCS = "https://open.feishu.cn/document"
MEGABYTE = 1024 * 1024
IMAGE_MAX, FILE_MAX = 10 * MEGABYTE, 30 * MEGABYTE


class FeishuConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `feishu` channel: one app of one tenant, on Feishu or on Lark.

    Attributes:
        app_id: "App ID" of the page "Credentials & Basic Info" (``cli_…``).
        app_secret: "App Secret" of the same page; gets access tokens.
        verification_token: "Verification Token" of the page "Events & Callbacks", tab "Encryption Strategy".
        encrypt_key: "Encrypt Key" of the same tab; signs and encrypts every delivery. Without it a delivery is proved
            by the verification token alone.
        card_toast: shown for a moment to whoever presses a button or sends a form; empty shows nothing.
        api_base: ``https://open.feishu.cn``, or ``https://open.larksuite.com`` for Lark; change it for a proxy or a
            test.
    """

    app_id: Annotated[str, Meta(min_length=1)]
    app_secret: Secret
    verification_token: Secret
    encrypt_key: Secret | None = None
    card_toast: str = ""
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://open.feishu.cn"

    @override
    def remarks(self, *, shared: bool) -> Iterable[Remark]:
        if self.encrypt_key is None:
            hint = "set an Encrypt Key in the developer console, and `encrypt_key` here"
            yield Remark("encrypt_key", "deliveries are neither signed nor encrypted: a token proves them", hint)


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.deleted", "message.status", "reaction.added", "reaction.removed",
        "contact.identified", "conversation.started", "conversation.ended",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media={"image": IMAGE_MAX, "audio": FILE_MAX, "video": FILE_MAX, "file": FILE_MAX},
    notes=(
        f"5 messages a second to one person, or of all bots to one group ({DOCS}/server-docs/im-v1/message/create)",
        "audio that is no Opus (ogg), and videos that are no mp4, go as files; a video has no still",
        "stickers can be sent that were received, by their `provider_id`; no picture of theirs can be had",
        "a contact whose name is an open_id (ou_…) is sent as that person's card, others as text",
        f"message.edit: texts 20 times, cards for 14 days ({DOCS}/server-docs/im-v1/message/update)",
        "`read` is told of messages to persons only, nothing of those to groups; `delivered` never",
    ),
)  # fmt: skip
