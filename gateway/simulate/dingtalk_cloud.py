"""DingTalk's robot API, its older API for files, and session webhooks, to send to.

https://open.dingtalk.com/document/orgapp/robot-message-type
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.dingtalk_config import DingTalkConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"
EXPIRES_SECS = 7200
CODES = {
    429: (403, "Forbidden.AccessDenied.QpsLimitForApi", "The request was rejected by qps limit"),
    500: (500, "ServiceUnavailable", "The request has failed due to a temporary failure of the server"),
    401: (400, "InvalidAuthentication", "the access_token is not valid"),
}
PARAM_MAX, SESSION_MAX = 15_000, 20_000
TYPES = {
    "image": (20, ("jpg", "jpeg", "gif", "png", "bmp")),
    "voice": (2, ("amr", "mp3", "wav")),
    "video": (20, ("mp4",)),
    "file": (20, ("doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip", "pdf", "rar")),
}
"""`type` of an upload → megabytes and endings."""

_CARD = ("title", "text")
REQUIRED: dict[str, tuple[str, ...]] = {
    "sampleText": ("content",),
    "sampleMarkdown": _CARD,
    "sampleImageMsg": ("photoURL",),
    "sampleLink": ("title", "text", "messageUrl"),
    "sampleActionCard": (*_CARD, "singleTitle", "singleURL"),
    "sampleAudio": ("mediaId", "duration"),
    "sampleFile": ("mediaId", "fileName", "fileType"),
    "sampleVideo": ("duration", "videoMediaId", "videoType", "picMediaId"),
    **{
        f"sampleActionCard{count}": (
            *_CARD,
            *(f"{name}{number}" for number in range(1, count + 1) for name in ("actionTitle", "actionURL")),
        )
        for count in range(2, 6)
    },
}
"""`msgKey` → what `msgParam` must have."""


def refused(code: str, text: str = "", status: int = 400) -> Answer:
    """Answer as the API does."""
    return json_answer({"code": code, "message": text or code, "requestid": "0B8A-SIMULATED"}, status)


def told(number: int, text: str, **more: Any) -> Answer:
    """Answer as the older API does: errors come with HTTP 200."""
    return json_answer({"errcode": number, "errmsg": text, **more})


class DingTalkCloud(Cloud):
    """See `Cloud`.

    Attributes:
        gone: user ids nobody has (any more), which are answered as an error.
        unlisted: user ids that are left out of a batch.
        limited: user ids that were written to too often.
        ended: sessions that work no more, the value of their parameter.
        messages: what was sent by the API, by `processQueryKey`.
        answered: session and body of what was answered.
        tokens: valid access tokens.
        uploads: files by `media_id`.
    """

    base: ClassVar[Mapping[str, str]] = {"api_base": "", "webhook_base": ""}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the application of `options`."""
        super().__init__(options, seed=seed)
        self.gone: set[str] = set()
        self.unlisted: set[str] = set()
        self.limited: set[str] = set()
        self.ended: set[str] = set()
        self.messages: dict[str, dict[str, Any]] = {}
        self.answered: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str] = set()
        self.uploads: dict[str, bytes] = {}

    @override
    def refuse(self, call: Call) -> Answer | None:
        """Check the access token, which stands in a header, or for files in a parameter."""
        if call.name == "upload":
            known = call.query.get("access_token", "") in self.tokens
            return None if known else told(40014, "不合法的access_token")
        if not call.path.startswith("/v1.0/robot/"):
            return None
        known = call.headers.get("x-acs-dingtalk-access-token", "") in self.tokens
        return None if known else refused("InvalidAuthentication", "不合法的access_token")

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        if status in CODES:
            real, code, words = CODES[status]
            return refused(code, text or words, real)
        return refused("system.error" if status >= 500 else "invalidParameter", text, status)

    @route("POST", "/v1.0/oauth2/accessToken")
    def token(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/obtain-the-access_token-of-an-internal-app."""
        asked, options = call.json(), self.options
        if isinstance(options, DingTalkConfig):
            right = secrets.compare_digest(str(asked.get("appSecret")), options.app_secret.reveal())
            if asked.get("appKey") != options.app_key or not right:
                return refused("invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        made = secrets.token_hex(16)
        self.tokens.add(made)
        return json_answer({"accessToken": made, "expireIn": EXPIRES_SECS})

    @route("POST", "/v1.0/robot/oToMessages/batchSend")
    def send_person(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/chatbots-send-one-on-one-chat-messages-in-batches."""
        body = call.json()
        users = body.get("userIds")
        if not isinstance(users, list) or not 1 <= len(users) <= 20:
            return refused("invalidParameter.userIds.empty")
        if self.gone & set(users):
            return refused("staffId.notExisted", "用户不存在")
        lists = {
            "invalidStaffIdList": [one for one in users if one in self.unlisted],
            "flowControlledStaffIdList": [one for one in users if one in self.limited],
        }
        return self._sent(body) or json_answer({"processQueryKey": self._kept(body), **lists})

    @route("POST", "/v1.0/robot/groupMessages/send")
    def send_group(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/the-robot-sends-a-group-message."""
        body = call.json()
        group = str(body.get("openConversationId", ""))
        if not group.startswith("cid") or group in self.gone:
            return refused("invalid.openConversationId")
        return self._sent(body) or json_answer({"processQueryKey": self._kept(body)})

    def _kept(self, body: dict[str, Any]) -> str:
        key = self.next_id("simulatedProcessQueryKey")
        self.messages[key] = body
        return key

    def _sent(self, body: dict[str, Any]) -> Answer | None:
        """Say what is wrong with a message."""
        if wrong := self._robot(body):
            return wrong
        key, param = str(body.get("msgKey")), str(body.get("msgParam"))
        if key not in REQUIRED:
            return refused("invalidParameter.msgKey.invalid")
        try:
            fields = msgspec.json.decode(param, type=dict[str, str])
        except msgspec.DecodeError:
            return refused("invalidParameter.msgParam.invalid")
        if len(param.encode()) > PARAM_MAX or any(not fields.get(name) for name in REQUIRED[key]):
            return refused("invalidParameter.msgParam.invalid")
        return None

    def _robot(self, body: dict[str, Any]) -> Answer | None:
        options = self.options
        known = not isinstance(options, DingTalkConfig) or body.get("robotCode") == options.robot_code
        return None if known else refused("invalidParameter.robotCode.auth")

    @route("POST", "/v1.0/robot/otoMessages/batchRecall")
    def recall_person(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/batch-message-recall-chat."""
        return self._recall(call.json(), "")

    @route("POST", "/v1.0/robot/groupMessages/recall")
    def recall_group(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/enterprise-chatbot-withdraws-internal-group-messages."""
        return self._recall(call.json(), str(call.json().get("openConversationId")))

    def _recall(self, body: dict[str, Any], group: str) -> Answer:
        if wrong := self._robot(body):
            return wrong
        keys = body.get("processQueryKeys") or []
        found = [key for key in keys if self.messages.get(key, {}).get("openConversationId", "") == group]
        found = [key for key in found if self.messages.pop(key, None) is not None]
        failed = {key: "processQueryKey error" for key in keys if key not in found}
        return json_answer({"successResult": found, "failedResult": failed})

    @route("POST", "/v1.0/robot/messageFiles/download")
    def download(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/download-the-file-content-of-the-robot-receiving-message."""
        code = str(call.json().get("downloadCode") or "")
        if not code.startswith("simulated"):
            return refused("invalidParameter.downloadCode.invalid")
        return json_answer({"downloadUrl": f"{self.url}/file/{code}"})

    @route("GET", "/file/{code}")
    def file(self, call: Call) -> Answer:
        """Give a file a person sent, as the host of `downloadUrl` does."""
        return Answer(body=JPEG, content_type="image/jpeg")

    @route("POST", "/media/upload")
    def upload(self, call: Call) -> Answer:
        """https://open.dingtalk.com/document/orgapp/upload-media-files."""
        kind, file = call.form.get("type", ""), call.files.get("media")
        if kind not in TYPES:
            return told(40004, "不合法的媒体文件类型")
        if file is None or not file[2]:
            return told(41005, "缺少多媒体文件数据")
        megabytes, endings = TYPES[kind]
        if len(file[2]) > megabytes * 1_048_576 or file[0].rpartition(".")[2].lower() not in endings:
            return told(40006, "不合法的文件")
        name = self.next_id("@simulated")
        self.uploads[name] = file[2]
        return told(0, "ok", type=kind, media_id=name, created_at=1_795_000_000_000)

    @route("POST", "/robot/sendBySession")
    def answer_session(self, call: Call) -> Answer:
        """Take an answer at a session webhook, which knows no token and gives no id."""
        session, body = call.query.get("session", ""), call.json()
        if not session or session in self.ended:
            return told(300001, "session 不存在")
        kind = str(body.get("msgtype"))
        if kind not in {"text", "markdown", "link", "actionCard", "feedCard"} or not body.get(kind):
            return told(400101, "msgtype is null or not supported")
        if len(call.body) > SESSION_MAX:
            return told(460101, "message too long")
        self.answered.append((session, body))
        return told(0, "ok")
