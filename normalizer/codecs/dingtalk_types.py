"""What DingTalk posts to a robot (https://open.dingtalk.com/document/orgapp/receive-message)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

LATEST_MS = 32_503_680_000_000
"""The year 3000: what is later is no time."""


class Wired(Struct, frozen=True, rename="camel"):
    """Names as DingTalk writes them."""


class Replied(Wired, frozen=True):
    """The message that is quoted."""

    msg_id: str | None = None


class Words(Wired, frozen=True):
    """`text`."""

    content: str = ""
    is_reply_msg: bool = False
    replied_msg: Replied | None = None


class Mentioned(Wired, frozen=True):
    """Somebody in `atUsers`."""

    dingtalk_id: str | None = None
    staff_id: str | None = None


class Piece(Wired, frozen=True):
    """A piece of `richText`."""

    text: str | None = None
    type: str | None = None
    download_code: str | None = None
    picture_download_code: str | None = None


class Content(Wired, frozen=True):
    """`content` of everything but text."""

    download_code: str | None = None
    picture_download_code: str | None = None
    duration: int | float | str | None = None
    recognition: str | None = None
    video_type: str | None = None
    file_name: str | None = None
    file_id: str | None = None
    space_id: str | None = None
    rich_text: tuple[Piece, ...] | None = None


class Callback(Wired, frozen=True):
    """One message."""

    msg_id: str
    msgtype: str
    conversation_id: str
    sender_id: str
    conversation_type: str = "1"
    sender_staff_id: str | None = None
    sender_nick: str | None = None
    create_at: int | float | str | None = None
    text: Words | None = None
    content: Any = None
    conversation_title: str | None = None
    sender_corp_id: str | None = None
    chatbot_corp_id: str | None = None
    chatbot_user_id: str | None = None
    is_admin: bool | None = None
    is_in_at_list: bool | None = None
    at_users: tuple[Mentioned, ...] = ()
    session_webhook: str | None = None
    session_webhook_expired_time: int | float | str | None = None
    original_msg_id: str | None = None

    @property
    def group(self) -> bool:
        """Tell whether others listen."""
        return self.conversation_type == "2"

    @property
    def address(self) -> str:
        """Name whom an answer goes to, as `dingtalk_send.Target` reads it."""
        if self.group:
            return self.conversation_id
        return self.sender_staff_id or f"direct:{self.conversation_id}"


def moment(milliseconds: float | str | None) -> datetime | None:
    """Read a time, which comes as number or as string; None if it is none."""
    try:
        value = float(milliseconds or 0)
    except ValueError:
        return None
    return datetime.fromtimestamp(value / 1000, UTC) if 0 < value <= LATEST_MS else None
