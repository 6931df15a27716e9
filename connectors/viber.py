"""Viber bots (https://developers.viber.com/docs/api/rest-bot-api/).

Viber posts one callback per request and repeats it until it is answered with 200.
"""

from __future__ import annotations

import asyncio
import mimetypes
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from msgspec.structs import replace
from typing_extensions import override
from yarl import URL

from connectors.api import Context, Delivery, Fetched, Reply, Sink
from connectors.errors import Refused, SendError, StateUnavailable
from connectors.http import Answer, decoded
from connectors.passive_slots import Held
from connectors.passive_webhook import PassiveConnector
from connectors.registry import connector
from connectors.signatures import check_hmac
from connectors.viber_api import CODES, read, refusal
from connectors.viber_config import CAPABILITIES, ViberConfig
from normalizer import build, ids
from normalizer.codecs.viber import Told, ViberCodec
from normalizer.codecs.viber_events import GREETABLE, INBOUND, STATUSES
from normalizer.model import Security
from normalizer.parts import AnyPart, Audio, File, Media, MediaPart, Video
from normalizer.raw import Outbound, RawEvent, Wire

SIGNATURE = "x-viber-content-signature"
INBOUND_SECS = 86_400.0
"""How long after a person's message its receipts are told from those of ours."""
STORE_SECS = 0.5
EXTENSIONS = {"image": ".jpg", "video": ".mp4", "audio": ".m4a"}
"""Where neither the name nor the type of a file says it: Viber judges a file by the end of its address."""

_SIGNED = Security(verified="hmac")


@connector("viber", ViberConfig, CAPABILITIES)
class ViberConnector(PassiveConnector[ViberConfig]):
    """A Viber bot, by webhook and bot API."""

    codec: ViberCodec

    def __init__(self, config: ViberConfig, context: Context) -> None:
        """Take the token."""
        super().__init__(config, context)
        self._token = config.token.reveal()
        self.hide = (self._token,)
        self.codec = ViberCodec(config.sender_name, config.sender_avatar)

    @override
    def verify(self, delivery: Delivery) -> Security:
        check_hmac(delivery.headers.get(SIGNATURE), delivery.body, self._token)
        return _SIGNED

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        """Tell receipts of what the person sent from those of what we sent; Viber sends both."""
        told = self.codec.told(raw)
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                if told is not None and told.event == "message":
                    await self.context.state.put(_key(told), b"1", ttl=INBOUND_SECS)
                elif told is not None and told.event in STATUSES and await self.context.state.get(_key(told)):
                    raw = replace(raw, meta={**raw.meta, INBOUND: "1"})
        return await super().deliver(delivery, raw, sink)

    @override
    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        told = self.codec.told(raw)
        if told is None or told.event != GREETABLE or not told.user:
            return None
        channel = raw.channel.id
        return Held(
            conversation=ids.conversation_id(channel, told.user),
            message=ids.message_id(channel, told.user, told.token),
            native=told.token,
            info={"user": told.user},
        )

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url, headers = super().url_and_headers(wire)
        return url, {**headers, "X-Viber-Auth-Token": self._token}

    @override
    def classify(self, answer: Answer) -> SendError | None:
        return refusal(answer, self.hide)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        token = read(answer).message_token
        return None if token is None else str(token)

    @override
    async def stage(self, message: Outbound) -> Outbound:
        """Find the sizes, which Viber wants to know, before anything is linked."""
        return await super().stage(replace(message, parts=tuple([await self._sized(part) for part in message.parts])))

    async def _sized(self, part: AnyPart) -> AnyPart:
        if not isinstance(part, Video | Audio | File) or part.media.size is not None:
            return part
        size = len((await self.bytes_of(part.media)).data)
        return replace(part, media=replace(part.media, size=size))

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        """Link a file of ours by an address that ends as its kind of file does."""
        linked = self.staging.linked(part.media)
        path, mark, query = (linked.url or "").partition("?")
        return replace(linked, url=f"{path}/file{_extension(part)}{mark}{query}")

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`; some of Viber's own addresses come without TLS, which they have."""
        native = media.provider_id or ""
        if native.isdecimal():
            raise Refused("Viber gave this sticker a number and no picture")
        host, plain = _host(native), "http://"
        if native.startswith(plain) and host.endswith(".viber.com"):
            native = f"https://{native.removeprefix(plain)}"
        return await self.fetch_url(native, max_bytes=max_bytes)

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: who the bot is, where Viber delivers and what, and how many have subscribed."""
        answer = await self.request(build.post("/get_account_info", {}))
        found = decoded(answer, dict[str, Any], CODES.provider)
        names = ("id", "name", "uri", "webhook", "event_types", "subscribers_count")
        return {name: found[name] for name in names if name in found}


def _key(told: Told) -> str:
    return f"inbound:{told.token}"


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return ""


def _extension(part: MediaPart) -> str:
    name, mime = part.media.name or "", part.media.mime or ""
    found = PurePosixPath(name.replace("\\", "/")).suffix
    if not (found and found[1:].isascii() and found[1:].isalnum()):
        found = mimetypes.guess_extension(mime.partition(";")[0]) or ""
    return found or EXTENSIONS.get(str(part.__struct_config__.tag), "")
