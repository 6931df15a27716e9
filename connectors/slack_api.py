"""What Slack's Web API answers, and what its errors mean.

https://docs.slack.dev/reference/methods/chat.postMessage#errors, https://docs.slack.dev/apis/web-api/rate-limits

Errors come as ``{"ok": false, "error": "…"}`` with HTTP 200; "slow down" is HTTP 429. One table says what each word is
to us; what is not in it is a refusal of this one message.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.http import Answer

T = TypeVar("T")

THROTTLED = frozenset({"ratelimited", "rate_limited", "rate_limit_exceeded"})
BUSY = frozenset({
    "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "unknown_error",
})  # fmt: skip
OURS = frozenset({
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
    "missing_scope", "not_allowed_token_type", "org_login_required", "team_access_not_granted", "access_denied",
    "accesslimited", "two_factor_setup_required", "enterprise_is_restricted", "ekm_access_denied",
    "unknown_method", "method_deprecated", "deprecated_endpoint", "app_missing_action_url",
})  # fmt: skip
"""Our token, its scopes, or what the workspace allows our app."""

GONE = frozenset({
    "channel_not_found", "not_in_channel", "is_archived", "user_not_found", "user_not_visible", "user_disabled",
    "cannot_dm_bot", "users_not_found", "messages_tab_disabled", "user_not_in_channel", "channel_is_archived",
})  # fmt: skip
"""Nothing can be said to this channel or person, or nothing by us."""

HINTS = {
    "not_in_channel": "invite the bot to the channel (/invite)",
    "channel_not_found": "the bot must be a member of private channels",
    "missing_scope": "add the scope to the app and install it again",
    "invalid_auth": "check `bot_token`",
    "token_revoked": "install the app again and set `bot_token`",
    "account_inactive": "install the app again and set `bot_token`",
}
DONE = frozenset({"message_not_found", "already_reacted", "no_reaction", "file_deleted", "file_not_found"})
"""What a deletion or a reaction is told that was done before, such as by a try whose answer got lost."""


class Told(Struct, frozen=True):
    """The part of every answer that says whether it is one."""

    ok: bool
    error: str = ""
    needed: str = ""
    response_metadata: dict[str, Any] = {}


class Posted(Struct, frozen=True):
    """Of an answer to a call that makes a message or shares a file."""

    ts: str | None = None
    channel: Any = None
    files: tuple[dict[str, Any], ...] = ()


class Upload(Struct, frozen=True):
    """https://docs.slack.dev/reference/methods/files.getUploadURLExternal."""

    upload_url: str
    file_id: str


_told = msgspec.json.Decoder(Told)


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    error = http.refusal(answer, hide=hide)
    if error is not None:
        return error
    try:
        told = _told.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Unreachable("what answered is not Slack's Web API; check api_base")
    return None if told.ok else _error(told, answer, hide)


def _error(told: Told, answer: Answer, hide: tuple[str, ...]) -> SendError:
    code = http.shorten(told.error, hide)
    hint = HINTS.get(code)
    message = f"Slack answered {code}" + (f": {hint}" if hint else "")
    messages = told.response_metadata.get("messages")
    words = "; ".join([*filter(None, (told.needed,)), *map(str, messages if isinstance(messages, list) else ())])
    text = http.shorten(words, hide) or code
    if code in THROTTLED:
        return Throttled(message, retry_after=http.retry_after(answer.headers), provider_text=text)
    kinds: tuple[tuple[frozenset[str], type[SendError]], ...] = (
        (BUSY, Unreachable),
        (OURS, Misconfigured),
        (GONE, RecipientGone),
    )
    kind = next((kind for codes, kind in kinds if code in codes), Refused)
    return kind(message, provider_code=code, provider_text=text)


def result(answer: Answer, shape: type[T]) -> T:
    """Read a success; raises `Unreachable` if it is something else than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable("Slack answered with something else than it documents; check api_base") from None
