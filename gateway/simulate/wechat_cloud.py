"""WeChat's API to send to: access token, customer-service and template messages, media, users, checks."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import msgspec

from connectors.api import ChannelConfig
from connectors.wechat_config import WechatConfig
from gateway.simulate.cloud import Answer, Call, json_answer, route
from gateway.simulate.weixin_cloud import EXPIRES_SECS, WeixinCloud, told

TEXT_MAX = 2048


class WechatCloud(WeixinCloud):
    """See `Cloud`.

    Attributes:
        windows: OpenIDs whose 48 hours are over.
        quota: messages that may still be sent to an OpenID; those not named have no limit.
        unions: OpenID → UnionID.
        videos: media ids that are videos.
    """

    codes: ClassVar = {
        429: (45011, "api minute-quota reach limit must slower retry next minute"),
        401: (40001, "invalid credential"),
    }
    stale: ClassVar = (40001, "invalid credential, access_token is invalid or not latest")
    free: ClassVar = frozenset({"token", "stable_token", "video"})
    uploads: ClassVar = frozenset({"image", "voice", "video", "thumb"})

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the account of `options`."""
        super().__init__(options, seed=seed)
        self.windows: set[str] = set()
        self.quota: dict[str, int] = {}
        self.unions: dict[str, str] = {}
        self.videos: set[str] = set()

    @route("GET", "/cgi-bin/token")
    def token(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html."""
        return self._grant(call.query, force=True)

    @route("POST", "/cgi-bin/stable_token")
    def stable_token(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html."""
        return self._grant(call.json(), force=bool(call.json().get("force_refresh")))

    def _grant(self, asked: dict[str, Any], *, force: bool) -> Answer:
        options = self.options
        if isinstance(options, WechatConfig):
            if asked.get("appid") != options.app_id:
                return told(40013, "invalid appid")
            if not secrets.compare_digest(str(asked.get("secret")), options.app_secret.reveal()):
                return told(40125, "invalid appsecret")
        if force or not self.tokens:
            self.renew(keep=1)
        return json_answer({"access_token": self.tokens[-1], "expires_in": EXPIRES_SECS})

    @route("POST", "/cgi-bin/message/custom/send")
    def send(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html."""
        body = call.json()
        user, kind = str(body.get("touser", "")), str(body.get("msgtype", ""))
        if not user or user in self.gone:
            return told(40003, "invalid openid")
        if user in self.windows:
            return told(45015, "response out of time limit or subscription is canceled")
        if not isinstance(body.get(kind), dict):
            return told(40008, "invalid message type")
        if kind == "text" and len(str(body["text"].get("content", "")).encode()) > TEXT_MAX:
            return told(45002, "content size out of limit")
        if self.quota.setdefault(user, 1_000_000) <= 0:
            return told(45047, "out of response count limit")
        self.quota[user] -= 1
        return told(0, "ok")

    @route("POST", "/cgi-bin/message/custom/typing")
    def typing(self, call: Call) -> Answer:
        """Show or hide "typing" to a person."""
        return told(40003, "invalid openid") if call.json().get("touser") in self.gone else told(0, "ok")

    @route("POST", "/cgi-bin/message/template/send")
    def template(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html."""
        body = call.json()
        if body.get("touser") in self.gone:
            return told(43004, "require subscribe")
        return (
            told(0, "ok", msgid=int(self.next_id())) if body.get("template_id") else told(40037, "invalid template_id")
        )

    @route("POST", "/cgi-bin/media/upload")
    def upload(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html."""
        kept = self.kept(call)
        return kept if isinstance(kept, Answer) else json_answer(kept)

    @route("GET", "/cgi-bin/media/get")
    def media(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html."""
        name = call.query.get("media_id", "")
        if name in self.videos:
            return json_answer({"video_url": f"{self.url}/video/{name}"})
        return self.file(call)

    @route("GET", "/video/{name}")
    def video(self, call: Call) -> Answer:
        """Give a video, as the host of a `video_url` does."""
        return Answer(body=b"\0\0\0\x18ftypmp42 a video of the simulator", content_type="video/mp4")

    @route("GET", "/cgi-bin/user/info")
    def user(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html."""
        user = call.query.get("openid", "")
        union = {"unionid": self.unions[user]} if user in self.unions else {}
        return json_answer({"subscribe": 1, "openid": user, "language": "zh_CN", **union})

    @route("POST", "/cgi-bin/openapi/quota/get")
    def quotas(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/openApi/get_api_quota.html."""
        return told(0, "ok", quota={"daily_limit": 500_000, "used": len(self.named("send")), "remain": 500_000})

    @route("GET", "/cgi-bin/getcallbackip")
    def addresses(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_the_WeChat_server_IP_address.html."""
        return json_answer({"ip_list": ["203.0.113.1", "203.0.113.2"]})

    @route("POST", "/cgi-bin/callback/check")
    def check(self, call: Call) -> Answer:
        """https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Network_Detection.html."""
        found = {"ip": "203.0.113.80", "real_operator": "UNICOM"}
        return Answer(
            body=msgspec.json.encode({"dns": [found], "ping": [{**found, "package_loss": "0%", "time": "23ms"}]})
        )
