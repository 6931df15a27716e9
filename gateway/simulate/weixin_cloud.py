"""What WeChat's and WeCom's APIs have in common, for their simulators: access tokens, errors, temporary media."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from connectors.api import ChannelConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer

EXPIRES_SECS = 7200
"""How long an access token is good."""
JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"


def told(code: int, text: str, **more: Any) -> Answer:
    """Answer as both do: errors come with HTTP 200."""
    return json_answer({"errcode": code, "errmsg": text, **more})


class WeixinCloud(Cloud):
    """See `Cloud`.

    Attributes:
        codes: HTTP status to be simulated → error code and words of this platform.
        stale: the error for an access token that is none (any more).
        free: handlers that need no access token.
        uploads: types of media.
        gone: people we cannot reach.
        tokens: valid access tokens, the newest last.
        files: media id → content.
    """

    codes: ClassVar[Mapping[int, tuple[int, str]]]
    stale: ClassVar[tuple[int, str]]
    free: ClassVar[frozenset[str]]
    uploads: ClassVar[frozenset[str]]

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the account, or the app, of `options`."""
        super().__init__(options, seed=seed)
        self.gone: set[str] = set()
        self.tokens: list[str] = []
        self.files: dict[str, bytes] = {}

    def expire(self) -> None:
        """Void every access token, as another holder's fetching does in WeChat."""
        self.tokens.clear()

    @override
    def refuse(self, call: Call) -> Answer | None:
        if call.name in self.free or not call.name:
            return None
        token = call.query.get("access_token", "")
        if not token:
            return told(41001, "access_token missing")
        return None if token in self.tokens else told(*self.stale)

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        if status in self.codes:
            code, words = self.codes[status]
            return told(code, text or words)
        return super().error(status, text, retry_after=retry_after)

    def renew(self, *, keep: int = 0) -> None:
        """Make a new access token; of those before, the newest `keep` are good for a while."""
        self.tokens = [*self.tokens[max(0, len(self.tokens) - keep) :], f"TOKEN_{secrets.token_hex(16)}"]

    def kept(self, call: Call, *, min_bytes: int = 0) -> Answer | dict[str, Any]:
        """Keep an upload; returns what to answer, or the error."""
        kind = call.query.get("type", "")
        if kind not in self.uploads:
            return told(40004, "invalid media type")
        if "media" not in call.files:
            return told(41005, "media data missing")
        content = call.files["media"][2]
        if len(content) < min_bytes:
            return told(40006, "invalid file size")
        name = self.next_id("MEDIA_")
        self.files[name] = content
        return {"type": kind, "media_id": name, "created_at": int(time.time())}  # noqa: TID251 -- an answer

    def file(self, call: Call) -> Answer:
        """Give out an uploaded file, or one that a simulated delivery named."""
        name = call.query.get("media_id", "")
        if name not in self.files and not name.startswith("simulated-"):
            return told(40007, "invalid media_id")
        headers = {"Content-disposition": f'attachment; filename="{name}.jpg"'}
        return Answer(body=self.files.get(name, JPEG), headers=headers, content_type="image/jpeg")
