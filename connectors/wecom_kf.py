"""WeCom customer service, 微信客服 (https://developer.work.weixin.qq.com/document/path/94638).

Customers write in WeChat, employees and this gateway answer. WeCom pokes; what happened is pulled (`wecom_kf_pull`).
Five messages may be sent within 48 hours of the customer's last one, and one greeting when somebody comes in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Capabilities, Context, Delivery, Fetched, Reply, Seconds, Sent, Sink
from connectors.errors import Busy, Refused, SendError, StateUnavailable, Unreachable
from connectors.http import Answer
from connectors.registry import connector
from connectors.secrets import Secret
from connectors.webhook import WebhookConfig
from connectors.wecom_api import access, unasked
from connectors.wecom_base import WecomBase
from connectors.wecom_callback import Callback
from connectors.wecom_kf_identify import Identify
from connectors.wecom_kf_pull import ACCOUNTS, Puller
from connectors.wecom_media import SIZES
from connectors.weixin_client import WeixinClient
from connectors.weixin_media import download
from normalizer.codecs.wecom_kf import WecomKfCodec
from normalizer.codecs.wecom_kf_frame import SCHEME
from normalizer.codecs.wecom_kf_send import CHOICES, CODE, SENDABLE, TEXT_MAX, answers_event
from normalizer.errors import MalformedPayload
from normalizer.parts import Media
from normalizer.raw import Outbound, RawEvent, Wire

DOCS = "https://developer.work.weixin.qq.com/document/path"
GREET_SECS = 20.0
"""How long a `welcome_code` is good."""
UNSURE_MAX = 1024

CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.deleted", "message.status", "conversation.started", "conversation.ended",
        "contact.identified",
    ),
    parts=SENDABLE,
    text_max=TEXT_MAX,
    choices=CHOICES,
    media=SIZES,
    reply_window_secs=48 * 3600,
    notes=(
        "text_max counts bytes of UTF-8; longer text is split",
        f"5 messages within 48 h of the customer's last, and none while an employee has the session ({DOCS}/94677)",
        f"who comes in can be greeted within 20 s, by one text or choice ({DOCS}/95122)",
        f"images as PNG or JPEG, voices as AMR of at most 60 s, videos as MP4 ({DOCS}/90253)",
        "a card needs a link and a picture",
    ),
)  # fmt: skip


class WecomKfConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `wecom-kf` channel, which is all customer-service accounts that one app may use.

    Attributes:
        corp_id: the corp's id ("My company" > "CorpID").
        secret: Secret of the app that may call customer service, for the access token.
        token: Token of the app's "receive messages", which signs every poke.
        encoding_aes_key: EncodingAESKey of "receive messages", 43 characters.
        open_kfid: the account to send from where an address names none.
        poll_secs: how often an account is pulled without a poke, in case one got lost.
        voice_format: how voice messages come: ``amr`` or ``silk``.
        identify: ask for customers' names and UnionIDs, and tell them by `contact.identified`.
        ack_deadline_secs: answer WeCom within this time; it waits for 5 s and tries again.
        api_base: where the API is; change it for a proxy or a test.
    """

    corp_id: Annotated[str, Meta(min_length=1)]
    secret: Secret
    token: Secret
    encoding_aes_key: Secret
    open_kfid: str | None = None
    poll_secs: Annotated[float, Meta(ge=1)] = 600.0
    voice_format: Literal["amr", "silk"] = "amr"
    identify: bool = True
    ack_deadline_secs: Seconds = 4.5
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://qyapi.weixin.qq.com"


