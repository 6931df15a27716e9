"""WhatsApp Cloud API (https://developers.facebook.com/documentation/business-messaging/whatsapp).

Meta repeats a delivery that is not answered with 2xx for up to 7 days, with growing pauses, and keeps no order.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from typing_extensions import override

from connectors.api import Capabilities, Context, Fetched
from connectors.http import Answer
from connectors.meta import MetaConfig, MetaConnector
from connectors.meta_api import in_json, result
from connectors.meta_probe import attempt, get, skew
from connectors.registry import connector
from connectors.whatsapp_media import SIZES, find, upload
from normalizer.codecs.whatsapp import WhatsappCodec
from normalizer.codecs.whatsapp_interactive import CHOICES
from normalizer.codecs.whatsapp_message import WINDOW
from normalizer.codecs.whatsapp_send import CAPTION_MAX, REQUESTS, SENDABLE, TEXT_MAX
from normalizer.methods import Params
from normalizer.parts import Media, MediaPart

DOCS = "https://developers.facebook.com/documentation/business-messaging/whatsapp"
FIELDS = (
    "verified_name,display_phone_number,quality_rating,code_verification_status,name_status,platform_type,throughput"
)
MANAGE = "whatsapp_business_management"
ACCOUNTS_MAX = 5
"""WhatsApp business accounts whose subscriptions `channel.verify` looks at."""


class WhatsappConfig(MetaConfig, frozen=True, kw_only=True):
    """Options of a `whatsapp` channel.

    Attributes:
        phone_number_id: of our number (WhatsApp, API Setup); not the number itself.
    """

    phone_number_id: Annotated[str, Meta(pattern=r"^\d{1,32}$")]


class _Sent(Struct, frozen=True):
    id: str


class _SentMessages(Struct, frozen=True):
    messages: tuple[_Sent, ...] = ()


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.updated", "message.deleted", "message.status", "reaction.added",
        "reaction.removed", "contact.identified", "contact.opted_in", "contact.opted_out", "conversation.started",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    caption_max=CAPTION_MAX,
    choices=CHOICES,
    media=SIZES,
    reply_window_secs=int(WINDOW.total_seconds()),
    notes=(
        f"longer text is split, and so are questions of more than 1024 characters ({DOCS}/messages/text-messages)",
        f"titles up to 20 characters, 24 in lists; ids up to 256, 200 in lists ({DOCS}/messages)",
        "outside of the window only templates pass; their variables are values, or name=value throughout",
        "headers and buttons of a template are Meta's JSON in metadata.whatsapp.components",
        "typing.send needs the message that is answered, and marks it as read",
        f"who shows no number is addressed by whatsapp-bsuid:<BSUID> ({DOCS}/business-scoped-user-ids)",
        f"received media can be fetched for 7 days ({DOCS}/business-phone-numbers/media)",
        "calls are told as unsupported content",
    ),
)  # fmt: skip


@connector("whatsapp", WhatsappConfig, CAPABILITIES)
class WhatsappConnector(MetaConnector[WhatsappConfig]):
    """A WhatsApp number, by Meta's Cloud API."""

    codec: WhatsappCodec

    def __init__(self, config: WhatsappConfig, context: Context, **options: Any) -> None:
        """Read for the channel's number; `options` are those of `MetaConnector`."""
        super().__init__(config, context, config.phone_number_id, **options)
        self.codec = WhatsappCodec(self.account, told=self.told, place=self.siblings.place)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return next((one.id for one in result(answer, _SentMessages).messages), None)

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        content = await self.bytes_of(part.media)
        return await upload(self.request, self.account, part, content, self._clock())

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: the API names a URL, which is fetched with our token, and only there."""
        url = await find(self.request, media, max_bytes=max_bytes)
        return await self.fetch_url(url, max_bytes=max_bytes, headers={"Authorization": f"Bearer {self._access_token}"})

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; only a reaction makes a message, with an id."""
        native = self.provider_id(await self.request(self.codec.request(method, params)))
        return {"provider_id": native} if native else {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: our number, the token, who is subscribed to the account, and the handshake with ourselves."""
        answer = await self.request(get(f"/{self.account}", fields=FIELDS))
        found: dict[str, Any] = {"phone_number": in_json(answer), "clock_skew_secs": skew(answer, self._clock())}
        found["handshake"] = "ok" if await self.shake() else "failed"
        found["token"] = await attempt(self._token())
        return found

    async def _token(self) -> dict[str, Any]:
        token = await self._watch.debug(self.request)
        told = self._watch.told(token)
        told["subscribed_apps"] = {
            account: await attempt(self._subscribed(account))
            for account in sorted(set(token.accounts(MANAGE)))[:ACCOUNTS_MAX]
        }
        return told

    async def _subscribed(self, account: str) -> dict[str, Any]:
        """Ask which apps get the webhooks of a WhatsApp business account.

        https://developers.facebook.com/docs/graph-api/reference/whats-app-business-account/subscribed_apps/
        """
        told = in_json(await self.request(get(f"/{account}/subscribed_apps")))
        apps = (one.get("whatsapp_business_api_data") for one in told.get("data", []) if isinstance(one, dict))
        return {"apps": [str(app.get("name") or app.get("id")) for app in apps if isinstance(app, dict)]}
