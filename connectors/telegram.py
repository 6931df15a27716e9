"""Telegram bots (https://core.telegram.org/bots/api).

Telegram repeats an update until it is answered with 2xx, at most `max_connections` (40) at a time, and keeps what it
could not deliver for 24 hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from typing_extensions import override

from connectors import http
from connectors.api import Capabilities, Context, Delivery, Fetched
from connectors.errors import Refused, SendError, Unreachable
from connectors.http import Answer
from connectors.registry import connector
from connectors.secrets import Secret
from connectors.signatures import check_token
from connectors.telegram_api import DONE, Mendable, read
from connectors.telegram_files import attached, with_files
from connectors.webhook import WebhookConfig, WebhookConnector
from normalizer import build
from normalizer.codecs.telegram import TelegramCodec
from normalizer.codecs.telegram_send import REQUESTS, SENDABLE, TEXT_MAX
from normalizer.codecs.telegram_types import Id
from normalizer.methods import EditParams, Params
from normalizer.model import Security
from normalizer.parts import Media
from normalizer.raw import Wire

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 -- the name of the header
ACKS_MAX = 1000
"""Button presses waiting for `answerCallbackQuery`; beyond it the wheel on the button turns until Telegram stops it."""

T = TypeVar("T")

_TOKEN = Security(verified="token")


class TelegramConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a `telegram` channel.

    Attributes:
        api_base: where the Bot API is; change it for a local Bot API server, a proxy or a test.
        token: the bot's token from @BotFather.
        secret: the `secret_token` given to setWebhook, which Telegram repeats in every delivery.
    """

    token: Secret
    secret: Secret
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://api.telegram.org"


class _SentMessage(Struct, frozen=True):
    message_id: int


class _RemoteFile(Struct, frozen=True):
    file_path: str | None = None
    file_size: int | None = None


class _Query(Struct, frozen=True):
    id: Id


class _Press(Struct, frozen=True):
    callback_query: _Query | None = None


_press = msgspec.json.Decoder(_Press)

CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.updated", "message.deleted", "reaction.added", "reaction.removed",
        "contact.blocked", "contact.opted_in", "conversation.started", "conversation.ended",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    notes=(
        "text_max counts UTF-16 units; longer text is split (https://core.telegram.org/bots/api#sendmessage)",
        "files up to 20 MB can be fetched (https://core.telegram.org/bots/api#getfile)",
        "callback data up to 64 bytes (https://core.telegram.org/bots/api#inlinekeyboardbutton)",
        "receipt.send only in business chats (https://core.telegram.org/bots/api#readbusinessmessage)",
        "a person has to write first; nobody can be written to by phone number",
    ),
)  # fmt: skip


