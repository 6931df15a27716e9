"""Viber's bot API to send to (https://developers.viber.com/docs/api/rest-bot-api/)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.viber_config import ViberConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"
CODES = {429: (12, "tooManyRequests"), 401: (2, "invalidAuthToken")}
JSON_MAX, TEXT_MAX, PICTURE_TEXT_MAX, NAME_MAX, TRACKING_MAX = 30_000, 7000, 512, 28, 4096
REQUIRED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "picture": ("text", "media"),
    "video": ("media", "size"),
    "file": ("media", "size", "file_name"),
    "contact": ("contact",),
    "location": ("location",),
    "url": ("media",),
    "sticker": ("sticker_id",),
    "rich_media": ("rich_media",),
}
ENDINGS = {"picture": (".jpg", ".jpeg", ".png", ".gif"), "video": (".mp4",)}
ACTIONS = {"reply", "open-url", "location-picker", "share-phone", "none"}

_FIRST_TOKEN = 5_741_311_803_571_721_087


def told(status: int, text: str, **more: Any) -> Answer:
    """Answer as Viber does: errors come with HTTP 200."""
    return json_answer({"status": status, "status_message": text, **more})


class ViberCloud(Cloud):
    """See `Cloud`.

    Attributes:
        strangers: ids of people who have not subscribed.
        gone: ids nobody has.
        delivered: receiver and message, in order.
        webhook: where set_webhook pointed to last.
    """

    base: ClassVar[Mapping[str, str]] = {"api_base": "/pa"}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the bot of `options`."""
        super().__init__(options, seed=seed)
        self.strangers: set[str] = set()
        self.gone: set[str] = set()
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.webhook = "https://gateway.example/c/shop-viber"

    @override
    def refuse(self, call: Call) -> Answer | None:
        """Check the token, which stands in a header or in the body."""
        if not call.name or call.method != "POST":
            return None
        body = call.json()
        given = call.headers.get("x-viber-auth-token") or (body.get("auth_token") if isinstance(body, dict) else None)
        if not given:
            return told(2, "missing_auth_token")
        known = self.options.token.reveal() if isinstance(self.options, ViberConfig) else str(given)
        return None if secrets.compare_digest(str(given), known) else told(2, "invalidAuthToken")

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        if status in CODES:
            code, words = CODES[status]
            return told(code, text or words)
        return super().error(status, text, retry_after=retry_after)

    @route("POST", "/pa/send_message")
    def send(self, call: Call) -> Answer:
        """https://developers.viber.com/docs/api/rest-bot-api/#send-message."""
        body = call.json()
        if len(call.body) > JSON_MAX:
            return told(3, "badData: the request is larger than 30kb")
        receiver = str(body.get("receiver", ""))
        wrong = complaint(body) if receiver else (4, "missingData: receiver")
        if wrong is not None:
            return told(*wrong)
        if receiver in self.gone:
            return told(5, "receiverNotRegistered")
        if receiver in self.strangers:
            return told(6, "receiverNotSubscribed")
        self.delivered.append((receiver, body))
        token = _FIRST_TOKEN + int(self.next_id())
        return told(0, "ok", message_token=token, chat_hostname="SN-CHAT-05_", billing_status=1)

    @route("POST", "/pa/get_account_info")
    def account(self, call: Call) -> Answer:
        """https://developers.viber.com/docs/api/rest-bot-api/#get-account-info."""
        names = {"id": "pa:75346594275468546724", "name": "Simulated bot", "uri": "simulatedbot"}
        events = ["delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started"]
        return told(0, "ok", **names, webhook=self.webhook, event_types=events, subscribers_count=35)

    @route("POST", "/pa/set_webhook")
    def set_webhook(self, call: Call) -> Answer:
        """https://developers.viber.com/docs/api/rest-bot-api/#setting-a-webhook."""
        url = str(call.json().get("url", ""))
        if url and not url.startswith("https://"):
            return told(1, "invalidUrl")
        self.webhook = url
        return told(0, "ok", event_types=call.json().get("event_types", ["delivered", "seen", "failed"]))

    @route("POST", "/pa/get_user_details")
    def user(self, call: Call) -> Answer:
        """https://developers.viber.com/docs/api/rest-bot-api/#get-user-details."""
        native = str(call.json().get("id", ""))
        if native in self.gone | self.strangers:
            return told(6, "receiverNotSubscribed")
        found = {"id": native, "name": "Simulated Person", "country": "DE", "language": "en", "api_version": 10}
        return told(0, "ok", message_token=1, user=found)

    @route("GET", "/media/{name}")
    def media(self, call: Call) -> Answer:
        """Give a file a person sent, as the host of `media` does."""
        return Answer(body=JPEG, content_type="image/jpeg")


def complaint(body: dict[str, Any]) -> tuple[int, str] | None:
    """Say what is wrong with a message as Viber does; None if nothing is."""
    kind, sender = body.get("type", ""), body.get("sender") or {}
    if not sender.get("name"):
        return 4, "missingData: sender.name"
    if len(sender["name"]) > NAME_MAX or len(body.get("tracking_data") or "") > TRACKING_MAX:
        return 3, "badData: sender.name or tracking_data is too long"
    if kind not in REQUIRED:
        return 3, "badData: type"
    for name in REQUIRED[kind]:
        if body.get(name) is None or (body[name] == "" and (kind, name) != ("picture", "text")):
            return 4, f"missingData: {name}"
    return _content(kind, body) or _buttons(body)


def _content(kind: str, body: dict[str, Any]) -> tuple[int, str] | None:
    if len(body.get("text") or "") > (PICTURE_TEXT_MAX if kind == "picture" else TEXT_MAX):
        return 3, "badData: text is too long"
    path = str(body.get("media") or "").partition("?")[0].lower()
    if kind in ENDINGS and not path.endswith(ENDINGS[kind]):
        return 3, f"badData: media must end in {ENDINGS[kind]}"
    if kind == "contact":
        card = body["contact"]
        if not card.get("name") or len(card["name"]) > NAME_MAX or not 1 <= len(card.get("phone_number") or "") <= 18:
            return 3, "badData: contact"
    return None


def _buttons(body: dict[str, Any]) -> tuple[int, str] | None:
    rich, keyboard = body.get("rich_media"), body.get("keyboard")
    if rich is not None and body.get("min_api_version", 1) < 2:
        return 14, "incompatibleWithVersion"
    for shape, rows in ((rich, 7), (keyboard, 24)):
        for button in (shape or {}).get("Buttons", []):
            if not 1 <= button.get("Rows", 1) <= rows or not 1 <= button.get("Columns", 6) <= 6:
                return 3, "badData: Rows or Columns"
            if not button.get("ActionBody") or button.get("ActionType", "reply") not in ACTIONS:
                return 3, "badData: ActionBody or ActionType"
    if keyboard is not None and not 1 <= len(keyboard.get("Buttons", [])) <= 24:
        return 3, "badData: Buttons"
    if rich is not None and sum(one["Rows"] for one in rich["Buttons"]) % rich["ButtonsGroupRows"]:
        return 3, "badData: the buttons do not fill their groups"
    return None
