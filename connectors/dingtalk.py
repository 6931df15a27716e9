"""DingTalk robots, by HTTP callback (https://open.dingtalk.com/document/orgapp/receive-message).

DingTalk posts one message per request. Its signature covers the time and not the body: a signature serves one body, and
others for as long as people may have written in the same millisecond. Encrypted bodies are documented for events, and
not for robots.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sent, Sink
from connectors.dingtalk_api import Recalled, SessionOver, result
from connectors.dingtalk_api import Sent as Told
from connectors.dingtalk_client import DingTalkClient
from connectors.dingtalk_config import CAPABILITIES, DingTalkConfig
from connectors.dingtalk_media import locate, secure, upload
from connectors.dingtalk_memory import Memory
from connectors.errors import Refused, Unauthorized, WindowClosed
from connectors.http import Answer, shorten
from connectors.nonces import Nonces
from connectors.registry import connector
from connectors.signatures import check_hmac, check_timestamp
from connectors.webhook import WebhookConnector
from normalizer import build, ids
from normalizer.codecs import dingtalk_send as outgoing
from normalizer.codecs.dingtalk import DingTalkCodec
from normalizer.codecs.dingtalk_card import offered
from normalizer.codecs.dingtalk_content import CHOICE, CHOICE_TITLE
from normalizer.methods import Params
from normalizer.model import Security
from normalizer.parts import Media, MediaPart
from normalizer.raw import Outbound, RawEvent, Wire

PAST_SECS, AHEAD_SECS = 3600.0, 300.0
"""How old a signature may be, as DingTalk says, and how far our clock may be behind."""
TOGETHER_SECS = 10.0
"""How long a signature serves further bodies: it is the same for all who write in one millisecond."""

_SIGNED = Security(verified="hmac")


@connector("dingtalk", DingTalkConfig, CAPABILITIES)
class DingTalkConnector(WebhookConnector[DingTalkConfig]):
    """A DingTalk robot, by HTTP callback, session webhooks and the robot API."""

    codec: DingTalkCodec

    def __init__(
        self,
        config: DingTalkConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        self._secret, self._clock = config.app_secret.reveal(), clock
        self.hide = (self._secret,)
        self.codec = DingTalkCodec(config.robot_code)
        self._nonces = Nonces(context.state, keep_secs=PAST_SECS + AHEAD_SECS)
        self._client = DingTalkClient(config, context, clock=clock)
        self._memory = Memory(context.state, config.webhook_base, clock=clock)

    @override
    def verify(self, delivery: Delivery) -> Security:
        at = delivery.headers.get("timestamp", "")
        signed = f"{at}\n{self._secret}".encode("utf-8", "surrogatepass")
        check_hmac(delivery.headers.get("sign"), signed, self._secret, encoding="base64")
        middle, reach = (PAST_SECS - AHEAD_SECS) / 2, (PAST_SECS + AHEAD_SECS) / 2
        check_timestamp(at, self._clock() - middle, max_age_secs=reach)
        return _SIGNED

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        await self._once(delivery.headers["timestamp"], raw.body)
        told = self.codec.told(raw)
        if told is not None:
            conversation = ids.conversation_id(raw.channel.id, told.address)
            if self.config.session or told.address.startswith(outgoing.OUTSIDE):
                await self._memory.opened(conversation, told.session, told.until)
            item = await self._memory.chosen(conversation, told.words)
            if item is not None:
                raw = replace(raw, meta={**raw.meta, CHOICE: item, CHOICE_TITLE: told.words})
        return await super().deliver(delivery, raw, sink)

    async def _once(self, at: str, body: bytes) -> None:
        """Refuse a signature that came with another body before, unless both can be of the same millisecond."""
        try:
            await self._nonces.check(at, body)
        except Unauthorized:
            check_timestamp(at, self._clock(), max_age_secs=TOGETHER_SECS)

    @override
    async def send(self, message: Outbound) -> Sent:
        items = offered(message.parts)
        if items:  # before it is sent: people tap fast
            await self._memory.offered(self._conversation(message.to.value), items)
        return await super().send(message)

    @override
    async def request(self, wire: Wire) -> Answer:
        """Answer at the session webhook of the conversation where that works, else call the API."""
        address = outgoing.addressee(wire)
        if address is None:
            return await self._client.call(wire)
        conversation = self._conversation(address)
        body = outgoing.by_session(wire) if self.config.session or address.startswith(outgoing.OUTSIDE) else None
        session = None if body is None else await self._memory.session(conversation)
        if session is not None:
            try:
                return await self._client.post_session(session.url, build.post("", body))
            except SessionOver:
                await self._memory.over(conversation)
        if address.startswith(outgoing.OUTSIDE):
            raise WindowClosed("the session webhook has ended, and this person has no user id in the organisation")
        return await self._client.call(wire)

    def _conversation(self, address: str) -> str:
        return ids.conversation_id(self._channel.id, address)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return result(answer, Told).process_query_key

    @override
    async def stage(self, message: Outbound) -> Outbound:
        if message.to.value.startswith(outgoing.OUTSIDE):  # a session webhook takes no uploads
            return await self.staging.stage(message, self._linked)
        return await super().stage(message)

    async def _linked(self, part: MediaPart) -> Media:
        return self.staging.linked(part.media)

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        return await upload(self._client.call, part, await self.bytes_of(part.media), self.staging.linked)

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: a download code becomes an address, which is fetched without our token."""
        url = await locate(self._client.call, media.provider_id or "", self.config.robot_code)
        return await self.fetch_url(secure(url, self.config.media_hosts), max_bytes=max_bytes)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`: recall a message."""
        answer = await self.request(self.codec.request(method, params))
        failed = result(answer, Recalled).failed_result
        if failed:
            raise Refused("DingTalk did not recall the message", provider_text=_reason(failed, self.hide))
        return {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: the access token, which DingTalk gives to who knows the secret."""
        return {"access_token": {"expires_in_secs": round(await self._client.token_secs())}}


def _reason(failed: dict[str, str], hide: tuple[str, ...]) -> str:
    return shorten(next(iter(failed.values())), hide)
