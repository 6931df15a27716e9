"""The Bot API on a port (https://core.telegram.org/bots/api#making-requests)."""

from __future__ import annotations

import msgspec
from typing_extensions import override

from connectors.telegram import TelegramConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.telegram_bot import Bot, Fault


class TelegramCloud(Cloud):
    """Takes the calls of one bot.

    Attributes:
        bot: what Telegram remembers of it: messages, files, who blocked it.
    """

    def __init__(self, options: TelegramConfig | None = None, *, seed: int | None = None) -> None:
        """See `Cloud`."""
        super().__init__(options, seed=seed)
        self.bot = Bot()

    @override
    def refuse(self, call: Call) -> Answer | None:
        """Check the token, which is part of the path."""
        known = self.options.token.reveal() if isinstance(self.options, TelegramConfig) else None
        return self.error(401, "Unauthorized") if known not in {None, call.match.get("token")} else None

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        """Write the envelope of an error (https://core.telegram.org/bots/api#responseparameters)."""
        wait = {} if retry_after is None else {"retry_after": round(retry_after)}
        words = f"Too Many Requests: retry after {round(retry_after)}" if retry_after is not None else "Bad Gateway"
        return json_answer(Fault(status, text or words, **wait).body(), status)

    @route("*", "/bot{token}/{method}")
    def method(self, call: Call) -> Answer:
        """Perform a method; its params are JSON or a form."""
        try:
            return json_answer({"ok": True, "result": self.bot.answer(call.match["method"], _params(call))})
        except Fault as fault:
            return json_answer(fault.body(), fault.code)

    @route("GET", "/file/bot{token}/documents/{file}")
    def download(self, call: Call) -> Answer:
        """Give a file (https://core.telegram.org/bots/api#getfile)."""
        content = self.bot.files.get(call.match["file"])
        if content is None:
            return self.error(404, "Not Found")
        return Answer(body=content, content_type="application/octet-stream")


def _params(call: Call) -> dict[str, object]:
    if not call.form:
        told = call.json()
        return told if isinstance(told, dict) else {}
    params: dict[str, object] = {}
    for name, value in call.form.items():
        try:
            params[name] = msgspec.json.decode(value) if name not in {"text", "caption"} else value
        except msgspec.DecodeError:
            params[name] = value
    return params