@connector("telegram", TelegramConfig, CAPABILITIES)
class TelegramConnector(WebhookConnector[TelegramConfig]):
    """A Telegram bot, by webhook and Bot API."""

    codec: TelegramCodec

    def __init__(self, config: TelegramConfig, context: Context) -> None:
        """Learn the bot's id from its token; it is the part that is not secret."""
        super().__init__(config, context)
        self._token, self._secret = config.token.reveal(), config.secret.reveal()
        self._base = config.api_base.rstrip("/")
        self.hide = (self._token, self._secret)
        bot_id, colon, _ = self._token.partition(":")
        known = bot_id if colon and bot_id.isdecimal() else None
        self.codec = TelegramCodec(known, context.channel.account)
        self._presses: asyncio.Queue[str] = asyncio.Queue(ACKS_MAX)

    @override
    def verify(self, delivery: Delivery) -> Security:
        check_token(delivery.headers.get(SECRET_HEADER), self._secret)
        return _TOKEN

    @override
    def afterwards(self, delivery: Delivery) -> Callable[[], None] | None:
        body = delivery.body
        return partial(self._pressed, body) if b'"callback_query"' in body else None

    def _pressed(self, body: bytes) -> None:
        try:
            press = _press.decode(body).callback_query
            if press is not None:
                self._presses.put_nowait(str(press.id))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, asyncio.QueueFull):
            self.context.log.debug("callback_not_acknowledged")

    @override
    async def background(self) -> None:
        while True:
            query = await self._presses.get()
            try:
                await self.request(build.post("/answerCallbackQuery", {"callback_query_id": query}))
            except SendError as exc:  # the event is durable; the wheel on the button stops by itself
                self.context.log.debug("callback_not_acknowledged", code=exc.code)

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        return f"{self._base}/bot{self._token}{wire.url}", wire.headers

    @override
    async def request(self, wire: Wire) -> Answer:
        """Perform a call; one that Telegram says how to mend is mended and repeated once."""
        try:
            return await super().request(await with_files(wire, self.bytes_of))
        except Mendable as exc:
            mended = exc.mend(wire)
            if mended is None:
                raise
            return await super().request(await with_files(mended, self.bytes_of))

    @override
    async def upload(self, media: Media) -> Media:
        return attached(media)

    @override
    def classify(self, answer: Answer) -> SendError | None:
        told = read(answer, self.hide)
        return told if isinstance(told, SendError) else None

    @override
    def provider_id(self, answer: Answer) -> str | None:
        try:
            return str(self._result(answer, _SentMessage).message_id)
        except Unreachable:  # `true`, for calls that make no message
            return None

    def _result(self, answer: Answer, shape: type[T]) -> T:
        told = read(answer, self.hide)
        if isinstance(told, SendError):
            raise told
        try:
            return msgspec.json.decode(told.result, type=shape)
        except msgspec.MsgspecError:
            raise Unreachable("the Bot API answered with something else than it documents; check api_base") from None

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; a message that was edited or deleted before is a success."""
        if isinstance(params, EditParams):
            params = replace(params, parts=await self.stage_parts(params.parts))
        try:
            native = self.provider_id(await self.request(self.codec.request(method, params)))
        except Refused as exc:
            if not any(text in (exc.provider_text or "") for text in DONE):
                raise
            native = None
        return {"provider_id": native} if native else {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: who the bot is, and what Telegram says about the webhook."""
        me = await self._ask("/getMe", {}, dict[str, Any])
        hook = await self._ask("/getWebhookInfo", {}, dict[str, Any])
        names = ("url", "pending_update_count", "last_error_date", "last_error_message", "allowed_updates")
        return {
            "id": str(me.get("id", "")),
            "username": me.get("username"),
            "webhook": {name: hook[name] for name in names if name in hook},
        }

    async def _ask(self, url: str, body: dict[str, Any], shape: type[T]) -> T:
        return self._result(await self.request(build.post(url, body)), shape)

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: getFile, then the file (https://core.telegram.org/bots/api#getfile)."""
        try:
            told = await self._ask("/getFile", {"file_id": media.provider_id}, _RemoteFile)
        except Refused as exc:
            raise _file_error(exc) from None
        if told.file_path is None:
            raise Refused("Telegram does not offer this file for download")
        if (told.file_size or 0) > max_bytes:
            raise http.TooLarge(f"the file is larger than {max_bytes} bytes")
        url = f"{self._base}/file/bot{self._token}/{told.file_path}"
        answer = await http.call(
            self.context.http, "GET", url, timeout=self.config.media_timeout_secs, max_bytes=max_bytes
        )
        error = http.refusal(answer, hide=self.hide)
        if error is not None:
            raise error
        return Fetched(data=answer.body)


def _file_error(exc: Refused) -> SendError:
    """Tell the refusals of getFile apart, which Telegram does in words only."""
    text = exc.provider_text or ""
    if "file is too big" in text:  # the cloud's limit of 20 MB; a Bot API server of one's own has none
        return http.TooLarge("the file is larger than Telegram gives out", provider_code=exc.provider_code)
    if "temporarily unavailable" in text:
        return Unreachable(str(exc), provider_code=exc.provider_code, provider_text=exc.provider_text)
    return exc
