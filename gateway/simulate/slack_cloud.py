"""Slack's Web API as far as the gateway calls it, as strict as its pages (https://docs.slack.dev/reference/methods).

slack_sdk's client talks to it in `tests/integration/test_slack_peer.py`, so that it is not only what we think Slack is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.slack_config import SlackConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

TEXT_MAX, MARKDOWN_MAX, BLOCKS_MAX = 40_000, 12_000, 50
SCOPES = "chat:write,channels:history,files:read,files:write,reactions:read,reactions:write,im:write"
BOT = {"user_id": "U0BOT", "bot_id": "B0BOT", "user": "shop-bot", "team_id": "T0SIMULATED", "team": "Simulated"}
ERRORS = {429: "ratelimited", 401: "invalid_auth", 404: "unknown_method"}
FIRST = 1_800_000_000


class Fault(Exception):
    """An answer that is not ok."""

    def __init__(self, error: str, **more: Any) -> None:
        """Answer with this word."""
        super().__init__(error)
        self.told = {"ok": False, "error": error, **more}


class SlackCloud(Cloud):
    """See `Cloud`.

    Attributes:
        messages: (channel, ts) → message, without those deleted.
        closed: channels that cannot be written to, with the error.
        files: file id → bytes, once uploaded.
        shared: ids of files that were shared.
    """

    base: ClassVar = {"api_base": "/api"}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the app of `options`."""
        super().__init__(options, seed=seed)
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}
        self.closed: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.shared: dict[str, str] = {}
        self._asked: dict[str, tuple[str, int]] = {}
        self._last = 0

    @override
    def refuse(self, call: Call) -> Answer | None:
        if call.name in {"upload", "hook"} or not isinstance(self.options, SlackConfig):
            return None
        if not call.bearer:
            return json_answer({"ok": False, "error": "not_authed"})
        known = call.bearer == self.options.bot_token.reveal()
        return None if known else json_answer({"ok": False, "error": "invalid_auth"})

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return json_answer({"ok": False, "error": text or ERRORS.get(status, "internal_error")}, status, headers)

    @route("*", "/api/{method}")
    def method(self, call: Call) -> Answer:
        """Perform a method; its arguments are JSON, a form or a query."""
        perform = self.METHODS.get(call.match["method"])
        try:
            told = (perform or _unknown)(self, _arguments(call))
            return json_answer({"ok": True, **told}, headers={"x-oauth-scopes": SCOPES})
        except Fault as fault:
            return json_answer(fault.told)

    @route("POST", "/upload/{file}")
    def upload(self, call: Call) -> Answer:
        """Take the bytes of a file, raw or as a form."""
        name = call.match["file"]
        content = next((content for _, _, content in call.files.values()), call.body)
        if name not in self._asked or len(content) != self._asked[name][1]:
            return Answer(status=400, body=b"no such upload, or not its length", content_type="text/plain")
        self.files[name] = content
        return Answer(body=f"OK - {len(content)}".encode(), content_type="text/plain")

    @route("GET", "/files-pri/{file}/{name}")
    def download(self, call: Call) -> Answer:
        """Give a file to whoever has the token."""
        content = self.files.get(call.match["file"])
        if content is None:
            return Answer(status=404, body=b"", content_type="text/plain")
        return Answer(body=content, content_type="application/octet-stream")

    @route("POST", "/hook/{id}")
    def hook(self, call: Call) -> Answer:
        """Take an answer at a `response_url`."""
        return Answer(body=b"ok", content_type="text/plain")

    def _post(self, told: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(told)
        _content(told)
        self._last += 1
        ts = f"{FIRST}.{self._last:06d}"
        thread = told.get("thread_ts")
        if thread is not None and not re.fullmatch(r"\d+\.\d{6}", str(thread)):
            raise Fault("invalid_thread_ts")
        message = {"type": "message", "text": told.get("text", ""), "ts": ts, "bot_id": BOT["bot_id"]}
        self.messages[channel, ts] = {**message, "blocks": told.get("blocks", []), "reactions": []}
        return {"channel": channel, "ts": ts, "message": message}

    def _channel(self, told: dict[str, Any], name: str = "channel") -> str:
        channel = str(told.get(name) or "")
        if not re.fullmatch(r"[CDGUW][A-Z0-9]+|#[\w.-]+", channel):
            raise Fault("channel_not_found")
        if channel in self.closed:
            raise Fault(self.closed[channel])
        return f"D{channel[1:]}" if channel[0] in "UW" and name == "channel" else channel

    def _message(self, told: dict[str, Any], name: str = "ts") -> dict[str, Any]:
        found = self.messages.get((self._channel(told), str(told.get(name))))
        if found is None:
            raise Fault("message_not_found")
        return found

    def _update(self, told: dict[str, Any]) -> dict[str, Any]:
        message = self._message(told)
        _content(told)
        message.update(text=told.get("text", ""), blocks=told.get("blocks", []))
        return {"channel": told["channel"], "ts": message["ts"], "text": message["text"]}

    def _delete(self, told: dict[str, Any]) -> dict[str, Any]:
        message = self._message(told)
        del self.messages[self._channel(told), message["ts"]]
        return {"channel": told["channel"], "ts": message["ts"]}

    def _react(self, told: dict[str, Any]) -> dict[str, Any]:
        message, name = self._message(told, "timestamp"), told.get("name", "")
        if not re.fullmatch(r"[\w+'-]+(::skin-tone-[2-6])?", name):
            raise Fault("invalid_name")
        if any(one["name"] == name for one in message["reactions"]):
            raise Fault("already_reacted")
        message["reactions"].append({"name": name, "users": [BOT["user_id"]], "count": 1})
        return {}

    def _unreact(self, told: dict[str, Any]) -> dict[str, Any]:
        message, name = self._message(told, "timestamp"), told.get("name", "")
        left = [one for one in message["reactions"] if one["name"] != name]
        if len(left) == len(message["reactions"]):
            raise Fault("no_reaction")
        message["reactions"] = left
        return {}

    def _reactions(self, told: dict[str, Any]) -> dict[str, Any]:
        return {"type": "message", "message": self._message(told, "timestamp")}

    def _upload_url(self, told: dict[str, Any]) -> dict[str, Any]:
        name, length = told.get("filename"), int(told.get("length") or 0)
        if not name or length <= 0:
            raise Fault("invalid_arguments", response_metadata={"messages": ["filename and length are needed"]})
        file = self.next_id("F0SIM")
        self._asked[file] = (str(name), length)
        return {"upload_url": f"{self.url}/upload/{file}", "file_id": file}

    def _complete(self, told: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(told, "channel_id") if told.get("channel_id") else ""
        if channel[:1] in {"U", "W"}:
            raise Fault("channel_not_found")
        files = told.get("files")
        if not isinstance(files, list) or not files:
            raise Fault("invalid_arguments")
        for file in files:
            if file.get("id") not in self.files or file["id"] in self.shared:
                raise Fault("file_not_found")
            self.shared[file["id"]] = channel
        return {"files": files}

    def _info(self, told: dict[str, Any]) -> dict[str, Any]:
        file = str(told.get("file"))
        if file not in self.files:
            raise Fault("file_not_found")
        return {
            "file": {"id": file, "url_private": f"{self.url}/files-pri/{file}/{file}", "size": len(self.files[file])}
        }

    def _delete_file(self, told: dict[str, Any]) -> dict[str, Any]:
        if self.files.pop(str(told.get("file")), None) is None:
            raise Fault("file_not_found")
        return {}

    def _open(self, told: dict[str, Any]) -> dict[str, Any]:
        user = str(told.get("users") or "")
        if not re.fullmatch(r"[UW][A-Z0-9]+", user):
            raise Fault("user_not_found")
        return {"channel": {"id": f"D{user[1:]}"}}

    METHODS: ClassVar[dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]]] = {
        "auth.test": lambda *_: {"url": "https://simulated.slack.com/", **BOT},
        "chat.postMessage": _post,
        "chat.update": _update,
        "chat.delete": _delete,
        "reactions.add": _react,
        "reactions.remove": _unreact,
        "reactions.get": _reactions,
        "files.getUploadURLExternal": _upload_url,
        "files.completeUploadExternal": _complete,
        "files.info": _info,
        "files.delete": _delete_file,
        "conversations.open": _open,
    }


