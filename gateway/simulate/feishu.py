"""`omnigate simulate feishu`: events and callbacks as Feishu posts them, encrypted and signed, or plain with a token.

https://open.feishu.cn/document/server-docs/im-v1/message/events/receive
https://open.feishu.cn/document/ukTMukTMukTM/uYDNxYjL2QTM24iN0EjN/event-subscription-configure-/encrypt-key-encryption-configuration-case
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from connectors.feishu_config import FeishuConfig
from connectors.feishu_crypto import Crypto, card_signature
from gateway.simulate.api import Handshake, Item, Request, Simulator, json_post
from gateway.simulate.feishu_cloud import FeishuCloud

TENANT, GROUP, BOT = "2ca1d211f64f6438", "oc_simulated_group", "ou_simulated_bot"
Event = tuple[str, dict[str, Any]]
"""Its type, and what happened."""


def _ids(item: Item) -> dict[str, str]:
    who = f"{item.person:08d}"
    return {"open_id": f"ou_simulated{who}", "union_id": f"on_simulated{who}", "user_id": f"sim{who}"}


def _message(item: Item, kind: str, content: dict[str, Any], **more: Any) -> Event:
    message = {
        "message_id": f"om_simulated{item.number:x}",
        "create_time": str(int(item.at * 1000)),
        "chat_id": f"oc_simulated{item.person:08d}",
        "chat_type": "p2p",
        "message_type": kind,
        "content": msgspec.json.encode(content).decode(),
        **more,
    }
    sender = {"sender_id": _ids(item), "sender_type": "user", "tenant_key": TENANT}
    return "im.message.receive_v1", {"sender": sender, "message": message}


def _group(item: Item) -> Event:
    key = "@_user_1"
    mention = {"key": key, "id": {"open_id": BOT, "union_id": "", "user_id": ""}, "name": "Bot", "tenant_key": TENANT}
    text = {"text": f"{key} {item.text}"}
    return _message(item, "text", text, chat_id=GROUP, chat_type="group", mentions=[mention])


def _thread(item: Item) -> Event:
    root = {"root_id": "om_simulated_root", "parent_id": "om_simulated_root", "thread_id": "omt_simulated"}
    return _message(item, "text", {"text": item.text}, chat_id=GROUP, chat_type="group", **root)


def _post(item: Item) -> Event:
    picture = [{"tag": "img", "image_key": f"img_simulated{item.number}"}]
    return _message(item, "post", {"title": "Photo", "content": [[{"tag": "text", "text": item.text}], picture]})


def _reaction(item: Item) -> Event:
    about = {"message_id": f"om_simulated{item.number:x}", "reaction_type": {"emoji_type": "THUMBSUP"}}
    who = {"operator_type": "user", "user_id": _ids(item)}
    return "im.message.reaction.created_v1", {**about, **who, "action_time": str(int(item.at * 1000))}


def _read(item: Item) -> Event:
    reader = {"reader_id": _ids(item), "read_time": str(int(item.at * 1000)), "tenant_key": TENANT}
    return "im.message.message_read_v1", {"reader": reader, "message_id_list": [f"om_simulated{item.number:x}"]}


def _recalled(item: Item) -> Event:
    about = {"message_id": f"om_simulated{item.number:x}", "chat_id": f"oc_simulated{item.person:08d}"}
    at = str(int(item.at * 1000))
    return "im.message.recalled_v1", {**about, "recall_time": at, "recall_type": "message_owner"}


def _pressed(item: Item, **action: Any) -> Event:
    where = {"open_message_id": "om_simulated_card", "open_chat_id": f"oc_simulated{item.person:08d}"}
    told = {"operator": {**_ids(item), "tenant_key": TENANT}, "token": f"c-{item.number}", "host": "im_message"}
    return "card.action.trigger", {**told, "action": {"tag": "button", **action}, "context": where}


def _old_press(item: Item) -> dict[str, Any]:
    who = _ids(item)
    return {
        "open_id": who["open_id"],
        "user_id": who["user_id"],
        "open_message_id": "om_simulated_card",
        "open_chat_id": f"oc_simulated{item.person:08d}",
        "tenant_key": TENANT,
        "token": f"c-{item.number}",
        "action": {"value": {"id": "yes", "title": "Yes"}, "tag": "button"},
    }


def _is_old_press(body: bytes) -> bool:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return isinstance(told, dict) and "open_message_id" in told and "action" in told


def _chat(item: Item, kind: str, chat: str) -> Event:
    return kind, {"chat_id": chat, "operator_id": _ids(item), "operator_tenant_key": TENANT}


def _menu(item: Item) -> Event:
    who = {"operator_name": f"Person {item.person}", "operator_id": _ids(item)}
    return "application.bot.menu_v6", {"operator": who, "event_key": "help", "timestamp": int(item.at)}


def _file(item: Item, **more: Any) -> dict[str, Any]:
    return {"file_key": f"file_simulated{item.number}", **more}


_CONTENT: dict[str, Callable[[Item], Event]] = {
    "text": lambda item: _message(item, "text", {"text": item.text}),
    "group": _group,
    "thread": _thread,
    "post": _post,
    "image": lambda item: _message(item, "image", {"image_key": f"img_simulated{item.number}"}),
    "file": lambda item: _message(item, "file", _file(item, file_name="report.pdf")),
    "audio": lambda item: _message(item, "audio", _file(item, duration=2000)),
    "video": lambda item: _message(item, "media", _file(item, file_name="clip.mp4", duration=9000)),
    "sticker": lambda item: _message(item, "sticker", _file(item)),
    "location": lambda item: _message(
        item, "location", {"name": "Berlin", "longitude": "13.404954", "latitude": "52.520008"}
    ),
    "reaction": _reaction,
    "read": _read,
    "recall": _recalled,
    "press": lambda item: _pressed(item, value={"id": "yes", "title": "Yes"}),
    "form": lambda item: _pressed(item, name="order", form_value={"name": item.text}),
    "entered": lambda item: _chat(
        item, "im.chat.access_event.bot_p2p_chat_entered_v1", f"oc_simulated{item.person:08d}"
    ),
    "added": lambda item: _chat(item, "im.chat.member.bot.added_v1", GROUP),
    "removed": lambda item: _chat(item, "im.chat.member.bot.deleted_v1", GROUP),
    "menu": _menu,
}


class FeishuSimulator(Simulator[FeishuConfig]):
    """One event or callback per delivery; with an Encrypt Key the signature covers a time and the encrypted body."""

    contents: ClassVar = (*_CONTENT, "old", "old-press")
    signs_time: ClassVar = True
    window_secs: ClassVar = 8 * 3600.0 + 60.0

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write an event of schema 2.0, a message of 1.0 (``old``), or an older callback of a card (``old-press``)."""
        (item,) = items
        if item.content == "old":
            return json_post(self._old(item))
        if item.content == "old-press":
            return json_post(_old_press(item))
        kind, event = _CONTENT[item.content](item)
        header = {
            "event_id": f"simulated-{item.number}",
            "event_type": kind,
            "create_time": str(int(item.at * 1000)),
            "token": "simulated",
            "app_id": self.options.app_id,
            "tenant_key": TENANT,
        }
        return json_post({"schema": "2.0", "header": header, "event": event})

    def _old(self, item: Item) -> dict[str, Any]:
        who = _ids(item)
        event = {
            "type": "message",
            "app_id": self.options.app_id,
            "tenant_key": TENANT,
            "root_id": "",
            "parent_id": "",
            "open_chat_id": f"oc_simulated{item.person:08d}",
            "chat_type": "private",
            "msg_type": "text",
            "open_id": who["open_id"],
            "union_id": who["union_id"],
            "employee_id": who["user_id"],
            "open_message_id": f"om_simulated{item.number:x}",
            "is_mention": False,
            "text": item.text,
            "text_without_at_bot": item.text,
        }
        told = {"uuid": f"simulated-{item.number}", "token": "simulated", "ts": f"{item.at:.6f}"}
        return {**told, "type": "event_callback", "event": event}

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Encrypt the body and sign it; without an Encrypt Key write the Verification Token into it."""
        timestamp, nonce = str(int(now)), secrets.token_hex(8)
        body, crypto = request.body, None
        if self.options.encrypt_key is not None:
            crypto = Crypto(self.options.encrypt_key.reveal())
            body = msgspec.json.encode({"encrypt": crypto.encrypt(body)})
        if _is_old_press(request.body):
            signature = card_signature(self.options.verification_token.reveal(), timestamp, nonce, body)
        elif crypto is not None:
            signature = crypto.signature(timestamp, nonce, body)
        else:
            return replace(request, body=self._named(body))
        proof = {
            "X-Lark-Request-Timestamp": timestamp,
            "X-Lark-Request-Nonce": nonce,
            "X-Lark-Signature": signature.hex(),
        }
        return replace(request, body=body).adding(headers=proof)

    def _named(self, body: bytes) -> bytes:
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return body
        place = told["header"] if isinstance(told.get("header"), dict) else told
        place["token"] = self.options.verification_token.reveal()
        return msgspec.json.encode(told)

    @override
    def handshake(self, now: float) -> Handshake:
        """Ask for the challenge, as when the request URL is entered: encrypted, and not signed."""
        challenge = secrets.token_hex(16)
        token = self.options.verification_token.reveal()
        asked: dict[str, Any] = {"challenge": challenge, "token": token, "type": "url_verification"}
        if self.options.encrypt_key is not None:
            crypto = Crypto(self.options.encrypt_key.reveal())
            asked = {"encrypt": crypto.encrypt(msgspec.json.encode(asked))}
        return Handshake(request=json_post(asked), body={"challenge": challenge})


SIMULATOR, CLOUD = FeishuSimulator, FeishuCloud
