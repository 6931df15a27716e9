"""Discord's API as far as the gateway calls it, as strict as its pages.

https://docs.discord.com/developers/resources/message, https://docs.discord.com/developers/resources/webhook
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from connectors.api import ChannelConfig
from connectors.discord_config import DiscordConfig
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

TEXT_MAX, EMBEDS_MAX, ROWS_MAX, IN_ROW = 2000, 10, 5, 5
UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, INVALID, EMPTY, UNAUTHORIZED = 10008, 10015, 50035, 50006, 0
FIRST = 900_000_000_000_000_000
HOOK, CHANNEL = "/webhooks/{application}/{token}", "/channels/{channel}"


class DiscordCloud(Cloud):
    """See `Cloud`.

    Attributes:
        expired: tokens of interactions that are over.
        closed: channels that the bot may not write to, with the code of the error.
        messages: message id → message, without those deleted.
        hook: the application's Interactions Endpoint URL.
    """

    base: ClassVar = {"api_base": "/api/v10"}

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the application of `options`."""
        super().__init__(options, seed=seed)
        self.expired: set[str] = set()
        self.closed: dict[str, int] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.hook = "https://gw.example/c/test-discord"
        self._nonces: dict[tuple[str, str], dict[str, Any]] = {}

    @override
    def refuse(self, call: Call) -> Answer | None:
        options = self.options
        if not isinstance(options, DiscordConfig) or "/webhooks/" in call.path:
            return None
        wanted = f"Bot {options.bot_token.reveal()}" if options.bot_token is not None else ""
        if call.headers.get("authorization") == wanted:
            return None
        return self._fault(UNAUTHORIZED, "401: Unauthorized", 401)

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        if status == 429:
            wait = 1.0 if retry_after is None else float(retry_after)
            told = {"message": text or "You are being rate limited.", "retry_after": wait, "global": False}
            return json_answer(told, status, {"Retry-After": f"{wait:g}", "X-RateLimit-Scope": "user"})
        return self._fault(0, text or f"{status}: simulated", status)

    def _fault(self, code: int, words: str, status: int = 400) -> Answer:
        return json_answer({"code": code, "message": words}, status)

    @route("POST", "/api/v10" + HOOK)
    def follow_up(self, call: Call) -> Answer:
        """Answer an interaction once more."""
        return self._window(call) or self._create(call, call.match["token"])

    @route("POST", "/api/v10" + CHANNEL + "/messages")
    def send(self, call: Call) -> Answer:
        """Write as the bot; the same nonce again is the same message."""
        channel, told = call.match["channel"], _told(call)
        if channel in self.closed:
            return self._fault(self.closed[channel], "Missing Access", 403)
        key = (channel, str(told.get("nonce")))
        if told.get("enforce_nonce") and key in self._nonces:
            return json_answer(self._nonces[key])
        answer = self._create(call, channel)
        if answer.status == 200 and told.get("nonce"):
            self._nonces[key] = msgspec.json.decode(answer.body)
        return answer

    @route("PATCH", "/api/v10" + HOOK + "/messages/{message}")
    def edit_follow_up(self, call: Call) -> Answer:
        """Edit an answer."""
        return self._window(call) or self._edit(call)

    @route("PATCH", "/api/v10" + CHANNEL + "/messages/{message}")
    def edit(self, call: Call) -> Answer:
        """Edit a message of the bot."""
        return self._edit(call)

    @route("DELETE", "/api/v10" + HOOK + "/messages/{message}")
    def delete_follow_up(self, call: Call) -> Answer:
        """Take an answer back."""
        return self._window(call) or self._delete(call)

    @route("DELETE", "/api/v10" + CHANNEL + "/messages/{message}")
    def delete(self, call: Call) -> Answer:
        """Take a message back."""
        return self._delete(call)

    @route("PUT", "/api/v10" + CHANNEL + "/messages/{message}/reactions/{emoji}/@me")
    def react(self, call: Call) -> Answer:
        """React to a message, whoever wrote it."""
        return Answer(status=204)

    @route("POST", "/api/v10" + CHANNEL + "/typing")
    def typing(self, call: Call) -> Answer:
        """Show that the bot types."""
        return Answer(status=204)

    @route("GET", "/api/v10/applications/@me")
    def application(self, call: Call) -> Answer:
        """Say who we are."""
        options = self.options
        told: dict[str, Any] = {"id": "1"}
        if isinstance(options, DiscordConfig):
            told = {"id": options.application_id, "verify_key": options.public_key}
        return json_answer({**told, "name": "Shop", "interactions_endpoint_url": self.hook})

    def _window(self, call: Call) -> Answer | None:
        over = call.match["token"] in self.expired
        return self._fault(UNKNOWN_WEBHOOK, "Unknown Webhook", 404) if over else None

    def _create(self, call: Call, where: str) -> Answer:
        told = _told(call)
        problem = self._problem(call, told)
        if problem is not None:
            return problem
        native = str(FIRST + len(self.messages) + 1)
        self.messages[native] = {"id": native, "where": where, "content": told.get("content", ""), **_shown(call, told)}
        return json_answer(self.messages[native])

    def _problem(self, call: Call, told: dict[str, Any]) -> Answer | None:
        content, embeds = told.get("content") or "", told.get("embeds") or []
        if not (content.strip() or embeds or call.files or told.get("components")):
            return self._fault(EMPTY, "Cannot send an empty message")
        wrong = [
            *(["content: Must be 2000 or fewer in length."] if len(content.encode("utf-16-le")) > 2 * TEXT_MAX else []),
            *(["embeds: Must be 10 or fewer in length."] if len(embeds) > EMBEDS_MAX else []),
            *_wrong_components(told.get("components") or []),
            *_wrong_files(call, told.get("attachments") or []),
        ]
        return self._fault(INVALID, f"Invalid Form Body: {wrong[0]}") if wrong else None

    def _edit(self, call: Call) -> Answer:
        found = self.messages.get(call.match["message"])
        if found is None:
            return self._fault(UNKNOWN_MESSAGE, "Unknown Message", 404)
        told = _told(call)
        problem = self._problem(call, told)
        if problem is None:
            found.update(content=told.get("content", ""), **_shown(call, told))
        return problem or json_answer(found)

    def _delete(self, call: Call) -> Answer:
        if self.messages.pop(call.match["message"], None) is None:
            return self._fault(UNKNOWN_MESSAGE, "Unknown Message", 404)
        return Answer(status=204)


