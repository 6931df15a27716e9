"""What `kf/sync_msg` gives out, written as WeCom writes it (https://developer.work.weixin.qq.com/document/path/94670)."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from gateway.simulate.api import Item

ACCOUNT = "wkSimulatedAccount"
MARK = "SIM"
"""How the simulator's tokens begin; they carry what happened, so that its two sides need not know each other."""

LATELY = 500
"""Items in a token; of pokes that come in quick succession a gateway follows the last."""


def token_of(items: Collection[Item]) -> str:
    """Write a poke's token."""
    return MARK + base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(tuple(items)))).decode()


def items_of(token: str) -> tuple[Item, ...] | None:
    """Read what happened from a token; None if it is none of ours."""
    try:
        return msgspec.json.decode(
            zlib.decompress(base64.urlsafe_b64decode(token.removeprefix(MARK))), type=tuple[Item, ...]
        )
    except (msgspec.MsgspecError, binascii.Error, zlib.error, ValueError):
        return None


def written(item: Item, account: str = ACCOUNT) -> Any:
    """Write one item; a spoilt one has an id of the wrong type."""
    customer = f"wmSimulated{item.person:06d}"
    head = {"msgid": [item.number] if item.spoilt else f"sim-{item.number}", "send_time": int(item.at)}
    if item.content in _EVENTS:
        event = {"event_type": item.content, "open_kfid": account, "external_userid": customer}
        return {**head, "origin": 4, "msgtype": "event", "event": {**event, **_EVENTS[item.content](item)}}
    kind, origin = ("text", 5) if item.content == "servicer" else (item.content, 3)
    who = {"servicer_userid": "Zhangsan"} if origin == 5 else {}
    content = {**head, "open_kfid": account, "external_userid": customer, "origin": origin, **who}
    return {**content, "msgtype": kind, kind: _MESSAGES[kind](item)}


def _media(item: Item) -> dict[str, Any]:
    return {"media_id": f"simulated-{item.number}"}


_MESSAGES: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": lambda item: {"content": item.text},
    "image": _media,
    "voice": _media,
    "video": _media,
    "file": _media,
    "location": lambda item: {"latitude": 52.52, "longitude": 13.40, "name": "Berlin", "address": item.text},
    "link": lambda item: {"title": item.text, "desc": "", "url": "https://shop.example/", "pic_url": ""},
}
_EVENTS: dict[str, Callable[[Item], dict[str, Any]]] = {
    "enter_session": lambda item: {"scene": "oncall", "scene_param": "", "welcome_code": f"welcome-{item.number}"},
    "msg_send_fail": lambda item: {"fail_msgid": f"failed-{item.number}", "fail_type": 4},
    "user_recall_msg": lambda item: {"recall_msgid": f"recalled-{item.number}"},
    "session_status_change": lambda _: {"change_type": 3, "old_servicer_userid": "Zhangsan"},
}
CONTENTS = (*_MESSAGES, "servicer", *_EVENTS)
