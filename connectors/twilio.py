"""Twilio Messaging: SMS, MMS and WhatsApp (https://www.twilio.com/docs/messaging).

Twilio waits 15 s for an answer and asks its fallback URL then; with retries switched on (``#rc=…`` behind the URL) it
sends the same again, with the same `I-Twilio-Idempotency-Token`. That is information only: a message is recognised by
its MessageSid. What becomes of a message of ours is told at the same URL (`StatusCallback`).
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply
from connectors.errors import Refused, SendError
from connectors.http import Answer
from connectors.passive_slots import Held
from connectors.passive_webhook import PassiveConnector
from connectors.registry import connector
from connectors.twilio_api import Message, failure, refusal, result
from connectors.twilio_config import CAPABILITIES, TwilioConfig
from connectors.twilio_verify import check
from normalizer import ids
from normalizer.codecs.twilio import TwilioCodec
from normalizer.codecs.twilio_events import message_id
from normalizer.codecs.twilio_send import Sending
from normalizer.model import Security
from normalizer.parts import Media
from normalizer.raw import RawEvent, Wire

HOSTS = ("twilio.com", "twiliocdn.com")
"""Whose media they are; our credentials are shown to nobody else."""

_SIGNED = Security(verified="hmac")


@connector("twilio", TwilioConfig, CAPABILITIES)
class TwilioConnector(PassiveConnector[TwilioConfig]):
    """SMS, MMS and WhatsApp by Twilio, with delivery reports and opt-outs."""

    codec: TwilioCodec
    accepted: ClassVar[Reply] = Reply(body=b"<Response/>", content_type="text/xml")
    passive_type: ClassVar[str] = "text/xml"

    def __init__(self, config: TwilioConfig, context: Context) -> None:
        """Take the keys; the codec learns what is not secret."""
        super().__init__(config, context)
        secrets = (config.auth_token, config.old_auth_token, config.shared_key, config.api_secret)
        self._tokens = tuple(one.reveal() for one in secrets[:2] if one is not None)
        self._shared = None if config.shared_key is None else config.shared_key.reveal()
        self._url = config.url or context.url
        user = config.api_key or config.account_sid
        password = self._tokens[0] if config.api_secret is None else config.api_secret.reveal()
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.hide = (*(one.reveal() for one in secrets if one is not None), self._authorization)
        sending = Sending(
            account_sid=config.account_sid,
            sender=config.sender,
            whatsapp_sender=config.whatsapp_sender,
            service=config.messaging_service_sid,
            callback=self._url if config.status_callback else "",
        )
        self.codec = TwilioCodec(sending, passive_secs=config.passive_secs)

    @override
    def verify(self, delivery: Delivery) -> Security:
        check(delivery, self._url, self._tokens, self._shared)
        return _SIGNED

    @override
    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        found = self.codec.answerable(raw)
        if found is None:
            return None
        them, sid = found
        return Held(
            conversation=ids.conversation_id(raw.channel.id, them),
            message=message_id(raw, sid),
            native=sid,
            info={"them": them},
        )

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url, headers = super().url_and_headers(wire)
        return url, {**headers, "Authorization": self._authorization}

    @override
    def classify(self, answer: Answer) -> SendError | None:
        return refusal(answer, self.hide)

    @override
    async def request(self, wire: Wire) -> Answer:
        """Perform a call; a message that Twilio takes only to call it failed is an error."""
        answer = await super().request(wire)
        if wire.method == "POST":
            told = result(answer, Message)
            if told.status == "failed" and told.error_code:
                raise failure(told.error_code, told.error_message or "")
        return answer

    @override
    def provider_id(self, answer: Answer) -> str | None:
        return result(answer, Message).sid

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`: behind HTTP Basic where the account wants it; redirects lead to a CDN, without it.

        https://www.twilio.com/docs/messaging/guides/accepted-mime-types#secure-your-media-with-http-basic-authentication
        """
        url = media.provider_id or ""
        host = (urlsplit(url).hostname or "").lower()
        ours = host in self.config.media_hosts or any(host == one or host.endswith(f".{one}") for one in HOSTS)
        if not ours:
            raise Refused("the file is not at Twilio's, who alone may see the credentials")
        return await self.fetch_url(url, max_bytes=max_bytes, headers={"Authorization": self._authorization})

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: the account's state, and where Twilio delivers what comes to our number.

        https://www.twilio.com/docs/iam/api/account, https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
        """
        account = f"/2010-04-01/Accounts/{self.config.account_sid}"
        me = result(await self._ask(f"{account}.json"), dict[str, Any])
        found: dict[str, Any] = {name: me.get(name) for name in ("friendly_name", "status", "type")}
        number = self.config.sender or ""
        if number.startswith("+") and not self.config.messaging_service_sid:
            query = urlencode({"PhoneNumber": number})
            told = result(await self._ask(f"{account}/IncomingPhoneNumbers.json?{query}"), dict[str, Any])
            numbers = told.get("incoming_phone_numbers")
            for one in numbers if isinstance(numbers, list) else ():
                found["webhook"] = {"url": str(one.get("sms_url") or ""), "method": one.get("sms_method")}
        return found

    async def _ask(self, url: str) -> Answer:
        return await self.request(Wire(method="GET", url=url))
