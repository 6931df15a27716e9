"""`omnigate simulate dingtalk`: what DingTalk posts to a robot.

https://open.dingtalk.com/document/orgapp/receive-message
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.dingtalk_config import DingTalkConfig
from gateway.simulate.api import Item, Request, Simulator, json_post, raw_post
from gateway.simulate.dingtalk_cloud import DingTalkCloud

CORP = "ding9f50b15bccd16741"
BOT = "$:LWCP_v1:$simulated/robot=="
SESSION_SECS = 5400
"""How long a session webhook lasts (seen: an hour and a half)."""

MALFORMED = (
    b"this is not JSON",
    b'{"msgtype":"text","msgId":"msgabc","conversationId":"cid',
    b'{"msgtype":"text","msgId":17,"conversationId":"cid","senderId":"x","text":{"content":"hi"}}',
    b'{"msgtype":"text","msgId":"m","conversationId":"cid","senderId":"\xff\xfe"}',
    b'{"msgtype":"audio","msgId":"m","conversationId":"c","senderId":"s","content":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
"""Not JSON, cut off, wrong types, invalid UTF-8, too deep."""


def person(number: int) -> str:
    """Name a person's user id."""
    return f"manager{number:04d}"


def group(number: int) -> str:
    """Name a group."""
    return f"cidSimulated{number:010d}A=="


def _text(item: Item) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": item.text}}


def _content(kind: str, **fields: Any) -> Callable[[Item], dict[str, Any]]:
    return lambda item: {"msgtype": kind, "content": {"downloadCode": f"simulated-{item.number}", **fields}}


def _rich(item: Item) -> dict[str, Any]:
    picture = {"type": "picture", "downloadCode": f"simulated-{item.number}", "pictureDownloadCode": "simulated-small"}
    return {"msgtype": "richText", "content": {"richText": [{"text": item.text}, picture]}}


def _in_group(item: Item) -> dict[str, Any]:
    mentioned = [{"dingtalkId": BOT}]
    told = {"conversationId": group(item.person), "conversationTitle": "Simulated group", "conversationType": "2"}
    return {**told, "atUsers": mentioned, "isInAtList": True, "msgtype": "text", "text": {"content": f" {item.text}"}}


_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": _text,
    "group": _in_group,
    "outsider": lambda item: {**_text(item), "senderStaffId": None},
    "richText": _rich,
    "picture": _content("picture", pictureDownloadCode="simulated-small"),
    "audio": _content("audio", duration=4000, recognition="Simulated words"),
    "video": _content("video", duration=4, videoType="mp4"),
    "file": _content("file", fileName="offer.pdf", fileId="175410152345", spaceId="20041234"),
}


class DingTalkSimulator(Simulator[DingTalkConfig]):
    """One message per request; the signature covers the time alone."""

    contents: ClassVar = tuple(_CONTENT)
    signs_body: ClassVar[bool] = False
    signs_time: ClassVar[bool] = True

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write one message."""
        (item,) = items
        session = f"{self.options.webhook_base.rstrip('/')}/robot/sendBySession?session=simulated{item.person}"
        told: dict[str, Any] = {
            "conversationId": f"cidDirect{item.person:012d}B==",
            "conversationType": "1",
            "chatbotCorpId": CORP,
            "chatbotUserId": BOT,
            "msgId": f"msg{item.number:020d}==",
            "senderNick": f"Simulated Person {item.person}",
            "isAdmin": False,
            "senderStaffId": person(item.person),
            "senderId": f"$:LWCP_v1:$simulated{item.person:06d}==",
            "senderCorpId": CORP,
            "createAt": int(item.at * 1000),
            "sessionWebhook": session,
            "sessionWebhookExpiredTime": int((item.at + SESSION_SECS) * 1000),
            "robotCode": self.options.robot_code,
            **_CONTENT[item.content](item),
        }
        return json_post({name: value for name, value in told.items() if value is not None})

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign the time with the secret of the application."""
        at, secret = str(int(now * 1000)), self.options.app_secret.reveal()
        signature = hmac.digest(secret.encode(), f"{at}\n{secret}".encode(), "sha256")
        return request.adding(headers={"timestamp": at, "sign": base64.b64encode(signature).decode()})

    @override
    def malformed(self, number: int) -> Request:
        """Not JSON, cut off, wrong types, invalid UTF-8, too deep."""
        return raw_post(MALFORMED[number % len(MALFORMED)])


SIMULATOR, CLOUD = DingTalkSimulator, DingTalkCloud
