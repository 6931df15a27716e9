"""Feishu (飞书) and Lark bots (https://open.feishu.cn/document/server-docs/event-subscription-guide/overview).

Events come one by one, signed and encrypted, or plain with a token; Feishu waits 3 s, and tries again after 15 s,
5 min, 1 h and 6 h. Lark is the same with another `api_base`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sink
from connectors.errors import SendError, Unauthorized
from connectors.feishu_api import DONE, NOT_THERE, Bot, Listed, Making, Operator, result
from connectors.feishu_client import FeishuClient
from connectors.feishu_config import CAPABILITIES, FeishuConfig
from connectors.feishu_crypto import CARD_DIGITS, SIGNATURE, TIMESTAMP, Crypto, check_card, sealed_in
from connectors.feishu_media import download, upload
from connectors.feishu_probe import told
from connectors.http import Answer
from connectors.registry import connector
from connectors.signatures import check_timestamp, check_token
from connectors.webhook import WebhookConnector
from normalizer.codecs.feishu import FeishuCodec, Link
from normalizer.codecs.feishu_send import reactions_of, unreact
from normalizer.errors import MalformedPayload
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams
from normalizer.model import Security
from normalizer.parts import Media, MediaPart
from normalizer.raw import RawEvent, Wire

VERIFICATION, PRESSED = "url_verification", "card.action.trigger"
HANDSHAKE_MAX = 4096
"""A handshake is small; larger deliveries without a signature are not even decrypted."""
RETRIES_SECS = 8 * 3600.0
"""How old a signature may be. Feishu repeats an event up to 6 h later and does not say whether it signs anew: a shorter
window might refuse the last try for good, while a replay within this one is only a duplicate to the dedup store."""
PAGES_MAX = 20
TOLD_MAX = 10_000
"""People remembered as told of; beyond it the one told of longest ago is told of again, as a duplicate."""
_SIGNED, _TOKEN = Security(verified="hmac"), Security(verified="token")


class _Head(Struct, frozen=True):
    token: str | None = None
    event_type: str = ""


class _Peek(Struct, frozen=True):
    """What of a plain delivery says who sent it, and whether it is to be answered in a special way."""

    type: str = ""
    challenge: str = ""
    token: str | None = None
    header: _Head | None = None
    open_message_id: str = ""

    @property
    def old_card(self) -> bool:
        """Whether it is the older callback of a card, whose `token` is for updating it and proves nothing."""
        return self.header is None and not self.type and bool(self.open_message_id)

    @property
    def given(self) -> str | None:
        """The verification token, which each schema has elsewhere."""
        return self.token if self.header is None else self.header.token


@connector("feishu", FeishuConfig, CAPABILITIES)
class FeishuConnector(WebhookConnector[FeishuConfig]):
    """A Feishu (飞书) or Lark bot: chats with persons and groups, threads, cards, reactions and files."""

    codec: FeishuCodec
    accepted: ClassVar[Reply] = Reply(body=b"{}", content_type="application/json")
    uploads_urls: ClassVar[bool] = True

    def __init__(
        self,
        config: FeishuConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        secret, self._token, self._clock = config.app_secret.reveal(), config.verification_token.reveal(), clock
        key = config.encrypt_key.reveal() if config.encrypt_key else ""
        self.hide = tuple(filter(None, (secret, self._token, key)))
        self._crypto = Crypto(key) if key else None
        self._told: OrderedDict[Link, None] = OrderedDict()
        self.codec = FeishuCodec(self._told)
        self._client = FeishuClient(
            context,
            base=config.api_base,
            app_id=config.app_id,
            app_secret=secret,
            timeout=config.send_timeout_secs,
            hide=self.hide,
            clock=clock,
        )

    @override
    def verify(self, delivery: Delivery) -> Security:
        """Prove a delivery; the handshake is not signed, and proved by the token in what is encrypted."""
        if len(delivery.headers.get(SIGNATURE, "")) == CARD_DIGITS:
            return self._pressed(delivery)
        if self._crypto is None:
            check_token(_peek(delivery.body).given, self._token)
            return _TOKEN
        if not delivery.headers.get(SIGNATURE) and len(delivery.body) <= HANDSHAKE_MAX:
            return self._shaken(delivery.body, self._crypto)
        self._crypto.check(delivery.headers, delivery.body)
        check_timestamp(delivery.headers.get(TIMESTAMP), self._clock(), max_age_secs=RETRIES_SECS)
        return _SIGNED

    def _pressed(self, delivery: Delivery) -> Security:
        """Prove an older callback of a card; nothing else is signed so."""
        check_card(delivery.headers, self._token, delivery.body)
        check_timestamp(delivery.headers.get(TIMESTAMP), self._clock(), max_age_secs=RETRIES_SECS)
        if not _peek(self._opened(delivery.body)).old_card:
            raise Unauthorized("only older callbacks of cards are signed with the verification token")
        return _SIGNED

    def _shaken(self, body: bytes, crypto: Crypto) -> Security:
        try:
            opened = _peek(crypto.decrypt(sealed_in(body) or ""))
        except MalformedPayload:
            opened = _Peek()
        if opened.type != VERIFICATION:
            raise Unauthorized("the signature is missing")
        check_token(opened.given, self._token)
        return _TOKEN

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        raw = replace(raw, body=self._opened(raw.body))
        head = _peek(raw.body)
        if head.type == VERIFICATION:
            check_token(head.given, self._token)
            return _json({"challenge": head.challenge})
        links = self.codec.links(raw)
        await sink(raw)
        self._tell_no_more(links)
        if self.config.card_toast and head.header is not None and head.header.event_type == PRESSED:
            return _json({"toast": {"type": "success", "content": self.config.card_toast}})
        return self.accepted

    def _opened(self, body: bytes) -> bytes:
        """Decrypt a delivery, so that it is kept readable; as it came if it cannot be, for quarantine."""
        sealed = sealed_in(body) if self._crypto is not None else None
        if self._crypto is None or sealed is None:
            return body
        try:
            return self._crypto.decrypt(sealed)
        except MalformedPayload:
            return body

    def _tell_no_more(self, links: list[Link]) -> None:
        for link in links:
            self._told[link] = None
            if len(self._told) > TOLD_MAX:
                self._told.popitem(last=False)

    @override
    async def request(self, wire: Wire) -> Answer:
        return await self._client.call(wire)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return result(answer, Making).data.message_id

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        return await upload(self._client, part, await self.bytes_of(part.media))

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`."""
        return await download(self._client, media, max_bytes=max_bytes)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; what was done before is a success."""
        if isinstance(params, ReactParams) and not params.emoji:
            await self._unreact(method, params)
            return {}
        if isinstance(params, EditParams) and params.parts:
            params = replace(params, parts=await self.stage_parts(params.parts))
        try:
            await self.request(self.codec.request(method, params))
        except SendError as exc:
            if not isinstance(params, DeleteParams) or exc.provider_code not in DONE:
                raise
        return {}

    async def _unreact(self, method: str, params: ReactParams) -> None:
        """Take back every reaction of ours; Feishu wants each by its id."""
        for reaction in await self._ours(method, params):
            try:
                await self.request(unreact(method, params, reaction))
            except SendError as exc:
                if exc.provider_code not in NOT_THERE:
                    raise

    async def _ours(self, method: str, params: ReactParams) -> list[str]:
        found: list[str] = []
        token = ""
        for _ in range(PAGES_MAX):
            page = result(await self.request(reactions_of(method, params, token)), Listed).data
            found += [one.reaction_id for one in page.items or () if self._by_us(one.operator)]
            token = page.page_token or ""
            if not (page.has_more and token):
                break
        return found

    def _by_us(self, operator: Operator) -> bool:
        return operator.operator_type == "app" and operator.operator_id in {"", self.config.app_id}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`."""
        secs = await self._client.token_secs()
        answer = await self.request(Wire(method="GET", url="/open-apis/bot/v3/info"))
        return told(secs, result(answer, Bot).bot)


def _peek(body: bytes) -> _Peek:
    """Read it; nothing at all where it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_Peek)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Peek()


def _json(data: dict[str, Any]) -> Reply:
    return Reply(body=msgspec.json.encode(data), content_type="application/json")
