"""A Bot API server: the methods the gateway calls, with the limits and the errors that Telegram documents.

https://core.telegram.org/bots/api#available-methods; error texts as in https://github.com/TelegramBotAPI/errors.
`test_telegram_peer.py` lets python-telegram-bot talk to it, so that it is not only what we think Telegram is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
BOT = {"id": 110201543, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
HOOK = {"url": "https://gw.example/c/tg", "has_custom_certificate": False, "pending_update_count": 3}
DATE = 1_795_000_000
MARKS = "*_`"
MEDIA = {"sendPhoto": "photo", "sendVideo": "video", "sendAudio": "audio", "sendVoice": "voice",
         "sendDocument": "document", "sendSticker": "sticker"}  # fmt: skip


class Fault(Exception):
    """An answer that is not ok."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


class BotApi:
    """The server's state.

    Attributes:
        calls: method and params of every call with the right token, refused ones included.
        messages: (chat id, message id) → Message, without those deleted.
        blocked: chats that cannot be written to, with the reason.
        migrated: groups that became supergroups.
        topics: threads that exist, by chat; only forums have any.
        faults: given out before anything else, one per call; None answers as usual.
        slow_after: how many messages are taken before the server stops answering.
        files: file id → content.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.blocked: dict[int, str] = {}
        self.migrated: dict[int, int] = {}
        self.topics: dict[int, set[int]] = {}
        self.faults: list[Fault | None] = []
        self.slow_after: int | None = None
        self._awake = asyncio.Event()
        self.files: dict[str, bytes] = {}
        self._last_id = 2000

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[BotApi]:
        """Listen on a free port until the block ends; `url` is the `api_base`."""
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = str(site.name)
        try:
            yield self
        finally:
            self._awake.set()
            await runner.cleanup()

    def named(self, method: str) -> list[dict[str, Any]]:
        """Params of all calls of a method."""
        return [params for name, params in self.calls if name == method]

    async def _call(self, request: web.Request) -> web.Response:
        try:
            return web.json_response({"ok": True, "result": await self._result(request)})
        except Fault as fault:
            body: dict[str, Any] = {"ok": False, "error_code": fault.code, "description": fault.description}
            if fault.parameters:
                body["parameters"] = fault.parameters
            return web.json_response(body, status=fault.code)

    async def _result(self, request: web.Request) -> Any:
        if request.match_info["token"] != TOKEN:
            raise Fault(401, "Unauthorized")
        method, params = request.match_info["method"], await _params(request)
        self.calls.append((method, params))
        if self.slow_after is not None and len(self.messages) >= self.slow_after:
            await self._awake.wait()
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        return self._answer(method, params)

    async def _download(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["path"].removeprefix("documents/"))
        if request.match_info["token"] != TOKEN or content is None:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=content, content_type="application/octet-stream")

    def _answer(self, method: str, params: dict[str, Any]) -> Any:
        if method in METHODS:
            return METHODS[method](self, params)
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


METHODS: dict[str, Callable[[BotApi, dict[str, Any]], Any]] = {
    "getMe": lambda *_: {**BOT, "can_join_groups": True},
    "getWebhookInfo": lambda *_: HOOK,
    "editMessageText": BotApi._edit_text,
    "editMessageMedia": BotApi._edit_media,
    "deleteMessage": BotApi._delete,
    "deleteBusinessMessages": BotApi._read,
    "setMessageReaction": BotApi._react,
    "sendChatAction": BotApi._act,
    "getFile": BotApi._file,
    "answerCallbackQuery": BotApi._acknowledge,
    "readBusinessMessage": BotApi._read,
}


async def _params(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    params: dict[str, Any] = {}
    for name, value in (await request.post()).items():  # clients may send forms, with JSON inside
        try:
            params[name] = json.loads(str(value)) if name not in {"text", "caption", "callback_query_id"} else value
        except ValueError:
            params[name] = value
    return params


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
