"""What a `twilio` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from connectors.api import Capabilities
from connectors.passive_webhook import PassiveConfig
from connectors.secrets import Secret
from normalizer.codecs.twilio_send import SENDABLE, TEXT_MAX

DOCS = "https://www.twilio.com/docs"
MEGABYTE = 1024 * 1024


class TwilioConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `twilio` channel: SMS, MMS and WhatsApp of one account.

    Attributes:
        account_sid: ``AC…``, of the account or subaccount.
        auth_token: of the same account; it signs every delivery, so it is needed also with an API key.
        old_auth_token: accepted in signatures as well, while the token is being changed.
        shared_key: secret of a SharedKey, where webhooks are signed by one (HMAC-SHA256) instead of the token.
        api_key: ``SK…``, to call the API by an API key instead of the token.
        api_secret: of the API key.
        sender: our number (``+49…``), short code or name, for SMS and, with its prefix, for other channels.
        whatsapp_sender: our number on WhatsApp, where it is another.
        messaging_service_sid: ``MG…``: the service chooses the sender; it goes before `sender`. Without one of the
            three a channel receives, and answers as TwiML (`passive_secs`); what goes by the API must name its sender
            (`metadata.twilio.from`).
        url: the channel's URL exactly as it is entered at Twilio, for its signature covers it; by default
            `[http] public_url` with ``/c/<channel>``. Without both it is read from the proxy's headers.
        status_callback: ask Twilio to tell at that URL what becomes of each message.
        api_base: where the API is; change it for another region, a proxy or a test.
        passive_secs: how long a delivery is held for a reply as TwiML; Twilio waits for 15 s. 0 answers at once, and
            replies go by the API, which tells their id.
    """

    account_sid: Annotated[str, Meta(pattern=r"^AC[0-9a-fA-F]{32}$")]
    auth_token: Secret
    old_auth_token: Secret | None = None
    shared_key: Secret | None = None
    api_key: Annotated[str, Meta(pattern=r"^SK[0-9a-fA-F]{32}$")] | None = None
    api_secret: Secret | None = None
    sender: Annotated[str, Meta(min_length=2)] | None = None
    whatsapp_sender: Annotated[str, Meta(min_length=2)] | None = None
    messaging_service_sid: Annotated[str, Meta(pattern=r"^MG[0-9a-fA-F]{32}$")] | None = None
    url: Annotated[str, Meta(pattern=r"^https?://")] | None = None
    status_callback: bool = True
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://api.twilio.com"
    passive_secs: Annotated[float, Meta(ge=0, lt=15)] = 0.0

    def __post_init__(self) -> None:
        """Check what one option says about another."""
        if (self.api_key is None) != (self.api_secret is None):
            raise ValueError("`api_key` and `api_secret` belong together")


CAPABILITIES = Capabilities(
    receives=("message.received", "message.status", "contact.opted_out", "contact.opted_in"),
    parts=SENDABLE,
    text_max=TEXT_MAX,
    caption_max=TEXT_MAX,
    media=dict.fromkeys(("image", "audio", "video", "file"), 16 * MEGABYTE),
    reply_window_secs=24 * 3600,
    passive_secs=15.0,
    notes=(
        f"longer text is split; text_max counts UTF-16 units ({DOCS}/messaging/api/message-resource)",
        f"MMS: media of 5 MB, to the USA, Canada and Australia ({DOCS}/messaging/guides/accepted-mime-types)",
        f"WhatsApp: 24 h after the person's last message only templates pass ({DOCS}/whatsapp/key-concepts)",
        f"template: `name` is the ContentSid; variables are 1, 2 … or name=value ({DOCS}/content)",
        "location by WhatsApp only",
        "media are fetched by Twilio from `[http] public_url`",
        "contact.opted_out needs Advanced Opt-Out of a Messaging Service",
    ),
)
