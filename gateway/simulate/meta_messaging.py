"""What the simulators of Messenger and Instagram have in common.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events
https://developers.facebook.com/documentation/business-messaging/instagram-messaging/webhooks
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from typing_extensions import override

from connectors.meta_messaging import MessagingConfig
from gateway.simulate.api import Item, Request, json_post
from gateway.simulate.cloud import Answer, Call, json_answer, route
from gateway.simulate.meta import GraphCloud, MetaSimulator, fault

BATCH_MAX = 50
FIRST_PERSON = 24_000_000_000_000_000
WATERMARK = 1_795_000_000_000
BUTTONS_MAX, REPLIES_MAX, CARDS_MAX = 3, 13, 10
ATTACHMENTS = frozenset({"image", "audio", "video", "file", "template"})
ACTIONS = frozenset({"typing_on", "typing_off", "mark_seen", "react", "unreact"})

C = TypeVar("C", bound=MessagingConfig)


def mid(item: Item, what: str = "in") -> str:
    """Name a message."""
    return f"m_simulated-{what}-{item.number}"


def message(item: Item, **content: Any) -> dict[str, Any]:
    """Write a message."""
    return {"message": {"mid": mid(item), **content}}


def file(item: Item, kind: str, name: str) -> dict[str, Any]:
    """Write an attachment."""
    return {"type": kind, "payload": {"url": f"https://scontent.xx.fbcdn.net/v/simulated-{item.number}/{name}"}}


CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": lambda item: message(item, text=item.text),
    "image": lambda item: message(item, text=item.text, attachments=[file(item, "image", "1.jpg")]),
    "quick_reply": lambda item: message(item, text="Yes", quick_reply={"payload": "yes"}),
    "postback": lambda item: {"postback": {"mid": mid(item), "title": "Yes", "payload": "yes"}},
    "reaction": lambda item: {
        "reaction": {"reaction": "love", "emoji": "❤️", "action": "react", "mid": mid(item, "out")}
    },
    "edit": lambda item: {"message_edit": {"mid": mid(item, "old"), "text": item.text, "num_edit": 1}},
    "unsend": lambda item: message(item, is_deleted=True),
    "echo": lambda item: message(item, text=item.text, is_echo=True, app_id=4711),
    "referral": lambda item: {
        "referral": {"ref": f"autumn-{item.number}", "source": "SHORTLINK", "type": "OPEN_THREAD"}
    },
}


class MessagingSimulator(MetaSimulator[C]):
    """Batches: several entries of our account, each with up to two items."""

    batch_max: ClassVar = BATCH_MAX
    object: ClassVar[str]
    content: ClassVar[dict[str, Callable[[Item], dict[str, Any]]]]

    @abstractmethod
    def account(self) -> str:
        """Name our side."""

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        if len(items) > BATCH_MAX:
            raise ValueError(f"at most {BATCH_MAX} items")
        entries = [
            {"id": self.account(), "time": int(pair[0].at * 1000), "messaging": [self._item(item) for item in pair]}
            for pair in (items[at : at + 2] for at in range(0, len(items), 2))
        ]
        return json_post({"object": self.object, "entry": entries})

    def _item(self, item: Item) -> dict[str, Any]:
        person, us = {"id": str(FIRST_PERSON + item.person)}, {"id": self.account()}
        sender, recipient = (us, person) if item.content == "echo" else (person, us)
        # two things of one person never happen in the same millisecond; it is what the ids of some are made of
        stamp: Any = {"not": "a time"} if item.spoilt else int(item.at) * 1000 + item.number % 1000
        return {"sender": sender, "recipient": recipient, "timestamp": stamp, **self.content[item.content](item)}


class MessagingCloud(GraphCloud):
    """See `Cloud`.

    Attributes:
        attachments: id → (MIME type, content) of what was uploaded.
        text_max: longest text.
    """

    text_max: ClassVar[int] = 2000

    def __init__(self, options: Any = None, *, seed: int | None = None) -> None:
        """See `Cloud`."""
        super().__init__(options, seed=seed)
        self.attachments: dict[str, tuple[str, bytes]] = {}

    @route("POST", "/{version}/me/messages")
    def send(self, call: Call) -> Answer:
        """Take a message or an action."""
        body = call.json()
        recipient = body.get("recipient") if isinstance(body, dict) else None
        to = str((recipient or {}).get("id") or (recipient or {}).get("user_ref") or "")
        if not to:
            return _invalid("Param recipient must be non-empty.")
        if to in self.gone:
            return fault(551, "(#551) This person isn't available right now.", subcode=1545041)
        if "sender_action" in body:
            return json_answer({"recipient_id": to}) if body["sender_action"] in ACTIONS else _invalid("sender_action")
        if to in self.closed and body.get("messaging_type") != "MESSAGE_TAG":
            return fault(10, "(#10) This message is sent outside of allowed window.", subcode=2018278, status=403)
        if body.get("messaging_type") == "MESSAGE_TAG" and not body.get("tag"):
            return _invalid("tag is required")
        complaint = self._complaint(body.get("message") or {})
        if complaint:
            return _invalid(complaint)
        return json_answer({"recipient_id": to, "message_id": self.next_id("m_cloud-")})

    def _complaint(self, sent: dict[str, Any]) -> str | None:
        text, attachment = sent.get("text"), sent.get("attachment")
        if (text is None) == (attachment is None):
            return "Must have either text or attachment"
        if text is not None and not 1 <= self.length(text) <= self.text_max:
            return f"Length of param message[text] must be less than or equal to {self.text_max}"
        if len(sent.get("quick_replies", ())) > REPLIES_MAX:
            return "too many quick replies"
        return None if attachment is None else self._attached(attachment)

    def length(self, text: str) -> int:
        """Measure a text."""
        return len(text)

    def _attached(self, attachment: dict[str, Any]) -> str | None:
        payload = attachment.get("payload") or {}
        if attachment.get("type") not in ATTACHMENTS:
            return "Invalid attachment type"
        if attachment["type"] == "template":
            return _template(payload)
        uploaded = payload.get("attachment_id")
        if uploaded is not None and uploaded not in self.attachments:
            return "Invalid attachment_id"
        return None if uploaded or str(payload.get("url", "")).startswith("http") else "Must specify a URL"

    @route("POST", "/{version}/me/message_attachments")
    def upload(self, call: Call) -> Answer:
        """Take a file."""
        if "message" not in call.form or "filedata" not in call.files:
            return _invalid("message and filedata are required")
        name = self.next_id("900000000000")
        _, mime, content = call.files["filedata"]
        self.attachments[name] = (mime, content)
        return json_answer({"attachment_id": name})

    @route("GET", "/{version}/me/subscribed_apps")
    def subscribed(self, call: Call) -> Answer:
        """Tell who gets the webhooks."""
        fields = ["messages", "messaging_postbacks", "message_reads", "message_deliveries"]
        return json_answer({"data": [{"id": "670843887433847", "name": "Simulated app", "subscribed_fields": fields}]})


def _template(payload: dict[str, Any]) -> str | None:
    match payload.get("template_type"):
        case "button":
            count = len(payload.get("buttons", ()))
            fine = 1 <= count <= BUTTONS_MAX and 1 <= len(payload.get("text", "")) <= 640
            return None if fine else "a button template has 1 to 3 buttons and a text of up to 640 characters"
        case "generic":
            elements = payload.get("elements", ())
            fine = 1 <= len(elements) <= CARDS_MAX and all(1 <= len(one.get("title", "")) <= 80 for one in elements)
            return None if fine else "a generic template has 1 to 10 elements, each with a title of up to 80 characters"
        case _:
            return "Invalid template_type"


def _invalid(text: str) -> Answer:
    return fault(100, f"(#100) {text}", details=text)
