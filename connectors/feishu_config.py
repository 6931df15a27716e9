"""What a `feishu` channel is told."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Seconds
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig

DOCS = "https://open.feishu.cn/document"


class FeishuConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `feishu` channel: one app of one tenant, on Feishu or on Lark.

    Attributes:
        app_id: "App ID" of the page "Credentials & Basic Info" (``cli_…``).
        app_secret: "App Secret" of the same page; gets access tokens.
        verification_token: "Verification Token" of the page "Events & callbacks", tab "Encryption strategy".
        encrypt_key: "Encrypt Key" of the same tab; signs and encrypts every delivery. Without it a delivery is proved
            by the verification token alone.
        api_base: ``https://open.feishu.cn``, or ``https://open.larksuite.com`` for Lark; change it for a proxy or a test.
        ack_deadline_secs: answer within this time; Feishu waits for 3 s and then tries again.
    """

    app_id: Annotated[str, Meta(min_length=1)]
    app_secret: Secret
    verification_token: Secret | None = None
    encrypt_key: Secret | None = None
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://open.feishu.cn"
    ack_deadline_secs: Seconds = 2.5
