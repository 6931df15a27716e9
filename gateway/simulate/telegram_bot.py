"""The Bot API's side of a bot: the methods the gateway calls, with the limits and the errors that Telegram documents.

https://core.telegram.org/bots/api#available-methods; error texts as in https://github.com/TelegramBotAPI/errors.
python-telegram-bot talks to it in `tests/integration/test_telegram_peer.py`, so that it is not only what we think
Telegram is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

BOT = {"id": 110201543, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
HOOK = {"url": "https://gw.example/c/tg", "has_custom_certificate": False, "pending_update_count": 3}
DATE = 1_795_000_000
MARKS = "*_`"
MEDIA = {"sendPhoto": "photo", "sendVideo": "video", "sendAudio": "audio", "sendVoice": "voice",
         "sendDocument": "document", "sendSticker": "sticker"}  # fmt: skip


class Fault(Exception):
    """An answer that is not ok."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        """Answer with this code, these words and these `parameters`."""
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters

    def body(self) -> dict[str, Any]:
        """Write the answer."""
        told = {"ok": False, "error_code": self.code, "description": self.description}
        return {**told, **({"parameters": self.parameters} if self.parameters else {})}


class Bot:
    """What the provider remembers.

    Attributes:
        messages: (chat id, message id) → Message, without those deleted.
        blocked: chats that cannot be written to, with the reason.
        migrated: groups that became supergroups.
        topics: threads that exist, by chat; only forums have any.
        files: file id → content.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.blocked: dict[int, str] = {}
        self.migrated: dict[int, int] = {}
        self.topics: dict[int, set[int]] = {}
        self.files: dict[str, bytes] = {}
        self._last_id = 2000

    def answer(self, method: str, params: dict[str, Any]) -> Any:
        """Return the result of a call; raises `Fault`."""
        if method in self.METHODS:
            return self.METHODS[method](self, params)
        if method in {"sendMessage", "sendLocation", "sendVenue", "sendContact", *MEDIA}:
            return self._send(method, params)
        raise Fault(404, "Not Found")

    def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(params)
        content = _content(method, params)
        _check_markup(params.get("reply_markup"))
        thread = params.get("message_thread_id")
        if thread is not None and thread not in self.topics.get(chat, ()):
            raise Fault(400, "Bad Request: message thread not found")
        reply = params.get("reply_parameters")
        replied = self.messages.get((chat, reply["message_id"])) if reply else None
        if reply and replied is None and not reply.get("allow_sending_without_reply"):
            raise Fault(400, "Bad Request: message to be replied not found")
        self._last_id += 1
        kind = {"type": "private", "first_name": "Ann"} if chat > 0 else {"type": "supergroup", "title": "Shop floor"}
        message = {"message_id": self._last_id, "from": BOT, "chat": {"id": chat, **kind}, "date": DATE, **content}
        if thread is not None:
            message |= {"message_thread_id": thread, "is_topic_message": True}
        if "inline_keyboard" in (params.get("reply_markup") or {}):
            message["reply_markup"] = params["reply_markup"]
        if replied:
            message["reply_to_message"] = replied
        self.messages[chat, self._last_id] = message
        return message

    def _chat(self, params: dict[str, Any]) -> int:
        chat = params.get("chat_id")
        if chat is None:
            raise Fault(400, "Bad Request: chat_id is empty")
        if chat == "@shopnews":
            return -1009876543210
        if not isinstance(chat, int):
            raise Fault(400, "Bad Request: chat not found")
        if chat in self.migrated:
            text = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Fault(400, text, migrate_to_chat_id=self.migrated[chat])
        if chat in self.blocked:
            raise Fault(403, self.blocked[chat])
        return chat

    def _message(self, params: dict[str, Any], complaint: str) -> dict[str, Any]:
        found = self.messages.get((self._chat(params), params.get("message_id", 0)))
        if found is None:
            raise Fault(400, f"Bad Request: {complaint}")
        return found

    def _edit_text(self, params: dict[str, Any]) -> dict[str, Any]:
        message = self._message(params, "message to edit not found")
        content = _content("sendMessage", params)
        if message.get("text") == content["text"] and message.get("reply_markup") == params.get("reply_markup"):
            raise Fault(400, "Bad Request: message is not modified: specified new message content and reply markup are "
                             "exactly the same as a current content and reply markup of the message")  # fmt: skip
        message.update(content, edit_date=DATE + 1)
        return message

    def _edit_media(self, params: dict[str, Any]) -> dict[str, Any]:
        message, media = self._message(params, "message to edit not found"), params["media"]
        for name in MEDIA.values():
            message.pop(name, None)
        told = {media["type"]: media["media"], **media}
        message.update(_content(f"send{media['type'].capitalize()}", told), edit_date=DATE + 1)
        return message

    def _delete(self, params: dict[str, Any]) -> bool:
        message = self._message(params, "message to delete not found")
        del self.messages[message["chat"]["id"], message["message_id"]]
        return True

    def _react(self, params: dict[str, Any]) -> bool:
        message = self._message(params, "message to react not found")
        if len(params.get("reaction", [])) > 1:
            raise Fault(400, "Bad Request: REACTIONS_TOO_MANY")
        message["reactions"] = params.get("reaction", [])
        return True

    def _act(self, params: dict[str, Any]) -> bool:
        self._chat(params)
        if params.get("action") != "typing":
            raise Fault(400, "Bad Request: wrong parameter action in request")
        return True

    def _file(self, params: dict[str, Any]) -> dict[str, Any]:
        name = params.get("file_id", "")
        if name not in self.files:
            raise Fault(400, "Bad Request: invalid file_id")
        size = len(self.files[name])
        return {"file_id": name, "file_unique_id": f"u{name}", "file_size": size, "file_path": f"documents/{name}"}

    def _acknowledge(self, params: dict[str, Any]) -> bool:
        if not str(params.get("callback_query_id", "")).isdecimal():
            raise Fault(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        return True

    def _read(self, params: dict[str, Any]) -> bool:
        if not params.get("business_connection_id"):
            raise Fault(400, "Bad Request: business connection not found")
        return True

    METHODS: ClassVar[dict[str, Callable[[Any, dict[str, Any]], Any]]] = {
        "getMe": lambda *_: {**BOT, "can_join_groups": True},
        "getWebhookInfo": lambda *_: HOOK,
        "editMessageText": _edit_text,
        "editMessageMedia": _edit_media,
        "deleteMessage": _delete,
        "deleteBusinessMessages": _read,
        "setMessageReaction": _react,
        "sendChatAction": _act,
        "getFile": _file,
        "answerCallbackQuery": _acknowledge,
        "readBusinessMessage": _read,
    }


def _content(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "sendMessage":
            return {"text": _formatted(params, "text", 4096, "message text is empty", "message is too long")}
        case "sendLocation":
            return {"location": _place(params)}
        case "sendVenue":
            _required(params, "title", "address")
            place = _place(params)
            return {
                "location": place,
                "venue": {"location": place, **{name: params[name] for name in ("title", "address")}},
            }
        case "sendContact":
            _required(params, "phone_number", "first_name")
            return {
                "contact": {name: params[name] for name in ("phone_number", "first_name", "vcard") if name in params}
            }
        case _:
            return _file_content(MEDIA[method], params)


def _file_content(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    name = params.get(kind)
    if not isinstance(name, str) or not name:
        raise Fault(400, f"Bad Request: there is no {kind} in the request")
    file: dict[str, Any] = {"file_id": name, "file_unique_id": f"u{name}"[:20]}
    if kind in {"photo", "video", "sticker"}:
        file |= {"width": 512, "height": 512}
    if kind in {"audio", "video", "voice"}:
        file["duration"] = 1
    if kind == "sticker":
        file |= {"is_animated": False, "is_video": False, "type": "regular"}
    content: dict[str, Any] = {kind: [file] if kind == "photo" else file}
    if kind != "sticker" and params.get("caption"):
        content["caption"] = _formatted(params, "caption", 1024, "", "message caption is too long")
    return content


def _formatted(params: dict[str, Any], name: str, limit: int, empty: str, long: str) -> str:
    text = str(params.get(name, "")).strip()
    mode = params.get("parse_mode")
    if mode and (any(text.count(mark) % 2 for mark in MARKS) if mode != "HTML" else text.count("<") != text.count(">")):
        raise Fault(400, "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 0")
    if not text:
        raise Fault(400, f"Bad Request: {empty}")
    if len(text.encode("utf-16-le")) // 2 > limit:
        raise Fault(400, f"Bad Request: {long}")
    return text


def _place(params: dict[str, Any]) -> dict[str, float]:
    return {name: float(params[name]) for name in ("latitude", "longitude")}


def _required(params: dict[str, Any], *names: str) -> None:
    for name in names:
        if not params.get(name):
            raise Fault(400, f"Bad Request: {name} is empty")


def _check_markup(markup: dict[str, Any] | None) -> None:
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            data = button.get("callback_data")
            if data is not None and not 1 <= len(data.encode()) <= 64:
                raise Fault(400, "Bad Request: BUTTON_DATA_INVALID")
            if data is None and "url" not in button:
                raise Fault(400, "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the "
                                 "inline keyboard")  # fmt: skip
