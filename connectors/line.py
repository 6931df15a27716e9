"""LINE Official Accounts (https://developers.line.biz/en/docs/messaging-api/).

LINE delivers events of several chats at once; it repeats a delivery that was not answered with 2xx where "Webhook
redelivery" is switched on in the console. Replies within a minute cost nothing, later messages count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sent, Sink
from connectors.errors import Refused, SendError, Unreachable
from connectors.http import Answer
from connectors.line_api import InvalidReplyToken, read, refusal
from connectors.line_config import CAPABILITIES, LineConfig
from connectors.line_files import CONTENT, STICKER, Files
from connectors.line_people import People
from connectors.line_probe import probe
from connectors.line_tokens import Taken, Tokens
from connectors.registry import connector
from connectors.signatures import check_hmac
from connectors.webhook import UNFINISHED_MAX, WebhookConnector
from normalizer import build
from normalizer.codecs.line import LineCodec
from normalizer.codecs.line_frame import PEOPLE, SCHEME
from normalizer.codecs.line_send import REPLY, RETRY_KEY, retry_key
from normalizer.methods import Params, ReceiptSendParams
from normalizer.model import Security
from normalizer.parts import Media
from normalizer.raw import Outbound, RawEvent, Wire

SIGNATURE = "x-line-signature"
_SIGNED = Security(verified="hmac")
_ARRIVED = Answer(status=200, headers={}, body=b"{}")


@connector("line", LineConfig, CAPABILITIES)
class LineConnector(WebhookConnector[LineConfig]):
    """A LINE Official Account, by webhook and Messaging API."""

    codec: LineCodec

    def __init__(
        self,
        config: LineConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- reply tokens end, on all nodes at the same time
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        self._secret, self._token = config.channel_secret.reveal(), config.channel_access_token.reveal()
        self.hide = (self._secret, self._token)
        self.codec = LineCodec()
        self._tokens = Tokens(context.state, context.channel.id, clock=clock)
        self._people = People(self.request) if config.profiles else None
        self._files = Files(
            context, base=config.data_api_base, token=self._token, timeout=config.media_timeout_secs, hide=self.hide
        )
        self._asked: dict[str, Outbound] = {}  # retry key of the first call → its message, which may go as a reply
        self._pushed: dict[str, None] = {}  # messages that may have been pushed; they are not sent as a reply later

    @override
    def verify(self, delivery: Delivery) -> Security:
        check_hmac(delivery.headers.get(SIGNATURE), delivery.body, self._secret, encoding="base64")
        return _SIGNED

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        """Remember the tokens first: the core may answer before the hand-over returns."""
        notices = self.codec.notices(raw)
        if self._people is not None:
            people = await self._people.of(notice.source for notice in notices)
            raw = replace(raw, meta={**raw.meta, PEOPLE: msgspec.json.encode(people).decode()})
        await self._tokens.remember(notices)
        return await super().deliver(delivery, raw, sink)

    @override
    async def send(self, message: Outbound) -> Sent:
        """Send a message; its first call goes as a reply while there is a token for it."""
        message, key = await self._quoting(message), retry_key(message.id, 0)
        if self.config.reply:
            self._asked[key] = message
        try:
            sent = await super().send(message)
        finally:
            self._asked.pop(key, None)
        return replace(sent, provider_ids=tuple(one for call in sent.provider_ids for one in call.split(",")))

    async def _quoting(self, message: Outbound) -> Outbound:
        """Add the token that quotes the message this one replies to, where it is known."""
        own = message.metadata.get(SCHEME, {})
        if message.reply_to is None or "quoteToken" in own:
            return message
        quote = (await self._tokens.known(message.reply_to.provider_id)).quote
        return (
            replace(message, metadata={**message.metadata, SCHEME: {**own, "quoteToken": quote}}) if quote else message
        )

    @override
    async def request(self, wire: Wire) -> Answer:
        asked = self._asked.pop(wire.headers.get(RETRY_KEY, ""), None)
        if asked is None:
            return await super().request(wire)
        taken = None if asked.id in self._pushed else await self._tokens.take(asked)
        if taken is not None:
            answer = await self._replied(wire, taken)
            if answer is not None:
                return answer
        return await self._push(asked.id, wire)

    async def _push(self, message_id: str, wire: Wire) -> Answer:
        """Push; unless that succeeds, all later tries push, too, under the same retry key."""
        self._pushed[message_id] = None
        if len(self._pushed) > UNFINISHED_MAX:
            del self._pushed[next(iter(self._pushed))]
        answer = await super().request(wire)
        self._pushed.pop(message_id, None)
        return answer

    async def _replied(self, wire: Wire, taken: Taken) -> Answer | None:
        """Send a call as a reply; None if the token does not work (any more)."""
        body = build.parse(wire.body, dict[str, Any])
        body.pop("to")
        try:
            return await super().request(build.post(REPLY, {"replyToken": taken.token.token, **body}))
        except InvalidReplyToken:
            arrived = self._tokens.arrived(taken)
            await self._tokens.drop(taken)
            return _ARRIVED if arrived else None
        except Unreachable:  # it may have arrived
            raise
        except SendError:
            await self._tokens.release(taken)
            raise

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url, headers = super().url_and_headers(wire)
        return url, {**headers, "Authorization": f"Bearer {self._token}"}

    @override
    def classify(self, answer: Answer) -> SendError | None:
        return refusal(answer, self.hide)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        """Name the message objects of a call, joined by commas; `send` takes them apart."""
        return ",".join(sent.id for sent in read(answer).sent_messages) or None

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: a file of LINE's, the picture of a sticker, or what an app inside LINE links to."""
        native = media.provider_id or ""
        if CONTENT.fullmatch(native):
            return await self._files.fetch(native, max_bytes=max_bytes)
        sticker = STICKER.fullmatch(native)
        if sticker is None:
            return await self.fetch_url(native, max_bytes=max_bytes)
        if not self.config.sticker_base:
            raise Refused("pictures of stickers are switched off; see `sticker_base`")
        url = f"{self.config.sticker_base.rstrip('/')}/{sticker[1]}/android/sticker.png"
        return await self.fetch_url(url, max_bytes=max_bytes)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`."""
        read_token = ""
        if isinstance(params, ReceiptSendParams):
            read_token = (await self._tokens.known(params.message.provider_id)).read
        await self.request(self.codec.request(method, params, read_token))
        return {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`."""
        return await probe(self.request, self.context, self._token)
