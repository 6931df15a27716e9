"""The Cloud API's side: messages, media, and what `channel.verify` asks.

https://developers.facebook.com/documentation/business-messaging/whatsapp/reference
"""

from __future__ import annotations

import hashlib
from typing import Any

from typing_extensions import override

from connectors.whatsapp import WhatsappConfig
from gateway.simulate.cloud import Answer, Call, json_answer, route
from gateway.simulate.meta import JPEG, GraphCloud, fault

TYPES = frozenset({"text", "image", "audio", "video", "document", "sticker", "location", "contacts", "interactive",
                   "template", "reaction"})  # fmt: skip
MEDIA = frozenset({"image", "audio", "video", "document", "sticker"})
BUTTONS_MAX, ROWS_MAX = 3, 10


class WhatsappCloud(GraphCloud):
    """See `Cloud`.

    Attributes:
        media: media id → (MIME type, content).
        read: messages that were marked as read.
    """

    scopes = ("whatsapp_business_management", "whatsapp_business_messaging")

    def __init__(self, options: Any = None, *, seed: int | None = None) -> None:
        """See `Cloud`."""
        super().__init__(options, seed=seed)
        self.media: dict[str, tuple[str, bytes]] = {}
        self.read: list[str] = []

    @override
    def refuse(self, call: Call) -> Answer | None:
        """Check the token, also where a file is downloaded, and that the number is the token's."""
        refused = super().refuse(call)
        if refused is not None:
            return refused
        number = call.match.get("number")
        if isinstance(self.options, WhatsappConfig) and number not in {None, self.options.phone_number_id}:
            return _missing()
        return None

    @route("POST", "/{version}/{number}/messages")
    def send(self, call: Call) -> Answer:
        """Take a message, a reaction, or the mark that one was read."""
        body = call.json()
        if not isinstance(body, dict) or body.get("messaging_product") != "whatsapp":
            return _invalid("messaging_product is required")
        if body.get("status") == "read":
            if not body.get("message_id"):
                return _invalid("message_id is required")
            self.read.append(str(body["message_id"]))
            return json_answer({"success": True})
        complaint = _complaint(body)
        if complaint:
            return _invalid(complaint)
        to = str(body.get("to") or body.get("recipient"))
        refused = self._refused(to, body)
        if refused is not None:
            return refused
        contact = {"input": to, **({"user_id": to} if "recipient" in body else {"wa_id": to})}
        message = {"id": self.next_id("wamid.cloud-")}
        return json_answer({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})

    def _refused(self, to: str, body: dict[str, Any]) -> Answer | None:
        if to in self.gone:
            return fault(131026, "(#131026) Message undeliverable", details="Message undeliverable.")
        if to in self.closed and body["type"] != "template":
            details = "More than 24 hours have passed since the customer last replied to this number."
            return fault(131047, "(#131047) Re-engagement message", details=details)
        content = body.get(body["type"])
        if body["type"] in MEDIA and isinstance(content, dict) and content.get("id", "").startswith("cloud-"):
            return None if content["id"] in self.media else fault(131053, "(#131053) Media upload error")
        return None

    @route("POST", "/{version}/{number}/media")
    def upload(self, call: Call) -> Answer:
        """Take a file."""
        if call.form.get("messaging_product") != "whatsapp" or "file" not in call.files:
            return _invalid("file and messaging_product are required")
        name = self.next_id("cloud-")
        _, mime, content = call.files["file"]
        self.media[name] = (mime, content)
        return json_answer({"id": name})

    @route("GET", r"/{version}/{node:\d+|(?:simulated|cloud)-.+}")
    def about(self, call: Call) -> Answer:
        """Tell of a number or of a file: both are nodes of the graph."""
        node = call.match["node"]
        if node.startswith(("simulated-", "cloud-")):
            return self._media(node)
        if isinstance(self.options, WhatsappConfig) and node != self.options.phone_number_id:
            return _missing()
        told = {"verified_name": "Simulated shop", "display_phone_number": "+1 555-078-3881"}
        level = {"quality_rating": "GREEN", "platform_type": "CLOUD_API", "throughput": {"level": "STANDARD"}}
        return json_answer({"id": node, **told, **level})

    @route("GET", "/{version}/{account}/subscribed_apps")
    def subscribed(self, call: Call) -> Answer:
        """Tell who gets the webhooks."""
        app = {"id": "670843887433847", "name": "Simulated app", "link": "https://www.facebook.com/games/?app_id=67"}
        return json_answer({"data": [{"whatsapp_business_api_data": app}]})

    def _media(self, name: str) -> Answer:
        mime, content = self._file(name)
        if content is None:
            return _missing()
        told = {"mime_type": mime, "sha256": hashlib.sha256(content).hexdigest(), "file_size": len(content)}
        url = f"{self.url}/whatsapp_business/attachments/{name}"
        return json_answer({"url": url, **told, "id": name, "messaging_product": "whatsapp"})

    def _file(self, name: str) -> tuple[str, bytes | None]:
        mime, content = self.media.get(name, ("image/jpeg", JPEG if name.startswith("simulated-") else None))
        return mime, content

    @route("GET", "/whatsapp_business/attachments/{name}")
    def download(self, call: Call) -> Answer:
        """Give a file, as lookaside.fbsbx.com does."""
        mime, content = self._file(call.match["name"])
        if content is None:
            return Answer(status=404, content_type="text/html")
        return Answer(body=content, content_type=mime)


def _complaint(body: dict[str, Any]) -> str | None:
    kind = body.get("type", "text")
    content = body.get(kind)
    if not body.get("to") and not body.get("recipient"):
        return "The parameter to is required."
    if kind not in TYPES or not content:
        return f"Unexpected key, or none, for the type {kind}"
    if kind == "text" and not 1 <= len(content.get("body", "")) <= 4096:
        return "Param text['body'] must be at most 4096 characters long."
    if kind in MEDIA and not content.get("id") and not content.get("link"):
        return "Media needs id or link"
    if kind == "template" and not (content.get("name") and content.get("language", {}).get("code")):
        return "Template needs name and language"
    return _interactive(content) if kind == "interactive" else None


def _interactive(content: dict[str, Any]) -> str | None:
    action, question = content.get("action", {}), content.get("body", {}).get("text", "")
    if not 1 <= len(question) <= (4096 if content.get("type") == "list" else 1024):
        return "Param interactive['body']['text'] is missing or too long"
    buttons = action.get("buttons", [])
    rows = [row for section in action.get("sections", []) for row in section.get("rows", [])]
    if len(buttons) > BUTTONS_MAX or len(rows) > ROWS_MAX:
        return "too many buttons or rows"
    titles = [button["reply"]["title"] for button in buttons]
    if any(not 1 <= len(title) <= 20 for title in titles) or len(set(titles)) < len(titles):
        return "Button titles must be unique and of 1 to 20 characters"
    if content.get("type") == "list" and not action.get("button"):
        return "Param interactive['action']['button'] is required"
    return None


def _invalid(text: str) -> Answer:
    return fault(100, f"(#100) {text}", details=text)


def _missing() -> Answer:
    return fault(100, "Unsupported get request. Object does not exist or cannot be loaded", subcode=33)
