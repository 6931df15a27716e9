"""What Messenger and Instagram messaging have in common, besides what all of Meta's channels have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Capabilities, Fetched
from connectors.errors import Misconfigured, Refused
from connectors.http import Answer, TooLarge
from connectors.meta import MetaConfig, MetaConnector
from connectors.meta_api import in_json, result
from connectors.meta_probe import Ask, attempt, get, skew
from connectors.multipart import post_form
from normalizer.codecs.messaging import MessagingCodec
from normalizer.codecs.messaging_events import WINDOW
from normalizer.codecs.messaging_scope import Kind
from normalizer.codecs.messaging_send import CHOICES, REQUESTS, SENDABLE, TEXT_MAX
from normalizer.methods import Params
from normalizer.parts import AnyPart, Card, Carousel, Media, MediaPart
from normalizer.raw import Outbound, Wire

MB = 1024 * 1024
SIZES = {"image": 8 * MB, "audio": 25 * MB, "video": 25 * MB, "file": 25 * MB, "sticker": 8 * MB}
"""Largest file, by part type (https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages/saving-assets)."""

ATTACHMENT_DAYS = timedelta(days=90)
"""How long the id of an upload is good (same page)."""

NEEDED = "messages"
"""The webhook field without which no message arrives."""

RECEIVES = (
    "message.received", "message.updated", "message.deleted", "message.status", "reaction.added", "reaction.removed",
    "receipt.delivered", "receipt.read", "conversation.referral", "contact.opted_in", "contact.opted_out",
)  # fmt: skip
_TYPES = {"image": "image", "audio": "audio", "video": "video", "file": "file", "sticker": "image"}


class MessagingConfig(MetaConfig, frozen=True, kw_only=True):
    """Options of both kinds.

    Attributes:
        app_id: our app; echoes of its own messages are then left out, those of other apps and of people are not.
    """

    app_id: str | None = None


class _Sent(Struct, frozen=True):
    message_id: str | None = None


class _Uploaded(Struct, frozen=True):
    attachment_id: str


C = TypeVar("C", bound=MessagingConfig)


def capabilities(kind: Kind, *notes: str) -> Capabilities:
    """Say what a kind can do."""
    return Capabilities(
        receives=RECEIVES,
        parts=SENDABLE,
        requests=REQUESTS,
        text_max=TEXT_MAX[kind],
        choices=CHOICES,
        media=SIZES,
        reply_window_secs=int(WINDOW.total_seconds()),
        notes=notes,
    )


class MessagingConnector(MetaConnector[C]):
    """Base class of both kinds; a subclass sets `codec`."""

    codec: MessagingCodec

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return result(answer, _Sent).message_id

    @override
    async def stage(self, message: Outbound) -> Outbound:
        """Prepare the media; pictures of cards are always links, which is all that cards can have."""
        parts: list[AnyPart] = []
        for part in message.parts:
            if isinstance(part, Card | Carousel):
                parts += await self.staging.stage_parts((part,), self._link)
            else:
                parts += (await self.staging.stage(replace(message, parts=(part,)), self.upload_part)).parts
        return replace(message, parts=tuple(parts))

    async def _link(self, part: MediaPart) -> Media:
        return self.staging.linked(part.media)

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: Meta names a URL that needs no token, and ends."""
        return await self.fetch_url(media.provider_id or "", max_bytes=max_bytes)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`."""
        await self.request(self.codec.request(method, params))
        return {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: who we are, what is subscribed, the token, and the handshake with ourselves.

        Raises:
            Misconfigured: the token is another account's.
            SendError: by Meta's answer.
        """
        answer = await self.request(self.about())
        told = in_json(answer)
        self.check(told)
        found: dict[str, Any] = {"account": told, "clock_skew_secs": skew(answer, self._clock())}
        found["handshake"] = "ok" if await self.shake() else "failed"
        found["webhook"] = await attempt(self._subscribed())
        found["token"] = await attempt(self._token())
        return found

    def about(self) -> Wire:
        """Describe the call that tells who we are."""
        return get("/me", fields="id,name")

    def check(self, told: dict[str, Any]) -> None:
        """Look at who we are; raises `Misconfigured` if the token is another account's."""
        if told.get("id") != self.account:
            raise Misconfigured("`access_token` is the token of another account than the channel's")

    async def _token(self) -> dict[str, Any]:
        return self._watch.told(await self._watch.debug(self.request))

    async def _subscribed(self) -> dict[str, Any]:
        told = in_json(await self.request(get("/me/subscribed_apps")))
        apps = [one for one in told.get("data", []) if isinstance(one, dict)]
        fields = sorted({str(name) for app in apps for name in app.get("subscribed_fields", [])})
        missing = {} if NEEDED in fields else {"missing": [NEEDED]}
        return {"apps": [str(app.get("name") or app.get("id")) for app in apps], "fields": fields, **missing}


async def upload(ask: Ask, part: MediaPart, content: Fetched, now: float) -> Media:
    """Upload a file; returns its media with Meta's id and when that ends.

    https://developers.facebook.com/docs/messenger-platform/reference/attachment-upload-api

    Raises:
        TooLarge: Meta takes no file of this size.
        SendError: by Meta's answer.
    """
    tag = str(part.__struct_config__.tag)
    if len(content.data) > SIZES[tag]:
        raise TooLarge(f"Meta takes {tag} of at most {SIZES[tag]} bytes")
    if not content.data:
        raise Refused("the file is empty")
    message = {"attachment": {"type": _TYPES[tag], "payload": {"is_reusable": True}}}
    file = replace(content, name=content.name or part.media.name or tag, mime=content.mime or part.media.mime)
    fields = {"message": msgspec.json.encode(message).decode()}
    told = result(await ask(post_form("/me/message_attachments", fields, {"filedata": file})), _Uploaded)
    until = datetime.fromtimestamp(now, UTC) + ATTACHMENT_DAYS
    return replace(part.media, provider_id=told.attachment_id, expires_at=until, url=None)
