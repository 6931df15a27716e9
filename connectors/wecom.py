"""WeCom apps (https://developer.work.weixin.qq.com/document/path/90930).

WeCom delivers one encrypted message per request, waits 5 s, and tries three times in all; the answer may carry a
reply. Later replies, and messages without a question, go by the API; there is no window for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Capabilities, Context, Delivery, Fetched, Reply, Seconds, Sink
from connectors.errors import SendError
from connectors.http import Answer
from connectors.passive_slots import Held
from connectors.passive_webhook import PassiveConfig, PassiveConnector
from connectors.registry import connector
from connectors.secrets import Secret
from connectors.staging import ref_of
from connectors.wecom_api import access, unasked
from connectors.wecom_base import WecomBase
from connectors.wecom_callback import Callback
from connectors.wecom_media import SIZES
from connectors.weixin_client import WeixinClient
from connectors.weixin_media import download
from normalizer.codecs.wecom import WecomCodec
from normalizer.codecs.wecom_send import CHOICES, REQUESTS, SENDABLE, TEXT_MAX, App
from normalizer.methods import Params
from normalizer.parts import AnyPart, Card, Carousel, Media, MediaPart
from normalizer.raw import Outbound, RawEvent, Wire

DOCS = "https://developer.work.weixin.qq.com/document/path"
CAPABILITIES = Capabilities(
    receives=("message.received", "contact.opted_in", "contact.opted_out", "conversation.started"),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media=SIZES,
    passive_secs=5.0,
    notes=(
        "text_max counts bytes of UTF-8; longer text is split",
        f"one member gets at most 30 messages a minute and 1000 an hour ({DOCS}/90312)",
        f"images as PNG or JPEG, voices as AMR of at most 60 s, videos as MP4 ({DOCS}/90253)",
        f"messages can be deleted within 24 hours ({DOCS}/94867)",
    ),
)


class WecomConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `wecom` channel, which is one app of a corp.

    Attributes:
        corp_id: the corp's id ("My company" > "CorpID").
        agent_id: AgentId of the app.
        secret: Secret of the app, for the access token.
        token: Token of "receive messages", which signs every delivery.
        encoding_aes_key: EncodingAESKey of "receive messages", 43 characters.
        ack_deadline_secs: answer WeCom within this time; it waits for 5 s and tries again.
        api_base: where the API is; change it for a private deployment, a proxy or a test.
        passive_secs: how long a delivery is held for a reply; WeCom waits for 5 s. 0 answers at once.
    """

    corp_id: Annotated[str, Meta(min_length=1)]
    agent_id: Annotated[int, Meta(ge=0)]
    secret: Secret
    token: Secret
    encoding_aes_key: Secret
    ack_deadline_secs: Seconds = 4.5
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://qyapi.weixin.qq.com"
    passive_secs: Annotated[float, Meta(ge=0, lt=5)] = 4.5


@connector("wecom", WecomConfig, CAPABILITIES)
class WecomConnector(WecomBase[WecomConfig], PassiveConnector[WecomConfig]):
    """A WeCom (企业微信) app, with passive replies and application messages."""

    codec: WecomCodec
    passive_type: ClassVar[str] = "application/xml"

    def __init__(
        self,
        config: WecomConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        secret, token, key = config.secret.reveal(), config.token.reveal(), config.encoding_aes_key.reveal()
        self.hide = (secret, token, key)
        self._callback = Callback(token, key, config.corp_id, clock)
        self.codec = WecomCodec(
            App(config.corp_id, config.agent_id), self._callback.decrypt, passive_secs=config.passive_secs
        )
        self._client = WeixinClient(
            context,
            access(config.corp_id, secret),
            base=config.api_base,
            timeout=config.send_timeout_secs,
            hide=self.hide,
        )

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        return await super().deliver(delivery, self._callback.open(raw), sink)

    @override
    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        frame = self.codec.answerable(raw)
        if frame is None:
            return None
        at = str(int(raw.received_at.timestamp()))
        return Held(
            conversation=frame.conversation.id,
            message=frame.message_id,
            native=frame.native,
            info={"user": frame.user, "us": frame.corp, "address": frame.address, "at": at},
        )

    @override
    def say(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        body = self.codec.passive(message, info)
        return None if body is None else self._callback.seal(body)

    @override
    async def request(self, wire: Wire) -> Answer:
        return await self._client.call(wire)

    @override
    async def stage(self, message: Outbound) -> Outbound:
        """Upload files; WeCom fetches nothing but the pictures of cards, which are linked."""

        async def link(part: MediaPart) -> Media:
            return part.media if ref_of(part.media) is None else self.staging.linked(part.media)

        staged: list[AnyPart] = []
        for part in message.parts:
            if isinstance(part, Card | Carousel):
                staged += await self.staging.stage_parts((part,), link)
            else:
                staged += (await self.staging.stage(replace(message, parts=(part,)), self.upload_part)).parts
        return replace(message, parts=tuple(staged))

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`."""
        return await download(self._client, media, max_bytes=max_bytes)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`."""
        await self.request(self.codec.request(method, params))
        return {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: the access token, the app as WeCom knows it, and the handshake, done against ourselves.

        https://developer.work.weixin.qq.com/document/path/90227
        """
        found: dict[str, Any] = {"access_token": {"expires_in_secs": round(await self._client.token_secs())}}
        found["handshake"] = "ok" if await self._callback.rehearse(self.handle) else "failed"
        try:
            told = await self._client.get("/cgi-bin/agent/get", agentid=str(self.config.agent_id))
        except SendError as exc:
            found["app"] = unasked(exc)
        else:
            found["app"] = {"name": told.get("name"), "closed": bool(told.get("close"))}
        return found