@connector("wecom-kf", WecomKfConfig, CAPABILITIES)
class WecomKfConnector(WecomBase[WecomKfConfig]):
    """WeCom customer service (微信客服): pokes, a durable cursor, and messages to customers in WeChat."""

    codec: WecomKfCodec

    def __init__(
        self,
        config: WecomKfConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        secret, token, key = config.secret.reveal(), config.token.reveal(), config.encoding_aes_key.reveal()
        self.hide = (secret, token, key)
        self._callback = Callback(token, key, config.corp_id, clock)
        self.codec = WecomKfCodec(config.corp_id, self._callback.decrypt, account=config.open_kfid)
        self._client = WeixinClient(
            context,
            access(config.corp_id, secret),
            base=config.api_base,
            timeout=config.send_timeout_secs,
            hide=self.hide,
        )
        self._identify = Identify(self._client, context) if config.identify else None
        self._puller = Puller(
            context,
            self._client,
            poll_secs=config.poll_secs,
            voice_format=("amr", "silk").index(config.voice_format),
            notice=self._notice,
        )
        self._unsure: dict[str, None] = {}

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        """Acknowledge a poke once it is written down; the pipeline gets it for its books."""
        raw = self._callback.open(raw)
        with suppress(MalformedPayload):  # which the pipeline finds, too
            if (poke := self.codec.poke(raw.body)) is not None:
                try:
                    await self._puller.poked(poke.account, poke.token)
                except StateUnavailable:
                    raise Busy from None
        return await super().deliver(delivery, raw, sink)

    @override
    async def background(self) -> None:
        if self._sink is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._puller.run(self._sink))
            if self._identify is not None:
                group.create_task(self._identify.run(self._sink))

    async def _notice(self, raw: RawEvent) -> None:
        """Keep what a greeting needs before the core hears of it; take note of the customer."""
        if (entered := self.codec.entered(raw)) is not None:
            await self.context.state.put(f"kf:greet:{entered.address}", entered.code.encode(), ttl=GREET_SECS)
        if self._identify is not None:
            self._identify.notice(self.codec.customer(raw))

    @override
    async def send(self, message: Outbound) -> Sent:
        """Send; what comes in time for a greeting, and can be one, goes as such."""
        code = await self._code(message)
        if code is None:
            return await super().send(message)
        own = {**message.metadata.get(SCHEME, {}), CODE: code.decode()}
        try:
            return await super().send(replace(message, metadata={**message.metadata, SCHEME: own}))
        except SendError as exc:
            if exc.retryable:
                with suppress(StateUnavailable):
                    await self.context.state.put(f"kf:greet:{message.to.value}", code, ttl=GREET_SECS / 2)
            raise

    async def _code(self, message: Outbound) -> bytes | None:
        """Take the code of a greeting that waits, so that no other message takes it, too."""
        if CODE in message.metadata.get(SCHEME, {}) or not answers_event(message):
            return None
        key = f"kf:greet:{message.to.value}"
        with suppress(StateUnavailable):
            code = await self.context.state.get(key)
            if code is not None and await self.context.state.swap(key, code, None):
                return code
        return None

    @override
    async def request(self, wire: Wire) -> Answer:
        """Perform a call; WeCom refuses an id it has had, which tells that a try whose answer got lost went through."""
        name = wire.body.decode("utf-8", "replace")
        try:
            return await self._client.call(wire)
        except Unreachable:
            if len(self._unsure) >= UNSURE_MAX:
                del self._unsure[next(iter(self._unsure))]
            self._unsure[name] = None
            raise
        except Refused as exc:
            if name not in self._unsure or "msgid" not in (exc.provider_text or "").lower():
                raise
            return Answer(status=200, headers={}, body=wire.body)  # the id is where it would be in the answer

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`."""
        if (media.provider_id or "").startswith(("https://", "http://")):  # pictures of links and goods
            return await self.fetch_url(media.provider_id or "", max_bytes=max_bytes)
        return await download(self._client, media, max_bytes=max_bytes)

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: the access token, the accounts the app may use, and the handshake, done against ourselves.

        https://developer.work.weixin.qq.com/document/path/94661
        """
        found: dict[str, Any] = {"access_token": {"expires_in_secs": round(await self._client.token_secs())}}
        found["handshake"] = "ok" if await self._callback.rehearse(self.handle) else "failed"
        try:
            told = await self._client.post(ACCOUNTS, {"offset": 0, "limit": 100})
        except SendError as exc:
            found["accounts"] = unasked(exc)
        else:
            found["accounts"] = told.get("account_list")
        return found
