"""Feishu's API to send to, as far as the gateway calls it (https://open.feishu.cn/document/server-docs/im-v1/message/create).

lark_oapi's client talks to it in `tests/integration/test_feishu_peer.py`, so that it is not only what we think it is.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import msgspec
from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.feishu_config import FeishuConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.feishu_checks import ID_TYPES, NAMES, Fault, check

JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"
EXPIRES_SECS = 7200
IMAGE_MAX, FILE_MAX = 10 * 1024 * 1024, 30 * 1024 * 1024
ERRORS = {
    429: (99991400, "request trigger frequency limit"),
    401: (99991663, "Invalid access token for authorization. Please make a test attempt with the correct token"),
    500: (2200, "internal error"),
}
FILE_TYPES = frozenset({"opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"})


def told(data: Any = None, **more: Any) -> Answer:
    """Answer with success."""
    return json_answer({"code": 0, "msg": "success", **({} if data is None else {"data": data}), **more})


def refused(code: int, text: str, status: int = 400) -> Answer:
    """Answer with an error."""
    return json_answer({"code": code, "msg": text, "error": {"log_id": "simulated"}}, status)


class FeishuCloud(Cloud):
    """See `Cloud`.

    Attributes:
        tokens: valid access tokens, the newest last.
        outside: chats the bot is not in, and persons it may not reach, with the error's code.
        messages: message id → message, without those deleted.
        files: key → content of what was uploaded, and how.
        bot_status: `activate_status` of the bot.
    """

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the app of `options`."""
        super().__init__(options, seed=seed)
        self.tokens: list[str] = []
        self.outside: dict[str, int] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        self.bot_status = 2
        self._gone: set[str] = set()
        self._uuids: dict[str, dict[str, Any]] = {}

    @property
    def app(self) -> str:
        """The app's id."""
        return self.options.app_id if isinstance(self.options, FeishuConfig) else "cli_simulated"

    def expire(self) -> None:
        """Void every access token."""
        self.tokens.clear()

    @override
    def refuse(self, call: Call) -> Answer | None:
        if call.name in {"token", ""}:
            return None
        if not call.bearer:
            return refused(99991661, "Missing access token for authorization.")
        return None if call.bearer in self.tokens else refused(*ERRORS[401])

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        code, words = ERRORS.get(status, (99992402, "field validation failed"))
        headers = {} if retry_after is None else {"x-ogw-ratelimit-reset": f"{retry_after:g}"}
        return json_answer({"code": code, "msg": text or words}, status, headers)

    @override
    def answer(self, call: Call) -> Answer:
        try:
            return super().answer(call)
        except Fault as fault:
            return refused(fault.code, str(fault))

    @route("POST", "/open-apis/auth/v3/tenant_access_token/internal")
    def token(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal."""
        body = call.json()
        if isinstance(self.options, FeishuConfig):
            if body.get("app_id") != self.options.app_id:
                return refused(10003, "invalid param")
            if not secrets.compare_digest(str(body.get("app_secret")), self.options.app_secret.reveal()):
                return refused(10014, "app secret invalid")
        if not self.tokens:
            self.tokens.append(f"t-{secrets.token_hex(16)}")
        return json_answer({"code": 0, "msg": "ok", "tenant_access_token": self.tokens[-1], "expire": EXPIRES_SECS})

    @route("GET", "/open-apis/bot/v3/info")
    def bot(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/client-docs/bot-v3/obtain-bot-info."""
        bot = {"activate_status": self.bot_status, "app_name": "Simulated bot", "open_id": "ou_simulated_bot"}
        return told(bot={**bot, "avatar_url": "", "ip_white_list": []})

    @route("POST", "/open-apis/im/v1/messages")
    def send(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message/create."""
        body, id_type = call.json(), call.query.get("receive_id_type", "")
        receiver = str(body.get("receive_id", ""))
        if id_type not in ID_TYPES or not re.fullmatch(ID_TYPES[id_type], receiver):
            raise Fault(230001, "Your request contains an invalid request parameter, ext=invalid receive_id.")
        if receiver in self.outside:
            raise Fault(self.outside[receiver], "The bot cannot write to this receiver.")
        chat = receiver if id_type == "chat_id" else f"oc_p2p_{receiver[-20:]}"
        return told(self._posted(body, chat_id=chat))

    @route("POST", "/open-apis/im/v1/messages/{id}/reply")
    def reply(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message/reply."""
        body, about = call.json(), self._about(call)
        known = self.messages.get(about, {})
        root = {"root_id": known.get("root_id") or about, "parent_id": about}
        thread = {"thread_id": f"omt_{about[3:]}"} if body.get("reply_in_thread") is True else {}
        return told(self._posted(body, chat_id=known.get("chat_id", "oc_simulated"), **root, **thread))

    def _posted(self, body: dict[str, Any], **where: Any) -> dict[str, Any]:
        check(body, self.files)
        uuid = str(body.get("uuid") or "")
        if len(uuid) > 50:
            raise Fault(230001, "Your request contains an invalid request parameter, ext=uuid is too long.")
        if uuid and uuid in self._uuids:
            return self._uuids[uuid]
        native = self.next_id("om_sent")
        made = {
            "message_id": native,
            **where,
            "msg_type": body["msg_type"],
            "body": {"content": body["content"]},
            "create_time": "1795176000000",
            "update_time": "1795176000000",
            "deleted": False,
            "updated": False,
            "sender": {"id": self.app, "id_type": "app_id", "sender_type": "app", "tenant_key": "simulated"},
        }
        self.messages[native] = {**made, "reactions": {}}
        if uuid:
            self._uuids[uuid] = made
        return made

    def _about(self, call: Call) -> str:
        native = call.match["id"]
        if native in self._gone:
            raise Fault(230011, "The message was withdrawn.")
        if not native.startswith("om_"):
            raise Fault(230001, "Your request contains an invalid request parameter, ext=invalid message_id.")
        return native

    def _own(self, call: Call) -> dict[str, Any]:
        found = self.messages.get(self._about(call))
        if found is None:
            raise Fault(230012, "Bot is NOT the sender of the message.")
        return found

    @route("PUT", "/open-apis/im/v1/messages/{id}")
    def edit(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message/update."""
        body, message = call.json(), self._own(call)
        if body.get("msg_type") not in {"text", "post"} or message["msg_type"] == "interactive":
            raise Fault(230054, "This operation is not supported for this message type.")
        check(body, self.files)
        message.update(msg_type=body["msg_type"], body={"content": body["content"]}, updated=True)
        return told({name: value for name, value in message.items() if name != "reactions"})

    @route("PATCH", "/open-apis/im/v1/messages/{id}")
    def patch(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message-card/patch."""
        message = self._own(call)
        if message["msg_type"] != "interactive":
            raise Fault(230054, "This operation is not supported for this message type.")
        check({**call.json(), "msg_type": "interactive"}, self.files)
        message.update(body={"content": call.json()["content"]}, updated=True)
        return told({})

    @route("DELETE", "/open-apis/im/v1/messages/{id}")
    def recall(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message/delete."""
        native = self._own(call)["message_id"]
        del self.messages[native]
        self._gone.add(native)
        return told({})

    @route("POST", "/open-apis/im/v1/messages/{id}/reactions")
    def react(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message-reaction/create."""
        about, emoji = self._about(call), call.json().get("reaction_type", {}).get("emoji_type", "")
        if emoji not in NAMES:
            raise Fault(231001, "reaction type is invalid.")
        message = self.messages.setdefault(about, {"message_id": about, "msg_type": "text", "reactions": {}})
        made = {
            "reaction_id": self.next_id("react_"),
            "operator": {"operator_id": self.app, "operator_type": "app"},
            "action_time": "1795176000000",
            "reaction_type": {"emoji_type": emoji},
        }
        message["reactions"][made["reaction_id"]] = made
        return told(made)

    @route("GET", "/open-apis/im/v1/messages/{id}/reactions")
    def reactions(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message-reaction/list."""
        found = [*self.messages.get(self._about(call), {"reactions": {}})["reactions"].values()]
        start, size = int(call.query.get("page_token", "0")), int(call.query.get("page_size", "20"))
        more = start + size < len(found)
        page = {"page_token": str(start + size)} if more else {}
        return told({"items": found[start : start + size], "has_more": more, **page})

    @route("DELETE", "/open-apis/im/v1/messages/{id}/reactions/{reaction}")
    def unreact(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message-reaction/delete."""
        found = self.messages.get(self._about(call), {"reactions": {}})["reactions"].pop(call.match["reaction"], None)
        return told(found) if found else refused(231003, "The reaction is not found.")

    @route("POST", "/open-apis/im/v1/images")
    def upload_image(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/image/create."""
        if call.form.get("image_type") not in {"message", "avatar"} or "image" not in call.files:
            raise Fault(234001, "Invalid request param.")
        return told({"image_key": self._stored("img_v3_", call.files["image"][2], "image", IMAGE_MAX)})

    @route("POST", "/open-apis/im/v1/files")
    def upload_file(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/file/create."""
        kind = call.form.get("file_type", "")
        if kind not in FILE_TYPES or "file" not in call.files or not call.form.get("file_name"):
            raise Fault(234001, "Invalid request param.")
        return told({"file_key": self._stored("file_v3_", call.files["file"][2], kind, FILE_MAX)})

    def _stored(self, prefix: str, content: bytes, kind: str, most: int) -> str:
        if not content:
            raise Fault(234010, "File's size can't be 0.")
        if len(content) > most:
            raise Fault(234006, "The file size exceed the max value.")
        key = self.next_id(prefix)
        self.files[key] = (content, kind)
        return key

    @route("GET", "/open-apis/im/v1/messages/{id}/resources/{key}")
    def resource(self, call: Call) -> Answer:
        """https://open.feishu.cn/document/server-docs/im-v1/message/get-2."""
        key, kind = call.match["key"], call.query.get("type", "")
        if kind not in {"image", "file"}:
            raise Fault(234001, "Invalid request param.")
        if key not in self.files and "simulated" not in key:
            raise Fault(234003, "File not in msg.")
        mime = "image/jpeg" if kind == "image" else "application/octet-stream"
        headers = {"Content-Disposition": f'attachment; filename="{key}"'}
        return Answer(body=self.files.get(key, (JPEG, ""))[0], headers=headers, content_type=mime)


def content_of(message: dict[str, Any]) -> Any:
    """Read what a message says."""
    return msgspec.json.decode(message["body"]["content"])
