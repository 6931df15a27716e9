"""WeCom's API to send to: access token, application messages, media, the app itself.

`WecomBase` is what customer service has in common with it.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from connectors.api import ChannelConfig
from gateway.simulate.cloud import Answer, Call, route
from gateway.simulate.weixin_cloud import EXPIRES_SECS, WeixinCloud, told

TEXT_MAX = 2048
TYPES = frozenset(
    {"text", "image", "voice", "video", "file", "textcard", "news", "mpnews", "markdown", "template_card"}
)
CARDS = {"button_interaction": ("button_list", 6), "vote_interaction": ("checkbox", 20)}


class WecomBase(WeixinCloud):
    """The part that every kind of app has."""

    codes: ClassVar = {429: (45009, "reach max api daily quota limit"), 401: (40014, "invalid access_token")}
    stale: ClassVar = (42001, "access_token expired")
    free: ClassVar = frozenset({"token"})
    uploads: ClassVar = frozenset({"image", "voice", "video", "file"})

    @route("GET", "/cgi-bin/gettoken")
    def token(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/91039: the same one for as long as it is good."""
        secret = getattr(self.options, "secret", None)
        if secret is not None:
            if call.query.get("corpid") != getattr(self.options, "corp_id", ""):
                return told(40013, "invalid corpid")
            if not secrets.compare_digest(call.query.get("corpsecret", ""), secret.reveal()):
                return told(40001, "invalid credential")
        if not self.tokens:
            self.renew()
        return told(0, "ok", access_token=self.tokens[-1], expires_in=EXPIRES_SECS)

    @route("POST", "/cgi-bin/media/upload")
    def upload(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/90253."""
        kept = self.kept(call, min_bytes=6)
        return kept if isinstance(kept, Answer) else told(0, "", **{**kept, "created_at": str(kept["created_at"])})

    @route("GET", "/cgi-bin/media/get")
    def fetch(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/90254."""
        return self.file(call)

    def complaint(self, body: dict[str, Any]) -> Answer | None:
        """Say what is wrong with the content of a message."""
        kind = str(body.get("msgtype", ""))
        content = body.get(kind)
        if not isinstance(content, dict):
            return told(40008, "invalid message type")
        if kind in {"text", "markdown"} and len(str(content.get("content", "")).encode()) > TEXT_MAX:
            return told(45002, "content size out of limit")
        known = str(content.get("media_id", "MEDIA_")).startswith(("MEDIA_", "simulated-"))
        return None if known else told(40007, "invalid media_id")


class WecomCloud(WecomBase):
    """See `Cloud`.

    Attributes:
        unlicensed: members without a licence.
        sent: ids of messages that can be recalled.
    """

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the app of `options`."""
        super().__init__(options, seed=seed)
        self.unlicensed: set[str] = set()
        self.sent: set[str] = set()
        self._tasks: set[str] = set()

    @route("POST", "/cgi-bin/message/send")
    def send(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/90236."""
        body = call.json()
        if not isinstance(body.get("agentid"), int):
            return told(40056, "invalid agentid")
        user = str(body.get("touser", ""))
        if not user or user in self.gone:
            return told(81013, "user & party & tag all invalid", invaliduser=user)
        if body.get("msgtype") not in TYPES:
            return told(40008, "invalid message type")
        complaint = self.complaint(body) or self._card(body)
        if complaint is not None:
            return complaint
        if user in self.unlicensed:
            return told(0, "ok", unlicenseduser=user)
        native = self.next_id("msg")
        self.sent.add(native)
        return told(0, "ok", invaliduser="", invalidparty="", invalidtag="", msgid=native)

    def _card(self, body: dict[str, Any]) -> Answer | None:
        if body["msgtype"] != "template_card":
            return None
        card = body["template_card"]
        field, most = CARDS.get(str(card.get("card_type")), ("", 0))
        items = card.get(field) or []
        items = items.get("option_list", []) if isinstance(items, dict) else items
        if not 0 < len(items) <= most or not card.get("main_title", {}).get("title"):
            return told(42014, "invalid template_card")
        if not card.get("task_id") or card["task_id"] in self._tasks:
            return told(42026, "task_id missing or used before")
        self._tasks.add(card["task_id"])
        return None

    @route("POST", "/cgi-bin/message/recall")
    def recall(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/94867."""
        native = str(call.json().get("msgid"))
        if native not in self.sent:
            return told(40058, "invalid msgid")
        self.sent.discard(native)
        return told(0, "ok")

    @route("GET", "/cgi-bin/agent/get")
    def agent(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/90227."""
        return told(0, "ok", agentid=int(call.query.get("agentid", "0")), name="Simulated app", close=0)