def _told(call: Call) -> dict[str, Any]:
    body = call.form.get("payload_json")
    told = msgspec.json.decode(body) if body is not None else call.json()
    return told if isinstance(told, dict) else {}


def _shown(call: Call, told: dict[str, Any]) -> dict[str, Any]:
    files = [{"id": str(index), "filename": name} for index, (name, _, _) in enumerate(call.files.values())]
    return {"attachments": files, "components": told.get("components", []), "flags": told.get("flags", 0)}


def _wrong_files(call: Call, attachments: list[dict[str, Any]]) -> Iterator[str]:
    for one in attachments:
        if f"files[{one.get('id')}]" not in call.files:
            yield f"attachments: there is no file {one.get('id')}"


def _wrong_components(rows: list[dict[str, Any]]) -> Iterator[str]:
    if len(rows) > ROWS_MAX:
        yield "components: Must be 5 or fewer in length."
    names: list[str] = []
    for row in rows:
        inner = row.get("components", [])
        if row.get("type") != 1 or not 1 <= len(inner) <= IN_ROW:
            yield "components: a row has 1 to 5"
        for one in inner:
            names += [one["custom_id"]] if "custom_id" in one else []
            if one.get("type") == 2 and not 1 <= len(one.get("label", "")) <= 80:
                yield "label: Must be between 1 and 80 in length."
            if one.get("type") == 3 and not 1 <= len(one.get("options", [])) <= 25:
                yield "options: Must be between 1 and 25 in length."
    if len(set(names)) < len(names) or any(not 1 <= len(name) <= 100 for name in names):
        yield "custom_id: Component custom id cannot be duplicated, and has 1 to 100 characters"
