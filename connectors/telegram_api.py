"""What the Bot API answers, and what its errors mean (https://core.telegram.org/bots/api#making-requests).

Telegram names its errors in words only; the words looked for here are those of its open-source server
(https://github.com/tdlib/telegram-bot-api) and of https://github.com/TelegramBotAPI/errors.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors import http
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.http import Answer
from normalizer.raw import Wire

GONE = (
    "blocked by the user",
    "user is deactivated",
    "bot was kicked",
    "bot is not a member",
    "can't initiate conversation",
    "can't send messages to bots",
    "chat not found",
    "user not found",
    "chat was deactivated",
    "peer_id_invalid",
)
"""Nothing can be sent to this chat any more, or never could."""

DONE = ("message is not modified", "message to delete not found")
"""What an edit or a deletion is told that was done before, such as by a try whose answer got lost."""

MENDS = {"can't parse entities": "parse_mode", "message thread not found": "message_thread_id"}
"""Complaint → the field without which the message still arrives."""


class Parameters(Struct, frozen=True):
    """https://core.telegram.org/bots/api#responseparameters."""

    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class ApiAnswer(Struct, frozen=True):
    """The envelope of every answer."""

    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: Parameters = Parameters()


class Mendable(Refused):
    """The call was refused for a reason that can be removed.

    Attributes:
        drop: a field to leave out.
        chat_id: the id the chat has got since.
    """

    def __init__(self, message: str, *, drop: str = "", chat_id: int | None = None, **told: Any) -> None:
        """Say what to change."""
        super().__init__(message, **told)
        self.drop, self.chat_id = drop, chat_id

    def mend(self, wire: Wire) -> Wire | None:
        """Change the call; None if there is nothing to change."""
        body = msgspec.json.decode(wire.body, type=dict[str, Any])
        mended = _without(body, self.drop) if self.chat_id is None else {**body, "chat_id": self.chat_id}
        return replace(wire, body=msgspec.json.encode(mended)) if mended != body else None


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        key: _without(value, name) if isinstance(value, dict) else value for key, value in body.items() if key != name
    }


_envelope = msgspec.json.Decoder(ApiAnswer)


def read(answer: Answer, hide: tuple[str, ...]) -> ApiAnswer | SendError:
    """Read an answer as the Bot API's, or say what is wrong with it.

    Args:
        answer: as it came over HTTP.
        hide: secrets that must not get into an error.
    """
    try:
        told = _envelope.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        error = http.refusal(answer, hide=hide)
        return error or Unreachable("what answered is not the Bot API; check api_base")
    return told if told.ok else _error(told, answer, http.shorten(told.description, hide))


def _error(told: ApiAnswer, answer: Answer, text: str) -> SendError:
    code = told.error_code or answer.status
    message, words = f"Telegram answered {code}", text.lower()
    details: dict[str, Any] = {"provider_code": str(code), "provider_text": text}
    if code == 429:
        wait = told.parameters.retry_after
        return Throttled(
            message, retry_after=http.retry_after(answer.headers) if wait is None else wait, provider_text=text
        )
    if told.parameters.migrate_to_chat_id is not None:
        return Mendable(message, chat_id=told.parameters.migrate_to_chat_id, **details)
    if code in {401, 404}:
        return Misconfigured(f"{message}: it does not know the token; check `token`", **details)
    if code in {400, 403} and any(gone in words for gone in GONE):
        return RecipientGone(message, **details)
    if code >= 500:
        return Unreachable(message, **details)
    drop = next((field for complaint, field in MENDS.items() if complaint in words), None)
    return Refused(message, **details) if drop is None else Mendable(message, drop=drop, **details)
