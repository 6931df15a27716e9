"""`omnigate simulate twilio`: messages, statuses and opt-outs as Twilio posts them.

https://www.twilio.com/docs/messaging/guides/webhook-request,
https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from typing_extensions import override

from connectors.twilio_config import TwilioConfig
from gateway.simulate.api import FORM, Item, Request, Simulator, form_post, json_post
from gateway.simulate.twilio_cloud import TwilioCloud

BODY_HASH = "bodySHA256"
Fields = dict[str, str]


def _sid(item: Item, prefix: str = "SM") -> str:
    return f"{prefix}{item.number:032x}"


def _sms(item: Item, **more: str) -> Fields:
    geography = {"FromCountry": "US", "FromState": "CA", "FromCity": "SAN FRANCISCO"}
    said = {"Body": item.text, "NumMedia": "0", "NumSegments": "1"}
    return {**said, **geography, "SmsStatus": "received", **more}


def _whatsapp(item: Item, **more: str) -> Fields:
    said = {"Body": item.text, "NumMedia": "0", "NumSegments": "1", "MessageType": "text", "SmsStatus": "received"}
    return {**said, "ProfileName": f"Person {item.person}", "WaId": f"1415555{item.person:04d}", **more}


def _media(item: Item) -> Fields:
    url = f"https://api.twilio.com/2010-04-01/Accounts/AC/Messages/{_sid(item)}/Media/ME{item.number:032x}"
    return {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "image/jpeg"}


def _status(status: str) -> Callable[[Item], Fields]:
    def report(_: Item) -> Fields:
        told = {"MessageStatus": status, "SmsStatus": status}
        return {**told, **({"ErrorCode": "30003"} if status == "undelivered" else {})}

    return report


_CONTENT: dict[str, Callable[[Item], Fields]] = {
    "text": _sms,
    "mms": lambda item: _sms(item, **_media(item)),
    "whatsapp": _whatsapp,
    "whatsapp-image": lambda item: _whatsapp(item, MessageType="image", **_media(item)),
    "button": lambda item: _whatsapp(item, MessageType="button", ButtonText="Yes", ButtonPayload="yes"),
    "location": lambda item: _whatsapp(item, MessageType="location", Body="", Latitude="52.52", Longitude="13.405"),
    "stop": lambda item: _sms(item, Body="STOP", OptOutType="STOP"),
    "start": lambda item: _sms(item, Body="START", OptOutType="START"),
    **{status: _status(status) for status in ("sent", "delivered", "read", "undelivered")},
}
REPORTS = frozenset({"sent", "delivered", "read", "undelivered", "stream"})


class TwilioSimulator(Simulator[TwilioConfig]):
    """One message or status per form; the signature covers the URL and the fields, and no time.

    Events of Event Streams (``stream``) come in JSON, several at a time; their hash is part of the signed URL.
    """

    contents: ClassVar = (*_CONTENT, "stream")

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write it as a form, or as an event."""
        (item,) = items
        if item.content == "stream":
            return json_post([self._event(item)])
        fields = {**self._head(item), **_CONTENT[item.content](item)}
        made = form_post(fields)
        return made.adding(headers={"I-Twilio-Idempotency-Token": f"simulated-{item.number}"})

    def _head(self, item: Item) -> Fields:
        prefix = "whatsapp:" if item.content in {"whatsapp", "whatsapp-image", "button", "location"} else ""
        them, us = f"{prefix}+1415555{item.person:04d}", f"{prefix}{self.options.sender or '+15005550006'}"
        sid = _sid(item)
        named = {"MessageSid": sid, "SmsSid": sid, "AccountSid": self.options.account_sid, "ApiVersion": "2010-04-01"}
        if item.content in REPORTS:
            return {**named, "From": us, "To": them}
        return {**named, "SmsMessageSid": sid, "From": them, "To": us}

    def _event(self, item: Item) -> dict[str, Any]:
        kind = "com.twilio.messaging.message.delivered"
        head = self._head(item)
        told = {"messageSid": head["MessageSid"], "from": head["From"], "to": head["To"], "messageStatus": "DELIVERED"}
        data = {**told, "accountSid": head["AccountSid"], "eventName": kind, "timestamp": "2026-01-01T00:00:00.000Z"}
        about = {"specversion": "1.0", "type": kind, "source": f"AB{item.number:032x}", "id": f"EZ{item.number:032x}"}
        return {**about, "datacontenttype": "application/json", "data": data}

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign the URL, and behind it the fields in their order; of JSON the URL carries the hash."""
        url, fields = (self.options.url or self.url) + request.path, ""
        if request.headers.get("Content-Type") == FORM:
            pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
            fields = "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
        else:
            request = request.adding(query={BODY_HASH: hashlib.sha256(request.body).hexdigest()})
        if request.query:
            url += "?" + "&".join(f"{name}={value}" for name, value in request.query.items())
        digest = hmac.digest(self.options.auth_token.reveal().encode(), (url + fields).encode(), "sha1")
        return request.adding(headers={"X-Twilio-Signature": base64.b64encode(digest).decode()})


SIMULATOR, CLOUD = TwilioSimulator, TwilioCloud
