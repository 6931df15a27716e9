"""LINE's API to send to (https://developers.line.biz/en/reference/messaging-api/)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.line_config import LineConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.line_checks import complaint

BOT = "U8189cf6745fc0d808977bdb0b9f22995"
JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"
RETRY_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WORDS = {429: "The API rate limit has been exceeded. Try again later.", 500: "Internal server error"}
ID = re.compile(r"[UCR][0-9a-zA-Z_-]{1,63}")
FREE = frozenset({"verify_token", "verify_token_v21"})
"""Handlers that take the token as a parameter."""

_FIRST_ID = 461_230_966_842_064_896


class LineCloud(Cloud):
    """See `Cloud`.

    Attributes:
        used: reply tokens that were used, or are too old.
        unknown: ids nobody has.
        blocked: ids of people who blocked the bot: LINE takes a message to them, and does not deliver it.
        delivered: receiver or reply token, and message object, in order.
        quota: messages that may still be pushed this month; None has no end.
        preparing: ids of messages whose file is not ready.
        broken: ids of messages whose file will never be.
        files: ids of messages with their files; others have a picture if their id is a number.
        expires_in: seconds the access token still lasts.
    """

    base: ClassVar[Mapping[str, str]] = {"api_base": "", "data_api_base": "", "sticker_base": "/sticker"}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the account of `options`."""
        super().__init__(options, seed=seed)
        self.used: set[str] = set()
        self.unknown: set[str] = set()
        self.blocked: set[str] = set()
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.quota: int | None = None
        self.preparing: set[str] = set()
        self.broken: set[str] = set()
        self.files: dict[str, tuple[bytes, str]] = {}
        self.expires_in = 2_591_977
        self._accepted: dict[str, dict[str, Any]] = {}

    @override
    def refuse(self, call: Call) -> Answer | None:
        if call.name in FREE or not call.name or call.name == "sticker":
            return None
        known = self.options.channel_access_token.reveal() if isinstance(self.options, LineConfig) else None
        if not call.bearer or known not in {None, call.bearer}:
            text = "Authentication failed. Confirm that the access token in the authorization header is valid."
            return self.error(401, text)
        return None

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return json_answer({"message": text or WORDS.get(status, "simulated")}, status, headers)

    @route("POST", "/v2/bot/message/push")
    def push(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#send-push-message."""
        body, key = call.json(), call.headers.get("x-line-retry-key")
        if key is not None and not RETRY_KEY.fullmatch(key):
            return self.error(400, "The retry key is invalid")
        if key in self._accepted:
            headers = {"x-line-accepted-request-id": f"accepted-{key}"}
            return json_answer({"message": "The retry key is already accepted", **self._accepted[key]}, 409, headers)
        if not ID.fullmatch(str(body.get("to", ""))):
            return self.error(400, "The property, 'to', in the request body is invalid (line: -, column: -)")
        if body["to"] in self.unknown:
            return self.error(400, "Failed to send messages")
        wrong = complaint(body.get("messages"))
        if wrong is not None:
            return wrong
        if self.quota is not None and self.quota <= 0:
            return self.error(429, "You have reached your monthly limit.")
        self.quota = None if self.quota is None else self.quota - 1
        sent = self._sent(body["to"], body["messages"])
        if key is not None:
            self._accepted[key] = sent
        return json_answer(sent)

    @route("POST", "/v2/bot/message/reply")
    def reply(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#send-reply-message."""
        body = call.json()
        if "x-line-retry-key" in call.headers:  # only push, multicast and broadcast take it
            return self.error(400, "The retry key is not supported")
        wrong = complaint(body.get("messages"))
        if wrong is not None:
            return wrong
        token = str(body.get("replyToken", ""))
        if not token or token in self.used:
            return self.error(400, "Invalid reply token")
        self.used.add(token)
        return json_answer(self._sent(token, body["messages"]))

    def _sent(self, to: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        told = []
        for one in messages:
            if to not in self.blocked:
                self.delivered.append((to, one))
            name = str(_FIRST_ID + int(self.next_id()))
            told.append({"id": name, "quoteToken": f"quote-{name}"})
        return {"sentMessages": told}

    @route("POST", "/v2/bot/chat/loading/start")
    def typing(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#display-a-loading-indicator."""
        body = call.json()
        if not str(body.get("chatId", "")).startswith("U") or body.get("loadingSeconds", 20) not in range(5, 61, 5):
            return self.error(400, "The request body has 1 error(s)")
        return json_answer({}, 202)

    @route("POST", "/v2/bot/chat/markAsRead")
    def mark_as_read(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#mark-as-read."""
        return json_answer({}) if call.json().get("markAsReadToken") else self.error(400, "Invalid read token")

    @route("GET", "/v2/bot/message/{id}/content")
    def content(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-content."""
        name = call.match["id"]
        if name in self.preparing | self.broken:
            return Answer(status=202)
        if name not in self.files and not name.isdecimal():
            return self.error(404, "Not found")
        data, mime = self.files.get(name, (JPEG, "image/jpeg"))
        return Answer(body=data, content_type=mime)

    @route("GET", "/v2/bot/message/{id}/content/transcoding")
    def transcoding(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#verify-video-or-audio-preparation-status."""
        name = call.match["id"]
        status = "failed" if name in self.broken else "processing" if name in self.preparing else "succeeded"
        return json_answer({"status": status})

    @route("GET", "/sticker/{id}/android/sticker.png")
    def sticker(self, call: Call) -> Answer:
        """Give the picture of a sticker; another host of LINE's, without a token."""
        return Answer(body=b"\x89PNG a sticker", content_type="image/png")

    @route("GET", "/v2/bot/profile/{user}")
    def profile(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-profile."""
        user = call.match["user"]
        if user in self.unknown:
            return self.error(404, "Not found")
        return json_answer({"userId": user, "displayName": f"Person {user[-4:]}", "language": "ja"})

    @route("GET", "/v2/bot/{kind:group|room}/{chat}/member/{user}")
    def member(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-group-member-profile."""
        return self.profile(call)

    @route("GET", "/v2/bot/info")
    def info(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-bot-info."""
        names = {"userId": BOT, "basicId": "@216ru", "displayName": "Simulated bot"}
        return json_answer({**names, "chatMode": "chat", "markAsReadMode": "manual"})

    @route("GET", "/v2/bot/channel/webhook/endpoint")
    def endpoint(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-webhook-endpoint-information."""
        return json_answer({"endpoint": "https://gateway.example/c/shop-line", "active": True})

    @route("POST", "/v2/bot/channel/webhook/test")
    def test_endpoint(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#test-webhook-endpoint."""
        told = {"timestamp": "2026-11-20T12:00:00Z", "statusCode": 200, "reason": "OK", "detail": "200"}
        return json_answer({"success": True, **told})

    @route("GET", "/v2/bot/message/quota")
    def month(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-quota."""
        return json_answer({"type": "none"} if self.quota is None else {"type": "limited", "value": self.quota})

    @route("GET", "/v2/bot/message/quota/consumption")
    def consumption(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#get-consumption."""
        return json_answer({"totalUsage": len(self.named("push"))})

    @route("POST", "/v2/oauth/verify")
    def verify_token(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token."""
        return self._token(call.form.get("access_token", ""))

    @route("GET", "/oauth2/v2.1/verify")
    def verify_token_v21(self, call: Call) -> Answer:
        """https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token-v2-1."""
        return self._token(call.query.get("access_token", ""))

    def _token(self, given: str) -> Answer:
        if isinstance(self.options, LineConfig) and given != self.options.channel_access_token.reveal():
            return json_answer({"error": "invalid_request", "error_description": "access token expired"}, 400)
        return json_answer({"client_id": "1573163733", "expires_in": self.expires_in, "scope": "profile"})
