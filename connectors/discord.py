"""Discord interactions (https://docs.discord.com/developers/interactions/receiving-and-responding).

Discord waits 3 s and does not try again. A reply of the core that is in time goes out in the answer; else Discord is
told that one is to come, and it goes as a follow-up by the interaction's token, which ends after 15 minutes. After
that only the bot can write, where its token is configured and it is a member.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sent, Sink
from connectors.discord_api import DONE, application, posted, refusal
from connectors.discord_config import CAPABILITIES, DiscordConfig
from connectors.discord_files import attached, stage, with_files
from connectors.discord_tokens import Known, Tokens
from connectors.discord_verify import SIGNATURE, TIMESTAMP, Verifier
from connectors.errors import Misconfigured, Refused, SendError, Unreachable, WindowClosed
from connectors.http import Answer
from connectors.passive_slots import Held
from connectors.passive_webhook import PassiveConnector
from connectors.registry import connector
from connectors.signatures import check_timestamp
from connectors.staging import ref_of
from normalizer.checks import Check
from normalizer.codecs.discord import ANSWERABLE, AUTOCOMPLETE, PING, Answerable, DiscordCodec
from normalizer.codecs.discord_send import EPHEMERAL, SCHEME, TOKEN, VIA, Sending
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams
from normalizer.model import Security
from normalizer.parts import Media
from normalizer.raw import Outbound, RawEvent, Wire

JSON = "application/json"
PONG = Reply(body=b'{"type":1}', content_type=JSON)
NO_CHOICES = Reply(body=b'{"type":8,"data":{"choices":[]}}', content_type=JSON)
UPDATE_LATER = Reply(body=b'{"type":6}', content_type=JSON)
SEEN = Reply(status=204)
"""The answer to what is no interaction (https://docs.discord.com/developers/events/webhook-events)."""
FRESH_SECS = 10.0
"""So long after an interaction Discord may not yet have noticed that we took it, and not know its token."""

_SIGNED = Security(verified="ed25519")


class _Head(msgspec.Struct, frozen=True):
    type: int = -1
    event: dict[str, Any] | None = None


@connector("discord", DiscordConfig, CAPABILITIES)
class DiscordConnector(PassiveConnector[DiscordConfig]):
    """Commands, buttons, menus and forms of a Discord application, by outgoing webhook."""

    codec: DiscordCodec
    uploads_urls: ClassVar[bool] = True

    def __init__(
        self,
        config: DiscordConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        self._clock = clock
        self._bot = None if config.bot_token is None else config.bot_token.reveal()
        self.hide = () if self._bot is None else (self._bot,)
        try:
            self._verifier = Verifier(config.public_key)
        except ValueError:
            raise Misconfigured("`public_key` is no Ed25519 key") from None
        # https://docs.discord.com/developers/reference#user-agent wants a URL and a version
        self._agent = f"DiscordBot ({context.url or config.api_base}, 1)"
        self._tokens = Tokens(context.channel, context.state, clock)
        sending = Sending(application_id=config.application_id, bot=self._bot is not None, ephemeral=config.ephemeral)
        self.codec = DiscordCodec(sending, passive_secs=config.passive_secs, account=context.channel.account)

    @override
    def verify(self, delivery: Delivery) -> Security:
        at = delivery.headers.get(TIMESTAMP, "")
        self._verifier.check(delivery.headers.get(SIGNATURE), at, delivery.body)
        check_timestamp(at, self._clock())
        return _SIGNED

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        head = _head(raw.body)
        if head.event is None and head.type == PING:
            return PONG
        found = self.codec.answerable(raw) if head.type in ANSWERABLE else None
        if found is not None:
            await self._tokens.note(found)
        reply = await super().deliver(delivery, raw, sink)
        if reply is not self.accepted:
            return reply
        if head.event is not None or head.type == 0:
            return SEEN
        return NO_CHOICES if head.type == AUTOCOMPLETE else self._later(found)

    def _later(self, found: Answerable | None) -> Reply:
        """Say that the answer is to come: visibly, or behind the message with the component."""
        if found is None:
            return self.accepted
        if found.updates:
            return UPDATE_LATER
        data = {"data": {"flags": EPHEMERAL}} if self.config.ephemeral else {}
        return Reply(body=msgspec.json.encode({"type": 5, **data}), content_type=JSON)

    @override
    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        found = self.codec.answerable(raw)
        if found is None or found.type not in ANSWERABLE:
            return None
        return Held(conversation=found.conversation_id, message=found.message_id, native=found.native)

    @override
    async def send(self, message: Outbound) -> Sent:
        """Answer an interaction, in its answer or by a follow-up; else write by the bot; see `Connector.send`.

        Raises:
            WindowClosed: there is no interaction to answer (any more), and no bot.
        """
        own = message.metadata.get(SCHEME, {})
        told = own.get(TOKEN)
        known = Known(told, 0.0) if told else None
        if known is None and own.get(VIA) != "channel":
            known = await self._tokens.of(message)
        if known is None and self._bot is None:
            raise WindowClosed("no interaction here is younger than 15 minutes; set `bot_token` to write at any time")
        if known is None and self._private(own):
            raise WindowClosed("there is no interaction left to answer for one person's eyes only")
        try:
            sent = await super().send(_by(message, known))
        except WindowClosed as exc:
            sent = await self._otherwise(message, known, exc)
        for native in sent.provider_ids:
            if known is not None:
                await self._tokens.sent(native, known)
        return sent

    def _private(self, own: dict[str, str]) -> bool:
        """Tell whether a message must not be seen by the whole channel."""
        default = "true" if self.config.ephemeral else ""
        return own.get(VIA) != "channel" and own.get("ephemeral", default) == "true"

    async def _otherwise(self, message: Outbound, known: Known | None, exc: WindowClosed) -> Sent:
        """Go by the bot where the interaction is over; come again where it has hardly begun."""
        if known is not None and self._clock() - known.at < FRESH_SECS:
            raise Unreachable(
                "Discord does not know this interaction yet",
                provider_code=exc.provider_code,
                provider_text=exc.provider_text,
            ) from exc
        if self._bot is None or known is None or self._private(message.metadata.get(SCHEME, {})):
            raise exc
        return await super().send(_by(message, None))

    @override
    async def stage(self, message: Outbound) -> Outbound:
        return await stage(message, self.staging, self.upload_part)

    @override
    async def upload(self, media: Media) -> Media:
        """Name a blob to be sent with the call; of a foreign URL one is made first."""
        ref = ref_of(media)
        if ref is not None and await self.context.blobs.exists(ref):
            return attached(media, ref)
        found = await self.bytes_of(media)
        return attached(media, await self.context.blobs.put(found.data), found)

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url, headers = super().url_and_headers(wire)
        headers = {**headers, "User-Agent": self._agent}
        if wire.url.startswith("/webhooks/"):  # its token is in the URL
            return url, headers
        return url, {**headers, "Authorization": f"Bot {self._bot}"}

    @override
    async def request(self, wire: Wire) -> Answer:
        return await super().request(await with_files(wire, self.bytes_of))

    @override
    def classify(self, answer: Answer) -> SendError | None:
        return refusal(answer, self.hide)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return posted(answer)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; what was done before is a success."""
        known = None
        if isinstance(params, EditParams | DeleteParams):
            known = await self._tokens.by(params.message.provider_id or "")
        if isinstance(params, EditParams):
            params = replace(params, parts=await self.stage_parts(params.parts))
        wire = self.codec.request(method, params, known.token if known else None)
        try:
            native = self.provider_id(await self.request(wire))
        except SendError as exc:
            if not isinstance(params, DeleteParams | ReactParams) or exc.provider_code not in DONE:
                raise
            native = None
        return {"provider_id": native} if native and isinstance(params, EditParams) else {}

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: URLs are signed, and end (https://docs.discord.com/developers/reference#signed-attachment-cdn-urls)."""
        try:
            return await self.fetch_url(media.provider_id or "", max_bytes=max_bytes)
        except Misconfigured as exc:  # 403: its signature has ended
            raise Refused("Discord gives this file out no more", provider_code=exc.provider_code) from None

    async def probe(self) -> dict[str, Any]:
        """See `Prober`; without a bot nobody can be asked."""
        if self._bot is None:
            detail = "without `bot_token` Discord cannot be asked"
            return {"checks": (Check(name="credentials", ok=None, detail=detail),)}
        me = application(await self.request(Wire(method="GET", url="/applications/@me")))
        same = (me.get("id"), str(me.get("verify_key")).lower()) == (
            self.config.application_id,
            self.config.public_key.lower(),
        )
        hint = None if same else "`application_id`, `public_key` and `bot_token` must be of one application"
        check = Check(name="credentials", ok=same, detail=f"Discord knows the bot of {me.get('name')}", hint=hint)
        hook = {"webhook": {"url": me.get("interactions_endpoint_url") or ""}}
        return {"id": me.get("id"), "name": me.get("name"), **hook, "checks": (check,)}


def _by(message: Outbound, known: Known | None) -> Outbound:
    """Have a message answer by a token, or go by the bot."""
    own = {name: value for name, value in message.metadata.get(SCHEME, {}).items() if name != TOKEN}
    own |= {VIA: "channel"} if known is None else {TOKEN: known.token}
    return replace(message, metadata={**message.metadata, SCHEME: own})


def _head(body: bytes) -> _Head:
    try:
        return msgspec.json.decode(body, type=_Head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Head()