def _unknown(*_: Any) -> dict[str, Any]:
    raise Fault("unknown_method")


def _arguments(call: Call) -> dict[str, Any]:
    told = call.json() if "json" in call.headers.get("content-type", "") else {}
    merged = {**call.query, **call.form, **(told if isinstance(told, dict) else {})}
    for name in ("blocks", "files"):
        if isinstance(merged.get(name), str):
            merged[name] = msgspec.json.decode(merged[name])
    return merged


def _content(told: dict[str, Any]) -> None:
    text, markdown, blocks = (told.get(name) for name in ("text", "markdown_text", "blocks"))
    if not (text or markdown or blocks):
        raise Fault("no_text")
    if markdown and (text or blocks):
        raise Fault("markdown_text_conflict")
    if len(text or "") > TEXT_MAX or len(markdown or "") > MARKDOWN_MAX:
        raise Fault("msg_too_long")
    if not isinstance(blocks or [], list) or len(blocks or []) > BLOCKS_MAX:
        raise Fault("invalid_blocks")
    problem = next((words for block in blocks or [] if (words := _problem(block))), None)
    if problem:
        raise Fault("invalid_blocks", response_metadata={"messages": [f"[ERROR] {problem}"]})


def _problem(block: dict[str, Any]) -> str | None:
    """Say what is wrong with a block; None if nothing is."""
    match block.get("type"):
        case "section":
            words = block.get("text", {}).get("text", "")
            return None if 1 <= len(words) <= 3000 else "section text must be of 1 to 3000 characters"
        case "image":
            return None if block.get("alt_text") and (block.get("image_url") or block.get("slack_file")) else "image"
        case "actions":
            return _elements(block.get("elements", []))
        case kind:
            return f"unsupported type {kind}"


def _elements(elements: list[dict[str, Any]]) -> str | None:
    if not 1 <= len(elements) <= 25:
        return "must have 1 to 25 elements"
    if len({one.get("action_id") for one in elements}) < len(elements):
        return "action_id must be unique"
    for one in elements:
        options = one.get("options", [])
        texts = [one["text"]["text"]] if "text" in one else [option["text"]["text"] for option in options]
        if not texts or len(options) > 100 or not all(1 <= len(text) <= 75 for text in texts):
            return "an element is incomplete or too long"
    return None
