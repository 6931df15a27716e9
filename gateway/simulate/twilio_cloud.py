"""Twilio's API as far as the gateway calls it, as strict as its pages.

https://www.twilio.com/docs/messaging/api/message-resource. The `twilio` package's client talks to it in
`tests/integration/test_twilio_peer.py`, so that it is not only what we think Twilio is.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.twilio_config import TwilioConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

BODY_MAX, MEDIA_MAX = 1600, 10
ERRORS = {
    429: (20429, "Too Many Requests"),
    401: (20003, "Authenticate"),
    404: (20404, "Not found"),
    500: (20500, "Internal"),
}
ADDRESS = re.compile(r"(?:[a-z]+:)?\+?[1-9]\d{4,14}", re.ASCII)
DATE = "Fri, 20 Nov 2026 12:00:00 +0000"


class TwilioCloud(Cloud):
    """See `Cloud`.

    Attributes:
        stopped: addresses that sent STOP.
        windows: WhatsApp addresses whose 24 hours are over: the message is taken, and its status is failed.
        messages: sid → message.
        files: media sid → (content type, bytes).
        hook: where the account's number delivers to.
    """

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the account of `options`."""
        super().__init__(options, seed=seed)
        self.stopped: set[str] = set()
        self.windows: set[str] = set()
        self.messages: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.hook = "https://gw.example/c/test-twilio"

    @override
    def refuse(self, call: Call) -> Answer | None:
        options = self.options
        if not isinstance(options, TwilioConfig) or call.name == "cdn":
            return None
        user, secret = options.api_key or options.account_sid, options.api_secret or options.auth_token
        wanted = "Basic " + base64.b64encode(f"{user}:{secret.reveal()}".encode()).decode()
        return None if call.headers.get("authorization") == wanted else self.error(401)

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        code, words = ERRORS.get(status, (20000 + status, "simulated"))
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return self._fault(code, text or words, status, headers)

    def _fault(self, code: int, words: str, status: int = 400, headers: dict[str, str] | None = None) -> Answer:
        told = {"code": code, "message": words, "status": status}
        return json_answer({**told, "more_info": f"https://www.twilio.com/docs/errors/{code}"}, status, headers)

    @route("POST", "/2010-04-01/Accounts/{account}/Messages.json")
    def send(self, call: Call) -> Answer:
        """Create a message."""
        form = call.form
        to, sender = form.get("To", ""), form.get("From") or form.get("MessagingServiceSid")
        problem = self._problem(form, to, sender)
        if problem is not None:
            return problem
        sid = f"{'MM' if 'MediaUrl' in form else 'SM'}{len(self.messages) + 1:032x}"
        self.messages[sid] = {
            "sid": sid,
            "account_sid": call.match["account"],
            "to": to,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "body": form.get("Body", ""),
            "status": "accepted" if "MessagingServiceSid" in form else "queued",
            "num_media": "1" if "MediaUrl" in form else "0",
            "num_segments": "1",
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "date_created": DATE,
            "date_updated": DATE,
            "date_sent": None,
            "api_version": "2010-04-01",
            "price": None,
            "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{call.match['account']}/Messages/{sid}.json",
            "subresource_uris": {},
        }
        return json_answer(self.messages[sid], 201)

    def _problem(self, form: dict[str, str], to: str, sender: str | None) -> Answer | None:
        if not to:
            return self._fault(21604, "A 'To' phone number is required.")
        if not sender:
            return self._fault(21603, "A 'From' phone number is required.")
        if not ADDRESS.fullmatch(to):
            return self._fault(21211, "The 'To' number is not a valid phone number.")
        if "From" in form and ("whatsapp:" in to) != ("whatsapp:" in form["From"]):
            return self._fault(63007, "Twilio could not find a Channel with the specified From address")
        if to in self.stopped:
            return self._fault(21610, "Attempt to send to unsubscribed recipient")
        if to in self.windows and "ContentSid" not in form:
            return self._fault(63016, "Failed to send freeform message because you are outside the allowed window.")
        if not {"Body", "MediaUrl", "ContentSid"} & form.keys():
            return self._fault(21602, "Message body is required.")
        return self._content_problem(form)

    def _content_problem(self, form: dict[str, str]) -> Answer | None:
        if len(form.get("Body", "").encode("utf-16-le")) > 2 * BODY_MAX:
            return self._fault(21617, "The concatenated message body exceeds the 1600 character limit")
        if not form.get("MediaUrl", "https://").startswith(("https://", "http://")):
            return self._fault(21620, "Invalid media URL(s)")
        if "ContentSid" in form and not re.fullmatch(r"HX[0-9a-f]{32}", form["ContentSid"]):
            return self._fault(21655, "The ContentSid is Invalid")
        try:
            variables = msgspec.json.decode(form.get("ContentVariables", "{}"))
        except msgspec.DecodeError:
            variables = None
        return None if isinstance(variables, dict) else self._fault(21656, "The ContentVariables Parameter is invalid")

    @route("GET", "/2010-04-01/Accounts/{account}/Messages/{message}.json")
    def message(self, call: Call) -> Answer:
        """Show a message."""
        found = self.messages.get(call.match["message"])
        return self.error(404) if found is None else json_answer(found)

    @route("GET", "/2010-04-01/Accounts/{account}/Messages/{message}/Media/{media}")
    def media(self, call: Call) -> Answer:
        """Send a file's reader on to the CDN."""
        if call.match["media"] not in self.files:
            return self.error(404)
        return Answer(status=307, headers={"Location": f"{self.url}/cdn/{call.match['media']}"})

    @route("GET", "/cdn/{media}")
    def cdn(self, call: Call) -> Answer:
        """Give a file."""
        mime, content = self.files[call.match["media"]]
        return Answer(body=content, content_type=mime)

    @route("GET", "/2010-04-01/Accounts/{account}.json")
    def account(self, call: Call) -> Answer:
        """Show the account."""
        return json_answer({"sid": call.match["account"], "friendly_name": "Shop", "status": "active", "type": "Full"})

    @route("GET", "/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json")
    def numbers(self, call: Call) -> Answer:
        """List our numbers."""
        number = {"phone_number": call.query.get("PhoneNumber"), "sms_url": self.hook, "sms_method": "POST"}
        return json_answer({"incoming_phone_numbers": [number], "page": 0, "page_size": 50})
