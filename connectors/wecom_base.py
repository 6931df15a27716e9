"""What the connectors of WeCom's apps and of customer service have in common: one callback, one API."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from typing_extensions import override

from connectors.api import Delivery, Reply
from connectors.http import Answer, decoded
from connectors.webhook import WebhookConfig, WebhookConnector
from connectors.wecom_api import CODES, SentMessage
from connectors.wecom_callback import Callback
from connectors.wecom_media import LIMITS
from connectors.weixin_client import WeixinClient
from connectors.weixin_media import upload
from normalizer.model import Security
from normalizer.parts import Media, MediaPart

C = TypeVar("C", bound=WebhookConfig)


class WecomBase(WebhookConnector[C]):
    """Proves deliveries, shakes hands, uploads files; a subclass sets `_callback` and `_client`."""

    accepted: ClassVar[Reply] = Reply(body=b"success")
    uploads_urls: ClassVar[bool] = True
    _callback: Callback
    _client: WeixinClient

    @override
    def verify(self, delivery: Delivery) -> Security:
        return self._callback.verify(delivery)

    @override
    def greet(self, delivery: Delivery) -> Reply | None:
        """Answer the handshake (GET)."""
        return self._callback.handshake(delivery) if delivery.method == "GET" else super().greet(delivery)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return decoded(answer, SentMessage, CODES.provider).msgid

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        return await upload(self._client, part, await self.bytes_of(part.media), LIMITS)
