"""What a `dingtalk` channel is told."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.secrets import Secret
from connectors.webhook import WebhookConfig

DOCS = "https://open.dingtalk.com/document"
Base = Annotated[str, Meta(pattern=r"^https?://")]


class DingTalkConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `dingtalk` channel: one robot of an internal application.

    Attributes:
        app_key: "AppKey" (Client ID) of the application.
        app_secret: "AppSecret" (Client Secret); signs every delivery, and gets access tokens.
        robot_code: "RobotCode" of the application's robot.
        api_base: where the OpenAPI is; change it for a proxy or a test.
        webhook_base: where session webhooks and the older API are.
    """

    app_key: str
    app_secret: Secret
    robot_code: str
    api_base: Base = "https://api.dingtalk.com"
    webhook_base: Base = "https://oapi.dingtalk.com"
